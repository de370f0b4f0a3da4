//! How many reads one token may make: each node counts its own share of what the cluster allows.
//!
//! Reads do not meet anywhere: many of them share one question to the leader, and some ask nobody. So each node takes a
//! share of the limit, and who wants all of it asks all nodes.

use std::sync::atomic::{AtomicU64, Ordering};

use raft::{Buckets, Rate};

use super::problem::Problem;
use super::reply;
use crate::auth::Grant;

/// The limit, and what came so far.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    buckets: Option<Buckets>,
    refused: AtomicU64,
}

impl Reads {
    /// This node's share; `None`: there is no limit.
    pub(crate) fn new(rate: Option<Rate>) -> Reads {
        Reads { buckets: rate.map(Buckets::new), refused: AtomicU64::new(0) }
    }

    /// Counts a read with that grant, and gives it back.
    ///
    /// # Errors
    /// Its token's are too many.
    pub(crate) fn take(&self, grant: Grant) -> Result<Grant, Problem> {
        let (Some(buckets), Some(token)) = (&self.buckets, grant.token_id()) else { return Ok(grant) };
        match buckets.take(token) {
            Ok(()) => Ok(grant),
            Err(wait) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(reply::too_fast("More reads come with this token than this node allows one.", wait))
            }
        }
    }

    /// How many were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}
