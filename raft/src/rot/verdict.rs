//! What became of a damaged directory.

use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use storage::StorageError;
use storage::checkpoint::keep_panics_of_sled_quiet;
use tokio::runtime::{Builder, Runtime};

use super::damage::{self, Case, Damage};
use super::node::{Node, State};
use super::{Scene, Stage};
use crate::StartError;

/// How a case ended, where it ended as one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// The node has its state, and rebuilt or set aside what was damaged.
    Repaired,
    /// It did not start, and said which file is damaged where, and what to do.
    Refused,
    /// It has its state; nobody needed what was damaged.
    Harmless,
    /// It has the state before the last groups of its log, which were not sealed and look like a torn write.
    Torn,
}

/// Panics that were printed, but those of threads of other tests.
static SHOWN: AtomicUsize = AtomicUsize::new(0);

/// Counts panics that are shown from here on, by the very hook that the binary has.
pub(super) fn count_shown_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // The test runner names its threads after its tests.
            if !thread::current().name().is_some_and(|name| name.contains("::")) {
                SHOWN.fetch_add(1, Ordering::Relaxed);
            }
            print(panic);
        }));
        keep_panics_of_sled_quiet();
    });
}

/// How many were shown.
pub(super) fn shown_panics() -> usize {
    SHOWN.load(Ordering::Relaxed)
}

pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

/// Damages a fresh copy of the directory and opens it; `Err` says what is wrong with what came of it.
pub(super) fn of(stage: &Stage, case: &Case, copy: &Path) -> Result<Verdict, String> {
    damage::copy(&stage.directory, copy)
        .and_then(|()| case.apply(copy))
        .expect("a copy can be made and damaged");
    runtime().block_on(async {
        match Node::open(copy).await {
            Ok(node) => {
                let state = node.state();
                node.close().await;
                accepted(stage, case, copy, &state)
            }
            Err(StartError::Storage(error)) => refused(case, copy, &error),
            Err(error) => Err(format!("not refused by storage: {error}")),
        }
    })
}

fn accepted(stage: &Stage, case: &Case, copy: &Path, state: &State) -> Result<Verdict, String> {
    let mut whole = stage.history.state.clone();
    if case.damage == Damage::Delete && case.path.ends_with("peers") {
        // It is only a memory, and begins anew.
        whole.peers.clear();
    }
    if *state != whole {
        return torn(stage, state).ok_or_else(|| format!("silently accepted: {state:?}"));
    }
    let is_there = |path: &PathBuf| copy.join(path).exists();
    let images = |directory: &Path| {
        let files = damage::files(directory).into_iter().filter(|file| file.starts_with("checkpoint"));
        files.filter_map(|file| file.parent().map(Path::to_path_buf)).collect::<Vec<_>>()
    };
    let rebuilt = images(&stage.directory).iter().any(|image| !is_there(image));
    let aside = damage::files(copy).iter().any(|file| file.extension().is_some_and(|it| it == "damaged"));
    let made_anew = case.damage == Damage::Delete && is_there(&case.path);
    Ok(if rebuilt || aside || made_anew { Verdict::Repaired } else { Verdict::Harmless })
}

/// After a crash the log may have lost its unsealed end, and nothing else.
fn torn(stage: &Stage, state: &State) -> Option<Verdict> {
    let whole = &stage.history.state;
    let digests = &stage.history.digests;
    let unsealed = &digests[digests.len().checked_sub(super::history::UNSEALED as usize + 1)?..];
    let at = |(position, digest): &(_, _)| Some(*position) == state.applied && *digest == state.digest;
    let is_one = stage.scene == Scene::Crashed
        && unsealed.iter().any(at)
        && state.log.last == state.applied
        && state.committed <= state.applied;
    let rest = State {
        digest: whole.digest,
        applied: whole.applied,
        committed: whole.committed,
        log: whole.log,
        ..state.clone()
    };
    (is_one && rest == *whole && state.log.first == whole.log.first).then_some(Verdict::Torn)
}

/// A refusal is one line that names the very file that was damaged, where the damage begins at the latest, and what to
/// do.
fn refused(case: &Case, copy: &Path, error: &StorageError) -> Result<Verdict, String> {
    let damaged = copy.join(&case.path);
    let (path, offset, mend) = match error {
        StorageError::Corrupt { path, offset, mend, .. } => (path, Some(*offset), mend),
        StorageError::Refused { path, mend, .. } => (path, None, mend),
        other => return Err(format!("refused without a mend: {other}")),
    };
    let line = error.to_string();
    let is_named = match case.damage {
        Damage::Delete => damaged.starts_with(path),
        // The directory, or a file of it: the one that is left, or one that is not.
        Damage::Alone => damaged.parent().is_some_and(|folder| path.starts_with(folder)),
        _ => *path == damaged && offset.is_some() && offset <= case.offset_max(),
    };
    let is_one_line = !line.contains('\n') && line.ends_with(mend) && !mend.is_empty();
    if is_named && is_one_line {
        Ok(Verdict::Refused)
    } else {
        Err(format!("refused with the wrong line: {line}"))
    }
}
