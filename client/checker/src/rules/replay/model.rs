//! The contract in the plainest words: stock, reservations, lines, customers, and what time does to them.
//!
//! Everything can be asked of any moment from [`Model::now_ms`] on, because the moment of an answer is often known only
//! as a span. Holds that lapse up to that moment count as ended then.

use std::collections::{BTreeMap, HashMap};

use client::api::{InventoryRecord, Item, Reservation, ReservationState as State};

use crate::book::ms;
use crate::history::Settings;

/// The inventory as the contract says it must be.
pub(super) struct Model {
    pub(super) settings: Settings,
    pub(super) now_ms: u64,
    pub(super) skus: BTreeMap<String, Sku>,
    pub(super) reservations: HashMap<String, Entry>,
    /// The reservations of each cart, in the order of their making.
    pub(super) carts: HashMap<String, Vec<String>>,
    /// Live holds by deadline and number.
    due: BTreeMap<(u64, u64), String>,
    /// Units under live holds, and units bought and not returned, by SKU and customer.
    held_by: HashMap<(String, String), u64>,
    pub(super) bought: HashMap<(String, String), u64>,
    joined: u64,
    /// What the command at work has changed.
    pub(super) changed: Vec<String>,
    pub(super) changed_skus: Vec<String>,
}

/// A SKU.
#[derive(Default)]
pub(super) struct Sku {
    pub(super) on_hand: u64,
    pub(super) sold: u64,
    pub(super) safety_stock: u64,
    pub(super) max_per_customer: Option<u64>,
    /// Live holds by deadline and number: who, and how many units.
    pub(super) holds: BTreeMap<(u64, u64), (String, u64)>,
    pub(super) held: u64,
    /// Those who wait, in their order.
    pub(super) line: BTreeMap<u64, String>,
    /// The command that made it.
    pub(super) made_by: u64,
    /// The version that the feed told last, and whether time may have made a later one since.
    pub(super) version: u64,
    pub(super) lapsed_since: bool,
}

/// A reservation.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) cart_id: String,
    pub(super) customer_id: Option<String>,
    pub(super) items: Vec<Item>,
    pub(super) returned: Vec<Item>,
    pub(super) created_ms: u64,
    pub(super) granted_ms: u64,
    pub(super) deadline_ms: Option<u64>,
    pub(super) token: Option<u64>,
    pub(super) committed_ms: Option<u64>,
    pub(super) payment_token: Option<String>,
    pub(super) ttl_ms: u64,
    pub(super) made_by: u64,
    pub(super) ended_ms: u64,
    /// Its place in the line, while it waits.
    pub(super) place: u64,
    /// Its number: no two share one.
    pub(super) number: u64,
    /// How often its deadline was moved.
    pub(super) extensions: u64,
}

impl Entry {
    /// Its state at a moment: due is due.
    pub(super) fn state_at(&self, at_ms: u64) -> State {
        let due =
            self.state == State::Held && self.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= at_ms);
        if due { State::Expired } else { self.state }
    }
}

impl Model {
    pub(super) fn new(settings: &Settings) -> Model {
        Model {
            settings: settings.clone(),
            now_ms: 0,
            skus: BTreeMap::new(),
            reservations: HashMap::new(),
            carts: HashMap::new(),
            due: BTreeMap::new(),
            held_by: HashMap::new(),
            bought: HashMap::new(),
            joined: 0,
            changed: Vec::new(),
            changed_skus: Vec::new(),
        }
    }

