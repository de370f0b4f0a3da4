//! The one way in: time passes, what is due ends, and then the command is answered.
//!
//! ```text
//!   now = max(now, stamp)          sequence += 1
//!     -> sweep                     bounded: what is due ends or is forgotten
//!     -> serve the lines           bounded: with what has lapsed
//!     -> in range, and in force?   Invalid
//!     -> kept answer?              replay, or IdempotencyKeyReused
//!     -> settle what it names      due units of its SKUs go back, the due hold that it names ends
//!     -> check, then change        one match
//!     -> serve the lines           within the same bound: with what the command freed
//!     -> keep the answer           under its key, where something was done
//! ```
//!
//! Last of all the oldest events are forgotten, within bounds.
//!
//! That is also the precedence: Invalid, IdempotencyKeyReused, then what each command's check says.

use super::Inventory;
use super::command::{
    AdjustSku, Command, Commit, DeleteSku, Precondition, PutSku, Release, Request, Return, Setting, Stamp,
};
use super::event::Cause;
use super::idempotency::fingerprint;
use super::ids::{CLOCK_MS_MAX, ITEMS_MAX, Item, ReservationId, UNITS_MAX, VERSIONS_MAX};
use super::outcome::{Applied, Outcome, Rejection};
use super::record::AnswerRecord;
use super::serve::PROMOTE_MAX;
use crate::planted;

impl Inventory {
    /// Applies one command. Total, deterministic, clockless.
    pub fn apply(&mut self, stamp: &Stamp, request: &Request) -> Applied {
        self.counters.now_ms = self.counters.now_ms.max(stamp.now_ms.min(CLOCK_MS_MAX));
        self.counters.sequence += 1;
        self.promotions_left = PROMOTE_MAX;
        self.cause = Cause::Time;
        self.sweep(&request.command);
        self.serve_what_lapsed(stamp);
        let applied = self.answer(stamp, request).unwrap_or_else(|rejection| self.refused(rejection));
        if planted!("sequence-skipped-at-a-refusal")
            && matches!(applied.result, Err(Rejection::CustomerLimit { .. }))
        {
            self.counters.sequence += 1;
        }
        self.forget_events(stamp);
        self.counters.records_digest = self.sum_of_digests();
        applied
    }

    /// Whether the request would be refused if it were applied now (at the last applied time), without
    /// applying it. `None`: it might succeed or replay, so it must go through the log.
    ///
    /// This is the sold-out gate, asked for every request of a flash sale: it borrows, and allocates for the
    /// refusal alone.
    pub fn sure_rejection(&self, request: &Request) -> Option<Rejection> {
        if let Err(rejection) = request.command.check().and_then(|()| self.check_level(&request.command)) {
            return Some(rejection);
        }
        // Whoever waits may be served before the command is looked at.
        if self.stocks.agenda().is_behind(self.now_ms()) {
            return None;
        }
        let rejection = self.check_command(&request.command)?;
        // Only what would be refused is looked for among the kept answers: where there is one, it may be given again.
        let kept =
            |key| self.answers.find(key, self.now_ms()).is_some() && !planted!("gate-forgets-kept-answers");
        (!request.idempotency_key.as_deref().is_some_and(kept)).then_some(rejection)
    }

    /// Why a command in range would be refused now, kept answers left aside.
    fn check_command(&self, command: &Command) -> Option<Rejection> {
        match command {
            Command::Tick | Command::RaiseLevel(_) => None,
            Command::Reserve(reserve) => self.check_reserve(reserve).err(),
            Command::Commit(commit) => self.check_commit(commit).err(),
            Command::Release(release) => self.check_release(release).err(),
            // Whether it is past max_hold, or one too many, depends on the stamp, which is not known yet.
            Command::Extend(extend) => self.check_live(extend.reservation_id).err(),
            Command::Return(back) => self.check_return(back).err(),
            Command::PutSku(put) => self.check_put_sku(put).err(),
            Command::AdjustSku(adjust) => self.check_adjust_sku(adjust).err(),
            Command::DeleteSku(delete) => self.check_delete_sku(delete).err(),
            #[cfg(feature = "next-version")]
            Command::KeepBack(sku) => self.check_keep_back(sku).err(),
        }
    }

    fn answer(&mut self, stamp: &Stamp, request: &Request) -> Result<Applied, Rejection> {
        let Request { idempotency_key, command } = request;
        command.check()?;
        self.check_level(command)?;
        let kept = idempotency_key.as_deref().and_then(|key| self.answers.find(key, self.now_ms()));
        if let Some((sequence, kept)) = kept {
            return kept.again(sequence, command);
        }
        self.settle_what_it_names(command);
        self.cause = command.cause();
        let outcome = self.execute(stamp, command)?;
        self.serve_lines(stamp);
        if let Some(key) = idempotency_key {
            self.keep_answer(stamp, key, command, &outcome);
        }
        Ok(Applied { sequence: self.sequence(), replayed: false, result: Ok(outcome) })
    }

