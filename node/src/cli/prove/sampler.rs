//! Looks at every node a few times a second: what it says of itself and of the cluster.

use std::sync::Arc;
use std::time::Duration;

use checker::history::{Record, Sample};
use client::api::ClusterView;
use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::cluster::Cluster;
use super::recorder::Recorder;

/// How often.
const EVERY: Duration = Duration::from_millis(250);
/// How long an answer may take.
const LOOK_TIME_MAX: Duration = Duration::from_millis(400);

/// Looks, and minds who has ended, until it is dropped.
pub(super) async fn run(cluster: Arc<Cluster>, recorder: Arc<Recorder>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        cluster.mind().await;
        let looks = cluster.nodes.iter().map(|(id, _)| look(&cluster, &recorder, *id));
        join_all(looks).await.into_iter().for_each(|sample| recorder.add(&Record::Sample(sample)));
    }
}

async fn look(cluster: &Cluster, recorder: &Recorder, id: u64) -> Sample {
    let up = cluster.runs(id).await;
    let reply = cluster.wire.get(id, "/api/cluster", LOOK_TIME_MAX).await;
    let view: Option<ClusterView> = reply.ok().and_then(|reply| serde_json::from_slice(&reply.body).ok());
    let sample = sample(recorder.now_us(), id, up, view.as_ref());
    view.into_iter().for_each(|view| cluster.note(view));
    sample
}

fn sample(at_us: u64, node: u64, up: bool, view: Option<&ClusterView>) -> Sample {
    let own =
        |view: &ClusterView| view.members.iter().find(|member| member.id == node).map(|it| it.role.clone());
    Sample {
        at_us,
        node,
        up,
        reachable: view.is_some(),
        role: view.and_then(own),
        term: view.map(|view| view.term),
        leader: view.and_then(|view| view.leader_id),
        applied_index: view.and_then(|view| view.applied_index),
    }
}
