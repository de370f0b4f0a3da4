//! The Raft group: who leads, how far it is, how long each of its steps takes, what the inventory holds.

use raft::{Build, MemberStatus, Role, Stats, Status};
use storage::inventory::Ends;

use super::page::{Page, label, seconds};

pub(super) fn render(page: &mut Page, node_id: u64, status: &Status, stats: &Stats) {
    render_role(page, node_id, status);
    render_progress(page, status, stats);
    render_peers(page, node_id, status, stats);
    render_commands(page, stats);
    render_steps(page, stats);
    render_images(page, stats);
    render_log(page, stats);
    render_inventory(page, stats);
    render_ends(page, &stats.ends);
}

fn render_role(page: &mut Page, node_id: u64, status: &Status) {
    let role = status.members.iter().find(|member| member.member.id == node_id).map(|member| member.role);
    page.head("lastunit_raft_role", "gauge", "This node's role; 1 for the one it has.");
    for known in [Role::Leader, Role::Follower, Role::Candidate, Role::Learner] {
        let has = u8::from(role == Some(known));
        page.sample("lastunit_raft_role", &label("role", known.as_str()), has);
    }
    let leader_known = u8::from(status.leader_id.is_some());
    page.gauge("lastunit_raft_leader_known", "Whether this node knows a leader.", leader_known);
    page.gauge("lastunit_raft_members", "Members, those that only follow included.", status.members.len());
}

fn render_progress(page: &mut Page, status: &Status, stats: &Stats) {
    page.gauge("lastunit_raft_term", "The current term.", status.term);
    page.gauge("lastunit_feature_level", "The feature level in force.", status.level);
    let supported = "The highest feature level that this binary supports.";
    page.gauge("lastunit_feature_level_supported", supported, Build::own().levels.end());
    let of_log = [
        ("lastunit_raft_applied_index", "The last log entry applied here.", status.applied_index),
        (
            "lastunit_raft_committed_index",
            "The last log entry known to be committed.",
            status.committed_index,
        ),
        ("lastunit_raft_last_log_index", "The last entry in this node's log.", stats.last_log_index),
    ];
    for (name, help, index) in of_log {
        // An empty log has none: the number before the first.
        page.gauge(name, help, index.unwrap_or(0));
    }
    page.counter("lastunit_leader_changes_total", "Leader changes seen here.", stats.leader_changes);
    let comparisons = "Comparisons of the nodes' digests made here while leading.";
    page.counter("lastunit_digest_comparisons_total", comparisons, stats.digest_comparisons);
    let differences = "Those of them in which nodes differed.";
    page.counter("lastunit_digest_differences_total", differences, stats.digest_differences);
    let compared = "The log entry of the last of them.";
    page.gauge("lastunit_digests_compared_index", compared, stats.digests_compared_index);
}

/// The label has the ids of members alone, of which there are seven at most.
fn render_peers(page: &mut Page, node_id: u64, status: &Status, stats: &Stats) {
    let peers = || status.members.iter().filter(|member| member.member.id != node_id);
    let of = |member: &MemberStatus| label("peer", &member.member.id.to_string());
    let name = "lastunit_raft_peer_reachable";
    page.head(name, "gauge", "Whether the peer was heard from within the last second.");
    peers().for_each(|peer| page.sample(name, &of(peer), u8::from(peer.reachable)));
    let name = "lastunit_raft_peer_lag_entries";
    page.head(
        name,
        "gauge",
        "Entries of the leader's log that the peer is not known to have; on the leader.",
    );
    for peer in peers().filter(|_| status.leader_id == Some(node_id)) {
        let lag = stats.last_log_index.unwrap_or(0).saturating_sub(peer.matched_index.unwrap_or(0));
        page.sample(name, &of(peer), lag);
    }
    let name = "lastunit_replication_duration_seconds";
    page.head(name, "histogram", "From entries sent to a peer to its word that they are on its disk.");
    for (peer, took) in &stats.replication_us {
        page.distribution(name, &label("peer", &peer.to_string()), took);
    }
}

