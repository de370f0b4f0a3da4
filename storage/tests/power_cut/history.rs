//! What the cluster agreed on: the command of each index, and the state after it. Entries that were not agreed on too.

use std::sync::LazyLock;

use bytes::Bytes;
use storage::Position;
use storage::checkpoint::{Checkpoint, ImageHeader};
use storage::disk::RealDisk;
use storage::inventory::Inventory;
use storage::inventory::command::{Command, Request, Stamp};
use storage::log::Entry;
use storage::snapshot::SnapshotStore;

use crate::shop::{START_MS, adjust, put, reserve, stamp};
use crate::support::{scratch, whole};

/// No stage goes beyond this index.
pub(crate) const INDEX_MAX: u64 = 400;

const SKUS: u64 = 8;

/// How many commands an entry has.
const COMMANDS: u64 = 4;

/// The digest after each index.
static DIGESTS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut inventory = Inventory::default();
    let first = inventory.state_digest();
    let rest = (1..=INDEX_MAX).map(|index| {
        apply(&mut inventory, index);
        inventory.state_digest()
    });
    [first].into_iter().chain(rest).collect()
});

/// The digest of the state after the command of an index.
pub(crate) fn digest(index: u64) -> u64 {
    DIGESTS[index as usize]
}

/// Applies the command of an index.
pub(crate) fn apply(inventory: &mut Inventory, index: u64) {
    let now_ms = START_MS + index * 500;
    let stamp = Stamp { retention_ms: 10_000, idempotency_ms: 10_000, events_max: 100, ..stamp(now_ms) };
    for number in index * COMMANDS..(index + 1) * COMMANDS {
        let key = (number.is_multiple_of(3)).then(|| format!("key-{number}").into());
        inventory.apply(&stamp, &Request { idempotency_key: key, command: command(number) });
    }
}

/// Holds that end after five seconds, so that records go as well as come; and some that stay, so that not all that is
/// written together goes together.
fn command(number: u64) -> Command {
    let name = format!("SKU-{}", number % SKUS);
    match number - COMMANDS {
        0..SKUS => Command::PutSku(put(&name, 10_000)),
        _ if number.is_multiple_of(7) => Command::AdjustSku(adjust(&name, 3)),
        _ => {
            let mut reserve = reserve(&format!("cart-{number}"), &[(&name, 1 + number % 3)]);
            let ttl_ms = if number.is_multiple_of(20) { 1_000_000 } else { 5_000 };
            (reserve.nonce, reserve.ttl_ms) = (number, ttl_ms);
            Command::Reserve(reserve)
        }
    }
}

/// The place of an index that was agreed on.
pub(crate) fn position(index: u64) -> Position {
    Position { term: 1, leader: 1, index }
}

/// The entry of an index that was agreed on.
pub(crate) fn entry(index: u64) -> Entry {
    Entry { position: position(index), payload: payload(index, 0) }
}

/// An entry that nobody agreed on, to be truncated.
pub(crate) fn stray(index: u64) -> Entry {
    Entry { position: Position { term: 0, ..position(index) }, payload: payload(index, 1) }
}

/// Whether an entry is one that was agreed on.
pub(crate) fn is_agreed(found: &Entry) -> bool {
    *found == entry(found.position.index)
}

/// Of very different lengths.
fn payload(index: u64, kind: u64) -> Bytes {
    let length = if index.is_multiple_of(29) { 5_000 } else { 40 + index * 97 % 700 };
    (index * 2 + kind).to_le_bytes().into_iter().cycle().take(length as usize).collect()
}

/// What an image of the state after an index says of itself.
pub(crate) fn header(index: u64) -> ImageHeader {
    let applied = (index > 0).then(|| position(index));
    ImageHeader { applied, membership: b"members".to_vec(), digest: digest(index) }
}

/// The bytes of a snapshot at an index, as a peer sends them.
pub(crate) fn snapshot_bytes(index: u64) -> Vec<u8> {
    let mut inventory = Inventory::default();
    (1..=index).for_each(|index| apply(&mut inventory, index));
    let (dir, disk) = (scratch(), std::sync::Arc::new(RealDisk));
    let opened = Checkpoint::open(disk.clone(), &dir.path().join("checkpoint"));
    let (mut checkpoint, _) = opened.expect("a new checkpoint");
    checkpoint.replace(&header(index), &mut inventory.records()).expect("saved");
    let store = SnapshotStore::open(disk, &dir.path().join("snapshots")).expect("a new store");
    whole(&store.write(&checkpoint).expect("written"))
}
