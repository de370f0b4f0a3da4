//! Where a sale is held and a benchmark runs: in a running cluster that is named, or in one of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Stop, dial, this_program};
use crate::config::{ClusterFile, NodeConfig};
use crate::local::{LocalCluster, Logs};

/// How long an own cluster may take to serve.
pub(super) const OWN_TIME_MAX: Duration = Duration::from_secs(30);

/// A running cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// Its nodes; none where no cluster is given.
    pub(super) addresses: Vec<String>,
    /// By which authority the nodes are trusted, where its file says that.
    pub(super) ca: Option<PathBuf>,
}

impl Given {
    /// That of a cluster file.
    pub(super) fn of(file: &ClusterFile) -> Given {
        let url = |node: &NodeConfig| format!("{}://{}", file.scheme(), dial(&node.http));
        Given { addresses: file.nodes.iter().map(url).collect(), ca: file.client_ca() }
    }
}

/// The cluster that is named by its file or its nodes; none where neither is given.
pub(super) fn given(cluster: Option<&Path>, nodes: &[String]) -> Result<Given, String> {
    match cluster {
        Some(path) => {
            ClusterFile::load(path).map(|file| Given::of(&file)).map_err(|mistake| mistake.to_string())
        }
        None => Ok(Given { addresses: nodes.to_vec(), ca: None }),
    }
}

/// Runs in a cluster of so many nodes that lasts as long, unless it is interrupted.
pub(super) async fn own<T>(
    nodes: u64,
    run: impl AsyncFnOnce(&mut LocalCluster) -> Result<T, String>,
) -> Result<T, String> {
    let cluster = LocalCluster::scratch(this_program()?, nodes, Logs::Hide);
    let mut cluster = cluster.map_err(|why| why.to_string())?;
    let mut stop = Stop::new().map_err(|cause| format!("cannot listen for signals: {cause}"))?;
    let done = tokio::select! {
        done = run_in(&mut cluster, run) => done,
        () = stop.asked() => Err("interrupted".to_owned()),
    };
    // Nothing of it is wanted any more, so it is not asked to end in order.
    cluster.stop_all(Duration::ZERO).await;
    done
}

/// The addresses of its nodes.
pub(super) fn addresses(cluster: &LocalCluster) -> Vec<String> {
    cluster.nodes().iter().map(|node| format!("http://{}", node.http)).collect()
}

async fn run_in<T>(
    cluster: &mut LocalCluster,
    run: impl AsyncFnOnce(&mut LocalCluster) -> Result<T, String>,
) -> Result<T, String> {
    eprintln!("starting a cluster of {} nodes in a temporary directory", cluster.nodes().len());
    cluster.start_all().map_err(|why| why.to_string())?;
    cluster.wait_ready(OWN_TIME_MAX).await.map_err(|why| why.to_string())?;
    run(cluster).await
}
