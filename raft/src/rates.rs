//! Rate limits: what comes too fast of one customer, or of one caller, is refused before anybody decides about it.
//!
//! ```text
//!   any node   its own buckets: more than the cluster allows need not go further
//!      |          forwarded, with the caller's name
//!   leader     its buckets, in which every node's commands meet: so ten nodes do not give ten times the limit
//!      |
//!   gate, log
//! ```
//!
//! A command counts for the customer that it names, and for the caller that handed it in, whose name means nothing
//! here. A bucket holds a burst and fills evenly (GCRA, the generic cell rate algorithm of the ATM Forum's traffic
//! management 4.0, as `governor` has it). Each leader has buckets of its own: with the lead they begin anew.
//!
//! Invariants:
//! - What is refused here was seen by nobody else: nothing was logged, and nothing is held.
//! - A command is counted once by the leader that takes it, and not again where it is tried again for want of a quorum.
//! - However many names there are, and however long, memory is bounded: see [`Buckets`].
//! - Without limits nothing is looked at.
//!
//! What is absent: limits in the state machine. These are no part of the history, and may differ from leader to leader.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use storage::inventory::command::{Command, Request};

use crate::waiting::Forwarded;
use crate::{Limit, ProposeError};

/// Names that are remembered at most, more or less; then all are forgotten. A name takes 40 bytes at most.
const NAMES_MAX: usize = 1 << 19;

/// Names whose buckets are full again are dropped at the latest after so many takes.
const SWEEP_TAKES_MIN: usize = 1 << 12;

/// How fast something may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run, in one second.
    pub per_second: NonZeroU32,
    /// At once, after a rest.
    pub burst: NonZeroU32,
}

/// How fast commands may come, in the whole cluster together. `None`: as fast as they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// Those that name one customer.
    pub customer: Option<Rate>,
    /// Those that one caller hands in.
    pub caller: Option<Rate>,
}

/// A bucket for each name, which is taken from and fills evenly.
///
/// Of a name only a hash is kept, under a key of this process, so that nobody can choose two names that share a bucket.
/// Every so many takes those whose buckets are full are dropped: they are as those never heard of. Where that leaves
/// more than half a million, someone makes names up; then all buckets begin anew.
#[derive(Debug)]
pub struct Buckets<C: Clock = DefaultClock> {
    quota: Quota,
    clock: C,
    hashes: RandomState,
    names_max: usize,
    of_names: ArcSwap<OfNames<C>>,
    until_sweep: AtomicI64,
}

type OfNames<C> = RateLimiter<u64, DashMapStateStore<u64>, C, NoOpMiddleware<<C as Clock>::Instant>>;

impl Buckets {
    /// Full ones of that rate.
    pub fn new(rate: Rate) -> Buckets {
        Buckets::with(rate, DefaultClock::default(), NAMES_MAX)
    }
}

impl<C: Clock + Clone> Buckets<C> {
    fn with(rate: Rate, clock: C, names_max: usize) -> Buckets<C> {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let of_names = ArcSwap::from_pointee(RateLimiter::dashmap_with_clock(quota, clock.clone()));
        let until_sweep = AtomicI64::new(SWEEP_TAKES_MIN as i64);
        Buckets { quota, clock, hashes: RandomState::new(), names_max, of_names, until_sweep }
    }

    /// Takes one out of that name's bucket.
    ///
    /// # Errors
    /// It is empty: how long until there is one.
    pub fn take(&self, name: &str) -> Result<(), Duration> {
        if self.until_sweep.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.sweep();
        }
        let taken = self.of_names.load().check_key(&self.hashes.hash_one(name));
        taken.map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    /// Drops the names whose buckets are full. It costs as much as a few takes for each name that is left, and comes
    /// again after as many takes as names are left.
    fn sweep(&self) {
        let of_names = self.of_names.load();
        of_names.retain_recent();
        let names = of_names.len();
        if names > self.names_max {
            tracing::warn!(names, "too many names at once: what all of them have sent so far is forgotten");
            let anew = RateLimiter::dashmap_with_clock(self.quota, self.clock.clone());
            self.of_names.store(Arc::new(anew));
        } else {
            of_names.shrink_to_fit();
        }
        self.until_sweep.store(names.max(SWEEP_TAKES_MIN) as i64, Ordering::Relaxed);
    }

