//! Want of space, and the size of the log: what waits, who steps aside, what is refused, and that all of it goes on
//! when there is room again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use raft::{Group, GroupOptions, Member, ProposeError, Tuning};
use storage::disk::RealDisk;
use storage::disk::told::ToldDisk;
use support::{
    adjust, is_won, leader, long_adjust, members, options, put, reserve, shutdown, start_on,
    submit_until_answered, wait_converged, wait_ready, wait_until,
};
use tempfile::TempDir;

const SEGMENT_BYTES: u64 = 64 << 10;
const SNAPSHOT_BYTES: u64 = 256 << 10;

/// As docs/formats.md says under "Size", with what is written while a snapshot is built as large as `snapshot_bytes`:
/// what is kept behind a snapshot, what comes after it, and that; two segments that are not used to their end; the one
/// that is written to, four spares, one more that is being made; the seal.
const LOG_BYTES_MAX: u64 = 3 * SNAPSHOT_BYTES + 8 * SEGMENT_BYTES + 8192;

/// How often half a snapshot's worth of log is written.
const ROUNDS: u64 = 48;

fn small(members: &[Member], id: u64, directory: &TempDir) -> GroupOptions {
    let tuning = Tuning {
        segment_bytes: SEGMENT_BYTES,
        snapshot_entries: 1_000_000,
        snapshot_bytes: SNAPSHOT_BYTES,
        ..Tuning::default()
    };
    GroupOptions { tuning, ..options(members, id, directory.path()) }
}

/// Three groups that serve, each on a disk that says what it is told about its free bytes.
async fn start_told(directory: &TempDir) -> (Vec<Group>, Vec<ToldDisk>, Vec<Member>) {
    let disks: Vec<_> = (0..3).map(|_| ToldDisk::over(RealDisk)).collect();
    let members = members();
    let mut groups = Vec::new();
    for (member, disk) in members.iter().zip(&disks) {
        groups.push(start_on(Arc::new(disk.clone()), small(&members, member.id, directory)).await);
    }
    for group in &groups {
        wait_ready(group).await;
    }
    groups[0].submit(put(1_000_000)).await.unwrap();
    (groups, disks, members)
}

