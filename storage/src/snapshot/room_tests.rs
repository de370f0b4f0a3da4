//! Snapshots on a file system that is nearly full, and in a directory that a store before has not quite left.

use tempfile::TempDir;

use super::*;
use crate::checkpoint::fixture::Shop;
use crate::disk::RealDisk;
use crate::disk::faulty::FaultyDisk;
use crate::disk::told::ToldDisk;

fn told(free_bytes: u64, looks: u64) -> Arc<ToldDisk> {
    let disk = ToldDisk::over(RealDisk);
    disk.tell_for_looks(free_bytes, looks);
    Arc::new(disk)
}

fn store(disk: Arc<dyn Disk>, dir: &TempDir) -> SnapshotStore {
    SnapshotStore::open(disk, &dir.path().join("snapshots")).unwrap()
}

fn names(dir: &TempDir) -> Vec<String> {
    RealDisk.list(&dir.path().join("snapshots")).unwrap()
}

/// A checkpoint of a shop after that many commands.
fn checkpoint(dir: &TempDir, commands: u64) -> Checkpoint {
    let shop = Shop::after(1, commands);
    let (mut checkpoint, _) = Checkpoint::open(Arc::new(RealDisk), &dir.path().join("checkpoint")).unwrap();
    checkpoint.replace(&shop.header(), &mut shop.records().into_iter()).unwrap();
    checkpoint
}

fn bytes(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = vec![0; snapshot.len() as usize];
    let read = snapshot.read_at(&mut bytes, 0).unwrap();
    assert_eq!(read, bytes.len());
    bytes
}

#[test]
fn a_snapshot_that_would_take_the_last_room_is_neither_written_nor_received() {
    let (dir, sender) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let checkpoint = checkpoint(&dir, 500);
    let sent = bytes(&store(Arc::new(RealDisk), &sender).write(&checkpoint).unwrap());
    for (free_bytes, looks) in [(0, 0), (LEFT_FREE_BYTES, 9), (LEFT_FREE_BYTES + 100, 9), (u64::MAX, 0)] {
        let store = store(told(free_bytes, looks), &dir);
        let refused = store.write(&checkpoint).expect_err("there is no room");
        assert!(refused.is_out_of_space() && refused.to_string().contains("64 MiB"), "{refused}");
        let mut receiving = store.receive().unwrap();
        let refused = receiving.write(&sent).expect_err("there is no room");
        assert!(refused.is_out_of_space(), "{refused}");
        drop(receiving);
        assert!(names(&dir).is_empty(), "{:?}", names(&dir));
    }
    let room = store(told(LEFT_FREE_BYTES + sent.len() as u64, 9), &dir);
    assert_eq!(bytes(&room.write(&checkpoint).unwrap()), sent);
}

#[test]
fn without_room_from_any_step_on_nothing_is_changed_and_later_it_is_done() {
    let mut met = 0;
    for step in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (checkpoint(&dir, 50), tempfile::tempdir().unwrap());
        let sent = bytes(&store(Arc::new(RealDisk), &new).write(&checkpoint(&new, 80)).unwrap());
        let disk = FaultyDisk::new(dir.path()).unwrap();
        let store = store(Arc::new(disk.clone()), &dir);
        let first = store.write(&old).unwrap();
        disk.full_from(disk.steps() + step);
        let take = || -> Result<(), StorageError> {
            let mut receiving = store.receive()?;
            sent.chunks(500).try_for_each(|chunk| receiving.write(chunk))?;
            store.adopt(&receiving.finish()?.expect("what was sent is whole"))
        };
        let taken = take();
        disk.mend();
        match taken {
            Ok(()) => break,
            Err(full) => assert!(full.is_out_of_space(), "step {step}: {full}"),
        }
        met += 1;
        assert_eq!(names(&dir), [file_name(first.header().applied)], "step {step}");
        take().unwrap();
        let newest = store.newest().unwrap().unwrap();
        assert!(newest.header().applied > first.header().applied, "step {step}");
    }
    eprintln!("{met} steps without room");
    assert!(met > 3);
}

/// A group that ran out of space is started anew in its own process: its server's tasks may end a little later.
#[test]
fn what_is_left_of_a_store_removes_nothing_that_its_successor_makes() {
    let (dir, sender) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sent = bytes(&store(Arc::new(RealDisk), &sender).write(&checkpoint(&sender, 100)).unwrap());
    let late = store(Arc::new(RealDisk), &dir).receive().unwrap();
    let store = store(Arc::new(RealDisk), &dir);
    let mut receiving = store.receive().unwrap();
    receiving.write(&sent).unwrap();
    drop(late);
    let received = receiving.finish().unwrap().unwrap();
    store.adopt(&received).unwrap();
    assert_eq!(names(&dir), [file_name(received.header().applied)]);
}