    /// Time passes.
    pub(super) fn advance(&mut self, to_ms: u64) {
        self.now_ms = self.now_ms.max(to_ms);
        while let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= to_ms) {
            let id = first.get().clone();
            self.unhold(&id, State::Expired);
            if let Some(deadline_ms) = self.reservations.get(&id).and_then(|entry| entry.deadline_ms) {
                self.end(&id, State::Expired, deadline_ms);
            }
        }
    }

    /// Notes an end; nobody's units move.
    pub(super) fn end(&mut self, id: &str, state: State, at_ms: u64) {
        if let Some(entry) = self.reservations.get_mut(id) {
            (entry.state, entry.ended_ms) = (state, at_ms);
        }
    }

    /// Takes a hold's units under the hold, from its deadline in the entry on.
    pub(super) fn hold(&mut self, id: &str) {
        let Some(entry) = self.reservations.get(id) else { return };
        let key = (entry.deadline_ms.unwrap_or(0), entry.number);
        self.due.insert(key, id.to_owned());
        for item in &entry.items {
            if let Some(sku) = self.skus.get_mut(&item.sku) {
                sku.holds.insert(key, (id.to_owned(), item.qty));
                sku.held += item.qty;
                if let Some(customer) = &entry.customer_id {
                    *self.held_by.entry((item.sku.clone(), customer.clone())).or_default() += item.qty;
                }
            }
        }
    }

    /// Takes a live hold's units from under it.
    pub(super) fn unhold(&mut self, id: &str, why: State) {
        let Some(entry) = self.reservations.get(id) else { return };
        let key = (entry.deadline_ms.unwrap_or(0), entry.number);
        self.due.remove(&key);
        for item in &entry.items {
            if let Some(sku) = self.skus.get_mut(&item.sku)
                && let Some((_, qty)) = sku.holds.remove(&key)
            {
                sku.held -= qty;
                sku.lapsed_since |= why == State::Expired;
                let holder = entry.customer_id.as_ref().map(|customer| (item.sku.clone(), customer.clone()));
                if let Some(held) = holder.and_then(|holder| self.held_by.get_mut(&holder)) {
                    *held -= qty;
                }
            }
        }
    }

    /// Puts one who waits at the end of the line of its SKU.
    pub(super) fn join(&mut self, id: &str) {
        self.joined += 1;
        let Some(entry) = self.reservations.get_mut(id) else { return };
        entry.place = self.joined;
        if let Some(sku) = entry.items.first().and_then(|item| self.skus.get_mut(&item.sku)) {
            sku.line.insert(self.joined, id.to_owned());
        }
    }

    /// Takes one who waits out of the line.
    pub(super) fn leave(&mut self, id: &str) {
        let Some(entry) = self.reservations.get(id) else { return };
        if let Some(sku) = entry.items.first().and_then(|item| self.skus.get_mut(&item.sku)) {
            sku.line.remove(&entry.place);
        }
    }

    /// A new reservation.
    pub(super) fn insert(&mut self, id: &str, entry: Entry) {
        let entry = Entry { number: self.reservations.len() as u64, ..entry };
        self.carts.entry(entry.cart_id.clone()).or_default().push(id.to_owned());
        self.reservations.insert(id.to_owned(), entry);
    }

    /// The cart's reservation that is held or waits at a moment.
    pub(super) fn live_of_cart(&self, cart_id: &str, at_ms: u64) -> Option<(&str, &Entry)> {
        // The one before it had ended when it was made.
        let id = self.carts.get(cart_id)?.last()?;
        let live = |entry: &&Entry| matches!(entry.state_at(at_ms), State::Held | State::Waiting);
        self.reservations.get(id).filter(live).map(|entry| (id.as_str(), entry))
    }

    /// Units that customer has under live holds and bought.
    pub(super) fn has(&self, customer: &str, name: &str, sku: &Sku, at_ms: u64) -> u64 {
        let mine = |id: &String| {
            self.reservations.get(id).is_some_and(|entry| entry.customer_id.as_deref() == Some(customer))
        };
        let lapsed = sku.holds.range(..=(at_ms, u64::MAX)).filter(|(_, (id, _))| mine(id));
        let lapsed: u64 = lapsed.map(|(_, (_, qty))| qty).sum();
        let of = |units: &HashMap<(String, String), u64>| {
            units.get(&(name.to_owned(), customer.to_owned())).copied().unwrap_or(0)
        };
        of(&self.held_by) - lapsed + of(&self.bought)
    }

    /// Live reservations of a customer at a moment, and the units that they hold or wait for.
    pub(super) fn totals(&self, customer: &str, at_ms: u64) -> (u64, u64) {
        let live = |entry: &&Entry| matches!(entry.state_at(at_ms), State::Held | State::Waiting);
        let of_customer = |entry: &&Entry| entry.customer_id.as_deref() == Some(customer);
        let has = self.reservations.values().filter(of_customer).filter(live);
        has.fold((0, 0), |(holds, sum), entry| (holds + 1, sum + all_units(&entry.items)))
    }

    /// Makes a reservation what an answer or event shows, so that one contradiction is not told a thousand times.
    pub(super) fn adopt(&mut self, view: &Reservation, sequence: u64) {
        let id = view.reservation_id.as_str();
        match self.reservations.get(id).map(|entry| entry.state) {
            Some(State::Held) => self.unhold(id, State::Held),
            Some(State::Waiting) => self.leave(id),
            _ => {}
        }
        let known = self.reservations.get(id).cloned();
        let entry = entry_of(view, known.as_ref().map_or(sequence, |known| known.made_by), self.now_ms);
        match known {
            Some(Entry { ttl_ms, place, number, extensions, .. }) => {
                self.reservations.insert(id.to_owned(), Entry { ttl_ms, place, number, extensions, ..entry });
            }
            None => self.insert(id, entry),
        }
        match view.state {
            State::Held => self.hold(id),
            State::Waiting => self.join(id),
            _ => {}
        }
    }

    /// Makes a SKU's figures what an event shows.
    pub(super) fn adopt_stock(&mut self, record: &InventoryRecord, sequence: u64) {
        let sku = self
            .skus
            .entry(record.sku.clone())
            .or_insert_with(|| Sku { made_by: sequence, ..Sku::default() });
        (sku.on_hand, sku.sold, sku.safety_stock) = (record.on_hand, record.sold, record.safety_stock);
        sku.max_per_customer = record.max_per_customer;
    }
}

