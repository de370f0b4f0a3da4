//! What was done at a sequence: the command of the answer that names it, or one without an answer that explains it.

use client::api::EventData;
use client::code;

use super::Replay;
use super::doubts::{Explained, cause_of, op_of};
use super::perform::Moment;
use super::plan::Plan;
use super::timetable::Due;
use crate::book::{Body, Command, Noted, Told};

impl<'b> Replay<'b, '_, '_> {
    pub(super) fn commands(&mut self, sequence: u64, own: &[Noted<'b>], events: &[Noted<'b>], due: &Due<'b>) {
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
}