    fn execute(&mut self, stamp: &Stamp, command: &Command) -> Result<Outcome, Rejection> {
        match command {
            Command::Tick => Ok(Outcome::Ticked),
            Command::Reserve(reserve) => self.reserve(stamp, reserve),
            Command::Commit(commit) => self.commit(stamp, commit),
            Command::Release(release) => self.release(stamp, release),
            Command::Extend(extend) => self.extend(stamp, extend),
            Command::Return(back) => self.take_back(back),
            Command::PutSku(put) => self.put_sku(stamp, put),
            Command::AdjustSku(adjust) => self.adjust_sku(stamp, adjust),
            Command::DeleteSku(delete) => self.delete_sku(delete),
            Command::RaiseLevel(to) => {
                self.raise_level(*to);
                Ok(Outcome::Ticked)
            }
            #[cfg(feature = "next-version")]
            Command::KeepBack(sku) => self.keep_back(sku),
        }
    }

    fn settle_what_it_names(&mut self, command: &Command) {
        match command {
            Command::Tick | Command::RaiseLevel(_) => {}
            // It settles by itself, since what its cart has is to be found only once.
            Command::Reserve(_) => {}
            Command::Commit(commit) => self.settle_reservation(commit.reservation_id),
            Command::Release(release) => self.settle_reservation(release.reservation_id),
            Command::Extend(extend) => self.settle_reservation(extend.reservation_id),
            Command::Return(back) => self.settle_reservation(back.reservation_id),
            Command::PutSku(put) => self.settle(&put.sku),
            Command::AdjustSku(adjust) => self.settle(&adjust.sku),
            Command::DeleteSku(delete) => self.settle(&delete.sku),
            #[cfg(feature = "next-version")]
            Command::KeepBack(sku) => self.settle(sku),
        }
    }

    fn settle_reservation(&mut self, id: ReservationId) {
        self.settle_items_of(id);
        self.expire_if_due(id);
    }

    fn keep_answer(&mut self, stamp: &Stamp, key: &str, command: &Command, outcome: &Outcome) {
        let record = AnswerRecord {
            fingerprint: fingerprint(command),
            sequence: self.sequence(),
            outcome: outcome.clone(),
            forget_ms: self.now_ms().saturating_add(stamp.idempotency_ms),
        };
        self.answers.keep(key, record, &self.stocks, &self.reservations);
    }

    fn refused(&self, rejection: Rejection) -> Applied {
        Applied { sequence: self.sequence(), replayed: false, result: Err(rejection) }
    }
}

impl Command {
    /// What its own changes happen by.
    fn cause(&self) -> Cause {
        match self {
            Command::Tick | Command::RaiseLevel(_) => Cause::Time,
            Command::Reserve(_) => Cause::Reserve,
            Command::Commit(_) => Cause::Commit,
            Command::Release(_) => Cause::Release,
            Command::Extend(_) => Cause::Extend,
            Command::Return(_) => Cause::Return,
            Command::PutSku(_) => Cause::Put,
            Command::AdjustSku(_) => Cause::Adjust,
            Command::DeleteSku(_) => Cause::Delete,
            #[cfg(feature = "next-version")]
            Command::KeepBack(_) => Cause::Put,
        }
    }

    /// Whether its fields are in range: what every check and every sum after this relies on.
    fn check(&self) -> Result<(), Rejection> {
        let wrong = match self {
            Command::Reserve(reserve) if !are_items(&reserve.items) => "items",
            Command::Reserve(reserve) if reserve.wait && reserve.items.len() != 1 => "wait",
            Command::Reserve(reserve) if reserve.ttl_ms == 0 => "ttl_seconds",
            Command::Extend(extend) if extend.ttl_ms == 0 => "ttl_seconds",
            Command::Commit(Commit { items: Some(part), .. })
            | Command::Release(Release { items: Some(part), .. })
            | Command::Return(Return { items: Some(part), .. })
                if !are_items(part) =>
            {
                "items"
            }
            Command::PutSku(put) if put.safety_stock > Some(UNITS_MAX) => "safety_stock",
            Command::PutSku(put) if !is_limit(put.max_per_customer) => "max_per_customer",
            Command::AdjustSku(adjust) if adjust.delta == 0 => "delta",
            Command::PutSku(PutSku { precondition, .. })
            | Command::AdjustSku(AdjustSku { precondition, .. })
            | Command::DeleteSku(DeleteSku { precondition, .. })
                if !is_precondition(precondition) =>
            {
                "If-Match"
            }
            _ => return Ok(()),
        };
        Err(Rejection::Invalid { field: wrong.into() })
    }
}

/// Whether these are a cart's items: some, not too many, each SKU once and in order, each with units.
fn are_items(items: &[Item]) -> bool {
    (1..=ITEMS_MAX).contains(&items.len())
        && items.is_sorted_by(|a, b| a.sku < b.sku)
        && items.iter().all(|item| (1..=UNITS_MAX).contains(&item.qty))
}

/// Whether what a put sets as the most units for one customer is a number of units.
fn is_limit(limit: Setting<u64>) -> bool {
    match limit {
        Setting::Keep | Setting::Clear => true,
        Setting::Set(limit) => (1..=UNITS_MAX).contains(&limit),
    }
}

/// Whether a precondition is not too long to be compared by every replica.
fn is_precondition(precondition: &Precondition) -> bool {
    match precondition {
        Precondition::None | Precondition::Exists | Precondition::Absent => true,
        Precondition::Versions(versions) => versions.len() <= VERSIONS_MAX,
    }
}
