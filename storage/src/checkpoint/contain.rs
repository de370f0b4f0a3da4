//! Calls into sled, which may panic, or never return.
//!
//! ```text
//!   contain   caller ------------> sled     a panic is caught, and nothing of it is printed
//!   within    caller --> thread -> sled     likewise; after a time the caller goes on without an answer
//!   unless_it_stands_still                  likewise; but the time begins anew with each bit of progress
//! ```
//!
//! sled 0.34 believes what it reads: bytes that are not what it wrote make it panic, on the caller's thread or on its
//! own. A panic of its background thread is worse: closing the database then waits for that thread for ever. And its
//! tree walks try again, a million times and more, where a page is not there. So whatever reads an image that may be
//! damaged, and whatever closes one, runs on a thread that can be left behind. A thread that was left behind ends
//! with the process; the image that it holds is never used again, nor is its number.
//!
//! Absent on purpose: an end to such a thread. There is no safe one.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak, mpsc};
use std::thread;
use std::time::Duration;

/// What sled calls its background threads: one for each database, and a pool for the process.
const THREADS_OF_SLED: [&str; 2] = ["log flusher", "sled-io-"];

thread_local! {
    /// Whether this thread is within a call of [`contain`].
    static CONTAINING: Cell<bool> = const { Cell::new(false) };
}

/// What went wrong within sled.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It panicked, in these words.
    #[error("sled panicked: {0}")]
    Panic(String),
    /// It did not come to an end within this time.
    #[error("sled did not come to an end within {} s", .0.as_secs())]
    Endless(Duration),
    /// It said no.
    #[error("{0}")]
    Error(sled::Error),
}

/// How many of sled's own threads have panicked since [`keep_panics_of_sled_quiet`] while no work was left behind: what
/// is lost while one is may well be of its image, which nobody uses. A thread that ends without a panic is not seen.
static THREADS_LOST: AtomicUsize = AtomicUsize::new(0);

/// One for each work that was left behind, and gone once that has ended.
static LEFT_BEHIND: Mutex<Vec<Weak<()>>> = Mutex::new(Vec::new());

fn leave_behind(work: Weak<()>) {
    LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner).push(work);
}

fn is_any_left_behind() -> bool {
    let mut left = LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner);
    left.retain(|work| work.strong_count() > 0);
    !left.is_empty()
}

/// Has panics of sled go unprinted from here on, for the whole process: they are caught, and told as what they mean
/// for the node. All others are printed as before.
pub fn keep_panics_of_sled_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if is_thread_of_sled() {
                THREADS_LOST.fetch_add(usize::from(!is_any_left_behind()), Ordering::Relaxed);
            } else if !is_containing() {
                print(panic);
            }
        }));
    });
}

/// How many of sled's own threads have panicked, where that is counted.
pub(super) fn threads_lost() -> usize {
    THREADS_LOST.load(Ordering::Relaxed)
}

fn is_thread_of_sled() -> bool {
    let thread = thread::current();
    thread.name().is_some_and(|name| THREADS_OF_SLED.iter().any(|own| name.starts_with(own)))
}

fn is_containing() -> bool {
    // A thread that is ending has lost its cell, and contains nothing any more.
    CONTAINING.try_with(Cell::get).unwrap_or(false)
}

/// Calls sled, which may panic.
///
/// sled's own state after a panic is anyone's guess; every caller gives the image up.
pub(super) fn contain<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, Failure> {
    let outer = CONTAINING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    CONTAINING.set(outer);
    match result {
        Ok(result) => result.map_err(Failure::Error),
        Err(panic) => Err(Failure::Panic(panic_message(panic.as_ref()))),
    }
}

/// The steps of a work that is waited for however long it takes.
const UNWATCHED: u64 = u64::MAX;

/// How far a work has come, for who waits for it. A cheap handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    steps: Arc<AtomicU64>,
}

impl Progress {
    /// Something was done.
    pub(super) fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Nothing is left to do that could stand still: it is waited for however long it takes.
    pub(super) fn needs_no_watch(&self) {
        self.steps.store(UNWATCHED, Ordering::Relaxed);
    }

