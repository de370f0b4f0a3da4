//! Who led when, from looks at the nodes.

use crate::history::Sample;

/// A node leads from some moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::report) struct Leader {
    /// When that was first seen, in microseconds since the run's start.
    pub(in crate::report) at_us: u64,
    /// Who leads from then on.
    pub(in crate::report) node: u64,
    /// In which term.
    pub(in crate::report) term: u64,
}

/// All leaders, from looks at all nodes in order of time. One is new where its term is greater than any before: an old
/// one that has not noticed its end is none.
pub(super) fn leaders(samples: &[&Sample]) -> Vec<Leader> {
    let mut leaders: Vec<Leader> = Vec::new();
    for sample in samples.iter().filter(|sample| says_it_leads(sample)) {
        let term = sample.term.unwrap_or(0);
        if leaders.last().is_none_or(|last| term > last.term) {
            leaders.push(Leader { at_us: sample.at_us, node: sample.node, term });
        }
    }
    leaders
}

/// Whether a node takes itself for the leader, though one of a later term was seen already.
pub(super) fn is_deposed(sample: &Sample, leaders: &[Leader]) -> bool {
    let seen = leaders.partition_point(|leader| leader.at_us <= sample.at_us);
    let newest = leaders[..seen].last().map(|leader| leader.term);
    says_it_leads(sample) && newest.is_some_and(|newest| newest > sample.term.unwrap_or(0))
}

fn says_it_leads(sample: &Sample) -> bool {
    sample.up && sample.reachable && sample.role.as_deref() == Some("leader")
}
