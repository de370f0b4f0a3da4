//! Answers kept under idempotency keys, so that a call that is tried twice is executed once.
//!
//! Only what was done is kept: a refusal leaves its key unused, so that the same call may succeed later. Answers
//! are forgotten by log time; one that is due counts as gone even where the bounded sweep has not reached it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::command::{Command, IfExpired, OnShortfall};
use super::digest::{self, Digest, Kind};
use super::ids::ReservationId;
use super::names::{Named, Names};
use super::outcome::{Applied, Outcome, Rejection, ReservationView};
use super::portion::some_of;
use super::record::{AnswerRecord, ReservationRecord};
use super::reservations::Reservations;
use crate::planted;

/// All kept answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    rows: Names<KeptAnswer>,
    /// What is forgotten next: (forget_ms, sequence) -> key.
    forgets: BTreeMap<(u64, u64), Arc<str>>,
    /// The sum of the hashes of all rows.
    digest: u64,
    /// The answers that came or went since the changes were taken, by sequence and key; one that did both is there
    /// twice.
    changed: Vec<(u64, Arc<str>)>,
}

/// An answer as it is kept.
#[derive(Debug, Clone)]
pub(super) struct KeptAnswer {
    key: Arc<str>,
    fingerprint: u64,
    sequence: u64,
    forget_ms: u64,
    outcome: KeptOutcome,
    /// What it adds to the digest.
    hash: u64,
}

/// What a command did, as it is kept.
#[derive(Debug, Clone)]
enum KeptOutcome {
    /// As it was told.
    Whole(Box<Outcome>),
    /// A reservation as it was at that moment, by the record that it had then and most likely has still.
    Reservation {
        /// Which outcome this view is told in.
        told: fn(ReservationView) -> Outcome,
        id: ReservationId,
        now_ms: u64,
        position: Option<u64>,
        record: Arc<ReservationRecord>,
    },
}

impl Answers {
    /// The answer under a key, unless it is to be forgotten.
    pub(super) fn find(&self, key: &str, now_ms: u64) -> Option<&KeptAnswer> {
        self.rows.get(key).filter(|answer| answer.forget_ms > now_ms)
    }

    /// The answer under a key, be it to be forgotten or not.
    pub(super) fn stored(&self, key: &str) -> Option<AnswerRecord> {
        self.rows.get(key).map(KeptAnswer::record)
    }

    /// Reads what a look-up of a key begins with. The number means nothing.
    pub(super) fn glance(&self, key: &str) -> u64 {
        self.rows.glance(key)
    }

    /// Keeps an answer, in the place of one that was to be forgotten.
    pub(super) fn keep(&mut self, key: &str, record: AnswerRecord, reservations: &Reservations) {
        self.remove(key);
        let key = Arc::from(key);
        self.changed.push((record.sequence, Arc::clone(&key)));
        self.add(key, record, reservations);
    }

    /// Adds an answer from a record; false where its place is taken.
    pub(super) fn load(&mut self, key: &str, record: AnswerRecord, reservations: &Reservations) -> bool {
        self.add(Arc::from(key), record, reservations)
    }

    fn add(&mut self, key: Arc<str>, record: AnswerRecord, reservations: &Reservations) -> bool {
        let answer = KeptAnswer::of(key, record, reservations);
        self.digest = self.digest.wrapping_add(answer.hash);
        let place = self.forgets.insert(answer.forget_key(), Arc::clone(&answer.key));
        self.rows.insert(Box::new(answer)).is_none() && place.is_none()
    }

    /// Forgets the answer that is due first, if any is.
    pub(super) fn forget_next(&mut self, now_ms: u64) -> bool {
        match self.forgets.first_key_value() {
            Some((&(forget_ms, _), key)) if forget_ms <= now_ms => {
                let key = Arc::clone(key);
                self.remove(&key);
                true
            }
            _ => false,
        }
    }

    /// When the next answer is forgotten.
    pub(super) fn next_forget_ms(&self) -> Option<u64> {
        self.forgets.first_key_value().map(|(&(forget_ms, _), _)| forget_ms)
    }

    /// Whether the index has an entry for each answer, and none besides.
    pub(super) fn index_holds(&self) -> bool {
        let has_place = |answer: &KeptAnswer| {
            self.forgets.get(&answer.forget_key()).is_some_and(|key| *key == answer.key)
        };
        self.forgets.len() == self.rows.len() && self.rows.iter().all(has_place)
    }

    /// Every answer, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, AnswerRecord)> {
        self.rows.iter().map(|answer| (&*answer.key, answer.record()))
    }

    /// Every answer, in the order of the sequences.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (&str, AnswerRecord)> {
        let mut answers: Vec<_> = self.rows.iter().filter(|_| !planted!("answers-not-in-images")).collect();
        answers.sort_unstable_by_key(|answer| (answer.sequence, &answer.key));
        answers.into_iter().map(|answer| (&*answer.key, answer.record()))
    }

    /// The greatest sequence of a command that an answer is of.
    pub(super) fn last_sequence(&self) -> u64 {
        self.rows.iter().map(|answer| answer.sequence).max().unwrap_or(0)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The sum of the hashes of all rows.
    pub(super) fn digest(&self) -> u64 {
        if planted!("answers-not-in-images") { 0 } else { self.digest }
    }

    /// How many changes there were.
    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Shows the answers that came or went since they were shown last, by sequence and key: as many as are left to be
    /// shown, each of them once.
    pub(super) fn take_changed(
        &mut self,
        left: &mut usize,
        mut take: impl FnMut(u64, &str, Option<&AnswerRecord>),
    ) {
        let mut changed: Vec<_> = some_of(&mut self.changed, left).collect();
        changed.sort_unstable();
        changed.dedup();
        if planted!("answers-not-in-images") {
            return;
        }
        for (sequence, key) in &changed {
            let record = self.stored(key).filter(|record| record.sequence == *sequence);
            take(*sequence, key, record.as_ref());
        }
    }

    fn remove(&mut self, key: &str) {
        let Some(answer) = self.rows.remove(key) else {
            return;
        };
        self.forgets.remove(&answer.forget_key());
        self.digest = self.digest.wrapping_sub(answer.hash);
        self.changed.push((answer.sequence, answer.key));
    }
}