/// Writes at least so many bytes of log.
async fn write(groups: &[Group], bytes: u64) {
    let written = || groups.iter().map(|group| group.stats().log.written_bytes).min().unwrap();
    let enough = written() + bytes;
    for number in 0.. {
        let unit = (0..8).map(|one| long_adjust(8 * number + one)).collect();
        // What is not answered is not counted either.
        drop(groups[number % groups.len()].submit_many(unit).await);
        if written() >= enough {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_within_its_bound_however_much_is_written() {
    let directory = TempDir::new().unwrap();
    let (groups, _, _) = start_told(&directory).await;
    let (mut greatest, mut total) = (0, 0);
    for round in 1..=ROUNDS {
        let written = write(&groups, SNAPSHOT_BYTES / 2);
        let watched = async {
            loop {
                for group in &groups {
                    let bytes = group.stats().log.disk_bytes;
                    greatest = greatest.max(bytes);
                    assert!(bytes <= LOG_BYTES_MAX, "{bytes} bytes of log in round {round}");
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            () = async { written.await; cut(&groups).await } => {}
            () = watched => {}
        }
        total += SNAPSHOT_BYTES / 2;
    }
    assert!(total > 4 * LOG_BYTES_MAX, "too little was written for a proof");
    built(&groups, ROUNDS / 4).await;
    eprintln!("{total} bytes written, at most {greatest} on disk, bound {LOG_BYTES_MAX}");
    shutdown(groups).await;
}

/// Waits until each has built the snapshots that are due and cut its log: on a machine that is busy with other things
/// more would be written by then than the bound allows for.
async fn cut(groups: &[Group]) {
    wait_until("the log is cut", || groups.iter().all(|group| log_bytes(group) <= 2 * SNAPSHOT_BYTES)).await;
}

/// About how many bytes the entries of its log take, which are all of about one length.
fn log_bytes(group: &Group) -> u64 {
    let (log, written) = (group.look().log, group.stats().log.written_bytes);
    let [purged, last] = [log.purged, log.last].map(|end| end.map_or(0, |position| position.index));
    (last - purged) * written / last.max(1)
}

/// Waits until each has built so many snapshots.
async fn built(groups: &[Group], snapshots: u64) {
    wait_until("a snapshot is built", || {
        groups.iter().all(|group| group.stats().snapshots_built >= snapshots)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_and_snapshots_wait_for_room_and_go_on_with_it() {
    let directory = TempDir::new().unwrap();
    let (groups, disks, members) = start_told(&directory).await;
    // Room for segments, and for nothing larger.
    disks.iter().for_each(|disk| disk.tell(32 << 20));
    let before: Vec<_> = groups.iter().map(Group::stats).collect();
    write(&groups, 2 * SNAPSHOT_BYTES).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    for (group, before) in groups.iter().zip(before) {
        let now = group.stats();
        assert_eq!(now.snapshots_built, before.snapshots_built, "a snapshot was built without room");
        assert!(now.checkpoints <= before.checkpoints + 1, "a checkpoint was saved without room");
        assert!(!now.log_room.is_short);
    }
    disks.iter().for_each(|disk| disk.tell(u64::MAX));
    built(&groups, 1).await;
    wait_until("the log is cut", || groups.iter().all(|group| group.stats().log.disk_bytes <= LOG_BYTES_MAX))
        .await;
    // A stop without room for a checkpoint is one in order, and loses nothing.
    let held = groups[0].read(|inventory| inventory.stock(&support::sku())).await.unwrap().value;
    disks.iter().for_each(|disk| disk.tell(0));
    submit_until_answered(&groups[0], adjust(1)).await;
    shutdown(groups).await;
    let mut groups = Vec::new();
    for member in &members {
        let disk = Arc::new(ToldDisk::over(RealDisk));
        groups.push(start_on(disk, small(&members, member.id, &directory)).await);
    }
    wait_ready(&groups[0]).await;
    let now = groups[0].read(|inventory| inventory.stock(&support::sku())).await.unwrap().value;
    assert_eq!(now.unwrap().on_hand, held.unwrap().on_hand + 1);
    shutdown(groups).await;
}

/// Once it was asked for a KiB for each record that had changed, ten times what their packs take: after a long time
/// without room the log had eaten what came free before a checkpoint was saved.
#[tokio::test(flavor = "multi_thread")]
async fn a_save_of_many_records_goes_on_as_soon_as_their_packs_have_room() {
    let directory = TempDir::new().unwrap();
    let (groups, disks, _) = start_told(&directory).await;
    disks.iter().for_each(|disk| disk.tell(32 << 20));
    for unit in 0..80 {
        let reserves = (0..100).map(|cart| reserve(100 * unit + cart)).collect();
        let answers = groups[0].submit_many(reserves).await;
        assert!(answers.iter().all(Result::is_ok), "unit {unit}: {answers:?}");
    }
    wait_converged(&groups).await;
    let before: Vec<_> = groups.iter().map(|group| group.stats().checkpoints).collect();
    // Each reserve has changed its reservation and its answer: 16,000 records at least.
    disks.iter().for_each(|disk| disk.tell(64 << 20 | 12 << 20));
    wait_until("the checkpoint is saved", || {
        groups.iter().zip(&before).all(|(group, before)| group.stats().checkpoints > *before)
    })
    .await;
    shutdown(groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_short_of_space_steps_aside() {
    let directory = TempDir::new().unwrap();
    let (groups, disks, _) = start_told(&directory).await;
    for _round in 0..3 {
        let short = leader(&groups).await;
        disks[short].tell(0);
        let mut number = 0;
        while leader(&groups).await == short {
            submit_until_answered(&groups[number % 3], long_adjust(number)).await;
            number += 1;
            assert!(number < 10_000, "the leader never steps aside");
        }
        submit_until_answered(&groups[short], adjust(1)).await;
        disks[short].tell(u64::MAX);
        wait_until("it is no longer short", || !groups[short].stats().log_room.is_short).await;
    }
    wait_converged(&groups).await;
    shutdown(groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_has_space_writes_are_refused_and_reads_go_on() {
    let directory = TempDir::new().unwrap();
    let (groups, disks, _) = start_told(&directory).await;
    disks.iter().for_each(|disk| disk.tell(0));
    let (mut number, mut acknowledged) = (0, 0);
    loop {
        let answer = groups[number % 3].submit(long_adjust(number)).await;
        number += 1;
        acknowledged += i64::from(answer.is_ok());
        if answer == Err(ProposeError::NoSpace) {
            break;
        }
        assert!(number < 10_000, "writes are never refused");
    }
    wait_until("the leader is known everywhere", || groups.iter().all(|g| g.status().leader_id.is_some()))
        .await;
    for group in &groups {
        let refused = group.submit_many(vec![adjust(1), adjust(2)]).await;
        assert_eq!(refused, vec![Err(ProposeError::NoSpace); 2]);
        let stock = group.read(|inventory| inventory.stock(&support::sku())).await.unwrap().value.unwrap();
        let added = stock.on_hand as i64 - 1_000_000;
        assert!(
            (acknowledged..=number as i64).contains(&added),
            "{added} of {acknowledged} to {number} are there"
        );
    }
    disks.iter().for_each(|disk| disk.tell(u64::MAX));
    assert!(is_won(&submit_until_answered(&groups[0], reserve(1)).await));
    wait_converged(&groups).await;
    shutdown(groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_without_room_for_a_snapshot_refuses_it_and_takes_it_later() {
    let directory = TempDir::new().unwrap();
    let (mut groups, disks, members) = start_told(&directory).await;
    let away = (leader(&groups).await + 1) % 3;
    // What it has in its own log it applies again, sooner or later after its start; more it must not have.
    let own = groups.iter().map(|group| group.status().applied_index).max().unwrap();
    groups.remove(away).shutdown().await.unwrap();
    for round in 1..=3 {
        write(&groups, SNAPSHOT_BYTES + SNAPSHOT_BYTES / 8).await;
        built(&groups, round).await;
    }
    disks[away].tell(32 << 20);
    let back = start_on(Arc::new(disks[away].clone()), small(&members, away as u64 + 1, &directory)).await;
    let snapshots = directory.path().join(format!("{}/snapshots", away + 1));
    for number in 0..100 {
        submit_until_answered(&groups[number % 2], adjust(1)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(back.stats().snapshots_installed, 0);
    assert!(back.status().applied_index <= own, "{:?}, of {own:?} of its own", back.status().applied_index);
    let half = std::fs::read_dir(snapshots).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "tmp")
    });
    assert_eq!(half.count(), 0, "what was refused has left a file");
    disks[away].tell(u64::MAX);
    groups.push(back);
    wait_converged(&groups).await;
    assert!(groups[2].stats().snapshots_installed > 0);
    shutdown(groups).await;
}
