//! Answers kept under idempotency keys, so that a call that is tried twice is executed once.
//!
//! Only what was done is kept: a refusal leaves its key unused, so that the same call may succeed later. Answers
//! are forgotten by log time; one that is due counts as gone even where the bounded sweep has not reached it.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::by_sequence::BySequence;
use super::command::{Command, IfExpired, OnShortfall};
use super::digest::{self, Digest, Kind};
use super::forgets::{Forgets, Forgotten};
use super::ids::Sku;
use super::kept::FiguresAt;
use super::outcome::{Applied, Outcome, Rejection, ReservationView, StockView};
use super::portion::some_of;
use super::postings::Postings;
use super::record::{AnswerRecord, ReservationRecord};
use super::reservations::Reservations;
use super::stocks::Stocks;
use super::told_text::{Numbers, ToldText, ViewAt};
use crate::planted;

/// All kept answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    /// By the sequence of the command that each is to.
    rows: BySequence<KeptAnswer>,
    /// Their sequences by key.
    keys: Postings,
    /// What is forgotten next.
    forgets: Forgets,
    /// The sum of the hashes of all rows.
    digest: u64,
    /// The answers that came or went since the changes were taken, by sequence; of one that went its text. One that did
    /// both is there twice.
    changed: Vec<(u64, Option<ToldText>)>,
}

/// An answer as it is kept: as little of it as tells all of it.
#[derive(Debug, Clone)]
pub(super) struct KeptAnswer {
    /// The key, and the numbers that are told.
    text: ToldText,
    fingerprint: u64,
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
    /// A reservation, by the record that it had then and most likely has still. Which moment that was is in the text.
    Reservation { told: ToldOfReservation, record: Arc<ReservationRecord> },
    /// A SKU, which has the same copy of its name. Its figures are in the text.
    Stock { told: ToldOfStock, sku: Sku },
}

/// Which outcome the view of a reservation is told in.
#[derive(Debug, Clone, Copy)]
enum ToldOfReservation {
    Reserved,
    AlreadyReserved,
    Waiting,
    Committed,
    Released,
    Extended,
    Returned,
}

/// Which outcome the view of a SKU is told in.
#[derive(Debug, Clone, Copy)]
enum ToldOfStock {
    Created,
    Set,
}

impl Answers {
    /// The answer under a key and the sequence of its command, unless it is to be forgotten.
    pub(super) fn find(&self, key: &str, now_ms: u64) -> Option<(u64, &KeptAnswer)> {
        self.stored(key).filter(|(_, answer)| answer.forget_ms > now_ms)
    }

    /// The same, be it to be forgotten or not.
    fn stored(&self, key: &str) -> Option<(u64, &KeptAnswer)> {
        let candidates = self.keys.of_backwards(key);
        let mut answers = candidates.filter_map(|sequence| Some((sequence, self.rows.get(sequence)?)));
        answers.find(|(_, answer)| answer.text.is_of(key))
    }

    /// Reads what a look-up of a key begins with. The number means nothing.
    pub(super) fn glance(&self, key: &str) -> u64 {
        self.keys.glance(key)
    }

    /// Keeps an answer, in the place of one that was to be forgotten.
    pub(super) fn keep(
        &mut self,
        key: &str,
        record: AnswerRecord,
        stocks: &Stocks,
        reservations: &Reservations,
    ) {
        if let Some((former, _)) = self.stored(key) {
            self.remove(former);
        }
        self.changed.push((record.sequence, None));
        self.add(key, record, stocks, reservations);
    }

    /// Adds an answer from a record; false where its place is taken.
    pub(super) fn load(
        &mut self,
        key: &str,
        record: AnswerRecord,
        stocks: &Stocks,
        reservations: &Reservations,
    ) -> bool {
        let place = (self.stored(key), self.rows.get(record.sequence));
        let is_free = matches!(place, (None, None));
        if is_free {
            self.add(key, record, stocks, reservations);
        }
        is_free
    }

