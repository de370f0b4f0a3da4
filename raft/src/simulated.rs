//! What a simulation puts in the place of threads, of chance, and of the time that disks take.
//!
//! ```text
//!                        a node                                    a simulation, on the thread that entered it
//!   blocking(work)       on a thread that may wait for the disk    a task: the disk's time passes, then the work
//!   random()             the system's                              follows from the seed
//!   log, keeper          a thread each                             a task each, likewise
//!   checkpoint           sled                                      `Checkpoint::open_plain`
//! ```
//!
//! A thread is a simulation's from [`enter`] until its guard is dropped; all that it then runs, on whatever runtimes of
//! one thread, is in it. In a node no thread ever is, and a look at a thread's own variable is all that this costs.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use rand::distr::{Distribution, StandardUniform};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use storage::log::Steps;
use tokio::sync::Notify;
use tokio::time::timeout;

pub use crate::transport::wire::{Carried, Listening, ReadEnd, Wire, WriteEnd};

thread_local! {
    static SIMULATION: RefCell<Option<Simulation>> = const { RefCell::new(None) };
}

struct Simulation {
    random: StdRng,
    disk_time_us_max: u64,
}

/// As long as this lives its thread is a simulation's.
pub struct Simulated {
    /// It is that thread's, and stays there.
    _thread: PhantomData<*const ()>,
}

/// Makes this thread a simulation's, in which all chance follows from the seed.
pub fn enter(seed: u64) -> Simulated {
    let simulation = Simulation { random: StdRng::seed_from_u64(seed), disk_time_us_max: 0 };
    SIMULATION.set(Some(simulation));
    Simulated { _thread: PhantomData }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        SIMULATION.set(None);
    }
}

/// From now on what waits for a disk waits a random time of up to that.
pub fn set_disk_time_max(max: Duration) {
    SIMULATION.with_borrow_mut(|simulation| {
        if let Some(simulation) = simulation {
            simulation.disk_time_us_max = max.as_micros() as u64;
        }
    });
}

/// Whether this thread is a simulation's.
pub(crate) fn is_on() -> bool {
    SIMULATION.with_borrow(Option::is_some)
}

/// A random number.
pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    SIMULATION.with_borrow_mut(|simulation| match simulation {
        Some(simulation) => simulation.random.random(),
        None => rand::random(),
    })
}

/// Passes the time that the disk of a simulation takes.
pub(crate) async fn disk_time() {
    let draw = |simulation: &mut Option<Simulation>| {
        simulation.as_mut().map_or(0, |one| one.random.random_range(0..=one.disk_time_us_max))
    };
    let time_us = SIMULATION.with_borrow_mut(draw);
    tokio::time::sleep(Duration::from_micros(time_us)).await;
}

/// Does what may wait for the disk, where nothing else waits for it. It goes on when whoever waits for it gives up.
///
/// # Errors
/// It panicked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let working = if is_on() {
        tokio::spawn(async {
            disk_time().await;
            work()
        })
    } else {
        tokio::task::spawn_blocking(work)
    };
    working.await.map_err(io::Error::other)
}

/// Has the log's writer take its steps: what is queued is written when the disk's time has passed, with all that is
/// queued by then.
pub(crate) fn take_steps(steps: Steps) {
    let queued = Arc::new(Notify::new());
    let tell = queued.clone();
    steps.tell(move || tell.notify_one());
    tokio::spawn(async move {
        loop {
            match steps.patience() {
                // Nothing within that time: there is something else to do.
                Some(patience) => drop(timeout(patience, queued.notified()).await),
                None => queued.notified().await,
            }
            disk_time().await;
            if !steps.step() {
                return;
            }
        }
    });
}

/// openraft's random numbers: the times of elections.
pub struct Chance;

impl rand_core::TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(random())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(random())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        SIMULATION.with_borrow_mut(|simulation| match simulation {
            Some(simulation) => simulation.random.fill_bytes(bytes),
            None => rand::rng().fill_bytes(bytes),
        });
        Ok(())
    }
}
