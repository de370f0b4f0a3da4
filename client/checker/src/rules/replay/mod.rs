//! Every answer, in the order of sequences, held against a naive model of the contract.
//!
//! ```text
//!   sequence 17   events 17.0 time, 17.1 line, 17.2 reserve ...     at 12:00:00.125
//!     time passes to 12:00:00.125        holds that are due end
//!     who was served before              the line's events
//!     the command                        that of the answer with 17; else one of unknown outcome that explains the events
//!     who was served after               the line's events
//!     what the events and the answer show, is it so?
//!     reads and refusals that reflect 17, are they so at some moment before the next event?
//! ```
//!
//! Together with real time (`sequence`), answers that are all as the model says exhibit a linearization: the order of
//! sequences is one.
//!
//! What the model cannot know it is told, and checks: ids and tokens by the answers, when the line was served and what
//! became of commands without an answer by the feed. Where the moment of an answer is known as a span, every moment of
//! it is allowed. Whatever contradicts the model is told once, and believed from then on.

mod doubts;
mod model;
mod perform;
mod plan;
mod refuse;
mod show;

use std::collections::{BTreeMap, HashMap};

use client::api::{EventData, InventoryRecord, Reservation, ReservationState as State};
use client::code;

use self::doubts::{Doubts, Explained, cause_of, op_of};
use self::model::Model;
use self::perform::Moment;
use self::plan::Plan;
use self::show::{Difference, Kind};
use super::{CLOCK_SLACK_MS, Findings};
use crate::book::{Ask, Body, Book, Command, Noted, Read, Told};
use crate::history::{Final, Op};

/// Where the replay puts what it finds.
pub(crate) struct Court<'f> {
    /// Answers that are not what the model says.
    pub(crate) replay: &'f mut Findings,
    /// Holds that ended early.
    pub(crate) kept: &'f mut Findings,
    /// Holds that ended late.
    pub(crate) ended: &'f mut Findings,
    /// What the feed does not tell as it was, or tells without a reason.
    pub(crate) feed: &'f mut Findings,
    /// Two effects under one key.
    pub(crate) once: &'f mut Findings,
    /// Lines that are not served in order.
    pub(crate) line: &'f mut Findings,
}

/// Replays the whole history. Without a feed there is nothing to replay by.
pub(crate) fn all(book: &Book<'_>, court: &mut Court<'_>) {
    if book.feed.is_empty() {
        return;
    }
    let mut replay = Replay {
        book,
        model: Model::new(&book.history.run.settings),
        doubts: Doubts::of(book),
        versions: HashMap::new(),
        court,
    };
    let mut feed = book.feed.as_slice();
    for (sequence, mut due) in timetable(book) {
        let (past, rest) = feed.split_at(feed.partition_point(|noted| noted.sequence < sequence));
        let (events, rest) = rest.split_at(rest.partition_point(|noted| noted.sequence == sequence));
        debug_assert!(past.is_empty(), "every sequence of the feed is in the timetable");
        feed = rest;
        due.next_ms = rest.first().map_or(u64::MAX, |noted| noted.at_ms);
        due.told_ms = events.first().map_or(due.next_ms, |noted| noted.at_ms);
        replay.one(sequence, events, &due);
    }
    replay.lines_are_served();
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

/// What is to be looked at, at one sequence.
#[derive(Default)]
struct Due<'b> {
    commands: Vec<&'b Command<'b>>,
    refused: Vec<&'b Command<'b>>,
    reads: Vec<&'b Read<'b>>,
    finals: Vec<&'b Final>,
    /// When the next event happened.
    next_ms: u64,
    /// When the command at this sequence happened at the latest.
    told_ms: u64,
}