    fn add(&mut self, key: &str, record: AnswerRecord, stocks: &Stocks, reservations: &Reservations) {
        let AnswerRecord { fingerprint, sequence, forget_ms, .. } = record;
        let hash = digest::answer(key, &record);
        self.digest = self.digest.wrapping_add(hash);
        self.keys.insert(key, sequence);
        self.forgets.insert(sequence, forget_ms);
        let (outcome, numbers) = KeptOutcome::of(record.outcome, stocks, reservations);
        let text = ToldText::new(key, &numbers);
        self.rows.insert(sequence, KeptAnswer { text, fingerprint, forget_ms, outcome, hash });
    }

    /// Forgets the answer that is due first, if any is.
    pub(super) fn forget_next(&mut self, now_ms: u64) -> bool {
        if self.forgets.next_ms().is_none_or(|forget_ms| forget_ms > now_ms) {
            return false;
        }
        let due = self.forgets.next(&self.rows);
        due.map(|sequence| self.remove(sequence)).is_some()
    }

    /// When the next answer is forgotten.
    pub(super) fn next_forget_ms(&self) -> Option<u64> {
        self.forgets.next_ms()
    }

    /// Whether each index has an entry for each answer, and none besides.
    pub(super) fn index_holds(&self) -> bool {
        let all = || self.rows.iter();
        let keys = Postings::of_all(all().map(|(sequence, answer)| (answer.text.key(), sequence)));
        (&self.keys, &self.forgets) == (&keys, &Forgets::of(&self.rows))
    }

    /// Every answer, in the order of the sequences.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, AnswerRecord)> {
        let told = self.rows.iter().filter(|_| !planted!("answers-not-in-images"));
        told.map(|(sequence, answer)| (answer.text.key(), answer.record(sequence)))
    }

    /// The greatest sequence of a command that an answer is of.
    pub(super) fn last_sequence(&self) -> u64 {
        self.rows.iter().map(|(sequence, _)| sequence).max().unwrap_or(0)
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
    /// shown.
    pub(super) fn take_changed(
        &mut self,
        left: &mut usize,
        mut take: impl FnMut(u64, &str, Option<&AnswerRecord>),
    ) {
        let Answers { rows, changed, .. } = self;
        for (sequence, gone) in some_of(changed, left) {
            if planted!("answers-not-in-images") {
                continue;
            }
            match (rows.get(sequence), gone) {
                (_, Some(text)) => take(sequence, text.key(), None),
                (Some(answer), None) => take(sequence, answer.text.key(), Some(&answer.record(sequence))),
                // It went meanwhile, which is shown as well.
                (None, None) => {}
            }
        }
    }

    fn remove(&mut self, sequence: u64) {
        let Some(answer) = self.rows.remove(sequence) else {
            return;
        };
        self.keys.remove(answer.text.key(), sequence);
        self.forgets.remove(sequence, answer.forget_ms, &self.rows);
        self.digest = self.digest.wrapping_sub(answer.hash);
        self.changed.push((sequence, Some(answer.text)));
    }
}

impl Forgotten for KeptAnswer {
    fn forget_ms(&self) -> u64 {
        self.forget_ms
    }
}

impl KeptAnswer {
    fn record(&self, sequence: u64) -> AnswerRecord {
        let &KeptAnswer { fingerprint, forget_ms, .. } = self;
        AnswerRecord { fingerprint, sequence, outcome: self.told(), forget_ms }
    }

    /// The answer to the call that came again, if it is the same call. The sequence is that of the first one.
    pub(super) fn again(&self, sequence: u64, command: &Command) -> Result<Applied, Rejection> {
        if self.fingerprint != fingerprint(command) && !planted!("fingerprint-not-compared") {
            return Err(Rejection::IdempotencyKeyReused);
        }
        Ok(Applied { sequence, replayed: true, result: Ok(self.told()) })
    }

