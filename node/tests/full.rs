//! Disks that are full, each node's on a file system of its own: nothing is lost, no process ends, and with room again
//! everything goes on by itself. They are the drills under "Full disks" in docs/operations.md.
//!
//! It needs root and loop devices; without them it says so and tests nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use client::api::PutSkuRequest;
use client::code;
use support::cluster::{Cluster, IDS, Place, free_places, others};
use support::load::{Ledger, Load};
use support::mount::Mount;
use support::{http, say, seed, wait_for};

/// How large a node's device is: far more than what it keeps free.
const DEVICE_BYTES: u64 = 384 << 20;

/// Segments are small, so that all that was made ahead is soon written to.
const SEGMENT: &str = "LASTUNIT_SEGMENT_BYTES=65536";

/// How many calls are answered in each stage of a test.
const CALLS: usize = 100;

/// A read that only a quorum can answer.
const READ: &str = "/api/inventory/LOAD";

/// What is reserved to see whether it can be.
const OTHER: &str = "OTHER";

/// A cluster on three file systems, and what its clients were told.
struct Shop {
    cluster: Cluster,
    ledger: Ledger,
    mounts: [Mount; 3],
}

impl Shop {
    /// `None`, and says so, where there cannot be one.
    async fn new() -> Option<Shop> {
        let mounts = match Mount::three(DEVICE_BYTES) {
            Ok(mounts) => mounts,
            Err(why) => {
                say(&format!("SKIPPED, nothing was tested: {why}"));
                return None;
            }
        };
        let launcher = || vec!["env".to_owned(), SEGMENT.to_owned()];
        let places = free_places().into_iter().map(|place| Place { launcher: launcher(), ..place }).collect();
        let data_dirs = mounts.iter().map(|mount| mount.path().to_owned()).collect();
        let cluster = Cluster::start_in(seed(), places, "", data_dirs).await;
        let on_hand = 1_000_000;
        let stock = PutSkuRequest { on_hand, safety_stock: None, max_per_customer: None, on_shortfall: None };
        cluster.client().put_sku(OTHER, &stock).await.unwrap();
        Some(Shop { cluster, ledger: Ledger::default(), mounts })
    }

    fn mount(&self, id: u64) -> &Mount {
        &self.mounts[id as usize - 1]
    }

    async fn load(&mut self) -> Load {
        Load::start(&self.cluster, &mut self.ledger).await
    }

    /// Waits until a node has let go of its directory, and answers what it must.
    async fn wait_until_full(&self, id: u64) {
        wait_for(format!("node {id} has stopped for want of room"), async || {
            self.write_much(others(id)[0]).await;
            let ready = http::try_call(self.cluster.http(id), "GET", "/readyz", "").await?;
            (ready.status == 503 && ready.code() == code::OVERLOADED).then_some(())
        })
        .await;
        self.says(id, "out of space, waiting for room: ").await;
        let address = self.cluster.http(id);
        assert_eq!(http::get(address, "/livez").await.status, 200);
        for refused in [http::get(address, READ).await, reserve(address).await] {
            assert_eq!((refused.status, refused.code().as_str()), (503, code::OVERLOADED), "{refused:?}");
            assert_eq!(refused.json()["executed"], "no", "{refused:?}");
            assert!(refused.header("retry-after").is_some(), "{refused:?}");
        }
    }

    /// Makes room, and waits until the node has noticed and serves again.
    async fn mend(&mut self, id: u64) {
        self.mount(id).make_room();
        self.says(id, "there is room again").await;
        self.cluster.ready(&[id]).await;
    }

    /// Waits until a node has said this.
    async fn says(&self, id: u64, words: &str) {
        wait_for(words, async || self.cluster.said(id).contains(words).then_some(())).await;
    }

