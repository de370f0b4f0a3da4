//! The test of the tests: what the random commands reached.

use std::collections::BTreeMap;

use storage::inventory::command::Command;
use storage::inventory::event::{Event, EventChange};
use storage::inventory::outcome::Applied;

use crate::naive::kind_of;

/// How often each answer and each event was seen.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    seen: BTreeMap<String, u64>,
}

impl Coverage {
    pub(crate) fn answer(&mut self, command: &Command, applied: &Applied) {
        let what = match &applied.result {
            Ok(_) if applied.replayed => "replayed".to_owned(),
            Ok(outcome) => first_word(&format!("{outcome:?}")),
            Err(rejection) => first_word(&format!("{rejection:?}")),
        };
        self.add(format!("{} -> {what}", first_word(&format!("{command:?}"))), 1);
    }

    pub(crate) fn event(&mut self, event: &Event) {
        let what = match &event.change {
            EventChange::Reservation(change) => match change.before {
                Some(before) => format!("{:?} from {before:?}", change.kind),
                None => format!("{:?}", change.kind),
            },
            EventChange::Stock(change) => format!("{:?}", kind_of(change)),
        };
        self.add(format!("event {what} by {:?}", event.cause), 1);
    }

    pub(crate) fn add(&mut self, what: String, times: u64) {
        *self.seen.entry(what).or_default() += times;
    }

    pub(crate) fn merge(&mut self, other: Coverage) {
        other.seen.into_iter().for_each(|(what, times)| self.add(what, times));
    }

    /// Every line of the list was seen often enough, and nothing that is not on it.
    pub(crate) fn check(&self, list: &str, least: u64) {
        for (what, times) in &self.seen {
            eprintln!("{times:9} {what}");
        }
        for line in list.lines() {
            let times = self.seen.get(line).copied().unwrap_or(0);
            assert!(times >= least, "{line}: only {times} times");
        }
        for what in self.seen.keys() {
            assert!(list.lines().any(|line| line == what), "{what} is not on the list");
        }
    }
}

fn first_word(text: &str) -> String {
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}
