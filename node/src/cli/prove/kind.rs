//! The kinds of faults.

use std::fmt;

use clap::ValueEnum;

/// A kind of fault, as `--faults` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(super) enum Kind {
    /// kill -9, and a new start.
    Kill,
    /// SIGSTOP, and SIGCONT.
    Pause,
    /// Nodes are cut off from the others, both ways.
    Partition,
    /// A node is cut off from the others one way: it hears and is not heard, or the other way round.
    Oneway,
    /// The links of a node are cut and healed every few moments.
    Flap,
    /// Bytes pass late, and few at a time.
    Slow,
    /// Connections between nodes break, and new ones are made in another order than they were asked for.
    Reorder,
    /// Connections to a node are accepted, and nobody answers.
    Halfopen,
    /// A node's wall clock is ahead, behind, or drifts.
    Clock,
    /// kill -9 of every node at once, and a new start.
    All,
    /// A node's disk is slow, full, or fails an fsync.
    Disk,
    /// A rolling restart: SIGTERM and a new start, node after node.
    Restart,
    /// The cluster grows, shrinks, and hands leadership over.
    Membership,
}

impl Kind {
    /// Those that are done unless `--faults` says otherwise.
    pub(super) const ALL: [Kind; 13] = [
        Kind::Kill,
        Kind::Pause,
        Kind::Partition,
        Kind::Oneway,
        Kind::Flap,
        Kind::Slow,
        Kind::Reorder,
        Kind::Halfopen,
        Kind::Clock,
        Kind::All,
        Kind::Disk,
        Kind::Restart,
        Kind::Membership,
    ];

    /// Its word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Pause => "pause",
            Kind::Partition => "partition",
            Kind::Oneway => "oneway",
            Kind::Flap => "flap",
            Kind::Slow => "slow",
            Kind::Reorder => "reorder",
            Kind::Halfopen => "halfopen",
            Kind::Clock => "clock",
            Kind::All => "all",
            Kind::Disk => "disk",
            Kind::Restart => "restart",
            Kind::Membership => "membership",
        }
    }

    /// Whether it is done to links alone, so that it goes together with what is done to a process.
    pub(super) fn is_of_links(self) -> bool {
        matches!(
            self,
            Kind::Partition | Kind::Oneway | Kind::Flap | Kind::Slow | Kind::Reorder | Kind::Halfopen
        )
    }

    /// Whether it is done to every node, so that nothing goes together with it.
    pub(super) fn is_of_all(self) -> bool {
        matches!(self, Kind::All | Kind::Restart | Kind::Membership)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
