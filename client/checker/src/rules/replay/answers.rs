//! What answers show: of commands, refusals and reads, and of the nodes after the run.

use client::api::InventoryRecord;
use client::code;

use super::Replay;
use super::show::{Difference, Kind};
use crate::book::{Ask, Body, Command, Read, Told};
use crate::history::{Final, Op};

impl Replay<'_, '_, '_> {
    /// The body of a command's answer.
    pub(super) fn answer(&mut self, command: &Command<'_>, to_ms: u64) {
        let Some(told) = command.success() else { return };
        let call = command.call;
        if !is_about(&command.ask, told) {
            self.court.replay.accuse(call.ended_us, &[call.id], || {
                format!("call {}: the answer is about something else than the call", call.id)
            });
        }
        self.shown(call.ended_us, call.id, told, self.latest_ms(to_ms, call.ended_us));
    }

    fn shown(&mut self, at_us: u64, call: u64, told: &Told, to_ms: u64) {
        for view in told.reservations() {
            self.court.replay.look();
            let shown = self.model.shows(view, to_ms);
            self.judge_answer(at_us, call, shown);
        }
        for record in told.stocks() {
            self.court.replay.look();
            let shown = self.model.shows_stock(record, to_ms);
            self.judge_answer(at_us, call, shown);
            self.one_version(record, at_us, &[call]);
        }
    }

    fn judge_answer(&mut self, at_us: u64, call: u64, shown: Result<(), Difference>) {
        let Err(difference) = shown else { return };
        let text = || format!("call {call}: {}", difference.text);
        match difference.kind {
            Kind::Early => self.court.kept.accuse(at_us, &[call], text),
            Kind::Late => self.court.ended.accuse(at_us, &[call], text),
            Kind::Other => self.court.replay.accuse(at_us, &[call], text),
        }
    }

    /// A version is one record.
    pub(super) fn one_version(&mut self, record: &InventoryRecord, at_us: u64, calls: &[u64]) {
        let InventoryRecord { on_hand, held, sold, waiting, safety_stock, max_per_customer, .. } = record;
        let figures = (*on_hand, *held, *sold, *waiting, *safety_stock, *max_per_customer);
        let first = (figures, calls.first().copied().unwrap_or(0));
        let (known, call) = *self.versions.entry((record.sku.clone(), record.version)).or_insert(first);
        if known != figures {
            self.court.replay.accuse(at_us, calls, || {
                format!(
                    "version {} of {} was {known:?} in call {call}, and is {figures:?}",
                    record.version, record.sku
                )
            });
        }
    }

    pub(super) fn refusal(&mut self, command: &Command<'_>, next_ms: u64) {
        let Some(Told { body: Body::Problem(problem), .. }) = &command.told else { return };
        let to_ms = self.latest_ms(next_ms, command.call.ended_us);
        let Some(moments) = self.model.moments(&command.ask, to_ms) else { return };
        let mut judged = moments
            .into_iter()
            .filter_map(|at_ms| self.model.is_true(&command.ask, command.condition, problem, at_ms))
            .peekable();
        if judged.peek().is_none() {
            return;
        }
        let fits = judged.any(|is_true| is_true);
        drop(judged);
        self.court.replay.look();
        if !fits {
            let call = command.call;
            let plan = self.model.plan(&command.ask, command.condition, self.model.now_ms);
            let text = || {
                let told = (&problem.code, &problem.shortages);
                format!(
                    "call {}: {} was refused, {told:?}, and the model says {plan:?}",
                    call.id,
                    command.ask.op()
                )
            };
            let early = problem.code == code::RESERVATION_EXPIRED && plan.is_ok();
            let findings = if early { &mut self.court.kept } else { &mut self.court.replay };
            findings.accuse(call.ended_us, &[call.id], text);
        }
    }

    pub(super) fn read(&mut self, read: &Read<'_>) {
        let (call, told) = (read.call, &read.told);
        // It reports its own moment, which may be after the next command's: of that one this node has not heard yet.
        let next_ms = self.latest_ms(u64::MAX, call.ended_us);
        match (call.op, told.status) {
            (Op::GetReservation, 404) => {
                self.court.replay.look();
                let id = call.target.as_deref().unwrap_or_default();
                let hidden = !self.model.may_be_forgotten(id, next_ms);
                self.hidden(call.ended_us, call.id, hidden, id);
            }
            (Op::GetStock, 404) => {
                self.court.replay.look();
                let name = call.target.as_deref().unwrap_or_default();
                let hidden = self.model.skus.contains_key(name);
                self.hidden(call.ended_us, call.id, hidden, name);
            }
            _ => self.shown(call.ended_us, call.id, told, next_ms),
        }
        if let Body::Stocks(page) = &told.body {
            let prefix = call.query.get("prefix").map_or("", String::as_str);
            let (first, last) = (!call.query.contains_key("cursor"), page.next_cursor.is_none());
            let missing = self.missing_sku(&page.data, prefix, first, last);
            self.hidden(call.ended_us, call.id, missing.is_some(), &missing.unwrap_or_default());
        }
    }

    fn hidden(&mut self, at_us: u64, call: u64, hidden: bool, what: &str) {
        if hidden {
            self.court
                .replay
                .accuse(at_us, &[call], || format!("call {call}: {what} is there, and was not shown"));
        }
    }

    /// A SKU that a page leaves out between its first row and its last, or the ends of the list.
    fn missing_sku(&self, page: &[InventoryRecord], prefix: &str, first: bool, last: bool) -> Option<String> {
        let mut rows: Vec<&str> = page.iter().map(|record| record.sku.as_str()).collect();
        rows.sort_unstable();
        let from = if first { prefix } else { rows.first()? };
        let until = rows.last().copied();
        let mut shown = rows.into_iter();
        let named = self.model.skus.range(from.to_owned()..).map(|(name, _)| name.as_str());
        let mut listed = named
            .take_while(|name| name.starts_with(prefix))
            .take_while(|name| last || until.is_some_and(|until| *name <= until));
        listed.find(|name| shown.next() != Some(*name)).map(str::to_owned)
    }

    /// A node's state after the run.
    pub(super) fn last(&mut self, last: &Final) {
        let next_ms = self.latest_ms(u64::MAX, last.at_us);
        let of_node = |difference: Difference| Difference {
            text: format!("node {} at the end: {}", last.node, difference.text),
            ..difference
        };
        for view in &last.reservations {
            self.court.replay.look();
            let shown = self.model.shows(view, next_ms).map_err(of_node);
            self.judge_final(last, shown);
        }
        for record in &last.stock {
            self.court.replay.look();
            let shown = self.model.shows_stock(record, next_ms).map_err(of_node);
            self.judge_final(last, shown);
            self.one_version(record, last.at_us, &[]);
        }
        if let Some(missing) = self.missing_sku(&last.stock, "", true, true) {
            self.judge_final(last, Err(of_node(Difference::other(format!("{missing} is not shown")))));
        }
        let shown: std::collections::HashSet<&str> =
            last.reservations.iter().map(|view| view.reservation_id.as_str()).collect();
        let missing: Vec<String> = (self.model.reservations.keys())
            .filter(|id| !shown.contains(id.as_str()) && !self.model.may_be_forgotten(id, next_ms))
            .cloned()
            .collect();
        for id in missing {
            self.judge_final(last, Err(of_node(Difference::other(format!("{id} is not shown")))));
        }
    }

    fn judge_final(&mut self, last: &Final, shown: Result<(), Difference>) {
        let Err(difference) = shown else { return };
        let findings = match difference.kind {
            Kind::Early => &mut self.court.kept,
            Kind::Late => &mut self.court.ended,
            Kind::Other => &mut self.court.replay,
        };
        findings.accuse(last.at_us, &[], || difference.text.clone());
    }
}

/// Whether an answer shows what its call names.
fn is_about(ask: &Ask, told: &Told) -> bool {
    match (ask, &told.body) {
        (Ask::Reserve(reserve), Body::Reservation(view)) => view.cart_id == reserve.cart_id,
        (Ask::Put(sku, _) | Ask::Adjust(sku, _), Body::Stock(record)) => record.sku == *sku,
        (Ask::Delete(_), _) => true,
        (ask, Body::Reservation(view)) => ask.reservation_id() == Some(&view.reservation_id),
        _ => false,
    }
}
