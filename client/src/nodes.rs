//! Which node to ask next.
//!
//! Calls go round the nodes, or start at a preferred one; each further try of a call goes to the next. A node
//! that could not be reached, or said that it has no leader, rests for a second, so that one that is dead or cut off
//! costs one call in a second its time and not every third call. Where all of them rest, resting counts for nothing.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::Uri;
use tokio::time::Instant;

use crate::error::Error;

/// How long a node rests that could not be reached, or had no leader.
const REST: Duration = Duration::from_secs(1);

/// The nodes' addresses, and which of them rest.
#[derive(Debug)]
pub(crate) struct Nodes {
    list: Vec<Node>,
    next: AtomicUsize,
    started: Instant,
}

#[derive(Debug)]
struct Node {
    address: Uri,
    /// Milliseconds after `started`.
    rests_until_ms: AtomicU64,
}

/// Where a call's tries go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To any node.
    Any,
    /// To that node first, then to the others.
    Prefer(usize),
    /// To that node and no other.
    Only(usize),
}

impl Nodes {
    /// The nodes at these addresses: `http://host:port`, `https://host:port`, or `host:port` alone, which is the first.
    pub(crate) fn new<A: AsRef<str>>(addresses: impl IntoIterator<Item = A>) -> Result<Nodes, Error> {
        let list = addresses.into_iter().map(|a| Node::new(a.as_ref())).collect::<Result<Vec<_>, _>>()?;
        if list.is_empty() {
            return Err(Error::Usage("no node address was given".to_owned()));
        }
        // Many clients that start at once must not all ask the same node first.
        let next = AtomicUsize::new(rand::random_range(0..list.len()));
        Ok(Nodes { list, next, started: Instant::now() })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether any of them is called by TLS.
    pub(crate) fn speak_tls(&self) -> bool {
        self.list.iter().any(|node| node.address.scheme_str() == Some("https"))
    }

    /// How many of them a call of that route may reach.
    pub(crate) fn reach(&self, route: Route) -> usize {
        match route {
            Route::Only(_) => 1,
            Route::Any | Route::Prefer(_) => self.len(),
        }
    }

    /// The address of a node.
    pub(crate) fn address(&self, node: usize) -> &Uri {
        &self.list[node % self.list.len()].address
    }

    /// The node of a call's next try, where `last` is that of the try before.
    pub(crate) fn pick(&self, route: Route, last: Option<usize>) -> usize {
        let start = match (route, last) {
            (Route::Only(node), _) => return node % self.len(),
            (_, Some(last)) => last + 1,
            (Route::Prefer(node), None) => node,
            (Route::Any, None) => self.next.fetch_add(1, Ordering::Relaxed),
        };
        let now_ms = self.now_ms();
        let mut candidates = (0..self.len()).map(|step| (start + step) % self.len());
        candidates.find(|&node| self.is_awake(node, now_ms)).unwrap_or(start % self.len())
    }

    /// Notes whether the node could be reached, and had a leader.
    pub(crate) fn note(&self, node: usize, serves: bool) {
        let rests_until_ms = if serves { 0 } else { self.now_ms() + REST.as_millis() as u64 };
        let slot = &self.list[node].rests_until_ms;
        // Almost always nothing changes: reading is cheaper than writing to a line that all cores share.
        if slot.load(Ordering::Relaxed) != rests_until_ms {
            slot.store(rests_until_ms, Ordering::Relaxed);
        }
    }

    fn is_awake(&self, node: usize, now_ms: u64) -> bool {
        self.list[node].rests_until_ms.load(Ordering::Relaxed) <= now_ms
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

impl Node {
    fn new(address: &str) -> Result<Node, Error> {
        let full = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let uri: Uri = full.parse().map_err(|cause| usage(address, &format!("{cause}")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(usage(address, "only http:// and https:// are spoken"));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(usage(address, "a path has no place in it"));
        }
        Ok(Node { address: uri, rests_until_ms: AtomicU64::new(0) })
    }
}

fn usage(address: &str, why: &str) -> Error {
    Error::Usage(format!("the node address {address:?} is not like http://127.0.0.1:8101: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Nodes {
        Nodes::new(["a:1", "http://b:2", "http://c:3/"]).unwrap()
    }

    #[test]
    fn addresses_are_checked() {
        assert_eq!(three().address(0).to_string(), "http://a:1/");
        assert!(!three().speak_tls() && Nodes::new(["a:1", "https://b:2"]).unwrap().speak_tls());
        for bad in ["", "ftp://a:1", "http://a:1/api", "http://a:1/?q", "http://", "a b:1"] {
            assert!(matches!(Nodes::new([bad]), Err(Error::Usage(_))), "{bad}");
        }
        assert!(matches!(Nodes::new([""; 0]), Err(Error::Usage(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_go_round_and_tries_go_on() {
        let nodes = three();
        let first = nodes.pick(Route::Any, None);
        assert_eq!(nodes.pick(Route::Any, None), (first + 1) % 3);
        assert_eq!(nodes.pick(Route::Any, Some(2)), 0);
        assert_eq!(nodes.pick(Route::Prefer(1), None), 1);
        assert_eq!(nodes.pick(Route::Prefer(1), Some(1)), 2);
        assert_eq!(nodes.pick(Route::Only(1), Some(1)), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_not_reached_rests_for_a_second() {
        let nodes = three();
        nodes.note(1, false);
        assert_eq!(nodes.pick(Route::Prefer(1), None), 2);
        tokio::time::advance(REST).await;
        assert_eq!(nodes.pick(Route::Prefer(1), None), 1);
        nodes.note(1, false);
        nodes.note(1, true);
        assert_eq!(nodes.pick(Route::Prefer(1), None), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_rest_resting_counts_for_nothing() {
        let nodes = three();
        (0..3).for_each(|node| nodes.note(node, false));
        assert_eq!(nodes.pick(Route::Prefer(1), None), 1);
        assert_eq!(nodes.pick(Route::Any, Some(1)), 2);
    }
}
