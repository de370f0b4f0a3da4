//! The feed against the model: what happens by itself, and what a command's events show.

use std::collections::BTreeMap;

use client::api::{EventData, InventoryRecord, Reservation, ReservationState as State};

use super::Replay;
use super::model::Model;
use super::show::{Difference, Kind};
use crate::book::Noted;

impl<'b> Replay<'b, '_, '_> {
    /// What happens without a command: time, and the line.
    pub(super) fn by_itself(&mut self, events: &[Noted<'b>], sequence: u64) {
        for noted in events {
            let EventData::Reservation(change) = &noted.event.data else { continue };
            let view = &change.reservation;
            match (change.cause.as_str(), change.state_before, view.state) {
                ("line", Some(State::Waiting), State::Held) => self.served(view, noted),
                ("line", Some(State::Waiting), State::Released) => self.passed_over(view, noted),
                ("time" | "line", ..) => {}
                _ => continue,
            }
            let shown = self.model.shows(view, noted.at_ms);
            self.judge_event(noted, shown, |model| model.adopt(view, sequence));
        }
    }

    fn served(&mut self, view: &Reservation, noted: &Noted<'_>) {
        let id = view.reservation_id.as_str();
        self.court.line.look();
        if let Some(why) = self.why_not_served(view) {
            self.court.line.accuse(self.book.at_us(noted.at_ms), &[], || {
                format!("event {}: {id} is served, and {why}", noted.event.id)
            });
        }
        self.model.promote(id, view.fencing_token, noted.at_ms);
    }

    fn why_not_served(&self, view: &Reservation) -> Option<String> {
        let item = view.items.first()?;
        let sku = self.model.skus.get(&item.sku)?;
        let head = sku.line.first_key_value().map(|(_, head)| head);
        match () {
            () if head != Some(&view.reservation_id) => Some(format!("{head:?} is the head of the line")),
            () if sku.available_at(self.model.now_ms) < item.qty => Some("its units are not there".into()),
            () if self.model.is_over_limit(view.customer_id.as_deref(), item, self.model.now_ms) => {
                Some("its customer may not have so many".into())
            }
            () => None,
        }
    }

    fn passed_over(&mut self, view: &Reservation, noted: &Noted<'_>) {
        self.court.line.look();
        let over = view.items.first().is_some_and(|item| {
            self.model.is_over_limit(view.customer_id.as_deref(), item, self.model.now_ms)
        });
        if !over {
            self.court.line.accuse(self.book.at_us(noted.at_ms), &[], || {
                format!("event {}: {} is passed over without a reason", noted.event.id, view.reservation_id)
            });
        }
        self.model.give_back(&view.reservation_id, State::Released, noted.at_ms);
    }

    /// What the events of a command show of reservations.
    pub(super) fn compare_reservations(&mut self, own: &[Noted<'b>], sequence: u64) {
        for noted in own {
            let EventData::Reservation(change) = &noted.event.data else { continue };
            if matches!(change.cause.as_str(), "time" | "line") {
                continue;
            }
            let view = &change.reservation;
            let shown = self.model.shows(view, noted.at_ms);
            self.judge_event(noted, shown, |model| model.adopt(view, sequence));
        }
    }

    /// What the last event of each SKU shows of it.
    pub(super) fn compare_stock(&mut self, events: &[Noted<'b>], sequence: u64) {
        let mut last: BTreeMap<&str, (&Noted<'b>, Option<&InventoryRecord>)> = BTreeMap::new();
        for noted in events {
            let EventData::Stock(change) = &noted.event.data else { continue };
            let (before, after) = (change.before.as_ref(), change.after.as_ref());
            if let Some(record) = after.or(before) {
                last.insert(&record.sku, (noted, after));
            }
        }
        for (name, (noted, after)) in last {
            let shown = match after {
                Some(record) => self.model.shows_stock(record, noted.at_ms),
                None if self.model.skus.contains_key(name) => {
                    Err(Difference::other(format!("{name} is gone, and must be there")))
                }
                None => Ok(()),
            };
            self.judge_event(noted, shown, |model| match after {
                Some(record) => model.adopt_stock(record, sequence),
                None => drop(model.skus.remove(name)),
            });
            if let (Some(record), Some(sku)) = (after, self.model.skus.get_mut(name)) {
                (sku.version, sku.lapsed_since) = (record.version, false);
                self.one_version(record, self.book.at_us(noted.at_ms), &[]);
            }
        }
    }

    /// Whether all that the command changed has its event.
    pub(super) fn is_all_told(&mut self, events: &[Noted<'_>]) {
        let told = |name: &str| {
            events.iter().any(|noted| match &noted.event.data {
                EventData::Reservation(change) => change.reservation.reservation_id == name,
                EventData::Stock(change) => {
                    change.after.as_ref().or(change.before.as_ref()).is_some_and(|record| record.sku == name)
                }
            })
        };
        let changed = self.model.changed.iter().chain(&self.model.changed_skus);
        for name in changed.filter(|name| !told(name)) {
            let (at_us, id) =
                events.first().map_or((0, ""), |noted| (self.book.at_us(noted.at_ms), &noted.event.id));
            self.court
                .feed
                .accuse(at_us, &[], || format!("event {id}: {name} changed as well, and no event says so"));
        }
    }

    fn judge_event(
        &mut self,
        noted: &Noted<'_>,
        shown: Result<(), Difference>,
        adopt: impl FnOnce(&mut Model),
    ) {
        self.court.feed.look();
        let Err(difference) = shown else { return };
        let text = || format!("event {}: {}", noted.event.id, difference.text);
        let at_us = self.book.at_us(noted.at_ms);
        match difference.kind {
            Kind::Early => self.court.kept.accuse(at_us, &[], text),
            Kind::Late => self.court.ended.accuse(at_us, &[], text),
            Kind::Other => self.court.feed.accuse(at_us, &[], text),
        }
        adopt(&mut self.model);
    }

    /// Takes what events show as it is.
    pub(super) fn believe(&mut self, events: &[Noted<'_>], sequence: u64) {
        for noted in events {
            match &noted.event.data {
                EventData::Reservation(change) if change.cause != "line" => {
                    self.model.adopt(&change.reservation, sequence);
                }
                EventData::Stock(change) => match (&change.after, &change.before) {
                    (Some(record), _) => self.model.adopt_stock(record, sequence),
                    (None, Some(record)) => drop(self.model.skus.remove(&record.sku)),
                    (None, None) => {}
                },
                EventData::Reservation(_) => {}
            }
        }
    }

    /// At the end nobody waits for units that are there.
    pub(super) fn lines_are_served(&mut self) {
        let now_ms = self.model.now_ms;
        for (name, sku) in &self.model.skus {
            let Some((_, head)) = sku.line.first_key_value() else { continue };
            self.court.line.look();
            let Some(entry) = self.model.reservations.get(head) else { continue };
            let wanted = entry.items.first().map_or(0, |item| item.qty);
            if sku.available_at(now_ms) >= wanted {
                self.court.line.accuse(self.book.at_us(now_ms), &[], || {
                    format!("{head} waits for {wanted} units of {name} at the end, and they are there")
                });
            }
        }
    }
}
