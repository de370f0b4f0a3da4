//! `lastunit member list`: every member as the leader sees it, or whichever node answers.

use client::api::{ClusterView, MemberView};

use super::progress::of_leader;
use crate::cli::failure::Failure;
use crate::cli::out::{self, Table};
use crate::cli::reach::Reach;

/// Show every member: its role, its addresses, whether it answers, and what it has of the log.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let client = args.reach.client()?;
    let view = match of_leader(&client).await {
        Some(view) => view,
        None => args.reach.read(client.cluster()).await?.value,
    };
    match args.reach.json {
        true => out::line(&view.members),
        false => out::text(&text(&view)),
    }
}

fn text(view: &ClusterView) -> String {
    let mut table = Table::new(["#NODE", "ROLE", "HTTP", "RAFT", "REACHABLE", "#MATCHED", "#BEHIND"]);
    let rows: Vec<[String; 7]> = view.members.iter().map(|member| row(view, member)).collect();
    table.rows(&rows)
}

fn row(view: &ClusterView, member: &MemberView) -> [String; 7] {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let behind =
        member.matched_index.map(|matched| view.committed_index.unwrap_or_default().saturating_sub(matched));
    [
        member.id.to_string(),
        member.role.clone(),
        member.http.clone(),
        member.raft.clone(),
        if member.reachable { "yes" } else { "no" }.to_owned(),
        number(member.matched_index),
        number(behind),
    ]
}