    /// Whether anything was done since it was so far, or nothing need be.
    fn goes_on_since(&self, steps: u64) -> bool {
        let now = self.steps();
        now != steps || now == UNWATCHED
    }
}

/// Does the work on a thread of its own, and waits for it no longer than that.
pub(super) fn within<T: Send + 'static>(
    time_max: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    unless_it_stands_still(time_max, &Progress::default(), work)
}

/// Does the work on a thread of its own, and waits for it until it has made no progress for that long, which is seen
/// within twice that time.
pub(super) fn unless_it_stands_still<T: Send + 'static>(
    time_max: Duration,
    progress: &Progress,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (done, ended) = mpsc::channel();
    let working = Arc::new(());
    let alive = Arc::downgrade(&working);
    let work = move || {
        drop(done.send(work()));
        drop(working);
    };
    let thread = thread::Builder::new().name("checkpoint".into()).spawn(work);
    let thread = thread.map_err(|error| Failure::Error(sled::Error::Io(error)))?;
    loop {
        let steps = progress.steps();
        match ended.recv_timeout(time_max) {
            Ok(result) => return Ok(result),
            Err(mpsc::RecvTimeoutError::Timeout) if progress.goes_on_since(steps) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => {
                leave_behind(alive);
                return Err(Failure::Endless(time_max));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let panic = thread.join().err();
                let words = panic.map_or_else(String::new, |panic| panic_message(panic.as_ref()));
                return Err(Failure::Panic(words));
            }
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    text.or(owned).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_ends_is_answered_and_work_that_does_not_is_left_behind() {
        assert!(matches!(within(Duration::from_secs(60), || 7), Ok(7)));
        let (end, endless) = mpsc::channel::<()>();
        let failure = within(Duration::from_millis(20), move || endless.recv().is_err());
        assert!(matches!(failure, Err(Failure::Endless(_))), "{failure:?}");
        assert!(is_any_left_behind());
        drop(end);
    }

    /// A damaged image that was given up lost a thread later on, and the node stopped over its whole image.
    #[test]
    fn a_thread_that_is_lost_while_work_is_left_behind_is_not_counted() {
        keep_panics_of_sled_quiet();
        let (end, endless) = mpsc::channel::<()>();
        assert!(within(Duration::from_millis(20), move || endless.recv().is_err()).is_err());
        let before = threads_lost();
        let flusher = thread::Builder::new().name("log flusher".into()).spawn(|| panic!("lost"));
        assert!(flusher.expect("a thread starts").join().is_err());
        assert_eq!(threads_lost(), before);
        drop(end);
    }

    /// A whole image of gigabytes was thrown away, because reading all of it took longer than the time allowed.
    #[test]
    fn work_that_goes_on_is_waited_for_however_long_it_takes() {
        const TIME_MAX: Duration = Duration::from_millis(200);
        let progress = Progress::default();
        let steps = progress.clone();
        let work = move || {
            for _ in 0..100 {
                steps.step();
                thread::sleep(TIME_MAX / 20);
            }
            steps.needs_no_watch();
            thread::sleep(3 * TIME_MAX);
            7
        };
        assert!(matches!(unless_it_stands_still(TIME_MAX, &progress, work), Ok(7)));
    }

    #[test]
    fn a_panic_of_the_work_is_told() {
        keep_panics_of_sled_quiet();
        let failure = within(Duration::from_secs(60), || contain::<()>(|| panic!("a {}", "word")));
        assert!(matches!(&failure, Ok(Err(Failure::Panic(what))) if what == "a word"), "{failure:?}");
    }

    #[test]
    fn only_what_is_contained_and_sleds_threads_are_quiet() {
        assert!(!is_containing());
        assert!(contain(|| Ok(is_containing())).expect("no failure"));
        assert!(!is_containing());
        for (name, quiet) in [("log flusher", true), ("sled-io-3", true), ("log-1", false), ("keeper", false)]
        {
            let thread = thread::Builder::new().name(name.into()).spawn(is_thread_of_sled);
            let thread = thread.expect("a thread starts");
            assert_eq!(thread.join().expect("it ends"), quiet, "{name}");
        }
    }
}
