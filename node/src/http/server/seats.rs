//! Seats: how many connections are served, and what becomes of the next one.
//!
//! ```text
//!   accepted --> a usual seat          served as ever
//!           \--> one of operators'     crowded: one call; health and metrics are answered, all else is told 503
//!            \-> none                  closed at once
//! ```
//!
//! Nobody waits in the system's backlog for others to leave: a client that is told at once asks another node, and who
//! looks after this one still gets in.
//!
//! The seats are fewer where the system lets this process open few files: connections shall never take those that the
//! log needs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::limits::{CONNECTIONS_CROWDED_MAX, CONNECTIONS_MAX, FILES_KEPT_MAX};
use crate::metrics::ConnectionFigures;

/// Marks a request that came by a connection without a usual seat.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Crowded;

/// What became of connections.
#[derive(Debug, Default)]
pub(in crate::http) struct Connections {
    accepted: AtomicU64,
    open: AtomicU64,
    open_max: AtomicU64,
    crowded: AtomicU64,
    closed: AtomicU64,
    head_late: AtomicU64,
    answer_not_taken: AtomicU64,
}

/// The seats.
#[derive(Debug)]
pub(super) struct Seats {
    usual: Arc<Semaphore>,
    of_operators: Arc<Semaphore>,
    connections: Arc<Connections>,
}

/// One connection's seat, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    /// It is one of the operators'.
    pub(super) is_crowded: bool,
    connections: Arc<Connections>,
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    /// As many as there may be on this machine.
    pub(super) fn new(connections: Arc<Connections>) -> Seats {
        Seats::of(room_for_connections(), CONNECTIONS_CROWDED_MAX, connections)
    }

    /// So many.
    pub(super) fn of(usual: usize, of_operators: usize, connections: Arc<Connections>) -> Seats {
        connections.open_max.store(usual as u64, Ordering::Relaxed);
        let seats = |count| Arc::new(Semaphore::new(count));
        Seats { usual: seats(usual), of_operators: seats(of_operators), connections }
    }

    /// A seat for a connection, or none.
    pub(super) fn take(&self) -> Option<Seat> {
        let usual = Arc::clone(&self.usual).try_acquire_owned().map(|permit| (permit, false));
        let of_operators = || Arc::clone(&self.of_operators).try_acquire_owned().map(|permit| (permit, true));
        let Ok((permit, is_crowded)) = usual.or_else(|_| of_operators()) else {
            add(&self.connections.closed);
            return None;
        };
        add(&self.connections.accepted);
        add(&self.connections.open);
        if is_crowded {
            add(&self.connections.crowded);
        }
        Some(Seat { is_crowded, connections: Arc::clone(&self.connections), _permit: permit })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connections {
    /// Counts a handshake that took too long among the heads that did not come.
    pub(super) fn shaken_late(&self, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::TimedOut => {
                add(&self.head_late);
                io::Error::other("no TLS handshake in time")
            }
            _ => error,
        }
    }

    /// Counts a connection that ended because nothing moved on it.
    pub(super) fn ended(&self, error: &(dyn std::error::Error + 'static)) {
        match error.downcast_ref::<hyper::Error>() {
            Some(error) if error.is_timeout() => add(&self.head_late),
            _ if is_timed_out(error) => add(&self.answer_not_taken),
            _ => {}
        }
    }

    /// How many are open.
    pub(super) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// All of it.
    pub(in crate::http) fn figures(&self) -> ConnectionFigures {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        ConnectionFigures {
            accepted: read(&self.accepted),
            open: read(&self.open),
            open_max: read(&self.open_max),
            crowded: read(&self.crowded),
            closed: read(&self.closed),
            head_late: read(&self.head_late),
            answer_not_taken: read(&self.answer_not_taken),
        }
    }
}

fn add(figure: &AtomicU64) {
    figure.fetch_add(1, Ordering::Relaxed);
}

/// Whether an error is, or comes from, a write that waited for too long.
fn is_timed_out(error: &(dyn std::error::Error + 'static)) -> bool {
    let of_io = error.downcast_ref::<io::Error>();
    of_io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        || error.source().is_some_and(is_timed_out)
}

/// How many connections this process can take beside its other files. It asks the system for all that it may have.
fn room_for_connections() -> usize {
    let given = getrlimit(Resource::Nofile);
    // Where it is refused, there are as many as before.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: given.maximum, maximum: given.maximum });
    let files = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| files as usize);
    connections_of(files)
}

/// Of so many files.
fn connections_of(files: usize) -> usize {
    let room = files - FILES_KEPT_MAX.min(files / 2);
    if room < CONNECTIONS_MAX {
        tracing::warn!(files, connections = room, "few files may be open: raise the limit (ulimit -n)");
    }
    room.min(CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_seats_are_of_operators_and_a_seat_that_is_left_is_free() {
        let connections = Arc::<Connections>::default();
        let seats = Seats::of(2, 1, Arc::clone(&connections));
        let mut taken: Vec<_> = (0..3).map(|_| seats.take().unwrap()).collect();
        assert_eq!(taken.iter().map(|seat| seat.is_crowded).collect::<Vec<_>>(), [false, false, true]);
        assert!(seats.take().is_none());
        drop(taken.remove(0));
        assert!(!seats.take().unwrap().is_crowded);
        drop(taken);
        let figures = ConnectionFigures {
            accepted: 4,
            open_max: 2,
            crowded: 1,
            closed: 1,
            ..ConnectionFigures::default()
        };
        assert_eq!(connections.figures(), figures);
    }

    #[test]
    fn connections_never_take_the_files_of_the_log() {
        let seats = [256, 1_024, 4_096, 1 << 20, usize::MAX].map(connections_of);
        assert_eq!(seats, [128, 512, 3_072, 16_384, 16_384]);
    }
}
