//! Who waits, and who is next.

use storage::inventory::PROMOTE_MAX;
use storage::inventory::command::{Reserve, Stamp};
use storage::inventory::event::{Cause, ReservationChangeKind};
use storage::inventory::ids::{Item, ReservationId, Sku};
use storage::inventory::outcome::{Grant, Outcome, State};

use super::{Naive, Reservation};

impl Naive {
    /// Takes the last place in the line of its SKU.
    pub(super) fn join(&mut self, stamp: &Stamp, reserve: &Reserve) -> Outcome {
        let id = self.make(stamp, reserve, State::Waiting);
        self.note(&reserve.items[0].sku, Cause::Reserve);
        self.tell(id, ReservationChangeKind::Waiting, None, Cause::Reserve);
        Outcome::Waiting(self.reservation(id).unwrap())
    }

    /// Puts the units of a new reservation, or of the head of a line, under a hold.
    pub(super) fn grant(&mut self, stamp: &Stamp, id: ReservationId) {
        self.tokens += 1;
        let (fencing_token, now_ms) = (self.tokens, self.now_ms);
        let one = self.one_mut(id);
        one.ttl_ms = one.ttl_ms.min(stamp.max_hold_ms).max(1);
        let deadline_ms = now_ms + one.ttl_ms;
        one.state = State::Held;
        one.grant = Some(Grant { fencing_token, granted_ms: now_ms, deadline_ms });
        one.forget_ms = deadline_ms + stamp.retention_ms;
    }

    /// Whoever is next and fits gets a hold, or is passed over where its customer may not have it. Units that came
    /// due go to a line at once, however far the sweep has got.
    pub(super) fn serve_lines(&mut self) {
        let mut due: Vec<_> = self.skus.keys().filter_map(|sku| self.due_with_a_line(sku)).collect();
        due.sort();
        due.iter().for_each(|(_, sku)| self.settle(sku));
        for sku in self.skus.keys().cloned().collect::<Vec<_>>() {
            while let Some((id, item)) = self.head_that_fits(&sku) {
                if self.promoted == PROMOTE_MAX {
                    return;
                }
                self.promoted += 1;
                self.serve(id, &item);
            }
        }
    }

    fn serve(&mut self, id: ReservationId, item: &Item) {
        let stamp = self.stamp.unwrap();
        let customer = self.one(id).customer_id.clone();
        let kind = if self.over_limit(customer.as_deref(), item).is_some() {
            self.one_mut(id).state = State::Released;
            self.one_mut(id).forget_ms = self.now_ms + stamp.retention_ms;
            ReservationChangeKind::Released
        } else {
            self.grant(&stamp, id);
            ReservationChangeKind::Held
        };
        self.note(&item.sku, Cause::Line);
        self.tell(id, kind, Some(State::Waiting), Cause::Line);
    }

    /// When the first units of a SKU with a line came due, if any did.
    fn due_with_a_line(&self, sku: &Sku) -> Option<(u64, Sku)> {
        self.waiting(sku).next()?;
        let first_ms = *self.lapses(sku, self.skus[sku].noted_ms).first()?;
        Some((first_ms, sku.clone()))
    }

    fn head_that_fits(&self, sku: &Sku) -> Option<(ReservationId, Item)> {
        let head = self.waiting(sku).next()?;
        let fits = self.stock(sku)?.available() >= head.items[0].qty;
        let never = self.never_allowed(head.customer_id.as_deref(), &head.items[0]);
        (fits || never).then(|| (head.id, head.items[0].clone()))
    }

    /// Those that wait for a SKU, the head first.
    pub(super) fn waiting(&self, sku: &Sku) -> impl Iterator<Item = &Reservation> {
        let waits = |one: &&Reservation| one.state == State::Waiting;
        self.reservations.iter().filter(waits).filter(move |one| one.items[0].sku == *sku)
    }

    pub(super) fn position(&self, one: &Reservation) -> Option<u64> {
        let waits = one.state == State::Waiting;
        waits.then(|| self.waiting(&one.items[0].sku).filter(|other| other.id <= one.id).count() as u64)
    }
}
