//! The report of a directory as people read it.

use jiff::Timestamp;
use raft::inspect::{
    CheckpointReport, Content, Damage, EntryWords, IdentityReport, ImageReport, LogReport, PeerReport,
    Report, SegmentReport, SnapshotReport, Verdict,
};

use crate::cli::{Table, fields, plain};

/// The whole report.
pub(super) fn report(report: &Report) -> String {
    let mut text = format!("{}: {}\n", plain(&report.data_dir.to_string_lossy()), verdict(report));
    section(&mut text, "identity", &report.identity.as_ref().map_or_else(unread, identity));
    section(&mut text, "peers, as this node knows them", &peers(&report.peers));
    section(&mut text, "log", &report.log.as_ref().map_or_else(unread, log));
    section(&mut text, "checkpoint", &report.checkpoint.as_ref().map_or_else(unread, checkpoint));
    section(&mut text, "snapshots", &snapshots(&report.snapshots));
    section(&mut text, "members, as the newest image has them", &members(report));
    section(&mut text, "damage", &lines(report.damages.iter().map(damage)));
    section(&mut text, "cannot be read", &lines(report.unreadable.iter().cloned()));
    section(&mut text, "notes", &lines(report.notes.iter().cloned()));
    text
}

/// An entry on a line of its own.
pub(super) fn entry(entry: &EntryWords, time: Option<String>) -> String {
    let EntryWords { index, term, leader, content } = entry;
    let what = match content {
        Content::Blank => "blank".to_owned(),
        Content::Membership { voters, .. } => format!("membership voters={voters:?}"),
        Content::Commands { commands, .. } => {
            commands.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
        Content::Unreadable { why } => format!("unreadable: {why}"),
    };
    let time = time.unwrap_or_else(|| "-".to_owned());
    plain(&format!("{index} {term} {leader} {time} {what}")).into_owned()
}

/// A damage in one sentence.
pub(super) fn damage(damage: &Damage) -> String {
    let Damage { path, offset, what, mend } = damage;
    match offset {
        Some(offset) => format!("{} is damaged at offset {offset}: {what}; {mend}", path.display()),
        None => format!("{}: {what}; {mend}", path.display()),
    }
}

/// A moment in the form of the API.
pub(super) fn time(ms: u64) -> String {
    let moment = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", moment.unwrap_or(Timestamp::MAX))
}

/// `1 damage`, `2 damages`.
pub(super) fn count(number: u64, of: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {of}{plural}")
}

/// What is wrong with a directory that is not whole, in one sentence.
pub(super) fn complaint(report: &Report) -> String {
    let dir = report.data_dir.display();
    match is_refused_alone(report) {
        true => format!("{dir}: refused by the cluster; what the report says of it is to be done"),
        false => {
            let damages = count(report.damages.len() as u64, "damage");
            format!("{dir}: {damages} found; what the report says of each is to be done")
        }
    }
}

/// Whether every byte is whole, and all that is wrong is the mark which says that the cluster has refused it.
fn is_refused_alone(report: &Report) -> bool {
    let mark = report.data_dir.join("refused");
    !report.damages.is_empty() && report.damages.iter().all(|damage| damage.path == mark)
}

fn verdict(report: &Report) -> String {
    let whole = match report.verdict {
        Verdict::Damaged if is_refused_alone(report) => "refused by the cluster",
        Verdict::Whole => "whole",
        Verdict::Damaged => "damaged",
        Verdict::Unreadable => "not all of it can be read",
    };
    let starts = if report.starts { "a node starts on it" } else { "a node refuses to start on it" };
    format!("{whole}; {starts}")
}

/// A heading and what is under it, indented. Nothing where there is nothing.
fn section(text: &mut String, heading: &str, body: &str) {
    if !body.is_empty() {
        text.push_str(&format!("\n{heading}\n"));
        body.lines().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| format!("{}\n", plain(&line))).collect()
}

fn unread() -> String {
    "cannot be read\n".to_owned()
}

fn identity(identity: &IdentityReport) -> String {
    let IdentityReport { cluster, cluster_id, node_id, store_id, generation } = identity;
    let cluster_id = cluster_id.clone().unwrap_or_else(|| "none yet".to_owned());
    fields(&[
        ("cluster", Some(cluster.clone())),
        ("cluster id", Some(cluster_id)),
        ("node", Some(node_id.to_string())),
        ("store id", Some(store_id.clone())),
        ("started", Some(count(*generation, "time"))),
    ])
}

fn peers(peers: &[PeerReport]) -> String {
    let row = |peer: &PeerReport| {
        let vote = format!("term {} for node {}", peer.vote_term, peer.vote_node);
        [
            peer.id.to_string(),
            peer.generation.to_string(),
            peer.entries.to_string(),
            vote,
            peer.store_id.clone(),
        ]
    };
    let rows: Vec<_> = peers.iter().map(row).collect();
    match rows.is_empty() {
        true => String::new(),
        false => Table::new(["#NODE", "#STARTED", "#ENTRIES", "VOTE", "STORE"]).rows(&rows),
    }
}

fn log(log: &LogReport) -> String {
    let vote = log.vote.map(|vote| {
        let granted = if vote.committed { ", granted by a quorum" } else { "" };
        format!("term {} for node {}{granted}", vote.term, vote.node)
    });
    let torn = log.torn.as_ref().map(|(path, offset)| {
        format!("at offset {offset} of {}: a write cut off by a crash, never acknowledged", path.display())
    });
    let mut text = fields(&[
        ("entries", Some(entries(log))),
        ("purged up to", log.purged.map(|purged| purged.index.to_string())),
        ("committed", log.committed.map(|committed| committed.index.to_string())),
        ("cluster clock", log.last_ms.map(time)),
        ("vote", Some(vote.unwrap_or_else(|| "none".to_owned()))),
        ("opened", Some(count(log.sessions, "time"))),
        ("sealed", Some(sealed(log))),
        ("torn", torn),
    ]);
    let rows: Vec<_> = log.segments.iter().map(segment).collect();
    let columns = ["SEGMENT", "#SEQUENCE", "USE", "#BYTES", "#USED", "#GROUPS", "#FIRST", "#LAST"];
    text.push_str(&Table::new(columns).rows(&rows));
    text
}

fn entries(log: &LogReport) -> String {
    match log.last.filter(|_| log.entries > 0) {
        Some(last) => format!(
            "{} to {} (term {}, leader {}), with {}",
            log.first,
            last.index,
            last.term,
            last.leader,
            count(log.commands, "command")
        ),
        None => "none".to_owned(),
    }
}

fn sealed(log: &LogReport) -> String {
    match log.sealed_group {
        Some(group) if group == log.last_group => "to the end: nothing was being written".to_owned(),
        Some(group) => format!("up to group {group} of {}", log.last_group),
        None => "never".to_owned(),
    }
}

fn segment(segment: &SegmentReport) -> [String; 8] {
    let use_ = match (segment.counts, segment.sequence) {
        (true, _) => "counts",
        (false, Some(_)) => "spare",
        (false, None) => "no header",
    };
    [
        segment.file.clone(),
        number(segment.sequence),
        use_.to_owned(),
        segment.bytes.to_string(),
        segment.used_bytes.to_string(),
        segment.groups.to_string(),
        number(segment.first),
        number(segment.last),
    ]
}

fn checkpoint(checkpoint: &CheckpointReport) -> String {
    let content = checkpoint.content.as_ref();
    let image = match (checkpoint.image, content) {
        (Some(number), Some(_)) => format!("image-{number}, whole"),
        (Some(number), None) => format!("image-{number}, damaged"),
        (None, _) => "none".to_owned(),
    };
    let counted = |count: Option<u64>| count.map(|count| count.to_string());
    fields(&[
        ("image", Some(image)),
        ("bytes", checkpoint.image.map(|_| checkpoint.bytes.to_string())),
        ("applied", content.map(applied)),
        ("digest", content.map(|image| format!("{}, as its records have it", image.digest))),
        ("commands", counted(checkpoint.sequence)),
        ("level", counted(checkpoint.feature_level.map(u64::from))),
        ("SKUs", counted(checkpoint.skus)),
        ("reservations", counted(checkpoint.reservations)),
        ("live holds", counted(checkpoint.holds)),
        ("kept answers", counted(checkpoint.answers)),
    ])
}

fn snapshots(snapshots: &[SnapshotReport]) -> String {
    let row = |snapshot: &SnapshotReport| {
        let content = snapshot.content.as_ref();
        [
            snapshot.file.clone(),
            snapshot.bytes.to_string(),
            number(snapshot.records),
            content.map_or_else(|| "-".to_owned(), applied),
            content.map_or_else(|| "damaged".to_owned(), |image| image.digest.clone()),
        ]
    };
    let rows: Vec<_> = snapshots.iter().map(row).collect();
    match rows.is_empty() {
        true => "none\n".to_owned(),
        false => Table::new(["SNAPSHOT", "#BYTES", "#RECORDS", "#APPLIED", "DIGEST"]).rows(&rows),
    }
}

fn members(report: &Report) -> String {
    let of_checkpoint = report.checkpoint.iter().filter_map(|checkpoint| checkpoint.content.as_ref());
    let of_snapshots = report.snapshots.iter().filter_map(|snapshot| snapshot.content.as_ref());
    let newest = of_checkpoint.chain(of_snapshots).max_by_key(|image| image.applied);
    let members = newest.map(|image| image.members.as_slice()).unwrap_or_default();
    let rows: Vec<_> = members
        .iter()
        .map(|member| {
            let votes = if member.votes { "yes" } else { "no" }.to_owned();
            [member.id.to_string(), votes, member.http.clone(), member.raft.clone(), member.store_id.clone()]
        })
        .collect();
    match rows.is_empty() {
        true => String::new(),
        false => Table::new(["#NODE", "VOTES", "HTTP", "RAFT", "STORE"]).rows(&rows),
    }
}

fn applied(image: &ImageReport) -> String {
    image.applied.map_or_else(|| "nothing".to_owned(), |applied| applied.index.to_string())
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}
