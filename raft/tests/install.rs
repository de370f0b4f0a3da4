//! A follower that takes a snapshot is cut off, runs out of space or loses its power at any moment of it; the sender
//! goes, or the connection. Whatever happens, in the end all have the same state, without a gap.
//!
//! `ROUNDS=n` for more of them, `SEED=n` for those of a run before.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use raft::{Group, GroupOptions, Member, Tuning};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storage::disk::faulty::{EIO, FaultyDisk};
use support::{
    adjust, leader, long_adjust, members, options, put, shutdown, start, submit_until_answered, try_start_on,
    wait_converged, wait_ready,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A snapshot so often, in entries; and so many are written while the follower is away.
const ENTRIES: u64 = 40;

/// Steps of the disk from a start to the end of an install, and some more.
const STEPS: u64 = 60;

/// How long a fault may take to show; an install takes a fraction of it.
const FAULT_TIME_MAX: Duration = Duration::from_secs(3);

fn rounds(usual: u64) -> u64 {
    std::env::var("ROUNDS").map_or(usual, |given| given.parse().expect("ROUNDS is a number"))
}

fn random() -> StdRng {
    let seed =
        std::env::var("SEED").map_or_else(|_| rand::random(), |given| given.parse().expect("a number"));
    eprintln!("SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn small(members: &[Member], id: u64, directory: &TempDir) -> GroupOptions {
    let tuning = Tuning { segment_bytes: 64 << 10, snapshot_entries: ENTRIES, ..Tuning::default() };
    GroupOptions { tuning, ..options(members, id, directory.path()) }
}

/// Writes so much that whoever was away needs a snapshot.
async fn write_past_the_log(groups: &[Group]) {
    for number in 0..3 * ENTRIES as usize {
        submit_until_answered(&groups[number % groups.len()], long_adjust(number)).await;
    }
}

/// Three that serve.
async fn start_small(directory: &TempDir) -> (Vec<Group>, Vec<Member>) {
    let members = members();
    let mut groups = Vec::new();
    for member in &members {
        groups.push(start(small(&members, member.id, directory)).await);
    }
    for group in &groups {
        wait_ready(group).await;
    }
    groups[0].submit(put(1_000)).await.unwrap();
    (groups, members)
}

/// What befalls the follower's disk.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Power,
    Full,
    Failure,
}

impl Fault {
    fn arm(self, disk: &FaultyDisk, step: u64) {
        match self {
            Fault::Power => disk.power_fails_at(step),
            Fault::Full => disk.full_from(step),
            Fault::Failure => disk.fail_at(step, EIO),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_that_a_disk_breaks_off_at_any_step_is_done_in_the_end() {
    let (directory, mut random) = (TempDir::new().unwrap(), random());
    let (mut groups, members) = start_small(&directory).await;
    let (mut hit, rounds) = ([0; 3], rounds(18));
    for round in 0..rounds {
        let away = groups.pop().unwrap();
        away.shutdown().await.unwrap();
        write_past_the_log(&groups).await;
        let options = small(&members, 3, &directory);
        let disk = FaultyDisk::new(&options.data_dir).unwrap();
        let fault = [Fault::Power, Fault::Full, Fault::Failure][round as usize % 3];
        fault.arm(&disk, random.random_range(0..STEPS));
        let load = submit_for_a_while(&groups);
        if let Some(why) = meet(&disk, options.clone()).await {
            hit[round as usize % 3] += 1;
            assert!(why.contains("power") || why.contains("os error"), "round {round}, {fault:?}: {why}");
        }
        match fault {
            Fault::Power => disk.cut(random.random()).unwrap(),
            Fault::Full | Fault::Failure => disk.mend(),
        }
        load.await;
        groups.push(start(options).await);
        wait_converged(&groups).await;
    }
    eprintln!("{rounds} installs: {} power cuts, {} without room, {} failures met", hit[0], hit[1], hit[2]);
    assert!(rounds < 18 || hit.iter().sum::<u64>() > 0, "no fault was met at all");
    shutdown(groups).await;
}

/// Starts the follower on that disk and lets it catch up until the fault shows, in the words that it shows with.
async fn meet(disk: &FaultyDisk, options: GroupOptions) -> Option<String> {
    let group = match try_start_on(Arc::new(disk.clone()), options).await {
        Ok(group) => group,
        Err(why) => return Some(why.to_string()),
    };
    let met = timeout(FAULT_TIME_MAX, group.fatal()).await.ok().map(|stop| stop.to_string());
    // After a fault there is nothing more to be saved.
    let left = group.shutdown().await;
    met.or(left.err())
}

/// Commands that go on while something else happens.
async fn submit_for_a_while(groups: &[Group]) {
    for number in 0..20 {
        submit_until_answered(&groups[number % groups.len()], adjust(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_whose_sender_goes_is_done_by_the_next_one() {
    let (directory, mut random) = (TempDir::new().unwrap(), random());
    let (mut groups, members) = start_small(&directory).await;
    let rounds = rounds(6);
    for _round in 0..rounds {
        let sender = leader(&groups).await;
        let receiver = (sender + 1) % 3;
        groups[receiver].shutdown().await.unwrap();
        let others: Vec<Group> = [sender, 3 - sender - receiver].map(|at| groups[at].clone()).into();
        write_past_the_log(&others).await;
        groups[receiver] = start(small(&members, receiver as u64 + 1, &directory)).await;
        sleep(Duration::from_millis(random.random_range(0..400))).await;
        groups[sender].shutdown().await.unwrap();
        sleep(Duration::from_millis(random.random_range(0..400))).await;
        groups[sender] = start(small(&members, sender as u64 + 1, &directory)).await;
        wait_converged(&groups).await;
    }
    eprintln!("{rounds} installs whose sender went");
    shutdown(groups).await;
}

/// A way to one node that breaks each connection after so many bytes.
async fn breaking(to: SocketAddr, bytes_max: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((from, _)) = listener.accept().await {
            let bytes_max = bytes_max.clone();
            connections.spawn(async move {
                if let Ok(there) = TcpStream::connect(to).await {
                    pass(from, there, &bytes_max).await;
                }
            });
        }
    });
    address
}

/// Passes bytes on in both directions, until one end is gone or too many were sent.
async fn pass(mut from: TcpStream, mut to: TcpStream, bytes_max: &AtomicU64) {
    let (mut there, mut back, mut passed) = (vec![0; 8_192], vec![0; 8_192], 0);
    loop {
        let done = tokio::select! {
            read = from.read(&mut there) => match read {
                Ok(1..) if passed > bytes_max.load(Ordering::Relaxed) => true,
                Ok(read @ 1..) => {
                    passed += read as u64;
                    to.write_all(&there[..read]).await.is_err()
                }
                _ => true,
            },
            read = to.read(&mut back) => match read {
                Ok(read @ 1..) => from.write_all(&back[..read]).await.is_err(),
                _ => true,
            },
        };
        if done {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_whose_connection_breaks_after_any_byte_is_done_in_the_end() {
    let (directory, mut random) = (TempDir::new().unwrap(), random());
    let members = members();
    // The others reach node 3 through what breaks.
    let bytes_max = Arc::new(AtomicU64::new(u64::MAX));
    let through = breaking(members[2].raft.parse().unwrap(), bytes_max.clone()).await;
    let mut seen = members.clone();
    seen[2].raft = through.to_string();
    let mut groups = Vec::new();
    for (id, members) in [(1, &seen), (2, &seen), (3, &members)] {
        groups.push(start(small(members, id, &directory)).await);
    }
    for group in &groups {
        wait_ready(group).await;
    }
    groups[0].submit(put(1_000)).await.unwrap();
    let rounds = rounds(8);
    for _round in 0..rounds {
        groups.pop().unwrap().shutdown().await.unwrap();
        write_past_the_log(&groups).await;
        bytes_max.store(random.random_range(1_000..60_000), Ordering::Relaxed);
        groups.push(start(small(&members, 3, &directory)).await);
        submit_for_a_while(&groups[..2]).await;
        sleep(Duration::from_millis(500)).await;
        bytes_max.store(u64::MAX, Ordering::Relaxed);
        wait_converged(&groups).await;
    }
    eprintln!("{rounds} installs over connections that break");
    shutdown(groups).await;
}