impl Named for KeptAnswer {
    fn name(&self) -> &Arc<str> {
        &self.key
    }
}

impl KeptAnswer {
    fn of(key: Arc<str>, record: AnswerRecord, reservations: &Reservations) -> KeptAnswer {
        let hash = digest::answer(&key, &record);
        let AnswerRecord { fingerprint, sequence, outcome, forget_ms } = record;
        let outcome = KeptOutcome::of(outcome, reservations);
        KeptAnswer { key, fingerprint, sequence, forget_ms, outcome, hash }
    }

    fn record(&self) -> AnswerRecord {
        let &KeptAnswer { fingerprint, sequence, forget_ms, .. } = self;
        AnswerRecord { fingerprint, sequence, outcome: self.outcome.told(), forget_ms }
    }

    /// The answer to the call that came again, if it is the same call.
    pub(super) fn again(&self, command: &Command) -> Result<Applied, Rejection> {
        if self.fingerprint != fingerprint(command) && !planted!("fingerprint-not-compared") {
            return Err(Rejection::IdempotencyKeyReused);
        }
        Ok(Applied { sequence: self.sequence, replayed: true, result: Ok(self.outcome.told()) })
    }

    fn forget_key(&self) -> (u64, u64) {
        (self.forget_ms, self.sequence)
    }
}

impl KeptOutcome {
    fn of(outcome: Outcome, reservations: &Reservations) -> KeptOutcome {
        let (told, view): (fn(_) -> _, _) = match &outcome {
            Outcome::Reserved(view) => (Outcome::Reserved, view),
            Outcome::AlreadyReserved(view) => (Outcome::AlreadyReserved, view),
            Outcome::Waiting(view) => (Outcome::Waiting, view),
            Outcome::Committed(view) => (Outcome::Committed, view),
            Outcome::Released(view) => (Outcome::Released, view),
            Outcome::Extended(view) => (Outcome::Extended, view),
            Outcome::Returned(view) => (Outcome::Returned, view),
            Outcome::Ticked | Outcome::SkuCreated(_) | Outcome::SkuSet(_) | Outcome::SkuDeleted => {
                return KeptOutcome::Whole(Box::new(outcome));
            }
        };
        match reservations.shared(view.id).filter(|record| record.has_view(view)) {
            None => KeptOutcome::Whole(Box::new(outcome)),
            Some(record) => {
                let (id, now_ms, position) = (view.id, view.now_ms, view.position);
                KeptOutcome::Reservation { told, id, now_ms, position, record: Arc::clone(record) }
            }
        }
    }

    fn told(&self) -> Outcome {
        match self {
            KeptOutcome::Whole(outcome) => Outcome::clone(outcome),
            KeptOutcome::Reservation { told, id, now_ms, position, record } => {
                told(record.view(*id, *now_ms, *position))
            }
        }
    }
}

/// A hash of what the client asked for: the call and every field that it chose. Not the nonce, which each try of
/// the call has anew.
pub(super) fn fingerprint(command: &Command) -> u64 {
    let fed = Digest::of(Kind::Fingerprint);
    match command {
        Command::Tick => fed.word(1),
        Command::Reserve(reserve) => fed
            .word(2)
            .text(&reserve.cart_id)
            .text_if_any(reserve.customer_id.as_deref())
            .items(&reserve.items)
            .word(reserve.ttl_ms)
            .word(u64::from(reserve.wait)),
        Command::Commit(commit) => fed
            .word(3)
            .id(commit.reservation_id)
            .text_if_any(commit.payment_token.as_deref())
            .word_if_any(commit.fencing_token)
            .word(u64::from(commit.if_expired == IfExpired::Reacquire))
            .items_if_any(commit.items.as_deref()),
        Command::Release(release) => {
            fed.word(4).id(release.reservation_id).items_if_any(release.items.as_deref())
        }
        Command::Extend(extend) => fed.word(5).id(extend.reservation_id).word(extend.ttl_ms),
        Command::Return(back) => fed.word(6).id(back.reservation_id).items_if_any(back.items.as_deref()),
        Command::PutSku(put) => fed
            .word(7)
            .text(put.sku.as_str())
            .word(put.on_hand)
            .word_if_any(put.safety_stock)
            .setting(put.max_per_customer)
            .word(u64::from(put.on_shortfall == OnShortfall::RevokeNewest))
            .precondition(&put.precondition),
        Command::AdjustSku(adjust) => fed
            .word(8)
            .text(adjust.sku.as_str())
            .word(adjust.delta.cast_unsigned())
            .text_if_any(adjust.reason.as_deref())
            .text_if_any(adjust.reference.as_deref())
            .word(u64::from(adjust.on_shortfall == OnShortfall::RevokeNewest))
            .precondition(&adjust.precondition),
        Command::DeleteSku(delete) => {
            fed.word(9).text(delete.sku.as_str()).precondition(&delete.precondition)
        }
        Command::RaiseLevel(to) => fed.word(10).word(u64::from(*to)),
        #[cfg(feature = "next-version")]
        Command::KeepBack(sku) => fed.word(11).text(sku.as_str()),
    }
    .finish()
}