fn timetable<'b>(book: &'b Book<'b>) -> BTreeMap<u64, Due<'b>> {
    let mut table: BTreeMap<u64, Due<'b>> = BTreeMap::new();
    for noted in &book.feed {
        table.entry(noted.sequence).or_default();
    }
    let mut by_key: HashMap<&str, u64> = HashMap::new();
    for replayed in [false, true] {
        let done = |command: &&Command<'_>| command.success().is_some_and(|told| told.replayed == replayed);
        for command in book.commands.iter().filter(done) {
            let Some(sequence) = command.done_at() else { continue };
            // Of the answers under one key one stands for all; that they are the same is another rule's to see.
            let first =
                command.key.as_deref().is_none_or(|key| *by_key.entry(key).or_insert(sequence) == sequence);
            let due = table.entry(sequence).or_default();
            let known = |other: &&&Command<'_>| other.key.is_some() && other.key == command.key;
            if first && !due.commands.iter().any(|other| known(&other)) {
                due.commands.push(command);
            }
        }
    }
    for command in &book.commands {
        if let Some(told) = command.told.as_ref().filter(|told| told.refused()) {
            table.entry(told.sequence.unwrap_or(0)).or_default().refused.push(command);
        }
    }
    for read in &book.reads {
        if let Some(sequence) = read.told.sequence {
            table.entry(sequence).or_default().reads.push(read);
        }
    }
    for last in &book.history.finals {
        table.entry(last.sequence).or_default().finals.push(last);
    }
    table
}

type Figures = (u64, u64, u64, u64, u64, Option<u64>);

struct Replay<'b, 'c, 'f> {
    book: &'b Book<'b>,
    model: Model,
    doubts: Doubts<'b>,
    /// What each version of a SKU's record was shown as.
    versions: HashMap<(String, u64), (Figures, u64)>,
    court: &'c mut Court<'f>,
}

