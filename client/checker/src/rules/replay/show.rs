//! What answers and events show, held against the model.

use client::api::{InventoryRecord, Reservation, ReservationState as State};

use super::model::{Entry, Model, Sku};
use crate::book::ms;

/// Lines longer than this are not counted through for a position.
const COUNTED_MAX: usize = 512;

/// How something shown is not what the model says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// Which promise a difference breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A hold has ended before its deadline.
    Early,
    /// A hold has not ended at its deadline.
    Late,
    /// Anything else.
    Other,
}

impl Difference {
    pub(super) fn other(text: String) -> Difference {
        Difference { kind: Kind::Other, text }
    }
}

impl Model {
    /// Whether a reservation is shown as it is at some moment from now until `to_ms`.
    pub(super) fn shows(&self, view: &Reservation, to_ms: u64) -> Result<(), Difference> {
        let id = view.reservation_id.as_str();
        let Some(entry) = self.reservations.get(id) else {
            return Err(Difference::other(format!("{id} is shown, and nobody made it")));
        };
        self.shows_state(id, entry, view.state, to_ms)?;
        let differs = |what: &str, shown: &dyn std::fmt::Debug, model: &dyn std::fmt::Debug| {
            Err(Difference::other(format!("{id}: {what} is {shown:?}, and must be {model:?}")))
        };
        let time = |text: &Option<String>| text.as_deref().and_then(ms);
        let sorted = crate::book::summed(&view.items);
        match () {
            () if view.cart_id != entry.cart_id => differs("cart_id", &view.cart_id, &entry.cart_id),
            () if view.customer_id != entry.customer_id => {
                differs("customer_id", &view.customer_id, &entry.customer_id)
            }
            () if sorted != entry.items => differs("items", &view.items, &entry.items),
            () if view.returned != entry.returned => differs("returned", &view.returned, &entry.returned),
            () if ms(&view.created_at) != Some(entry.created_ms) => {
                differs("created_at", &view.created_at, &entry.created_ms)
            }
            () if time(&view.expires_at) != entry.deadline_ms => {
                differs("expires_at", &view.expires_at, &entry.deadline_ms)
            }
            () if view.fencing_token != entry.token => {
                differs("fencing_token", &view.fencing_token, &entry.token)
            }
            () if time(&view.committed_at) != entry.committed_ms => {
                differs("committed_at", &view.committed_at, &entry.committed_ms)
            }
            () if view.payment_token != entry.payment_token => {
                differs("payment_token", &view.payment_token, &entry.payment_token)
            }
            () if !self.shows_position(entry, view.position) => {
                differs("position", &view.position, &self.line_of(entry).len())
            }
            () if !self.shows_time_left(entry, view, to_ms) => {
                differs("expires_in", &view.expires_in, &entry.deadline_ms)
            }
            () => Ok(()),
        }
    }

    fn shows_state(&self, id: &str, entry: &Entry, shown: State, to_ms: u64) -> Result<(), Difference> {
        let (first, last) = (entry.state_at(self.now_ms), entry.state_at(to_ms));
        if shown == first || shown == last {
            return Ok(());
        }
        let kind = match (shown, first) {
            (State::Expired, State::Held) => Kind::Early,
            (State::Held, State::Expired) => Kind::Late,
            _ => Kind::Other,
        };
        Err(Difference { kind, text: format!("{id} is {}, and must be {}", shown.as_str(), last.as_str()) })
    }

    fn shows_position(&self, entry: &Entry, shown: Option<u64>) -> bool {
        if entry.state != State::Waiting {
            return shown.is_none();
        }
        let line = self.line_of(entry);
        let Some(shown) = shown.and_then(|shown| usize::try_from(shown).ok()) else { return false };
        match line.len() {
            long if long > COUNTED_MAX => (1..=long).contains(&shown),
            _ => line.range(..=entry.place).count() == shown,
        }
    }

    fn line_of(&self, entry: &Entry) -> &std::collections::BTreeMap<u64, String> {
        static NOBODY: std::collections::BTreeMap<u64, String> = std::collections::BTreeMap::new();
        let sku = entry.items.first().and_then(|item| self.skus.get(&item.sku));
        sku.map_or(&NOBODY, |sku| &sku.line)
    }

    /// Whole seconds, rounded down, at some moment of the span.
    fn shows_time_left(&self, entry: &Entry, view: &Reservation, to_ms: u64) -> bool {
        let (Some(deadline_ms), State::Held) = (entry.deadline_ms, view.state) else { return true };
        let most = deadline_ms.saturating_sub(self.now_ms) / 1_000;
        let least = deadline_ms.saturating_sub(to_ms) / 1_000;
        view.expires_in.is_some_and(|left| (least..=most).contains(&left))
    }

    /// Whether a SKU's record is shown as it is at some moment from now until `to_ms`.
    pub(super) fn shows_stock(&self, record: &InventoryRecord, to_ms: u64) -> Result<(), Difference> {
        let name = record.sku.as_str();
        let Some(sku) = self.skus.get(name) else {
            return Err(Difference::other(format!("{name} is shown, and there is no such SKU")));
        };
        let figures = (record.on_hand, record.sold, record.safety_stock, record.max_per_customer);
        let model = (sku.on_hand, sku.sold, sku.safety_stock, sku.max_per_customer);
        let line = sku.line.len() as u64;
        match () {
            () if figures != model => Err(Difference::other(format!(
                "{name}: on_hand, sold, safety_stock, max_per_customer are {figures:?}, and must be {model:?}"
            ))),
            () if record.waiting != line => {
                Err(Difference::other(format!("{name}: {} wait, and it must be {line}", record.waiting)))
            }
            () if record.version < sku.version => Err(Difference::other(format!(
                "{name}: version {}, and it was {} before",
                record.version, sku.version
            ))),
            () if !sku.may_hold(record.held, to_ms) => Err(Difference::other(format!(
                "{name}: {} are held, and it must be {}",
                record.held, sku.held
            ))),
            () => Ok(()),
        }
    }
}

impl Sku {
    /// Whether so many units are held at some moment from now until `to_ms`.
    fn may_hold(&self, shown: u64, to_ms: u64) -> bool {
        let mut held = self.held;
        let mut last = None;
        for ((deadline_ms, _), (_, qty)) in self.holds.range(..=(to_ms, u64::MAX)) {
            // All that lapse at one moment lapse together.
            if held == shown && last != Some(*deadline_ms) {
                return true;
            }
            (held, last) = (held - qty, Some(*deadline_ms));
        }
        held == shown
    }
}
