//! The cluster under test: its processes, the links between them, and what is known of both.
//!
//! ```text
//!   node 1  --raft-via 2=[1->2],3=[1->3]  --lab        log lines --> DIR/node-1.log
//!     |  \______ link 1->2 ______ node 2                    `-- "lab: ... 17 operations were hurt"
//!     '--------- link 1->3 ______ node 3
//! ```
//!
//! With TLS the proxies carry it as it is: what is in it is none of their business.
//!
//! Every node has the same cluster file, and is told on its command line through which proxies to dial the others.
//!
//! Invariants:
//! - A node that ends without being told to is a finding, and is started again: the run goes on.
//! - A finding is in the record from the moment at which it was found, once there is a record.
//! - Nothing waits while it holds the processes' lock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex as Lock, OnceLock, PoisonError};
use std::time::Duration;

use client::api::ClusterView;
use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep, timeout};

use super::commands::Commands;
use super::keys::{Keys, Tokens};
use super::link::Link;
use super::recorder::Recorder;
use super::said::Said;
use super::security::{self, Security};
use super::wire::Wire;
use crate::config::{ClusterFile, NODES, NodeConfig};
use crate::local::{Extras, LocalCluster, LocalError, Logs, spare};

/// How long a node may take until it serves again once nothing is done to it any more: it may have much to recover, on
/// a machine that is busy with other things.
const SERVES_TIME_MAX: Duration = Duration::from_secs(120);
/// How long is waited between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// How long the answer to a look may take.
const LOOK_TIME_MAX: Duration = Duration::from_secs(2);

/// More events than any run makes: the whole feed is read at its end.
const LIMITS: &str = "events_max = 4194304\n";

/// Small segments, frequent snapshots and comparisons: what otherwise takes hours happens while something is wrong.
const TUNING: [&str; 6] =
    ["--segment-bytes", "65536", "--snapshot-entries", "300", "--digests-every-ms", "2000"];

/// The cluster under test.
pub(super) struct Cluster {
    /// The ids of its nodes and where they answer HTTP.
    pub(super) nodes: Vec<(u64, String)>,
    /// Nodes that may join them.
    pub(super) spares: Vec<NodeConfig>,
    /// The ways between all of these: one for each ordered pair.
    pub(super) links: Vec<Link>,
    /// How all of them are called.
    pub(super) wire: Wire,
    /// What an operator's shell runs.
    pub(super) commands: Commands,
    /// What the nodes' logs say.
    pub(super) said: Arc<Said>,
    /// Where everything of the nodes is.
    pub(super) data: PathBuf,
    /// Their certificates and tokens, where they have any.
    security: Option<Security>,
    /// All of them as the files name them, the spare ones included.
    places: Vec<NodeConfig>,
    processes: Mutex<LocalCluster>,
    known: Lock<Known>,
    /// Where findings are written, once there is a record.
    record: OnceLock<Arc<Recorder>>,
}

/// What is known of the nodes by looking at them.
#[derive(Default)]
struct Known {
    views: BTreeMap<u64, ClusterView>,
    /// Those of which an end is expected.
    doomed: Vec<u64>,
    /// How those ended that were told to.
    ends: BTreeMap<u64, ExitStatus>,
    /// Those that nobody told to, until they are started again.
    unexpected: BTreeSet<u64>,
    /// What nobody told them to.
    findings: Vec<String>,
}

impl Cluster {
    /// A new cluster with its data in one directory and its logs in another, with certificates and tokens where it is
    /// to be secure. No process is started yet.
    pub(super) async fn lay_out(
        data: &Path,
        logs: &Path,
        program: PathBuf,
        count: u64,
        is_secure: bool,
    ) -> Result<Cluster, String> {
        let limits = if is_secure { format!("{LIMITS}{}", security::lines(data)) } else { LIMITS.to_owned() };
        let commands = Commands::of(program.clone());
        let local = LocalCluster::within(data, &limits, program, count, Logs::Hide);
        let mut processes = local.map_err(|why| why.to_string())?;
        let nodes: Vec<_> = processes.nodes().iter().map(|node| (node.id, node.http.clone())).collect();
        let ids: Vec<u64> = nodes.iter().map(|(id, _)| *id).collect();
        let file = ClusterFile::load(&data.join("cluster.toml")).map_err(|mistake| mistake.to_string())?;
        let (spares, others) = spares(data, &file, &limits)?;
        let places: Vec<NodeConfig> = file.nodes.iter().chain(&spares).cloned().collect();
        let links = links(&places).await?;
        let security = match is_secure {
            true => Some(Security::lay_out(commands.clone(), data, &ids, others.clone()).await?),
            false => None,
        };
        let keys = keys(&nodes, security.as_ref()).await?;
        let (lines, heard) = mpsc::unbounded_channel();
        let said = Said::listen(logs, places.len() as u64, heard);
        let said = said.map_err(|cause| format!("cannot write logs: {cause}"))?;
        let (arguments, others) = (arguments(&places, &links), others.into_iter().collect());
        processes.give(Extras { arguments, others, lines: Some(lines) });
        Ok(Cluster {
            nodes,
            spares,
            links,
            wire: Wire::new(ids, keys),
            commands,
            said,
            data: data.to_owned(),
            security,
            places,
            processes: Mutex::new(processes),
            known: Lock::default(),
            record: OnceLock::new(),
        })
    }

