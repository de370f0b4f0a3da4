//! The kinds of faults: what each does, and which belong together.

/// What a kind of fault does, and how it is drawn.
pub(super) struct Kind {
    /// In style.css: what kind of thing is broken.
    pub(super) class: &'static str,
    /// What is done, for somebody who has not read the manual. Empty for a kind that this crate does not know.
    pub(super) says: &'static str,
}

/// Of a kind by its word in the record.
pub(super) fn kind(fault: &str) -> Kind {
    let (class, says) = match fault {
        "kill" => ("process", "A node's process is ended at once, as by a crash, and started again later."),
        "pause" => ("process", "A node's process stands still for a while, as on an overloaded machine."),
        "all" => ("process", "All nodes are killed at once, as by a loss of power, and started again."),
        "restart" => {
            ("process", "Node after node is asked to end in order, and started again, as for a new version.")
        }
        "partition" => ("network", "Some nodes and the others cannot reach each other."),
        "oneway" => ("network", "One direction between nodes is cut; the other is not."),
        "flap" => ("network", "Links between nodes break and mend again and again."),
        "slow" => ("network", "What nodes send each other arrives late, or a little at a time."),
        "reorder" => ("network", "Connections between nodes break, and new ones are made in another order."),
        "halfopen" => ("network", "Connections to a node are accepted, and nobody answers."),
        "clock" => ("clock", "A node's wall clock is wrong: ahead, behind, or drifting."),
        "disk" => ("disk", "A node's disk is slow, full, or fails to sync."),
        "membership" => ("members", "Nodes join or leave the cluster."),
        "failure" => {
            ("other", "Nobody asked for it: a process ended by itself, or something could not be undone.")
        }
        _ => ("other", ""),
    };
    Kind { class, says }
}

/// The groups of kinds: how each is drawn, and what it is called.
pub(super) const GROUPS: [(&str, &str); 6] = [
    ("process", "process: killed or paused"),
    ("network", "network: cut or slow"),
    ("clock", "wrong clock"),
    ("disk", "slow or failing disk"),
    ("members", "change of members"),
    ("other", "other"),
];
