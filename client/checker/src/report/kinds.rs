//! The kinds of faults: what each is called, what it does, and which belong together.

/// What a kind of fault is called, what it does, and how it is drawn.
pub(super) struct Kind<'a> {
    /// In style.css: what kind of thing is broken.
    pub(super) class: &'static str,
    /// What it is called in a drawing or a sentence; its word in the record, for a kind that this crate does not know.
    pub(super) called: &'a str,
    /// What is done, for somebody who has not read the manual. Empty for a kind that this crate does not know.
    pub(super) says: &'static str,
}

/// Of a kind by its word in the record.
pub(super) fn kind(fault: &str) -> Kind<'_> {
    let (class, called, says) = match fault {
        "kill" => {
            ("process", "kill", "A node's process is ended at once, as by a crash, and started again later.")
        }
        "pause" => {
            ("process", "pause", "A node's process stands still for a while, as on an overloaded machine.")
        }
        "all" => (
            "process",
            "all killed",
            "All nodes are killed at once, as by a loss of power, and started again.",
        ),
        "restart" => (
            "process",
            "rolling restart",
            "Node after node ends in order and starts again, as for an update.",
        ),
        "partition" => ("network", "partition", "Some nodes and the others cannot reach each other."),
        "oneway" => ("network", "one-way cut", "One direction between nodes is cut; the other is not."),
        "flap" => ("network", "flapping links", "Links between nodes break and mend again and again."),
        "slow" => {
            ("network", "slow links", "What nodes send each other arrives late, or a little at a time.")
        }
        "reorder" => ("network", "reordering", "Connections break, and new ones are made in another order."),
        "halfopen" => {
            ("network", "half-open links", "Connections to a node are accepted, and nobody answers.")
        }
        "clock" => ("clock", "wrong clock", "A node's wall clock is wrong: ahead, behind, or drifting."),
        "disk" => ("disk", "bad disk", "A node's disk is slow, full, or fails to sync."),
        "membership" => {
            ("members", "change of members", "Nodes join or leave, or leadership is handed over.")
        }
        "replace" => (
            "members",
            "dead node replaced",
            "A node dies with its data for good, and a new one takes its place.",
        ),
        "grow" => (
            "members",
            "grown or shrunk",
            "The cluster goes from three nodes to five or the other way round, and back.",
        ),
        "transfer" => ("members", "leadership moved", "Another node is told to lead."),
        "backup" => ("members", "backup", "A backup is taken from a running node, and verified."),
        "certs" => (
            "members",
            "new certificates",
            "All certificates and then their authority are changed, and node after node restarts.",
        ),
        "tokens" => ("members", "new tokens", "Clients get new tokens, and the old ones are revoked."),
        "failure" => {
            ("other", "failure", "Nobody asked for it: a process ended by itself, or did not come back.")
        }
        _ => ("other", fault, ""),
    };
    Kind { class, called, says }
}

/// The groups of kinds: how each is drawn, and what it is called.
pub(super) const GROUPS: [(&str, &str); 6] = [
    ("process", "process: killed or paused"),
    ("network", "network: cut or slow"),
    ("clock", "wrong clock"),
    ("disk", "slow or failing disk"),
    ("members", "an operator's work"),
    ("other", "other"),
];
