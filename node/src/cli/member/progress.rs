//! Waiting until a new node has what the others have.

use std::time::Duration;

use client::Client;
use client::api::{ClusterView, ENTRIES_BEHIND_MAX};
use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use crate::cli::Stop;
use crate::cli::bar::{Clear, line};
use crate::cli::failure::{EXIT_NOT_EXECUTED, Failure};

use super::interrupted;

/// How often the leader is asked.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// What the leader knows of a node's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    has: Option<u64>,
    of: u64,
}

impl Progress {
    fn of(view: &ClusterView, id: u64) -> Option<Progress> {
        let member = view.members.iter().find(|member| member.id == id)?;
        Some(Progress { has: member.matched_index, of: view.committed_index.unwrap_or_default() })
    }

    fn is_done(self) -> bool {
        self.has.is_some_and(|has| self.of.saturating_sub(has) <= ENTRIES_BEHIND_MAX)
    }
}

/// The cluster as its leader sees it, where that is one of the nodes that are asked.
pub(super) async fn of_leader(client: &Client) -> Option<ClusterView> {
    for place in 0..client.nodes() {
        let asked = client.only(place).cluster().tries_max(1).deadline(Duration::from_secs(2)).await;
        if let Ok(answer) = asked
            && answer.value.leader_id == Some(answer.value.node_id)
        {
            return Some(answer.value);
        }
    }
    None
}

/// Waits until a node has caught up, and shows on stderr how far it is.
pub(super) async fn wait(client: &Client, id: u64, time_max: Duration) -> Result<(), Failure> {
    let bar = ProgressBar::new_spinner().with_style(line());
    let _clear = Clear(&bar);
    let mut stop = Stop::new().map_err(Failure::system("cannot listen for signals"))?;
    let until = Instant::now() + time_max;
    loop {
        let progress = of_leader(client).await.and_then(|view| Progress::of(&view, id));
        if progress.is_some_and(Progress::is_done) {
            return Ok(());
        }
        bar.set_message(message(id, progress));
        if Instant::now() >= until {
            return Err(too_long(id, time_max));
        }
        tokio::select! {
            () = sleep(ASK_EVERY) => {}
            () = stop.asked() => return Err(interrupted()),
        }
    }
}

fn message(id: u64, progress: Option<Progress>) -> String {
    match progress {
        None => format!("node {id}: the leader is not known here"),
        Some(Progress { has: None, of }) => format!("node {id} has nothing yet of {of} log entries"),
        Some(Progress { has: Some(has), of }) => format!("node {id} has {has} of {of} log entries"),
    }
}

fn too_long(id: u64, time_max: Duration) -> Failure {
    let seconds = time_max.as_secs();
    let why = format!(
        "node {id} is a learner, and has not caught up within {seconds} s; `lastunit member list` shows how far it is"
    );
    Failure::new(EXIT_NOT_EXECUTED, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_done_where_the_leader_says_that_little_is_missing() {
        for (has, of, done) in [
            (None, 0, false),
            (Some(0), 0, true),
            (Some(9), 5, true),
            (Some(0), 1_000, true),
            (Some(0), 1_001, false),
        ] {
            assert_eq!(Progress { has, of }.is_done(), done, "{has:?} of {of}");
        }
    }
}
