//! The directories that are damaged: what a node leaves behind that has served for a while.

use std::fs;
use std::path::{Path, PathBuf};

use openraft::{EntryPayload, Membership};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storage::Position;
use storage::identity::DataDir;
use storage::inventory::command::{
    Command, Commit, HoldLimits, IfExpired, OnShortfall, Precondition, PutSku, Release, Request, Reserve,
    Setting, Stamp,
};
use storage::inventory::ids::{Item, ReservationId, Sku};
use storage::log::Vote;
use storage::peers::{Incarnation, Known, Promised};

use super::damage;
use super::node::{Node, SEGMENT_BYTES, State};
use crate::codec::BatchWriter;
use crate::types::PeerNode;

/// SKUs with long names, so that a cart of all of them makes records that sled keeps in files of their own.
const SKUS: u64 = 100;
/// Entries of a few commands each.
const ENTRIES: u64 = 110;
/// Entries with a cart of every SKU: each is longer than a segment.
const LARGE_CARTS: u64 = 2;
/// So many entries follow the last save of the checkpoint.
const UNSAVED: u64 = 25;
/// So many entries stay behind the snapshot.
const KEPT: u64 = 40;
/// So many entries follow the seal in a directory that a crash left.
pub(super) const UNSEALED: u64 = 3;

/// Where a history ends, and how it got there.
pub(super) struct History {
    /// What the whole directory amounts to.
    pub(super) state: State,
    /// The digest after each of the last entries.
    pub(super) digests: Vec<(Position, u64)>,
    /// The payloads of the last three records of entries, as they are in the newest segment.
    pub(super) last_payloads: Vec<Vec<u8>>,
}

/// What a node does, drawn at random.
struct Clerk {
    rng: StdRng,
    sequence: u64,
    index: u64,
    holds: Vec<ReservationId>,
}

/// Has a node serve in that directory and stop in order, its checkpoint behind the log's end. Where `crashed` is asked
/// for, the seal on disk is the one of a few entries before the end, as a crash within 20 ms leaves it.
pub(super) async fn write(directory: &Path, seed: u64, crashed: bool) -> History {
    join(directory);
    let mut clerk = Clerk { rng: StdRng::seed_from_u64(seed), sequence: 0, index: 0, holds: Vec::new() };
    let mut node = Node::open(directory).await.expect("a new directory");
    node.vote(Vote { term: 1, node: 1, committed: true }).await;
    node.commit(clerk.position(), EntryPayload::Membership(membership())).await;
    (2..=3).for_each(|id| node.meet(id, peer(id)));
    let mut history = Vec::new();
    for entry in 1..=ENTRIES {
        let payload = clerk.entry(node.now_ms(), entry <= LARGE_CARTS || entry == ENTRIES - 33);
        node.commit(clerk.position(), EntryPayload::Normal(payload.clone())).await;
        let state = node.state();
        history.push((state.applied.expect("applied"), state.digest, payload.0.to_vec()));
        match ENTRIES - entry {
            70 => node.save().await,
            60 => node.build_snapshot().await,
            50 => node.install().await,
            // Another session of the log, and of sled.
            45 => node = reopen(node, directory).await,
            40 => node.build_snapshot().await,
            35 => node.purge(Position { index: clerk.index - KEPT, ..clerk.position() }).await,
            UNSAVED => node.save().await,
            30 => node.vote(Vote { term: 2, node: 3, committed: false }).await,
            UNSEALED if crashed => keep_seal(directory).await,
            _ => {}
        }
    }
    let state = node.state();
    node.close().await;
    add_spare(directory).await;
    if crashed {
        fs::rename(kept_seal(directory), directory.join("log/seal")).expect("it was kept");
    }
    let last_payloads = history[history.len() - 3..].iter().map(|(_, _, payload)| payload.clone()).collect();
    let digests = history.into_iter().map(|(position, digest, _)| (position, digest)).collect();
    History { state, digests, last_payloads }
}

fn join(directory: &Path) {
    let disk = std::sync::Arc::new(storage::disk::RealDisk);
    let mut data = DataDir::open(disk, directory, "rot", 1, 77).expect("a new directory");
    data.join(5 << 100).expect("joined");
}

async fn reopen(node: Node, directory: &Path) -> Node {
    node.close().await;
    Node::open(directory).await.expect("it was stopped in order")
}

