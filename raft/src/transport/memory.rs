//! Which start of each peer this node deals with, when that was last heard from, and what it has promised: in memory,
//! and in the file `peers`.
//!
//! ```text
//!   handshake --> meet: judge --> next: on disk, then in memory --> frames of that start alone are heard
//!   frame ------> hear: is it of that start? when, and what is promised
//!   farewell ---> part: nothing of that start is heard any more, and the next one need not wait
//!   every SAVE_EVERY, and at the end of the process: what was promised meanwhile goes to disk
//! ```
//!
//! Invariants: a start is dealt with only after it is on disk, and no other start of that node is from then on. While
//! the next one is on its way to disk none is, so that nothing is promised between its judgement and its turn.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::disk::Disk;
use storage::peers::{self, Incarnation, Known, Promised};
use storage::{StorageError, identity};
use tokio::time::Instant;

use crate::fatal::Fatal;
use crate::simulated::blocking;

use super::judge::{Verdict, judge};
use super::message::Introduction;
use super::{Local, REACHABLE};

/// What was promised goes to disk this often. A write costs two fsyncs beside the log's.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// Held by whoever has a node noted.
type Turn = Arc<tokio::sync::Mutex<()>>;

type ById = BTreeMap<u64, Known>;

/// See the module.
pub(crate) struct Memory {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    peers: Mutex<BTreeMap<u64, Peer>>,
    turns: Mutex<BTreeMap<u64, Turn>>,
    /// What is on disk. Held while the file is written, so that writes follow one another; `None` once it is closed.
    written: Mutex<Option<ById>>,
}

/// Why a node that introduces itself is not dealt with, for now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMet {
    /// This part of the group has ended: nothing is noted any more.
    #[error("this node is stopping")]
    Closed,
    /// It cannot be noted.
    #[error(transparent)]
    Failed(#[from] StorageError),
}

struct Peer {
    known: Known,
    heard_at: Option<Instant>,
    /// The next start is on its way to disk.
    is_changing: bool,
    /// It said that it has ended.
    has_parted: bool,
}

impl Peer {
    fn new(known: Known) -> Peer {
        Peer { known, heard_at: None, is_changing: false, has_parted: false }
    }

    fn is_heard_within(&self, time: Duration) -> bool {
        self.heard_at.is_some_and(|at| at.elapsed() < time)
    }
}

impl Memory {
    /// What a directory remembers.
    pub(crate) fn open(disk: Arc<dyn Disk>, directory: &Path) -> Result<Memory, StorageError> {
        let written = peers::read(&*disk, directory)?;
        let peers = written.iter().map(|(id, known)| (*id, Peer::new(*known))).collect();
        Ok(Memory {
            disk,
            directory: directory.to_owned(),
            peers: Mutex::new(peers),
            turns: Mutex::default(),
            written: Mutex::new(Some(written)),
        })
    }

    /// Whether this is the start that is dealt with.
    pub(crate) fn is_current(&self, peer: u64, incarnation: &Incarnation) -> bool {
        self.peers().get(&peer).is_some_and(|peer| peer.known.incarnation == *incarnation)
    }

    /// To be held while a node is met: who waits for it needs no thread.
    pub(crate) fn turn(&self, peer: u64) -> Turn {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(peer).or_default().clone()
    }

    /// Judges a node that introduces itself. The next start is on disk, and dealt with, at return. Blocking.
    ///
    /// # Errors
    /// It is closed, or the system said no; the last start is dealt with as before.
    pub(crate) fn meet(&self, id: u64, introduction: &Introduction) -> Result<Verdict, NotMet> {
        let mut written = self.written();
        let written = written.as_mut().ok_or(NotMet::Closed)?;
        let next = match self.begin(id, introduction) {
            Ok(next) => next,
            Err(verdict) => return Ok(verdict),
        };
        let mut all = self.known();
        all.insert(id, next);
        let wrote = peers::write(&*self.disk, &self.directory, &all);
        self.end(id, wrote.is_ok().then_some(next));
        wrote?;
        *written = all;
        Ok(Verdict::Next)
    }