fn render_commands(page: &mut Page, stats: &Stats) {
    page.counter("lastunit_entries_proposed_total", "Log entries proposed here.", stats.entries_proposed);
    page.counter("lastunit_commands_proposed_total", "Commands in them.", stats.commands_proposed);
    page.counter("lastunit_commands_gated_total", "Commands answered by the gate.", stats.commands_gated);
    page.counter("lastunit_commands_forwarded_total", "Passed to the leader.", stats.commands_forwarded);
    page.counter("lastunit_commands_applied_total", "Commands applied here.", stats.commands_applied);
    page.gauge("lastunit_commands_waiting", "Commands waiting to be proposed.", stats.commands_waiting);
    page.gauge("lastunit_gate_waiting", "Commands waiting at the gate.", stats.gate_waiting);
    let under_way = "Entries proposed here that are not answered yet.";
    page.gauge("lastunit_entries_under_way", under_way, stats.entries_under_way);
    let forwards = "Calls to the leader with commands that are not answered yet.";
    page.gauge("lastunit_forwards_under_way", forwards, stats.forwards_under_way);
    let confirmations = "Confirmations of leadership asked for by reads and the gate.";
    page.counter("lastunit_read_confirmations_total", confirmations, stats.read_confirmations);
}

fn render_steps(page: &mut Page, stats: &Stats) {
    let queue = "How long the first of the commands that go on together waited for it.";
    page.times("lastunit_queue_duration_seconds", queue, &stats.queue_us);
    let propose = "From an entry's proposal to its answers: replication, fdatasync and apply.";
    page.times("lastunit_propose_duration_seconds", propose, &stats.propose_us);
    page.times("lastunit_apply_duration_seconds", "To apply one log entry.", &stats.apply_us);
    let sync = "One fdatasync of the log.";
    page.times("lastunit_log_sync_duration_seconds", sync, &stats.log.sync_us);
}

fn render_images(page: &mut Page, stats: &Stats) {
    let saved = "To save a checkpoint, its rests included.";
    page.times("lastunit_checkpoint_duration_seconds", saved, &stats.checkpoint_us);
    let built = "To build a snapshot, its rests included.";
    page.times("lastunit_snapshot_build_duration_seconds", built, &stats.snapshot_build_us);
    let installed = "To install a snapshot that came from the leader.";
    page.times("lastunit_snapshot_install_duration_seconds", installed, &stats.snapshot_install_us);
}

fn render_log(page: &mut Page, stats: &Stats) {
    let (log, room) = (&stats.log, stats.log_room);
    page.counter("lastunit_log_appends_total", "Appends to the log.", log.appends);
    page.counter("lastunit_log_written_bytes_total", "Bytes written to the log.", log.written_bytes);
    page.gauge("lastunit_log_queued_bytes", "Bytes of entries that wait to be written.", log.queued_bytes);
    let busy = "How long what is written to the log now has taken: it grows while the disk hangs.";
    page.gauge("lastunit_log_busy_seconds", busy, seconds(log.busy.as_micros() as u64));
    page.gauge("lastunit_log_disk_bytes", "Bytes that the log takes on disk.", log.disk_bytes);
    page.gauge("lastunit_log_room_bytes", "Bytes that the log can take without a new file.", room.bytes);
    page.gauge("lastunit_log_short", "1 while the disk has no room for a new file.", u8::from(room.is_short));
}

fn render_inventory(page: &mut Page, stats: &Stats) {
    let (counts, units) = (stats.counts, stats.units);
    page.gauge("lastunit_skus", "SKUs.", counts.skus);
    page.gauge("lastunit_reservations", "Reservations of any state.", counts.reservations);
    page.gauge("lastunit_holds", "Live holds.", counts.holds);
    page.gauge("lastunit_line_length", "Reservations that wait, over all lines.", counts.waiting);
    page.gauge("lastunit_kept_answers", "Answers kept for their idempotency keys.", counts.answers);
    let name = "lastunit_units";
    page.head(name, "gauge", "Units of all SKUs together, as applied here; a part of those on hand is held.");
    let of_state = [
        ("on_hand", units.on_hand),
        ("held", units.held),
        ("available", units.available),
        ("sold", units.sold),
    ];
    of_state.into_iter().for_each(|(state, count)| page.sample(name, &label("state", state), count));
}

fn render_ends(page: &mut Page, ends: &Ends) {
    let name = "lastunit_hold_age_seconds";
    page.head(name, "histogram", "How old holds were when they ended, by how; as applied here.");
    let by_end = [
        ("committed", &ends.committed),
        ("released", &ends.released),
        ("revoked", &ends.revoked),
        ("expired", &ends.expired),
    ];
    by_end.into_iter().for_each(|(end, ages)| page.distribution(name, &label("end", end), ages));
    let lag = "From a hold's deadline to the command that ended it; its units were for sale before.";
    page.times("lastunit_expiry_lag_seconds", lag, &ends.expiry_lag);
}