    #[expect(clippy::expect_used, reason = "whoever kept the outcome kept its numbers")]
    fn told(&self) -> Outcome {
        match &self.outcome {
            KeptOutcome::Whole(outcome) => Outcome::clone(outcome),
            KeptOutcome::Reservation { told, record } => {
                let ViewAt { id, now_ms, position } = self.text.view_at().expect("the moment is there");
                told.outcome(record.view(id, now_ms, position.map(NonZeroU64::get)))
            }
            KeptOutcome::Stock { told, sku } => {
                told.outcome(self.text.figures().expect("the figures are there").view(sku))
            }
        }
    }
}

impl KeptOutcome {
    /// And the numbers that it leaves to the text.
    fn of(outcome: Outcome, stocks: &Stocks, reservations: &Reservations) -> (KeptOutcome, Numbers) {
        use ToldOfReservation as Told;
        let kept = match &outcome {
            Outcome::Reserved(view) => KeptOutcome::of_reservation(Told::Reserved, view, reservations),
            Outcome::AlreadyReserved(view) => {
                KeptOutcome::of_reservation(Told::AlreadyReserved, view, reservations)
            }
            Outcome::Waiting(view) => KeptOutcome::of_reservation(Told::Waiting, view, reservations),
            Outcome::Committed(view) => KeptOutcome::of_reservation(Told::Committed, view, reservations),
            Outcome::Released(view) => KeptOutcome::of_reservation(Told::Released, view, reservations),
            Outcome::Extended(view) => KeptOutcome::of_reservation(Told::Extended, view, reservations),
            Outcome::Returned(view) => KeptOutcome::of_reservation(Told::Returned, view, reservations),
            Outcome::SkuCreated(view) => Some(KeptOutcome::of_stock(ToldOfStock::Created, view, stocks)),
            Outcome::SkuSet(view) => Some(KeptOutcome::of_stock(ToldOfStock::Set, view, stocks)),
            Outcome::Ticked | Outcome::SkuDeleted => None,
        };
        kept.unwrap_or_else(|| (KeptOutcome::Whole(Box::new(outcome)), Numbers::None))
    }

    /// `None` where no record says the same.
    fn of_reservation(
        told: ToldOfReservation,
        view: &ReservationView,
        reservations: &Reservations,
    ) -> Option<(KeptOutcome, Numbers)> {
        let record = reservations.shared(view.id).filter(|record| record.has_view(view))?;
        let position = view.position.map(NonZeroU64::new);
        // Nobody's place is 0.
        let position = if position == Some(None) { return None } else { position.flatten() };
        let at = ViewAt { id: view.id, now_ms: view.now_ms, position };
        let kept = KeptOutcome::Reservation { told, record: Arc::clone(record) };
        Some((kept, Numbers::View(at)))
    }

    fn of_stock(told: ToldOfStock, view: &StockView, stocks: &Stocks) -> (KeptOutcome, Numbers) {
        let sku = stocks.get(&view.sku).map_or(&view.sku, |stock| stock.sku()).clone();
        (KeptOutcome::Stock { told, sku }, Numbers::Figures(FiguresAt::of_view(view)))
    }
}

impl ToldOfStock {
    fn outcome(self, view: StockView) -> Outcome {
        match self {
            ToldOfStock::Created => Outcome::SkuCreated(view),
            ToldOfStock::Set => Outcome::SkuSet(view),
        }
    }
}

impl ToldOfReservation {
    fn outcome(self, view: ReservationView) -> Outcome {
        match self {
            ToldOfReservation::Reserved => Outcome::Reserved(view),
            ToldOfReservation::AlreadyReserved => Outcome::AlreadyReserved(view),
            ToldOfReservation::Waiting => Outcome::Waiting(view),
            ToldOfReservation::Committed => Outcome::Committed(view),
            ToldOfReservation::Released => Outcome::Released(view),
            ToldOfReservation::Extended => Outcome::Extended(view),
            ToldOfReservation::Returned => Outcome::Returned(view),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be one for each call of a day: an answer to a put of a SKU took 519 bytes in all.
    #[test]
    fn an_answer_is_kept_in_few_bytes() {
        assert_eq!((size_of::<KeptOutcome>(), size_of::<Option<KeptAnswer>>()), (24, 64));
    }
}
