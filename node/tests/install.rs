//! `kill -9` in the midst of a snapshot's install, of the follower that takes it and of the leader that sends it, while
//! load goes on over all nodes.
//!
//! ```text
//!   follower   killed ... far behind ... started --> snapshots/<number>.tmp grows --> installed --> catches up
//!                                                          ^
//!                                                     stopped where it stands (SIGSTOP), looked at, and killed;
//!                                                     or the leader is killed, and the follower goes on
//! ```
//!
//! A node whose temporary file is there while it stands still is in the midst for certain. When it is looked at follows
//! from the seed. `LASTUNIT_TEST_ROUNDS` says how often each of them is killed (3 times unless set).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::time::Duration;

use client::api::PutSkuRequest;
use rand::Rng;
use rand::distr::{Alphanumeric, SampleString};
use rand::rngs::StdRng;
use tokio::time::sleep;

use support::cluster::{Cluster, Place, free_places, others};
use support::load::{Ledger, Load};
use support::{http, say, seed, wait_for};

/// A snapshot so often, in entries; as many stay behind it in the log.
const SNAPSHOT_ENTRIES: u64 = 300;

/// What the nodes are started through.
const PACES: [&str; 3] = ["env", "LASTUNIT_SNAPSHOT_ENTRIES=300", "LASTUNIT_SEGMENT_BYTES=65536"];

/// How many calls are answered before a fault, and again after it.
const CALLS: usize = 100;

/// Commands whose texts make a snapshot of some megabytes, which takes a moment to send: batches, and of each so many.
const BATCHES: usize = 6;
const BATCH_COMMANDS: usize = 2_000;

/// How long after a snapshot begins to come the follower is looked at, in milliseconds.
const LATER_MS_MAX: u64 = 60;

/// How many installs may be over before they are looked at, for each that is not.
const MISSED_MAX: usize = 10;

/// A cluster under load, of which one node is away.
struct Scene {
    cluster: Cluster,
    ledger: Ledger,
    load: Load,
    random: StdRng,
    away: u64,
    /// How far it may have come when it went.
    applied: u64,
}

impl Scene {
    async fn begin() -> Scene {
        let mut places: Vec<Place> = free_places();
        places.iter_mut().for_each(|place| place.launcher = PACES.map(str::to_owned).to_vec());
        let (cluster, mut ledger) = (Cluster::start_at(seed(), places).await, Ledger::default());
        let mut random = cluster.random();
        write_much(&cluster, &mut random).await;
        let load = Load::start(&cluster, &mut ledger).await;
        load.more(CALLS).await;
        let away = cluster.followers().await[0];
        let mut scene = Scene { cluster, ledger, load, random, away, applied: 0 };
        scene.is_killed().await;
        scene
    }

    /// The greatest index that a node which runs has applied.
    async fn applied_by_others(&self) -> u64 {
        wait_for("the others tell what they have applied", async || {
            let mut applied = None;
            for id in others(self.away) {
                applied = applied.max(self.cluster.view(id).await?.applied_index);
            }
            applied
        })
        .await
    }

    /// Waits until the others have purged what the node that is away would need.
    async fn falls_behind(&self) {
        wait_for("a node falls behind", async || {
            let mut ids = others(self.away).into_iter();
            ids.all(|id| newest_snapshot(&self.cluster, id) > self.applied + 2 * SNAPSHOT_ENTRIES)
                .then_some(())
        })
        .await;
    }

    /// Starts the node that is away, and stops it where it stands in the midst of an install. One that is over before
    /// it is looked at is missed.
    async fn is_caught_installing(&mut self) {
        for _ in 0..MISSED_MAX {
            self.falls_behind().await;
            self.cluster.spawn(self.away);
            wait_for("a snapshot comes", async || {
                (self.is_installing() || self.has_installed()).then_some(())
            })
            .await;
            sleep(Duration::from_millis(self.random.random_range(0..=LATER_MS_MAX))).await;
            self.cluster.pause_for_certain(self.away).await;
            if self.is_installing() {
                return;
            }
            self.is_killed().await;
        }
        panic!("{MISSED_MAX} installs were over before they were looked at");
    }

    /// Whether a snapshot comes that does not count yet. A file of its own making would come after that.
    fn is_installing(&self) -> bool {
        let said = self.cluster.said(self.away);
        let since = said.rsplit_once("--- started").map_or(&*said, |(_, since)| since);
        since.contains("receiving a snapshot") && self.has_part() && !self.has_installed()
    }

