//! One look at all nodes.

use std::time::{Duration, Instant};

use client::Client;
use client::api::ClusterView;
use tokio::task::JoinSet;

use super::scrape::Scrape;

/// How long a node may take to tell.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a node told.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) address: String,
    pub(super) at: Instant,
    /// What it sees of the cluster, or why it does not tell.
    pub(super) view: Result<ClusterView, String>,
    /// What it counts, or why it does not tell.
    pub(super) counts: Result<Scrape, String>,
}

/// Asks all at once; they stay in the order of their addresses.
pub(super) async fn at_all(client: &Client, addresses: &[String]) -> Vec<Look> {
    let mut asking = JoinSet::new();
    for (place, address) in addresses.iter().enumerate() {
        let (client, address) = (client.only(place), address.clone());
        asking.spawn(async move { (place, at(&client, address).await) });
    }
    let mut looks = asking.join_all().await;
    looks.sort_by_key(|(place, _)| *place);
    looks.into_iter().map(|(_, look)| look).collect()
}

async fn at(client: &Client, address: String) -> Look {
    let view = client.cluster().tries_max(1).deadline(PATIENCE);
    let (view, counts) = tokio::join!(view, client.metrics().deadline(PATIENCE));
    Look {
        address,
        at: Instant::now(),
        view: view.map(|answer| answer.value).map_err(|error| error.to_string()),
        counts: counts.map(|answer| Scrape::of(&answer.value)).map_err(|error| error.to_string()),
    }
}