    /// Their certificates and tokens.
    pub(super) fn security(&self) -> Result<&Security, String> {
        self.security.as_ref().ok_or_else(|| "there are no certificates and no tokens".to_owned())
    }

    /// Starts every node that does not run.
    pub(super) async fn start_all(&self) -> Result<(), String> {
        self.processes.lock().await.start_all().map_err(told)
    }

    /// From now on findings are written into that record; those that there are come first.
    pub(super) fn record_in(&self, recorder: Arc<Recorder>) {
        let known = self.known();
        known.findings.iter().for_each(|what| recorder.failure(what));
        // There is one record in a run.
        let _ = self.record.set(recorder);
    }

    /// Brings the record to disk, as far as it goes. Answers whether there is one.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn flush_record(&self) -> std::io::Result<bool> {
        self.record.get().map_or(Ok(false), |recorder| recorder.flush().map(|()| true))
    }

    /// Starts a node.
    pub(super) async fn start(&self, id: u64) -> Result<(), String> {
        self.reap().await;
        {
            let mut known = self.known();
            known.doomed.retain(|doomed| *doomed != id);
            known.unexpected.remove(&id);
        }
        self.processes.lock().await.start(id).map_err(told)
    }

    /// kill -9. Answers whether the node is gone.
    pub(super) async fn kill(&self, id: u64) -> bool {
        self.doom(id);
        let mut processes = self.processes.lock().await;
        // One that is gone already cannot be killed, and is gone.
        let _ = processes.kill(id).await;
        !processes.runs(id)
    }

    /// Removes the directory of a node that does not run.
    pub(super) fn wipe(&self, id: u64) {
        let dir = self.data.join(id.to_string());
        if let Err(cause) = std::fs::remove_dir_all(&dir) {
            self.find(format!("cannot remove {}: {cause}", dir.display()));
        }
    }

    /// Sends a signal. Answers whether there was anybody to get it.
    pub(super) async fn signal(&self, id: u64, signal: Signal) -> bool {
        self.processes.lock().await.signal(id, signal).is_ok()
    }

    /// Writes a line to a node's stdin. Answers whether it could be written.
    pub(super) async fn tell(&self, id: u64, line: &str) -> bool {
        self.processes.lock().await.tell(id, line).await.is_ok()
    }

    /// From now on the end of that node is no finding, until it is started again.
    pub(super) fn doom(&self, id: u64) {
        let mut known = self.known();
        known.ends.remove(&id);
        known.unexpected.remove(&id);
        known.doomed.push(id);
    }

    /// Waits until a doomed node has ended by itself, and answers how.
    pub(super) async fn wait_ended(&self, id: u64, time_max: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + time_max;
        loop {
            self.reap().await;
            let end = self.known().ends.remove(&id);
            if end.is_some() || Instant::now() > deadline {
                return end;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until a node serves, which is a finding where it takes too long.
    pub(super) async fn wait_serving(&self, id: u64) {
        if timeout(SERVES_TIME_MAX, self.until_serving(id)).await.is_err() {
            let waited_s = SERVES_TIME_MAX.as_secs();
            self.find(format!("node {id} does not serve {waited_s} s after it was healed"));
        }
    }

    /// Waits until a node serves, for ever.
    pub(super) async fn until_serving(&self, id: u64) {
        while !self.serves(id).await {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until all nodes serve.
    pub(super) async fn wait_all_serving(&self) {
        join_all(self.nodes.iter().map(|(id, _)| self.wait_serving(*id))).await;
    }

    async fn serves(&self, id: u64) -> bool {
        let ready = self.wire.get(id, "/readyz", LOOK_TIME_MAX).await;
        ready.is_ok_and(|reply| reply.status == 200)
    }

    /// Whether a node's process is there.
    pub(super) async fn runs(&self, id: u64) -> bool {
        self.processes.lock().await.runs(id)
    }

    /// Looks who has ended, and starts again who should not have.
    pub(super) async fn mind(&self) {
        self.reap().await;
        // Kept until here: whoever else looks who has ended would have to start them again.
        let unexpected = std::mem::take(&mut self.known().unexpected);
        for id in unexpected {
            if let Err(why) = self.start(id).await {
                self.find(why);
            }
        }
    }

    /// Notes who has ended.
    async fn reap(&self) {
        for (id, status, last_words) in self.processes.lock().await.ended().await {
            let was_told = self.note_end(id, status);
            if !was_told {
                self.find(format!("node {id} ended by itself ({status}){last_words}"));
            }
        }
    }

    /// Notes that a node has ended. Answers whether it was told to.
    fn note_end(&self, id: u64, status: ExitStatus) -> bool {
        let mut known = self.known();
        let was_told = known.doomed.contains(&id);
        if was_told {
            known.ends.insert(id, status);
        } else {
            known.unexpected.insert(id);
        }
        was_told
    }

    /// Notes what should not be.
    pub(super) fn find(&self, what: String) {
        let mut known = self.known();
        if let Some(recorder) = self.record.get() {
            recorder.failure(&what);
        }
        known.findings.push(what);
    }

    /// What should not be and was seen, besides what the record shows.
    pub(super) fn findings(&self) -> Vec<String> {
        self.known().findings.clone()
    }

    /// Notes what a node says of the cluster.
    pub(super) fn note(&self, view: ClusterView) {
        self.known().views.insert(view.node_id, view);
    }

    /// The leader and its term, as the node with the highest term says.
    pub(super) fn leader(&self) -> Option<(u64, u64)> {
        let known = self.known();
        let newest =
            known.views.values().filter(|view| view.leader_id.is_some()).max_by_key(|view| view.term)?;
        Some((newest.leader_id?, newest.term))
    }

    /// The links that one of these nodes dials, or is dialled by a node that is none of them.
    pub(super) fn links_across(&self, inside: &[u64]) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(move |link| inside.contains(&link.from) != inside.contains(&link.to))
    }

    /// Where that node answers HTTP, and its peers.
    pub(super) fn place(&self, id: u64) -> (String, String) {
        let place = self.places.iter().find(|node| node.id == id);
        place.map_or_else(Default::default, |node| (node.http.clone(), node.raft.clone()))
    }

    /// Where callers find that node.
    pub(super) fn url(&self, id: u64) -> String {
        let http = self.nodes.iter().find(|(other, _)| *other == id).map_or("", |(_, http)| http.as_str());
        url(http, self.security.is_some())
    }

    /// Where callers find the nodes, in their order.
    pub(super) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|(_, http)| url(http, self.security.is_some())).collect()
    }

    /// Ends every node in order. What does not end cleanly is a finding.
    pub(super) async fn stop_all(&self, time_max: Duration) {
        let ends = self.processes.lock().await.stop_all(time_max).await;
        for (id, end) in ends {
            if !end.as_ref().is_ok_and(ExitStatus::success) {
                self.find(format!("node {id} did not end in order: {end:?}"));
            }
        }
    }

    /// kill -9 of whoever is left.
    pub(super) async fn kill_all(&self) {
        self.processes.lock().await.stop_all(Duration::ZERO).await;
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn url(http: &str, is_secure: bool) -> String {
    format!("{}://{http}", if is_secure { "https" } else { "http" })
}

/// Files of nodes.
type Files = Vec<(u64, PathBuf)>;

/// Nodes that may join those of that file, up to five and at least one, and their files.
fn spares(data: &Path, file: &ClusterFile, limits: &str) -> Result<(Vec<NodeConfig>, Files), String> {
    let (count, mut spares, mut files) = (file.nodes.len(), Vec::new(), Vec::new());
    for id in count + 1..=(count + 1).max(*NODES.end()) {
        let taken: Vec<&NodeConfig> = file.nodes.iter().chain(&spares).collect();
        let (config, node) = spare(data, limits, &taken, id as u64).map_err(told)?;
        files.push((node.id, config));
        spares.push(node);
    }
    Ok((spares, files))
}

/// What callers show and trust at the start.
async fn keys(nodes: &[(u64, String)], security: Option<&Security>) -> Result<Keys, String> {
    let urls: Vec<String> = nodes.iter().map(|(_, http)| url(http, security.is_some())).collect();
    match security {
        Some(security) => Keys::new(&urls, Some(security.authorities()?), security.new_tokens().await?),
        None => Keys::new(&urls, None, Tokens::new()),
    }
}

/// A link for each ordered pair of nodes.
async fn links(nodes: &[NodeConfig]) -> Result<Vec<Link>, String> {
    let mut links = Vec::new();
    for from in nodes {
        for to in nodes.iter().filter(|to| to.id != from.id) {
            let target: SocketAddr = to.raft.parse().map_err(|_| format!("{} is no address", to.raft))?;
            let link = Link::open(from.id, to.id, target).await;
            links.push(link.map_err(|cause| format!("cannot open a proxy: {cause}"))?);
        }
    }
    Ok(links)
}

/// What each node is told on its command line.
fn arguments(nodes: &[NodeConfig], links: &[Link]) -> BTreeMap<u64, Vec<String>> {
    let of = |id: u64| {
        let own = links.iter().filter(|link| link.from == id);
        let via: Vec<String> = own.map(|link| format!("{}={}", link.to, link.address)).collect();
        let flags = ["--lab", "--raft-via", &via.join(",")];
        flags.iter().chain(&TUNING).map(|flag| (*flag).to_owned()).collect()
    };
    nodes.iter().map(|node| (node.id, of(node.id))).collect()
}

fn told(why: LocalError) -> String {
    why.to_string()
}
