//! How long a node was what it was, from looks at it.

use std::ops::Range;

use super::leaders::{Leader, is_deposed};
use crate::history::Sample;

/// What a node was for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::report) struct Spell {
    /// From the look that first saw it to the one that saw something else, in microseconds since the run's start.
    pub(in crate::report) time_us: Range<u64>,
    /// What it was.
    pub(in crate::report) state: State,
    /// Its term, as far as it said.
    pub(in crate::report) term: Option<u64>,
}

/// What a node was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum State {
    /// It led.
    Leader,
    /// It took itself for the leader, and others had a later one already.
    Deposed,
    /// It followed.
    Follower,
    /// It knew no leader, or asked for votes.
    Leaderless,
    /// It received the log without a vote.
    Learner,
    /// It had no process.
    Down,
    /// It had a process, which did not answer.
    Silent,
}

impl State {
    /// All of them, as the legend has them.
    pub(in crate::report) const ALL: [State; 7] = [
        State::Leader,
        State::Deposed,
        State::Follower,
        State::Leaderless,
        State::Learner,
        State::Down,
        State::Silent,
    ];

    fn of(sample: &Sample, leaders: &[Leader]) -> State {
        match (sample.up, sample.reachable, sample.role.as_deref(), sample.leader) {
            (false, ..) => State::Down,
            (true, true, Some("leader"), _) if is_deposed(sample, leaders) => State::Deposed,
            (true, true, Some("leader"), _) => State::Leader,
            (true, true, Some("candidate" | "follower"), None) => State::Leaderless,
            (true, true, Some("candidate" | "follower"), Some(_)) => State::Follower,
            (true, true, Some("learner"), _) => State::Learner,
            (true, ..) => State::Silent,
        }
    }

    /// In style.css.
    pub(in crate::report) fn class(self) -> &'static str {
        match self {
            State::Leader => "leader",
            State::Deposed => "deposed",
            State::Follower => "follower",
            State::Leaderless => "leaderless",
            State::Learner => "learner",
            State::Down => "down",
            State::Silent => "silent",
        }
    }

    /// As a bar says it.
    pub(in crate::report) fn word(self) -> &'static str {
        match self {
            State::Deposed => "old leader",
            State::Leaderless => "no leader",
            State::Silent => "no answer",
            state => state.class(),
        }
    }

    /// In words, for the legend.
    pub(in crate::report) fn name(self) -> &'static str {
        match self {
            State::Leader => "leader",
            State::Deposed => "takes itself for the leader of an earlier term",
            State::Follower => "follower",
            State::Leaderless => "knows no leader",
            State::Learner => "learner (no vote)",
            State::Down => "down (no process)",
            State::Silent => "no answer",
        }
    }
}

/// What a node was, from looks at all nodes in order of time, until `end_us`.
pub(super) fn spells(samples: &[&Sample], node: u64, leaders: &[Leader], end_us: u64) -> Vec<Spell> {
    let mut spells: Vec<Spell> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.node == node) {
        let state = State::of(sample, leaders);
        let term = sample.term.filter(|_| !matches!(state, State::Down | State::Silent));
        match spells.last_mut() {
            Some(last) if last.state == state && last.term == term => {}
            last => {
                if let Some(last) = last {
                    last.time_us.end = sample.at_us;
                }
                spells.push(Spell { time_us: sample.at_us..end_us, state, term });
            }
        }
    }
    spells
}

#[cfg(test)]
mod tests {
    use super::super::leaders::leaders;
    use super::*;

    fn look(node: u64, at_us: u64, up: bool, role: Option<&str>, term: u64) -> Sample {
        let (role, reachable) = (role.map(str::to_owned), role.is_some());
        let leader = (role.as_deref() != Some("candidate")).then_some(1);
        Sample { at_us, node, up, reachable, role, term: Some(term), leader, applied_index: None }
    }

    fn spells_of(node: u64, looks: &[Sample]) -> Vec<Spell> {
        let looks: Vec<&Sample> = looks.iter().collect();
        spells(&looks, node, &leaders(&looks), 9)
    }

    fn spell(time_us: Range<u64>, state: State, term: Option<u64>) -> Spell {
        Spell { time_us, state, term }
    }

    #[test]
    fn looks_that_see_the_same_are_one_spell() {
        let looks = [
            look(1, 1, true, Some("leader"), 3),
            look(1, 2, true, Some("leader"), 3),
            look(1, 3, false, None, 3),
            look(1, 4, true, None, 3),
            look(1, 5, true, Some("follower"), 4),
            look(2, 5, true, Some("follower"), 4),
            look(1, 6, true, Some("candidate"), 5),
        ];
        let expected = [
            spell(1..3, State::Leader, Some(3)),
            spell(3..4, State::Down, None),
            spell(4..5, State::Silent, None),
            spell(5..6, State::Follower, Some(4)),
            spell(6..9, State::Leaderless, Some(5)),
        ];
        assert_eq!(spells_of(1, &looks), expected);
    }

    #[test]
    fn a_leader_that_is_cut_off_is_none_once_there_is_another() {
        let looks = [
            look(1, 1, true, Some("leader"), 3),
            look(2, 2, true, Some("leader"), 4),
            look(1, 3, true, Some("leader"), 3),
            look(1, 4, true, Some("follower"), 4),
        ];
        let expected = [
            spell(1..3, State::Leader, Some(3)),
            spell(3..4, State::Deposed, Some(3)),
            spell(4..9, State::Follower, Some(4)),
        ];
        assert_eq!(spells_of(1, &looks), expected);
        assert_eq!(spells_of(2, &looks), [spell(2..9, State::Leader, Some(4))]);
    }
}
