//! Whether all nodes have the same state, by their digests at one log index.

use std::time::Duration;

use client::Client;
use client::api::ClusterView;
use tokio::time::{Instant, sleep};

use super::finding::Finding;

/// For how long it waits until all nodes have applied the same entries.
const AGREE_TIME_MAX: Duration = Duration::from_secs(15);

/// How long it waits between two looks.
const AGREE_POLL: Duration = Duration::from_millis(100);

/// Whether the nodes' states are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreement {
    /// They are, at that log index.
    Same {
        /// Which one.
        applied_index: u64,
    },
    /// Two nodes differ at one log index.
    Differ {
        /// Which one.
        applied_index: u64,
    },
    /// They never were at one index while we looked.
    NotCompared,
}

impl Agreement {
    /// Asks every node, until all of them are at one index or patience ends.
    pub(super) async fn of(client: &Client) -> Agreement {
        let deadline = Instant::now() + AGREE_TIME_MAX;
        loop {
            let mut views = Vec::new();
            for node in 0..client.nodes() {
                views.extend(client.only(node).cluster().await.ok().map(|answer| answer.value));
            }
            match compare(&views, client.nodes()) {
                Agreement::NotCompared if Instant::now() < deadline => sleep(AGREE_POLL).await,
                agreement => return agreement,
            }
        }
    }

    /// What that is as a check.
    pub(super) fn finding(self) -> Finding {
        let text = "every node has the same state";
        match self {
            Agreement::Same { applied_index } => {
                Finding::of(format!("{text}, by its digest at log index {applied_index}"), None)
            }
            Agreement::Differ { applied_index } => {
                Finding::of(text, Some(format!("digests differ at log index {applied_index}")))
            }
            Agreement::NotCompared => {
                Finding::skipped("digests were not compared: the nodes were never seen at one log index")
            }
        }
    }
}

/// Compares the digests of all nodes. Two of them are comparable at one applied index and no other.
fn compare(views: &[ClusterView], nodes: usize) -> Agreement {
    for one in views {
        let same_index = |other: &&ClusterView| other.applied_index == one.applied_index;
        let differs = views.iter().filter(same_index).any(|other| other.state_digest != one.state_digest);
        if let (true, Some(applied_index)) = (differs, one.applied_index) {
            return Agreement::Differ { applied_index };
        }
    }
    let index = views.first().and_then(|view| view.applied_index);
    let complete = views.len() == nodes && views.iter().all(|view| view.applied_index == index);
    match index {
        Some(applied_index) if complete => Agreement::Same { applied_index },
        _ => Agreement::NotCompared,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view((applied_index, state_digest): &(u64, &str)) -> ClusterView {
        ClusterView {
            cluster: "c".to_owned(),
            node_id: 1,
            leader_id: None,
            term: 1,
            applied_index: Some(*applied_index),
            committed_index: None,
            state_digest: (*state_digest).to_owned(),
            feature_level: 1,
            members: vec![],
        }
    }

    #[test]
    fn digests_are_compared_at_one_index() {
        let table: [(&[(u64, &str)], Agreement); 6] = [
            (&[(7, "a"), (7, "a"), (7, "a")], Agreement::Same { applied_index: 7 }),
            (&[(7, "a"), (7, "a"), (7, "b")], Agreement::Differ { applied_index: 7 }),
            (&[(8, "b"), (7, "a"), (7, "c")], Agreement::Differ { applied_index: 7 }),
            (&[(7, "a"), (7, "a"), (8, "b")], Agreement::NotCompared),
            (&[(7, "a"), (7, "a")], Agreement::NotCompared),
            (&[], Agreement::NotCompared),
        ];
        for (views, expected) in table {
            let views: Vec<_> = views.iter().map(view).collect();
            assert_eq!(compare(&views, 3), expected);
        }
    }
}