    /// The next start, where it is one; until the end of this no start of that node is heard.
    fn begin(&self, id: u64, introduction: &Introduction) -> Result<Known, Verdict> {
        let mut peers = self.peers();
        let last = peers.get_mut(&id);
        let is_heard = last.as_ref().is_some_and(|last| last.is_heard_within(REACHABLE));
        let verdict = judge(last.as_ref().map(|last| &last.known), is_heard, introduction);
        if verdict != Verdict::Next {
            return Err(verdict);
        }
        let mut next = Known { incarnation: introduction.incarnation, promised: Promised::default() };
        if let Some(last) = last {
            last.is_changing = true;
            if last.known.incarnation.store_id == next.incarnation.store_id {
                next.promised = last.known.promised;
            }
        }
        Ok(next)
    }

    fn end(&self, id: u64, next: Option<Known>) {
        let mut peers = self.peers();
        match (next, peers.get_mut(&id)) {
            (Some(next), _) => drop(peers.insert(id, Peer::new(next))),
            (None, Some(last)) => last.is_changing = false,
            (None, None) => {}
        }
    }

    /// Notes that something of a peer has arrived. The answer is whether it may be used: whether it is of the start
    /// that is dealt with.
    pub(crate) fn hear(&self, id: u64, incarnation: &Incarnation, promised: &Promised) -> bool {
        let mut peers = self.peers();
        let current = |peer: &&mut Peer| {
            peer.known.incarnation == *incarnation && !peer.is_changing && !peer.has_parted
        };
        let Some(peer) = peers.get_mut(&id).filter(current) else {
            return false;
        };
        peer.heard_at = Some(Instant::now());
        peer.known.promised.raise(promised);
        true
    }

    /// Notes that this start has said that it has ended, where it is the one that is dealt with: from now on nothing of
    /// it is heard, and it does not count as heard.
    pub(crate) fn part(&self, id: u64, incarnation: &Incarnation) {
        let mut peers = self.peers();
        if let Some(peer) = peers.get_mut(&id).filter(|peer| peer.known.incarnation == *incarnation) {
            peer.has_parted = true;
            peer.heard_at = None;
        }
    }

    /// Forgets a directory of a node that is no member any more: from now on nothing of it is heard.
    pub(crate) fn forget(&self, id: u64, store_id: u128) {
        let mut peers = self.peers();
        if peers.get(&id).is_some_and(|peer| peer.known.incarnation.store_id == store_id) {
            peers.remove(&id);
        }
    }

    /// Whether something of that peer arrived within that time.
    pub(crate) fn is_heard_within(&self, id: u64, time: Duration) -> bool {
        self.peers().get(&id).is_some_and(|peer| peer.is_heard_within(time))
    }

    /// Puts on disk what was promised since the last time; nothing once it is closed. Blocking.
    ///
    /// # Errors
    /// IO: the system said no.
    pub(crate) fn save(&self) -> Result<(), StorageError> {
        self.written().as_mut().map_or(Ok(()), |written| self.save_over(written))
    }

    fn save_over(&self, written: &mut ById) -> Result<(), StorageError> {
        let all = self.known();
        if *written != all {
            peers::write(&*self.disk, &self.directory, &all)?;
            *written = all;
        }
        Ok(())
    }

    /// The last [`Memory::save`] of an orderly stop; none after a failure, for then nothing is written any more. What
    /// is under way is waited for, and from then on nothing in the directory is changed: it may be started again.
    /// Blocking.
    pub(crate) fn close(&self, fatal: &Fatal) {
        let last = self.written().take();
        let Some(mut last) = last.filter(|_| !fatal.is_reported()) else { return };
        if let Err(why) = self.save_over(&mut last) {
            tracing::warn!("what peers have promised last is not written: {why}");
        }
    }