    /// How many names there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.of_names.load().len()
    }
}

/// The limits of commands, and what came so far.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    customers: Option<Buckets>,
    callers: Option<Buckets>,
    /// Commands refused for their customer.
    pub(crate) refused_of_customers: AtomicU64,
    /// Commands refused for their caller.
    pub(crate) refused_of_callers: AtomicU64,
}

impl Rates {
    /// With full buckets.
    pub(crate) fn new(limits: &RateLimits) -> Rates {
        let (customers, callers) = (limits.customer.map(Buckets::new), limits.caller.map(Buckets::new));
        Rates { customers, callers, ..Rates::default() }
    }

    /// What is kept of a caller's name: nothing, where callers are not limited.
    pub(crate) fn caller(&self, name: Option<&str>) -> Option<Box<str>> {
        self.callers.as_ref().and(name).map(Box::from)
    }

    /// Whether there is something to count of these commands.
    pub(crate) fn count(&self, requests: &[Request], caller: Option<&str>) -> bool {
        let names = |request: &Request| customer(request).is_some();
        (self.callers.is_some() && caller.is_some())
            || (self.customers.is_some() && requests.iter().any(names))
    }

    /// Takes out of these units what comes too fast. Answers for each command why it was taken out; nothing at all
    /// where none was.
    pub(crate) fn refuse(&self, units: &mut Vec<Forwarded>) -> Vec<Option<ProposeError>> {
        if self.customers.is_none() && self.callers.is_none() {
            return Vec::new();
        }
        let mut refused = Vec::new();
        for unit in units.iter_mut().filter(|unit| !unit.requests.as_slice().is_empty()) {
            let (from, caller) = (refused.len(), unit.caller.as_deref());
            let taken = |request| if unit.counted { None } else { self.take(request, caller).err() };
            refused.extend(unit.requests.as_slice().iter().map(taken));
            unit.requests.keep(&refused[from..]);
        }
        units.retain(|unit| unit.requests.len() > 0);
        if refused.iter().all(Option::is_none) { Vec::new() } else { refused }
    }

    /// Counts a command, or says that it is too much. For its customer first: one who sends too much shall not take
    /// from others whose commands come by the same caller.
    pub(crate) fn take(&self, request: &Request, caller: Option<&str>) -> Result<(), ProposeError> {
        take(self.customers.as_ref(), customer(request), Limit::Customer, &self.refused_of_customers)?;
        take(self.callers.as_ref(), caller, Limit::Caller, &self.refused_of_callers)
    }
}

fn take(
    buckets: Option<&Buckets>,
    name: Option<&str>,
    limit: Limit,
    refused: &AtomicU64,
) -> Result<(), ProposeError> {
    let (Some(buckets), Some(name)) = (buckets, name) else { return Ok(()) };
    buckets.take(name).map_err(|wait| {
        refused.fetch_add(1, Ordering::Relaxed);
        ProposeError::RateLimited { limit, wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }
    })
}

