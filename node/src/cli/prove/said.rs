//! What the nodes write on stderr: kept in a file for each, and read for what they say of their own hurts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep};

/// How long a node may take to say that it has obeyed.
const OBEYS_TIME_MAX: Duration = Duration::from_secs(5);
/// How long is waited between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What a node says when changed certificates are in use.
const CERTIFICATES_READ: &str = "certificates read";

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Said {
    orders: Mutex<BTreeMap<u64, Obeyed>>,
    certificates: Mutex<BTreeMap<u64, u64>>,
}

/// What a node said of the orders that it was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Obeyed {
    /// How many it has obeyed.
    orders: u64,
    /// What it said last.
    last: State,
}

/// How a node is, as it says itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct State {
    /// How many operations of its disk were hurt so far.
    pub(super) hurts: u64,
    /// What its wall clock shows, in milliseconds since 1970.
    pub(super) clock_ms: u64,
}

impl Said {
    /// Writes what comes into files of that directory.
    pub(super) fn listen(
        dir: &Path,
        nodes: u64,
        mut heard: UnboundedReceiver<(u64, String)>,
    ) -> io::Result<Arc<Said>> {
        let file = |id| Ok((id, BufWriter::new(File::create(dir.join(format!("node-{id}.log")))?)));
        let mut files = (1..=nodes).map(file).collect::<io::Result<BTreeMap<_, _>>>()?;
        let said = Arc::new(Said::default());
        let noting = Arc::clone(&said);
        tokio::spawn(async move {
            while let Some((id, line)) = heard.recv().await {
                noting.note(id, &line);
                let Some(file) = files.get_mut(&id) else { continue };
                // A log that cannot be kept is no reason to stop: the record says so itself.
                let _ = writeln!(file, "{line}");
                if heard.is_empty() {
                    let _ = file.flush();
                }
            }
        });
        Ok(said)
    }

    fn note(&self, id: u64, line: &str) {
        if line.contains(CERTIFICATES_READ) {
            let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
            *certificates.entry(id).or_default() += 1;
        }
        let Some(last) = state(line) else { return };
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let obeyed = orders.entry(id).or_default();
        *obeyed = Obeyed { orders: obeyed.orders + 1, last };
    }

    /// How often a node has said that it read changed certificates.
    pub(super) fn certificates_read(&self, id: u64) -> u64 {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied().unwrap_or_default()
    }

    /// How many orders a node has obeyed.
    pub(super) fn orders(&self, id: u64) -> u64 {
        self.obeyed(id).orders
    }

    /// Waits until a node has obeyed more orders than that. Answers how it was then.
    pub(super) async fn obeyed_after(&self, id: u64, orders: u64) -> Option<State> {
        let deadline = Instant::now() + OBEYS_TIME_MAX;
        loop {
            let obeyed = self.obeyed(id);
            if obeyed.orders > orders {
                return Some(obeyed.last);
            }
            if Instant::now() > deadline {
                return None;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    fn obeyed(&self, id: u64) -> Obeyed {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied().unwrap_or_default()
    }
}

/// `lab: disk whole: 17 operations were hurt, the wall clock shows 1790000000000 ms`.
fn state(line: &str) -> Option<State> {
    let (_, told) = line.strip_prefix("lab: ")?.rsplit_once(": ")?;
    let (hurts, clock_ms) = told.split_once(" operations were hurt, the wall clock shows ")?;
    Some(State { hurts: hurts.parse().ok()?, clock_ms: clock_ms.strip_suffix(" ms")?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_how_it_is() {
        let line = "lab: disk whole: 17 operations were hurt, the wall clock shows 1790 ms";
        assert_eq!(state(line), Some(State { hurts: 17, clock_ms: 1790 }));
        for other in ["lab: disk: not understood", "INFO lab: x: 1 operations were hurt", ""] {
            assert_eq!(state(other), None, "{other}");
        }
    }
}