    /// Notes in this node's own directory that it is not to be used any more, on behalf of this start of it; nothing
    /// once it is closed. Blocking.
    ///
    /// # Errors
    /// The identity cannot be read, or the system said no.
    pub(crate) fn disown(
        &self,
        start: &Incarnation,
        why: &str,
        mend: Option<&str>,
    ) -> Result<(), StorageError> {
        let written = self.written();
        let Incarnation { generation, nonce, .. } = *start;
        let mark = |_| identity::disown(&*self.disk, &self.directory, generation, nonce, why, mend);
        written.as_ref().map_or(Ok(()), mark)
    }

    fn written(&self) -> MutexGuard<'_, Option<ById>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> ById {
        self.peers().iter().map(|(id, peer)| (*id, peer.known)).collect()
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<u64, Peer>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Saves for ever. For want of room it is only put off: what was promised is remembered in memory meanwhile.
pub(crate) async fn run(local: Arc<Local>) {
    let mut is_full = false;
    loop {
        tokio::time::sleep(SAVE_EVERY).await;
        let saving = local.clone();
        match blocking(move || saving.memory.save()).await {
            Ok(Err(why)) if why.is_out_of_space() => {
                if !is_full {
                    tracing::warn!("what peers have promised is not written: {why}");
                }
                is_full = true;
            }
            Ok(Err(why)) => return local.fatal.report(&why),
            Ok(Ok(())) => is_full = false,
            Err(_) => return local.fatal.report("writing what is known of the peers panicked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::disk::RealDisk;
    use storage::disk::sim::SimDisk;
    use storage::identity::DataDir;

    use super::*;

    const DIRECTORY: &str = "/node";

    fn disk() -> SimDisk {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new(DIRECTORY)).unwrap();
        disk
    }

    fn open(disk: &SimDisk) -> Memory {
        Memory::open(Arc::new(disk.clone()), Path::new(DIRECTORY)).unwrap()
    }

    fn introduction(generation: u64, entries: u64) -> Introduction {
        let incarnation = Incarnation { store_id: 1, generation, nonce: u128::from(generation) };
        Introduction { incarnation, has: Promised { term: 1, node: 1, entries } }
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_is_dealt_with_once_it_is_on_disk_and_the_one_before_no_more() {
        let disk = disk();
        let memory = open(&disk);
        let (first, second) = (introduction(1, 0), introduction(2, 10));
        assert!(!memory.hear(2, &first.incarnation, &first.has));
        assert_eq!(memory.meet(2, &first).unwrap(), Verdict::Next);
        assert_eq!(memory.meet(2, &first).unwrap(), Verdict::Same);
        assert_eq!(memory.meet(2, &second).unwrap(), Verdict::Next, "the first one was never heard");
        assert!(memory.hear(2, &second.incarnation, &second.has));
        assert!(!memory.hear(2, &first.incarnation, &first.has));
        assert_eq!(memory.meet(2, &introduction(3, 10)).unwrap(), Verdict::InUse);
        assert!(memory.is_current(2, &second.incarnation) && !memory.is_current(3, &second.incarnation));
        disk.crash(1);
        assert!(open(&disk).is_current(2, &second.incarnation));
    }

    /// A node that had stopped in order and started again was held off by its peers for about a second.
    #[tokio::test(start_paused = true)]
    async fn a_start_that_said_farewell_is_heard_no_more_and_the_next_one_need_not_wait() {
        let disk = disk();
        let memory = open(&disk);
        let (first, second) = (introduction(1, 0), introduction(2, 10));
        memory.meet(2, &first).unwrap();
        assert!(memory.hear(2, &first.incarnation, &first.has));
        memory.part(2, &second.incarnation);
        assert_eq!(memory.meet(2, &second).unwrap(), Verdict::InUse, "no start speaks for another one");
        memory.part(2, &first.incarnation);
        assert!(!memory.hear(2, &first.incarnation, &introduction(1, 99).has), "it came behind its farewell");
        assert!(!memory.is_heard_within(2, REACHABLE));
        assert_eq!(memory.meet(2, &second).unwrap(), Verdict::Next);
        assert!(memory.hear(2, &second.incarnation, &second.has), "the farewell was of the start before");
        memory.part(2, &first.incarnation);
        assert!(memory.hear(2, &second.incarnation, &second.has), "it came late");
    }

    #[test]
    fn what_parted_having_more_than_its_next_start_has_is_an_older_state_at_once() {
        let memory = open(&disk());
        let first = introduction(1, 0);
        memory.meet(2, &first).unwrap();
        memory.hear(2, &first.incarnation, &introduction(1, 10).has);
        memory.part(2, &first.incarnation);
        assert!(matches!(memory.meet(2, &introduction(2, 9)).unwrap(), Verdict::Reverted(_)));
        assert!(matches!(memory.meet(2, &introduction(0, 10)).unwrap(), Verdict::Reverted(_)));
        assert_eq!(memory.meet(2, &introduction(2, 10)).unwrap(), Verdict::Next);
    }

    #[test]
    fn what_was_promised_outlives_a_restart_of_either_side_once_it_was_saved() {
        let disk = disk();
        let memory = open(&disk);
        memory.meet(2, &introduction(1, 0)).unwrap();
        memory.hear(2, &introduction(1, 0).incarnation, &Promised { term: 1, node: 1, entries: 10 });
        memory.save().unwrap();
        disk.crash(1);
        let memory = open(&disk);
        assert!(matches!(memory.meet(2, &introduction(2, 9)).unwrap(), Verdict::Reverted(_)));
        assert_eq!(memory.meet(2, &introduction(2, 10)).unwrap(), Verdict::Next);
        assert!(matches!(memory.meet(2, &introduction(3, 9)).unwrap(), Verdict::Reverted(_)));
    }

    #[test]
    fn a_step_that_fails_leaves_a_memory_that_can_go_on() {
        for step in 0.. {
            let disk = disk();
            let memory = open(&disk);
            memory.meet(2, &introduction(1, 0)).unwrap();
            disk.fail_at(disk.steps() + step, std::io::ErrorKind::StorageFull);
            let (first, second) = (introduction(1, 0), introduction(2, 0));
            if memory.meet(2, &second).is_ok() {
                assert!(step > 0);
                break;
            }
            assert!(memory.hear(2, &first.incarnation, &first.has), "step {step}");
            assert_eq!(memory.meet(3, &second).unwrap(), Verdict::Next, "step {step}");
        }
    }

    #[test]
    fn what_is_left_of_a_group_that_ended_changes_nothing_in_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let directory = DataDir::open(Arc::new(RealDisk), dir.path(), "lastunit-dev", 1, 7).unwrap();
        let start = Incarnation::of(directory.identity());
        let open = || Memory::open(Arc::new(RealDisk), dir.path()).unwrap();
        let (memory, first) = (open(), introduction(1, 0));
        memory.meet(2, &first).unwrap();
        memory.hear(2, &first.incarnation, &Promised { term: 1, node: 1, entries: 10 });
        memory.close(&Fatal::new());
        memory.hear(2, &first.incarnation, &Promised { term: 1, node: 1, entries: 20 });
        memory.save().unwrap();
        memory.close(&Fatal::new());
        assert!(matches!(memory.meet(3, &first), Err(NotMet::Closed)));
        memory.disown(&start, "it is an older copy", None).unwrap();
        assert!(!dir.path().join("refused").exists());
        assert_eq!(
            open().known(),
            BTreeMap::from([(2, known(&first, 10))]),
            "what the orderly stop has saved"
        );
        open().disown(&start, "it is an older copy", None).unwrap();
        assert!(dir.path().join("refused").exists());
    }

    fn known(introduction: &Introduction, entries: u64) -> Known {
        let promised = Promised { term: 1, node: 1, entries };
        Known { incarnation: introduction.incarnation, promised }
    }

    #[test]
    fn nothing_is_written_where_nothing_has_changed() {
        let disk = disk();
        let memory = open(&disk);
        memory.meet(2, &introduction(1, 0)).unwrap();
        let steps = disk.steps();
        memory.save().unwrap();
        memory.hear(2, &introduction(1, 0).incarnation, &Promised::default());
        memory.save().unwrap();
        assert_eq!(disk.steps(), steps);
    }
}