    fn has_part(&self) -> bool {
        names(&self.cluster, self.away).iter().any(|name| name.ends_with(".tmp"))
    }

    fn has_installed(&self) -> bool {
        newest_snapshot(&self.cluster, self.away) > self.applied
    }

    /// `kill -9` of the follower. Only then is it asked how far it may have come: it takes snapshots of its own until
    /// it is gone.
    async fn is_killed(&mut self) {
        self.cluster.kill(self.away);
        let own = newest_snapshot(&self.cluster, self.away);
        self.applied = self.applied_by_others().await.max(own);
    }

    /// `kill -9` of the leader, while the follower stands still; then that goes on, and the leader comes back.
    async fn its_sender_is_killed(&mut self) {
        let sender = self.cluster.leader_among(&others(self.away)).await;
        self.cluster.kill(sender);
        self.cluster.go_on(self.away);
        self.load.more(CALLS).await;
        self.cluster.spawn(sender);
        self.catches_up().await;
    }

    /// All serve, and the follower has applied what the others had, while load goes on.
    async fn catches_up(&mut self) {
        self.cluster.start_all().await;
        let goal = self.applied_by_others().await;
        wait_for("the follower catches up under load", async || {
            (self.cluster.view(self.away).await?.applied_index? >= goal).then_some(())
        })
        .await;
        self.load.more(CALLS).await;
    }

    /// Sends the buyers home; all that they were told holds on all nodes.
    async fn end(mut self, what: &str) {
        self.load.more(CALLS).await;
        self.load.stop(&mut self.ledger).await;
        self.ledger.check(&self.cluster).await;
        say(&format!("{} calls hold after {what}", self.ledger.calls()));
    }
}

/// The names in a node's directory of snapshots.
fn names(cluster: &Cluster, id: u64) -> Vec<String> {
    let entries = fs::read_dir(cluster.data_dir(id).join("snapshots"));
    let names = entries.into_iter().flatten().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

/// Where a node's newest snapshot ends; 0 where there is none.
fn newest_snapshot(cluster: &Cluster, id: u64) -> u64 {
    let index = |name: &String| name.strip_suffix(".snap")?.rsplit('-').next()?.parse().ok();
    names(cluster, id).iter().filter_map(index).max().unwrap_or(0)
}

/// Writes texts that cannot be packed much, and that stay in the change feed.
async fn write_much(cluster: &Cluster, random: &mut StdRng) {
    let stock = PutSkuRequest { on_hand: 1, ..PutSkuRequest::default() };
    cluster.client().put_sku("TEXTS", &stock).await.unwrap();
    for _ in 0..BATCHES {
        let operations: Vec<String> = (0..BATCH_COMMANDS).map(|_| adjust(random)).collect();
        let body = format!(r#"{{"operations":[{}]}}"#, operations.join(","));
        assert_eq!(http::json(cluster.http(1), "POST", "/api/batch", &body).await.status, 200);
    }
}

fn adjust(random: &mut StdRng) -> String {
    let [reason, reference] = [(); 2].map(|()| Alphanumeric.sample_string(random, 250));
    format!(r#"{{"op":"adjust","sku":"TEXTS","delta":1,"reason":"{reason}","reference":"{reference}"}}"#)
}

fn rounds() -> usize {
    let given = std::env::var("LASTUNIT_TEST_ROUNDS");
    given.map_or(3, |rounds| rounds.parse().expect("LASTUNIT_TEST_ROUNDS is a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_killed_while_it_installs_a_snapshot_catches_up_while_load_goes_on() {
    let mut scene = Scene::begin().await;
    for _ in 0..rounds() {
        scene.is_caught_installing().await;
        scene.cluster.kill(scene.away);
        assert!(scene.has_part() && !scene.has_installed());
    }
    scene.catches_up().await;
    scene.end(&format!("kill -9 of a follower in the midst of {} installs", rounds())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_sender_is_killed_while_it_installs_a_snapshot_catches_up() {
    let mut scene = Scene::begin().await;
    for round in 0..rounds() {
        if round > 0 {
            let follower = scene.cluster.followers().await[0];
            scene.away = follower;
            scene.is_killed().await;
        }
        scene.is_caught_installing().await;
        scene.its_sender_is_killed().await;
    }
    scene.end(&format!("kill -9 of the sender in the midst of {} installs", rounds())).await;
}
