//! A hold never ends before its deadline.

use std::collections::BTreeMap;

use storage::inventory::ids::ReservationId;
use storage::inventory::outcome::{Outcome, ReservationView, State};

use super::{Invariant, Moment};

/// The deadlines of the holds that were answered and may still live.
#[derive(Default)]
pub(super) struct Holds(BTreeMap<ReservationId, u64>);

impl Invariant for Holds {
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        for agreed in moment.agreed.clone().filter_map(|index| moment.history.entry(index)) {
            for (_, applied) in &agreed.applied {
                if let Ok(Outcome::Reserved(view) | Outcome::Extended(view)) = &applied.result {
                    self.note(view);
                }
            }
        }
        if moment.agreed.is_empty() {
            return Ok(());
        }
        let inventory = &moment.history.inventory;
        let now_ms = inventory.now_ms();
        let mut early = None;
        self.0.retain(|id, deadline_ms| match inventory.reservation(*id).map(|view| view.state) {
            Some(State::Held) => true,
            Some(State::Expired) if now_ms < *deadline_ms => {
                early = Some(format!("{id} ended {} ms early", *deadline_ms - now_ms));
                false
            }
            _ => false,
        });
        early.map_or(Ok(()), Err)
    }
}

impl Holds {
    fn note(&mut self, view: &ReservationView) {
        if let (Some(grant), State::Held) = (view.grant, view.state) {
            self.0.insert(view.id, grant.deadline_ms);
        }
    }
}