/// Adds a segment's file that was made ahead and never written to, as the log has one before its first purge.
async fn add_spare(directory: &Path) {
    let new = directory.with_extension("new");
    let node = Node::open(&new).await.expect("a new directory");
    let spare = loop {
        if let Some(spare) = damage::files(&new).into_iter().find(|file| is_spare(&new.join(file))) {
            break new.join(spare);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    let log = directory.join("log");
    let free = (1..).map(|number| log.join(format!("{number:08}.segment"))).find(|path| !path.exists());
    fs::copy(spare, free.expect("a number is free")).expect("copied");
    node.close().await;
}

/// Whether this is a whole segment's file that was never used: the number of its use is 0.
fn is_spare(path: &Path) -> bool {
    let bytes = fs::read(path).expect("a file");
    let number = bytes.get(24..32);
    path.extension().is_some_and(|it| it == "segment")
        && bytes.len() as u64 == SEGMENT_BYTES
        && number == Some(&[0; 8])
}

/// Waits until the log has been sealed, and keeps a copy of the seal.
async fn keep_seal(directory: &Path) {
    let seal = || fs::read(directory.join("log/seal")).expect("there is one");
    let mut last = seal();
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let now = seal();
        if now == last {
            return fs::write(kept_seal(directory), now).expect("kept");
        }
        last = now;
    }
}

fn kept_seal(directory: &Path) -> PathBuf {
    directory.with_extension("seal")
}

fn peer(id: u64) -> Known {
    let incarnation =
        Incarnation { store_id: 77 + u128::from(id), generation: 3, nonce: u128::from(id) << 70 };
    Known { incarnation, promised: Promised { term: 1, node: 1, entries: 90 } }
}

fn membership() -> Membership<u64, PeerNode> {
    let node = |id: u64| PeerNode {
        raft: format!("127.0.0.1:{id}"),
        http: String::new(),
        store_id: 77 + u128::from(id),
    };
    let nodes = (1..=3).map(|id| (id, node(id)));
    Membership::new(vec![(1..=3).collect()], nodes.collect::<std::collections::BTreeMap<_, _>>())
        .expect("all are there")
}

impl Clerk {
    fn position(&self) -> Position {
        Position { term: 1, leader: 1, index: self.index }
    }

    /// The commands of the next entry.
    fn entry(&mut self, now_ms: u64, is_large: bool) -> crate::types::Proposal {
        self.index += 1;
        let stamp = Stamp {
            now_ms: now_ms.max(1_790_000_000_000) + 100,
            retention_ms: 60_000,
            idempotency_ms: 60_000,
            max_hold_ms: 60_000,
            events_ms: 3_600_000,
            events_max: 100_000,
            limits: HoldLimits::NONE,
        };
        let mut writer = BatchWriter::new(&stamp).expect("it can be encoded");
        let commands = if self.index == 1 { SKUS } else { self.rng.random_range(2..6) };
        for number in 0..if is_large && self.index > 1 { 1 } else { commands } {
            self.sequence += 1;
            let command = match self.index {
                1 => put(number),
                _ if is_large => self.reserve(&(0..SKUS).collect::<Vec<_>>()),
                _ => self.command(),
            };
            let key = self.rng.random_bool(0.5).then(|| format!("key-{}", self.sequence).into());
            writer.push(&Request { idempotency_key: key, command }).expect("it can be encoded");
        }
        writer.finish()
    }

    fn command(&mut self) -> Command {
        let hold = (!self.holds.is_empty()).then(|| self.rng.random_range(0..self.holds.len()));
        match (self.rng.random_range(0..8), hold) {
            (0, _) => put(self.rng.random_range(0..SKUS)),
            (1..=2, Some(hold)) => Command::Commit(Commit {
                reservation_id: self.holds.swap_remove(hold),
                payment_token: Some("paid".into()),
                fencing_token: None,
                if_expired: IfExpired::Reacquire,
                items: None,
            }),
            (3, Some(hold)) => {
                Command::Release(Release { reservation_id: self.holds.swap_remove(hold), items: None })
            }
            _ => {
                let sku = self.rng.random_range(0..SKUS);
                self.reserve(&[sku])
            }
        }
    }

    fn reserve(&mut self, skus: &[u64]) -> Command {
        let nonce = self.rng.random();
        self.holds.push(ReservationId { sequence: self.sequence, nonce });
        Command::Reserve(Reserve {
            nonce,
            cart_id: format!("cart-{}", self.sequence).into(),
            customer_id: self.rng.random_bool(0.3).then(|| "somebody".into()),
            items: skus.iter().map(|&number| Item { sku: sku(number), qty: 1 }).collect(),
            ttl_ms: if skus.len() > 1 { 60_000 } else { self.rng.random_range(2_000..60_000) },
            wait: false,
        })
    }
}

fn put(number: u64) -> Command {
    Command::PutSku(PutSku {
        sku: sku(number),
        on_hand: 1_000,
        safety_stock: None,
        max_per_customer: Setting::Keep,
        on_shortfall: OnShortfall::Refuse,
        precondition: Precondition::None,
    })
}

fn sku(number: u64) -> Sku {
    Sku::new(&format!("{number:0>80}")).expect("a SKU")
}