/// The customer that a command names.
fn customer(request: &Request) -> Option<&str> {
    match &request.command {
        Command::Reserve(reserve) => reserve.customer_id.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use storage::inventory::command::Reserve;

    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        let number = |number| NonZeroU32::new(number).unwrap();
        Rate { per_second: number(per_second), burst: number(burst) }
    }

    fn buckets(rate: Rate, names_max: usize) -> (Buckets<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Buckets::with(rate, clock.clone(), names_max), clock)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_what_comes_in() {
        let (buckets, clock) = buckets(rate(4, 10), 100);
        let taken = |name: &str| (0..100).take_while(|_| buckets.take(name).is_ok()).count();
        assert_eq!(taken("ann"), 10);
        assert_eq!(buckets.take("ann"), Err(Duration::from_millis(250)));
        assert_eq!(taken("bob"), 10, "another one's is as full as before");
        clock.advance(Duration::from_millis(500));
        assert_eq!(taken("ann"), 2);
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(taken("ann"), 10, "it never holds more than the burst");
    }

    #[test]
    fn names_whose_buckets_are_full_are_dropped_and_others_kept() {
        let (buckets, clock) = buckets(rate(1, 10), 1 << 20);
        let taken = |name: &str| (0..100).take_while(|_| buckets.take(name).is_ok()).count();
        (0..2 * SWEEP_TAKES_MIN).for_each(|name| buckets.take(&name.to_string()).unwrap());
        assert_eq!(buckets.len(), 2 * SWEEP_TAKES_MIN, "none is full again yet");
        assert_eq!(taken("ann"), 10);
        clock.advance(Duration::from_secs(4));
        let of_bob = (0..4 * SWEEP_TAKES_MIN).filter(|_| buckets.take("bob").is_ok());
        assert_eq!(of_bob.count(), 10);
        assert_eq!(buckets.len(), 2);
        assert_eq!(taken("ann"), 4, "what ann took is not forgotten");
    }

    #[test]
    fn however_many_names_are_made_up_memory_is_bounded() {
        let (buckets, _clock) = buckets(rate(1, 1), 10_000);
        let mut most = 0;
        for name in 0..200_000 {
            assert_eq!(buckets.take(&name.to_string()), Ok(()));
            most = most.max(if name % 1_000 == 0 { buckets.len() } else { 0 });
        }
        assert!((5_000..=20_000).contains(&most), "{most}");
    }

    fn reserve(customer: Option<&str>) -> Request {
        let reserve = Reserve {
            nonce: 1,
            cart_id: "cart".into(),
            customer_id: customer.map(Into::into),
            items: Vec::new(),
            ttl_ms: 1,
            wait: false,
        };
        Request { idempotency_key: None, command: Command::Reserve(reserve) }
    }

    #[test]
    fn a_command_counts_for_its_customer_and_its_caller() {
        let (customer, caller) = (Some(rate(1, 3)), Some(rate(1, 5)));
        let rates = Rates::new(&RateLimits { customer, caller });
        let refused = |name, by| match rates.take(&reserve(name), by) {
            Ok(()) => None,
            Err(ProposeError::RateLimited { limit, .. }) => Some(limit),
            Err(other) => panic!("{other}"),
        };
        // The buckets fill by one a second: slower than these lines run, or one more than the burst is let through.
        let floods = |name, by| (0..200).filter_map(|_| refused(name, by)).collect::<Vec<_>>();
        let of_ann = floods(Some("ann"), Some("shop"));
        assert!(of_ann.len() > 100 && of_ann.iter().all(|limit| *limit == Limit::Customer), "{of_ann:?}");
        let of_shop = floods(None, Some("shop"));
        assert!(of_shop.len() > 100 && of_shop.iter().all(|limit| *limit == Limit::Caller), "{of_shop:?}");
        assert_eq!(floods(None, None), [], "there is nobody to count for");
        assert_eq!(refused(Some("bob"), Some("other shop")), None);
        let counted = rates.refused_of_customers.load(Ordering::Relaxed);
        assert_eq!(counted, of_ann.len() as u64);
    }

    #[test]
    fn without_limits_there_is_nothing_to_count() {
        let none = Rates::new(&RateLimits::default());
        assert!(!none.count(&[reserve(Some("ann"))], Some("shop")));
        assert_eq!(none.caller(Some("shop")), None);
        let of_customers = Rates::new(&RateLimits { customer: Some(rate(1, 1)), caller: None });
        assert!(of_customers.count(&[reserve(None), reserve(Some("ann"))], None));
        assert!(!of_customers.count(&[reserve(None)], Some("shop")));
    }
}
