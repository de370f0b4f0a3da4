//! The threads of a node that serves: those of consensus, and those of its clients' connections.
//!
//! ```text
//!   consensus     Raft, the transport between nodes, apply; accepting connections, and the first few of them
//!   connections   all further ones: reading, parsing, waiting, answering
//! ```
//!
//! Each is a runtime with half of the processors, and at least one thread. In one runtime for all, what becomes ready
//! wakes one thread, which wakes the next before it begins, to look for more: of small calls these wake-ups cost more
//! than the work. Apart, each side takes at once what has gathered for it meanwhile. What that brought is in
//! docs/benchmarks ("Two runtimes").

use std::io;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime};

/// So many connections are served by the threads of consensus: calls of theirs cross to no other thread and back, which
/// a lone caller would wait for. Of many callers they are too few to be in the way of consensus.
const BESIDE_CONSENSUS: u64 = 2;

/// How many threads consensus has, and how many connections have.
pub(crate) fn of_each() -> usize {
    let processors = available_parallelism().map_or(1, usize::from);
    (processors / 2).max(1)
}

/// The threads of connections. Dropped, they end, and wait for nobody: who is still served then has been given the time
/// to end.
#[derive(Debug)]
pub(crate) struct ConnectionThreads {
    /// There is one until it is dropped.
    runtime: Option<Runtime>,
}

impl ConnectionThreads {
    /// Starts them.
    ///
    /// # Errors
    /// The system gives no thread, or no means to wait for sockets.
    pub(crate) fn start() -> io::Result<ConnectionThreads> {
        let runtime =
            Builder::new_multi_thread().worker_threads(of_each()).thread_name("http").enable_all().build()?;
        Ok(ConnectionThreads { runtime: Some(runtime) })
    }

    /// Where a connection is served while so many are open, itself included: by them, or where this is called.
    pub(crate) fn for_connection(&self, open: u64) -> Handle {
        match &self.runtime {
            Some(runtime) if open > BESIDE_CONSENSUS => runtime.handle().clone(),
            _ => Handle::current(),
        }
    }
}

impl Drop for ConnectionThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_first_few_connections_share_the_threads_of_consensus() {
        let threads = ConnectionThreads::start().unwrap();
        for (open, shared) in
            [(1, true), (BESIDE_CONSENSUS, true), (BESIDE_CONSENSUS + 1, false), (999, false)]
        {
            let thread = || std::thread::current().id();
            let served = threads.for_connection(open).spawn(async move { thread() }).await.unwrap();
            assert_eq!(served == thread(), shared, "{open} connections");
        }
    }
}