    /// Fills half a segment of the log through a node, where it can.
    async fn write_much(&self, id: u64) {
        let text = "x".repeat(250);
        let adjust =
            format!(r#"{{"op":"adjust","sku":"{OTHER}","delta":1,"reason":"{text}","reference":"{text}"}}"#);
        let body = format!(r#"{{"operations":[{}]}}"#, vec![adjust; 60].join(","));
        // Whether it is refused is what is waited for.
        drop(http::try_call(self.cluster.http(id), "POST", "/api/batch", &body).await);
    }

    /// Whether, through every node, writes are refused, not executed, and reads are answered. As long as one node has
    /// a segment left it may still be handed leadership, and take writes.
    async fn refuses_writes_and_reads_on(&self) -> bool {
        for id in IDS {
            let (write, read) =
                (reserve(self.cluster.http(id)).await, http::get(self.cluster.http(id), READ).await);
            if write.status != 503 || write.code() != code::OVERLOADED || read.status != 200 {
                return false;
            }
            assert_eq!(write.json()["executed"], "no", "{write:?}");
            assert!(write.header("retry-after").is_some(), "{write:?}");
        }
        true
    }

    /// A load, and a follower whose disk is full since it began.
    async fn with_a_full_follower(&mut self) -> (Load, u64) {
        let load = self.load().await;
        load.more(CALLS).await;
        let full = self.cluster.followers().await[0];
        self.mount(full).fill(0);
        self.wait_until_full(full).await;
        (load, full)
    }

    /// Makes room for that node, and sees that all goes on and that everything that was told holds.
    async fn goes_on(mut self, load: Load, full: u64, what: &str) {
        self.mend(full).await;
        load.more(CALLS).await;
        load.stop(&mut self.ledger).await;
        self.check(what).await;
    }

    /// Everything that was told holds.
    async fn check(mut self, what: &str) {
        self.ledger.check(&self.cluster).await;
        say(&format!("{} calls hold after {what}", self.ledger.calls()));
    }
}

/// A cart of its own, of a SKU that the load does not count.
async fn reserve(address: &str) -> http::Reply {
    let body = format!(r#"{{"cart_id":"{}","items":[{{"sku":"{OTHER}","qty":1}}]}}"#, rand::random::<u64>());
    http::json(address, "POST", "/api/checkout/reserve", &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_disk_is_full_holds_up_nobody_and_comes_back() {
    let Some(mut shop) = Shop::new().await else { return };
    let (load, full) = shop.with_a_full_follower().await;
    load.more(CALLS).await;
    for other in others(full) {
        assert_eq!(http::get(shop.cluster.http(other), READ).await.status, 200);
    }
    shop.goes_on(load, full, "a follower's disk was full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_started_on_a_full_disk_waits_for_room() {
    let Some(mut shop) = Shop::new().await else { return };
    let (load, full) = shop.with_a_full_follower().await;
    shop.cluster.kill(full);
    shop.cluster.spawn(full);
    shop.wait_until_full(full).await;
    shop.goes_on(load, full, "a node was started on a full disk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_is_full_steps_aside_and_comes_back() {
    let Some(mut shop) = Shop::new().await else { return };
    let load = shop.load().await;
    load.more(CALLS).await;
    let full = shop.cluster.leader().await;
    shop.mount(full).fill(0);
    let next = wait_for("another node leads", async || {
        shop.write_much(full).await;
        let leader = shop.cluster.view(others(full)[0]).await?.leader_id?;
        (leader != full).then_some(leader)
    })
    .await;
    shop.says(full, "leadership handed over").await;
    load.more(CALLS).await;
    shop.wait_until_full(full).await;
    load.more(CALLS).await;
    assert_eq!(http::get(shop.cluster.http(next), READ).await.status, 200);
    shop.goes_on(load, full, "the leader's disk was full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_disks_full_writes_are_refused_and_reads_go_on() {
    let Some(mut shop) = Shop::new().await else { return };
    let load = shop.load().await;
    load.more(CALLS).await;
    shop.mounts.iter().for_each(|mount| mount.fill(0));
    wait_for("writes are refused and reads answered through every node", async || {
        shop.write_much(IDS[0]).await;
        shop.refuses_writes_and_reads_on().await.then_some(())
    })
    .await;
    for id in IDS {
        wait_for(format!("the log of node {id} is short"), async || {
            let metrics = String::from_utf8(http::get(shop.cluster.http(id), "/metrics").await.body).unwrap();
            metrics.lines().any(|line| line == "lastunit_log_short 1").then_some(())
        })
        .await;
    }
    shop.mounts.iter().for_each(Mount::make_room);
    load.more(CALLS).await;
    shop.cluster.ready(&IDS).await;
    load.stop(&mut shop.ledger).await;
    shop.check("all disks were full").await;
}
