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
    /// The cluster grows by a node, hands leadership over to it, and lets it go.
    Membership,
    /// A node dies with its directory, and another one takes its place.
    Replace,
    /// The cluster grows from three to five and shrinks again, or the other way round.
    Grow,
    /// Leadership is handed over to another node.
    Transfer,
    /// A backup is taken from a running node.
    Backup,
    /// All certificates are made anew, and then their authority.
    Certs,
    /// All tokens are made anew, and the old ones revoked.
    Tokens,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Kind; 19] = [
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
        Kind::Replace,
        Kind::Grow,
        Kind::Transfer,
        Kind::Backup,
        Kind::Certs,
        Kind::Tokens,
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
            Kind::Replace => "replace",
            Kind::Grow => "grow",
            Kind::Transfer => "transfer",
            Kind::Backup => "backup",
            Kind::Certs => "certs",
            Kind::Tokens => "tokens",
        }
    }

    /// Whether it is an operator's work, which goes on as it should and hurts nobody.
    pub(super) fn is_operation(self) -> bool {
        use Kind::{Backup, Certs, Grow, Membership, Replace, Restart, Tokens, Transfer};
        matches!(self, Restart | Membership | Replace | Grow | Transfer | Backup | Certs | Tokens)
    }

    /// Whether there must be certificates and tokens for it.
    pub(super) fn is_of_security(self) -> bool {
        matches!(self, Kind::Certs | Kind::Tokens)
    }

    /// Whether it is done to links alone, so that it goes together with what is done to a process.
    pub(super) fn is_of_links(self) -> bool {
        matches!(
            self,
            Kind::Partition | Kind::Oneway | Kind::Flap | Kind::Slow | Kind::Reorder | Kind::Halfopen
        )
    }

    /// Whether it is done to every node, one after the other or at once.
    pub(super) fn hits_all(self) -> bool {
        matches!(self, Kind::All | Kind::Restart) || self.is_of_security()
    }

    /// Whether nothing goes together with it: it is done to every node, or takes the cluster as it should be.
    pub(super) fn stands_alone(self) -> bool {
        self.hits_all() || matches!(self, Kind::Membership | Kind::Replace | Kind::Grow)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