impl<'b> Replay<'b, '_, '_> {
    fn one(&mut self, sequence: u64, events: &'b [Noted<'b>], due: &Due<'b>) {
        if let Some(first) = events.first() {
            self.model.advance(first.at_ms);
        }
        let own =
            events.iter().position(|noted| op_of(cause_of(noted)).is_some() || cause_of(noted) == "revoke");
        let (before, rest) = events.split_at(own.unwrap_or(events.len()));
        self.by_itself(before, sequence);
        self.model.changed.clear();
        self.model.changed_skus.clear();
        self.commands(sequence, rest, events, due);
        self.by_itself(rest, sequence);
        self.compare_stock(events, sequence);
        for command in &due.commands {
            self.answer(command, due.told_ms);
        }
        for command in &due.refused {
            self.refusal(command, due.next_ms);
        }
        for read in &due.reads {
            self.read(read);
        }
        for last in &due.finals {
            self.last(last);
        }
    }

    // --- the commands ---------------------------------------------------------------------------------------

    fn commands(&mut self, sequence: u64, own: &[Noted<'b>], events: &[Noted<'b>], due: &Due<'b>) {
        let effect = own.iter().any(|noted| op_of(cause_of(noted)).is_some());
        match (due.commands.as_slice(), effect) {
            ([], false) => {}
            ([], true) => self.unnamed(sequence, own),
            (commands, _) => {
                for command in commands {
                    self.named(sequence, command, own, due.told_ms);
                }
            }
        }
        if effect {
            self.compare_reservations(own, sequence);
            self.is_all_told(events);
        }
    }

    /// A command whose answer names the sequence.
    fn named(&mut self, sequence: u64, command: &Command<'_>, own: &[Noted<'b>], to_ms: u64) {
        self.court.replay.look();
        let Some(told) = command.success() else { return };
        let to_ms = self.latest_ms(to_ms, command.call.ended_us);
        let at_ms = self.model.now_ms;
        let moments =
            if own.is_empty() { self.model.moments(&command.ask, to_ms) } else { Some(vec![at_ms]) };
        let Some(moments) = moments else { return };
        let plans = moments.iter().map(|&at_ms| self.model.plan(&command.ask, command.condition, at_ms));
        let plans: Vec<_> = plans.collect();
        // Without an event nothing has changed: of the moments one should say so.
        let quiet = |plan: &&Plan| matches!(plan, Plan::Nothing | Plan::Same(..) | Plan::Set);
        let fitting = || plans.iter().flatten().filter(|plan| plan.status() == told.status);
        let Some(plan) = fitting().find(quiet).or_else(|| fitting().next()) else {
            let said = plans.first().cloned().unwrap_or(Ok(Plan::Nothing));
            return self.contradicted(command, told, &said, own, sequence);
        };
        let view = told.reservation();
        self.model.perform(&command.ask, plan, &Moment { sequence, at_ms, view });
        if own.is_empty() && !(self.model.changed.is_empty() && self.model.changed_skus.is_empty()) {
            let call = command.call;
            self.court.feed.accuse(call.ended_us, &[call.id], || {
                format!("call {}: done as {sequence}, and the feed has no event of it", call.id)
            });
        }
    }

    /// The latest moment of an answer: the next event's, or, since the cluster's clock does not run ahead, what the
    /// wall clock allows.
    fn latest_ms(&self, next_ms: u64, ended_us: u64) -> u64 {
        if !self.book.clocks_can_be_trusted {
            return next_ms;
        }
        let wall_ms = self.book.started_ms + ended_us / 1_000 + CLOCK_SLACK_MS;
        next_ms.min(wall_ms.max(self.model.now_ms))
    }

    /// An answer of a command that the model would not have given.
    fn contradicted(
        &mut self,
        command: &Command<'_>,
        told: &Told,
        said: &Result<Plan, &'static str>,
        own: &[Noted<'b>],
        sequence: u64,
    ) {
        let call = command.call;
        let text = || {
            let said =
                said.as_ref().map_or_else(|code| format!("a refusal, {code}"), |plan| format!("{plan:?}"));
            format!("call {}: {} was answered {}, and the model says {said}", call.id, call.op, told.status)
        };
        match said {
            Err(code::RESERVATION_EXPIRED) => self.court.ended.accuse(call.ended_us, &[call.id], text),
            _ => self.court.replay.accuse(call.ended_us, &[call.id], text),
        }
        self.believe(own, sequence);
        if let Some(view) = told.reservation().filter(|_| own.is_empty()) {
            self.model.adopt(view, sequence);
        }
        if let (Body::Stock(record), true) = (&told.body, own.is_empty()) {
            self.model.adopt_stock(record, sequence);
        }
    }

    /// A command that no answer names.
    fn unnamed(&mut self, sequence: u64, own: &[Noted<'b>]) {
        let (at_us, id) =
            own.first().map_or((0, ""), |noted| (self.book.at_us(noted.at_ms), &noted.event.id));
        match self.doubts.explain(self.book, own, &self.model) {
            Explained::By(place) => self.unanswered(sequence, place, own),
            Explained::Twice(place) => {
                let call = self.book.commands[place].call;
                self.court.once.accuse(at_us, &[call.id], || {
                    format!("event {id}: call {} is done once more, and its effect was another one", call.id)
                });
                self.believe(own, sequence);
            }
            Explained::Nowhere => {
                self.court.feed.accuse(at_us, &[], || format!("event {id}: nobody asked for this"));
                self.believe(own, sequence);
            }
        }
    }

    /// A command of unknown outcome, and the feed says that it was done.
    fn unanswered(&mut self, sequence: u64, place: usize, own: &[Noted<'b>]) {
        let command = &self.book.commands[place];
        let at_ms = self.model.now_ms;
        let made = own.iter().find_map(|noted| match &noted.event.data {
            EventData::Reservation(change) if op_of(&change.cause).is_some() => Some(&change.reservation),
            _ => None,
        });
        self.court.replay.look();
        match self.model.plan(&command.ask, command.condition, at_ms) {
            Ok(plan) => self.model.perform(&command.ask, &plan, &Moment { sequence, at_ms, view: made }),
            Err(code) => {
                let call = command.call;
                self.court.replay.accuse(self.book.at_us(at_ms), &[call.id], || {
                    format!("call {}: {} was done as {sequence}, and the model says {code}", call.id, call.op)
                });
                self.believe(own, sequence);
            }
        }
    }

    // --- the feed -------------------------------------------------------------------------------------------

    /// What happens without a command: time, and the line.
    fn by_itself(&mut self, events: &[Noted<'b>], sequence: u64) {
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
    fn compare_reservations(&mut self, own: &[Noted<'b>], sequence: u64) {
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
    fn compare_stock(&mut self, events: &[Noted<'b>], sequence: u64) {
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
    fn is_all_told(&mut self, events: &[Noted<'_>]) {
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
    fn believe(&mut self, events: &[Noted<'_>], sequence: u64) {
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

    // --- answers --------------------------------------------------------------------------------------------

    /// The body of a command's answer.
    fn answer(&mut self, command: &Command<'_>, to_ms: u64) {
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
    fn one_version(&mut self, record: &InventoryRecord, at_us: u64, calls: &[u64]) {
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

    fn refusal(&mut self, command: &Command<'_>, next_ms: u64) {
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

    fn read(&mut self, read: &Read<'_>) {
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
            let (first, last) = (call.query.get("cursor").is_none(), page.next_cursor.is_none());
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
    fn last(&mut self, last: &Final) {
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

    /// At the end nobody waits for units that are there.
    fn lines_are_served(&mut self) {
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
