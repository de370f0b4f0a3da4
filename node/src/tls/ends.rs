//! When the certificates in use end: for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a certificate is for, in the order of [`Ends`].
const NAMES: [&str; 3] = ["clients", "nodes", "authority"];

/// When what clients are shown ends, what the other nodes are shown, and the first of the authorities whose
/// certificates nodes take: in seconds since 1970, and 0 where there is none.
#[derive(Debug, Default)]
pub(crate) struct Ends([AtomicU64; NAMES.len()]);

impl Ends {
    /// Other certificates are in use from now on.
    pub(super) fn set(&self, ends_s: [Option<u64>; NAMES.len()]) {
        for (kept, end_s) in self.0.iter().zip(ends_s) {
            kept.store(end_s.unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// Each certificate that is in use, and when it ends.
    pub(crate) fn in_use(&self) -> Vec<(&'static str, u64)> {
        let ends_s = self.0.iter().map(|end_s| end_s.load(Ordering::Relaxed));
        NAMES.into_iter().zip(ends_s).filter(|(_, end_s)| *end_s > 0).collect()
    }
}
