//! A snapshot whose bytes somebody changed is refused, or is what it was.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bolero::check;

use super::*;
use crate::checkpoint::fixture::Shop;
use crate::disk::RealDisk;

/// Where, in parts of 65,536 of the length, and what is there instead.
type Patch = (u16, u8);

/// The bytes of a snapshot of some records.
fn written(store: &SnapshotStore, dir: &Path) -> Vec<u8> {
    let shop = Shop::after(1, 60);
    let (mut checkpoint, _) = Checkpoint::open(Arc::new(RealDisk), &dir.join("checkpoint")).unwrap();
    checkpoint.replace(&shop.header(), &mut shop.records().into_iter()).unwrap();
    let snapshot = store.write(&checkpoint).unwrap();
    let mut bytes = vec![0; snapshot.len() as usize];
    assert_eq!(snapshot.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

#[test]
fn patched_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(Arc::new(RealDisk), &dir.path().join("snapshots")).unwrap();
    let sound = written(&store, dir.path());
    let store = AssertUnwindSafe(&store);
    check!().with_type::<(Vec<Patch>, u16)>().with_iterations(300).for_each(|(patches, cut)| {
        let mut bytes = sound.clone();
        for (place, byte) in patches {
            let at = (bytes.len() * usize::from(*place)) >> 16;
            bytes[at] = *byte;
        }
        bytes.truncate(bytes.len() - usize::from(*cut) % 64);
        let mut receiving = store.receive().unwrap();
        receiving.write(&bytes).unwrap();
        assert_eq!(receiving.finish().unwrap().is_ok(), bytes == sound);
    });
}
