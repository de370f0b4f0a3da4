//! What became of the buyers.

use std::collections::BTreeMap;

use client::{Error, Tries};

use crate::cli::latency::Latencies;

/// How far a buyer is whose last call got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Asking for a hold.
    Reserve,
    /// Paying for that hold.
    Commit {
        /// Which one.
        reservation_id: String,
    },
    /// Giving the place in the line up.
    Leave {
        /// With which reservation.
        reservation_id: String,
    },
}

/// What a buyer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// Has bought a unit.
    Won {
        /// With which reservation.
        reservation_id: String,
    },
    /// Was refused a hold, with that code.
    Lost(String),
    /// Had a hold, and left it unpaid.
    Abandoned,
    /// Stands in the line.
    Waiting {
        /// With which reservation.
        reservation_id: String,
    },
    /// Waited until the last unit was sold, and went home.
    LeftLine {
        /// With which reservation.
        reservation_id: String,
    },
    /// Had a hold, and was refused the commit, with that code.
    Forfeited(String),
    /// Got no answer yet.
    Open(Step),
}

/// A buyer who has bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Winner {
    /// Which buyer.
    pub(super) buyer: u32,
    /// With which reservation.
    pub(super) reservation_id: String,
}

/// A buyer who got a hold: at once, or out of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    /// The reservation. Ids of later reserves are greater, as texts, too.
    pub(super) reservation_id: String,
    /// The hold's fencing token. That of a later hold is greater.
    pub(super) fencing_token: u64,
}

/// The sum of all buyers' fates.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// Who has bought.
    pub(super) winners: Vec<Winner>,
    /// How many were refused a hold, by code.
    pub(super) lost: BTreeMap<String, u64>,
    /// How many left their hold unpaid.
    pub(super) abandoned: u64,
    /// Who got a hold, paid for or not, in no order.
    pub(super) served: Vec<Served>,
    /// The reservations of those who waited and went home.
    pub(super) left_line: Vec<String>,
    /// Who stands in the line, and with which reservation.
    pub(super) waiting: Vec<(u32, String)>,
    /// How many were refused the commit of their hold, by code.
    pub(super) forfeited: BTreeMap<String, u64>,
    /// Who got no answer yet, and to what.
    pub(super) open: Vec<(u32, Step)>,
    /// How many calls had a try that may have been executed, and brought no answer.
    pub(super) unanswered_first: u64,
    /// How many requests were sent, retries included.
    pub(super) requests: u64,
    /// How long a reserve took with its retries.
    pub(super) latencies: Latencies,
    /// How many calls ended without an answer, all retries included.
    pub(super) failed_calls: u64,
    /// What the first of them came to.
    pub(super) first_error: Option<String>,
}

impl Tally {
    /// Of nobody yet.
    pub(super) fn new() -> Tally {
        Tally {
            winners: Vec::new(),
            lost: BTreeMap::new(),
            abandoned: 0,
            served: Vec::new(),
            left_line: Vec::new(),
            waiting: Vec::new(),
            forfeited: BTreeMap::new(),
            open: Vec::new(),
            unanswered_first: 0,
            requests: 0,
            latencies: Latencies::new(),
            failed_calls: 0,
            first_error: None,
        }
    }

    /// Adds a buyer.
    pub(super) fn add(&mut self, buyer: u32, fate: Fate) {
        match fate {
            Fate::Won { reservation_id } => self.winners.push(Winner { buyer, reservation_id }),
            Fate::Abandoned => self.abandoned += 1,
            Fate::Waiting { reservation_id } => self.waiting.push((buyer, reservation_id)),
            Fate::LeftLine { reservation_id } => self.left_line.push(reservation_id),
            Fate::Lost(code) => *self.lost.entry(code).or_default() += 1,
            Fate::Forfeited(code) => *self.forfeited.entry(code).or_default() += 1,
            Fate::Open(step) => self.open.push((buyer, step)),
        }
    }

    /// Adds the tries of one call.
    pub(super) fn add_tries(&mut self, tries: Tries) {
        self.requests += u64::from(tries.made);
        self.unanswered_first += u64::from(tries.unanswered > 0);
    }

    /// Notes a call that ended without an answer.
    pub(super) fn note(&mut self, error: &Error) {
        self.failed_calls += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    /// How many buyers it is of.
    pub(super) fn buyers(&self) -> u64 {
        let refused: u64 = self.lost.values().chain(self.forfeited.values()).sum();
        let went_home = self.abandoned + self.left_line.len() as u64;
        let on_their_way = self.waiting.len() + self.open.len();
        self.winners.len() as u64 + refused + went_home + on_their_way as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn won(id: &str) -> Fate {
        Fate::Won { reservation_id: id.to_owned() }
    }

    #[test]
    fn every_buyer_counts_once() {
        let mut tally = Tally::new();
        tally.add(1, won("res_1"));
        tally.add(2, Fate::Lost("held_by_others".to_owned()));
        tally.add(3, Fate::Lost("held_by_others".to_owned()));
        tally.add(4, Fate::Forfeited("reservation_expired".to_owned()));
        tally.add(5, Fate::Open(Step::Reserve));
        assert_eq!(tally.buyers(), 5);
        assert_eq!(tally.lost["held_by_others"], 2);
    }

    #[test]
    fn a_call_counts_as_unanswered_once() {
        let mut tally = Tally::new();
        tally.add_tries(Tries { made: 3, unanswered: 2 });
        tally.add_tries(Tries { made: 1, unanswered: 0 });
        assert_eq!((tally.requests, tally.unanswered_first), (4, 1));
    }
}
