//! `lastunit status`: each node of the cluster, as it sees itself and is seen.

use client::Client;
use client::api::{ClusterView, MemberView};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::failure::{EXIT_NOT_EXECUTED, Failure};
use super::out::{self, Table};
use super::reach::Reach;

/// Show every node: whether it serves, who leads, how far each has applied; exit code 3 where none serves.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// What became of asking one node.
struct Asked {
    address: String,
    ready: bool,
    view: Result<ClusterView, String>,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let (client, addresses) = (args.reach.client()?, args.reach.addresses()?);
    let nodes = ask_all(&client, addresses).await;
    match args.reach.json {
        true => out::line(&document(&nodes))?,
        false => out::text(&text(&nodes))?,
    }
    match nodes.iter().any(|node| node.ready) {
        true => Ok(()),
        false => Err(Failure::new(EXIT_NOT_EXECUTED, "not executed: no node serves")),
    }
}

/// Asks all nodes at once; they stay in the order of their addresses.
async fn ask_all(client: &Client, addresses: Vec<String>) -> Vec<Asked> {
    let mut asking = JoinSet::new();
    for (place, address) in addresses.into_iter().enumerate() {
        let client = client.only(place);
        asking.spawn(async move {
            let (view, ready) = tokio::join!(client.cluster().tries_max(1), client.ready());
            let view = view.map(|answer| answer.value).map_err(|error| error.to_string());
            (place, Asked { address, ready: ready.is_ok(), view })
        });
    }
    let mut nodes = asking.join_all().await;
    nodes.sort_by_key(|(place, _)| *place);
    nodes.into_iter().map(|(_, asked)| asked).collect()
}

/// Of each node; `MAX LEVEL` is the highest feature level that its lastunit supports.
const COLUMNS: [&str; 9] =
    ["#NODE", "ADDRESS", "ROLE", "READY", "#APPLIED", "#COMMITTED", "DIGEST", "VERSION", "#MAX LEVEL"];

/// What the node with the newest term says: it knows best who leads.
fn newest(nodes: &[Asked]) -> Option<&ClusterView> {
    nodes.iter().filter_map(|node| node.view.as_ref().ok()).max_by_key(|view| (view.term, view.leader_id))
}

fn text(nodes: &[Asked]) -> String {
    let mut text = match newest(nodes) {
        Some(view) => {
            let leader = view.leader_id.map_or_else(|| "none".to_owned(), |id| format!("node {id}"));
            let ClusterView { cluster, term, feature_level, .. } = view;
            format!("cluster {cluster}  leader {leader}  term {term}  feature level {feature_level}\n")
        }
        None => "no node answers\n".to_owned(),
    };
    let mut table = Table::new(COLUMNS);
    let rows: Vec<_> = nodes.iter().map(row).collect();
    text.push_str(&table.rows(&rows));
    for node in nodes {
        if let Err(why) = &node.view {
            text.push_str(&format!("{}: {}\n", node.address, out::plain(why)));
        }
    }
    text
}

fn row(node: &Asked) -> [String; 9] {
    let ready = if node.ready { "yes" } else { "no" }.to_owned();
    let number = |index: Option<u64>| index.map_or_else(|| "-".to_owned(), |index| index.to_string());
    match &node.view {
        Ok(view) => [
            view.node_id.to_string(),
            node.address.clone(),
            own(view).map_or("-", |own| own.role.as_str()).to_owned(),
            ready,
            number(view.applied_index),
            number(view.committed_index),
            view.state_digest.clone(),
            own(view).and_then(|own| own.version.clone()).unwrap_or_else(|| "-".to_owned()),
            number(own(view).and_then(|own| own.feature_level_max).map(u64::from)),
        ],
        Err(_) => ["?", &node.address, "-", "no", "-", "-", "-", "-", "-"].map(str::to_owned),
    }
}

/// What the node says of itself.
fn own(view: &ClusterView) -> Option<&MemberView> {
    view.members.iter().find(|member| member.id == view.node_id)
}

fn document(nodes: &[Asked]) -> Value {
    let node = |node: &Asked| match &node.view {
        Ok(view) => json!({"address": node.address, "ready": node.ready, "view": view}),
        Err(why) => json!({"address": node.address, "ready": false, "view": null, "error": why}),
    };
    let all: Vec<_> = nodes.iter().map(node).collect();
    let newest = newest(nodes);
    json!({
        "cluster": newest.map(|view| view.cluster.as_str()),
        "leader_id": newest.and_then(|view| view.leader_id),
        "term": newest.map(|view| view.term),
        "feature_level": newest.map(|view| view.feature_level),
        "nodes": all,
    })
}