fn entry_of(view: &Reservation, made_by: u64, now_ms: u64) -> Entry {
    let time = |text: &Option<String>| text.as_deref().and_then(ms);
    Entry {
        state: view.state,
        cart_id: view.cart_id.clone(),
        customer_id: view.customer_id.clone(),
        items: view.items.clone(),
        returned: view.returned.clone(),
        created_ms: ms(&view.created_at).unwrap_or(0),
        granted_ms: now_ms,
        deadline_ms: time(&view.expires_at),
        token: view.fencing_token,
        committed_ms: time(&view.committed_at),
        payment_token: view.payment_token.clone(),
        ttl_ms: 0,
        made_by,
        ended_ms: now_ms,
        place: 0,
        number: 0,
        extensions: 0,
    }
}

impl Sku {
    /// Units under holds that are live at a moment.
    pub(super) fn held_at(&self, at_ms: u64) -> u64 {
        let lapsed: u64 = self.holds.range(..=(at_ms, u64::MAX)).map(|(_, (_, qty))| qty).sum();
        self.held - lapsed
    }

    /// What could be sold if nothing were held.
    pub(super) fn sellable(&self) -> u64 {
        self.on_hand.saturating_sub(self.safety_stock)
    }

    /// What a new reserve can take.
    pub(super) fn available_at(&self, at_ms: u64) -> u64 {
        self.sellable().saturating_sub(self.held_at(at_ms))
    }

    /// Whether a reserve cannot have so many units at once.
    pub(super) fn is_short(&self, qty: u64, at_ms: u64) -> bool {
        self.available_at(at_ms) < qty || !self.line.is_empty()
    }
}

/// Units of a SKU among items.
pub(super) fn units(items: &[Item], sku: &str) -> u64 {
    items.iter().filter(|item| item.sku == sku).map(|item| item.qty).sum()
}

/// Units of all SKUs.
pub(super) fn all_units(items: &[Item]) -> u64 {
    items.iter().map(|item| item.qty).sum()
}

/// Items less other items.
pub(super) fn less(items: &[Item], taken: &[Item]) -> Vec<Item> {
    let left =
        items.iter().map(|item| Item::new(&item.sku, item.qty.saturating_sub(units(taken, &item.sku))));
    left.filter(|item| item.qty > 0).collect()
}

/// Whether these items are a part of those.
pub(super) fn is_part(part: &[Item], of: &[Item]) -> bool {
    part.iter().all(|item| item.qty <= units(of, &item.sku))
}
