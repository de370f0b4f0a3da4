//! What became of the reserves that were asked of this node, be it alone or in a batch.

use std::sync::atomic::{AtomicU64, Ordering};

use raft::{Answer, ProposeError};
use storage::inventory::outcome::{Outcome, Rejection};

use super::page::{Page, label};

/// The outcomes that are told apart: what was granted, the contract's codes, and all others.
const OUTCOMES: [&str; 15] = [
    "held",
    "waiting",
    "already_reserved",
    "held_by_others",
    "insufficient_stock",
    "cart_already_reserved",
    "customer_limit",
    "sku_not_found",
    "idempotency_key_reused",
    "no_leader",
    "no_quorum",
    "overloaded",
    "rate_limited",
    "outcome_unknown",
    "other",
];

/// Counters of reserves.
#[derive(Debug, Default)]
pub(crate) struct Reserves([AtomicU64; OUTCOMES.len()]);

impl Reserves {
    /// Counts what became of one.
    pub(crate) fn count(&self, answer: &Result<Answer, ProposeError>) {
        let outcome = outcome(answer);
        let place = OUTCOMES.iter().position(|known| *known == outcome).unwrap_or(OUTCOMES.len() - 1);
        self.0[place].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn render(&self, page: &mut Page) {
        let name = "lastunit_reserves_total";
        page.head(name, "counter", "Reserves asked of this node, by what became of them.");
        for (outcome, count) in OUTCOMES.iter().zip(&self.0) {
            page.sample(name, &label("outcome", outcome), count.load(Ordering::Relaxed));
        }
    }
}

fn outcome(answer: &Result<Answer, ProposeError>) -> &'static str {
    match answer {
        Ok(Answer::Applied(applied) | Answer::Gated(applied)) => match &applied.result {
            Ok(outcome) => granted(outcome),
            Err(rejection) => refused(rejection),
        },
        Err(ProposeError::NoLeader) => "no_leader",
        Err(ProposeError::NoQuorum) => "no_quorum",
        Err(ProposeError::Overloaded | ProposeError::NoSpace) => "overloaded",
        Err(ProposeError::OutcomeUnknown) => "outcome_unknown",
        Err(ProposeError::RateLimited { .. }) => "rate_limited",
        // No reserve is a command of a later level.
        Err(ProposeError::FeatureNotActive) => "other",
    }
}

fn granted(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Reserved(_) => "held",
        Outcome::Waiting(_) => "waiting",
        Outcome::AlreadyReserved(_) => "already_reserved",
        _ => "other",
    }
}

fn refused(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::HeldByOthers { .. } => "held_by_others",
        Rejection::InsufficientStock { .. } => "insufficient_stock",
        Rejection::CartAlreadyReserved { .. } => "cart_already_reserved",
        Rejection::CustomerLimit { .. } | Rejection::CustomerTotal { .. } => "customer_limit",
        Rejection::SkuNotFound { .. } => "sku_not_found",
        Rejection::IdempotencyKeyReused => "idempotency_key_reused",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use storage::inventory::outcome::Applied;

    use super::*;

    #[test]
    fn each_is_counted_once_under_its_code() {
        let reserves = Reserves::default();
        let refused =
            |rejection| Answer::Gated(Applied { sequence: 1, replayed: false, result: Err(rejection) });
        reserves.count(&Ok(refused(Rejection::ReservationWaiting)));
        reserves.count(&Err(ProposeError::NoSpace));
        reserves.count(&Err(ProposeError::Overloaded));
        let mut page = Page::default();
        reserves.render(&mut page);
        let text = page.into_text();
        let counted: Vec<_> =
            text.lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0")).collect();
        let [overloaded, other] = [("overloaded", 2), ("other", 1)]
            .map(|(outcome, count)| format!("lastunit_reserves_total{{outcome=\"{outcome}\"}} {count}"));
        assert_eq!(counted, [overloaded, other]);
    }
}
