//! Three nodes, each a real `lastunit serve` process, on free ports of the loopback and in a scratch directory.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use client::Client;
use client::api::ClusterView;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::process::{Lines, Process};
use super::{seed, wait_for};

/// The nodes' ids.
pub(crate) const IDS: [u64; 3] = [1, 2, 3];

/// Where free ports are looked for: below those that systems give to outgoing connections, so that no connection
/// takes a node's port while the node is down.
const PORTS: std::ops::Range<u16> = 12_000..30_000;

/// How long a node may take to tell what it sees of the cluster.
const VIEW_TIME_MAX: Duration = Duration::from_secs(2);

/// One cluster at a time in one test process: two would only starve each other of the machine.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A cluster of three.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    client: Client,
    seed: u64,
    directory: TempDir,
    data_dirs: Vec<PathBuf>,
    _alone: MutexGuard<'static, ()>,
}

/// Where a node is to run.
pub(crate) struct Place {
    /// What its command line begins with, such as what enters a network namespace.
    pub(crate) launcher: Vec<String>,
    /// Where it answers clients.
    pub(crate) http: String,
    /// Where it answers the other nodes.
    pub(crate) raft: String,
}

struct Node {
    place: Place,
    program: PathBuf,
    lines: Lines,
    process: Option<Process>,
}

impl Cluster {
    /// A new cluster that serves.
    pub(crate) async fn start() -> Cluster {
        Cluster::start_at(seed(), free_places()).await
    }

    /// A new cluster with these lines in its `[cluster]`, that serves.
    pub(crate) async fn start_with(limits: &str) -> Cluster {
        Cluster::start_from(seed(), free_places(), limits, None).await
    }

    /// A new cluster with these lines in its `[cluster]`, or with another table; no node is started yet.
    pub(crate) async fn stopped_with(limits: &str) -> Cluster {
        Cluster::stopped_from(seed(), free_places(), limits, None).await
    }

    /// From now on its clients speak TLS, and trust that authority.
    pub(crate) fn speak_tls(&mut self, ca: &Path) {
        let addresses = self.nodes.iter().map(|node| format!("https://{}", node.place.http));
        self.client = Client::builder().ca(std::fs::read(ca).unwrap()).build(addresses).unwrap();
    }

    /// A new cluster at these places, that serves.
    pub(crate) async fn start_at(seed: u64, places: Vec<Place>) -> Cluster {
        Cluster::start_from(seed, places, "", None).await
    }

    /// A new cluster with these lines in its `[cluster]`, whose nodes keep their files in these directories, such as
    /// mount points, that serves.
    pub(crate) async fn start_in(
        seed: u64,
        places: Vec<Place>,
        limits: &str,
        data_dirs: Vec<PathBuf>,
    ) -> Cluster {
        Cluster::start_from(seed, places, limits, Some(data_dirs)).await
    }

    /// As [`Cluster::start_in`], but no node is started yet.
    pub(crate) async fn stopped_in(
        seed: u64,
        places: Vec<Place>,
        limits: &str,
        data_dirs: Vec<PathBuf>,
    ) -> Cluster {
        Cluster::stopped_from(seed, places, limits, Some(data_dirs)).await
    }

    async fn start_from(
        seed: u64,
        places: Vec<Place>,
        limits: &str,
        data_dirs: Option<Vec<PathBuf>>,
    ) -> Cluster {
        let mut cluster = Cluster::stopped_from(seed, places, limits, data_dirs).await;
        cluster.start_all().await;
        cluster
    }

    async fn stopped_from(
        seed: u64,
        places: Vec<Place>,
        limits: &str,
        data_dirs: Option<Vec<PathBuf>>,
    ) -> Cluster {
        let alone = ALONE.lock().await;
        let directory = tempfile::Builder::new().prefix("lastunit-test-").tempdir().unwrap();
        let beside = || IDS.into_iter().map(|id| directory.path().join(id.to_string())).collect();
        let data_dirs = data_dirs.unwrap_or_else(beside);
        let text = cluster_file(&data_dirs, &places, limits);
        std::fs::write(config(directory.path()), text).unwrap();
        let client = Client::new(places.iter().map(|place| &place.http)).unwrap();
        let nodes = places.into_iter().map(Node::new).collect();
        Cluster { nodes, client, seed, directory, data_dirs, _alone: alone }
    }

    /// Starts every node that does not run, and waits until all serve.
    pub(crate) async fn start_all(&mut self) {
        IDS.into_iter().for_each(|id| self.spawn(id));
        self.ready(&IDS).await;
    }

    /// Starts a node, unless it runs, and does not wait for it.
    pub(crate) fn spawn(&mut self, id: u64) {
        let config = config(self.directory.path());
        let node = self.node_mut(id);
        if node.process.is_none() {
            node.lines.push("--- started".to_owned());
            node.process = Some(Process::start(node.command(&config, id), &node.lines));
        }
    }

    /// Runs that lastunit as a node from its next start on.
    pub(crate) fn install(&mut self, id: u64, program: &Path) {
        let node = self.node_mut(id);
        node.lines.push(format!("--- {} installed", program.display()));
        node.program = program.to_path_buf();
    }

    /// Waits until these nodes serve.
    pub(crate) async fn ready(&mut self, ids: &[u64]) {
        for &id in ids {
            let client = self.only(id);
            wait_for(format!("node {id} serves"), async || {
                let ended = self.node_mut(id).process.as_mut().and_then(Process::ended);
                assert_eq!(ended, None, "node {id} ended");
                client.ready().tries_max(1).deadline(VIEW_TIME_MAX).await.ok()
            })
            .await;
        }
    }

    /// `kill -9` of a node.
    pub(crate) fn kill(&mut self, id: u64) {
        let node = self.node_mut(id);
        node.process.take().expect("the node runs").kill();
        node.lines.push("--- killed".to_owned());
    }

    /// `kill -9` of every node that runs.
    pub(crate) fn kill_all(&mut self) {
        for id in IDS {
            if self.node(id).process.is_some() {
                self.kill(id);
            }
        }
    }

    /// Stops a node's process where it stands: SIGSTOP. What a thread of it has begun with the disk may yet be done.
    pub(crate) fn pause(&mut self, id: u64) {
        self.signal(id, Signal::STOP);
    }

    /// The same, and waits until it does no more.
    pub(crate) async fn pause_for_certain(&mut self, id: u64) {
        self.pause(id);
        let process = self.node(id).process.as_ref().expect("the node runs");
        wait_for(format!("node {id} stands still"), async || process.stands_still().then_some(())).await;
    }

    /// Lets a paused node go on: SIGCONT.
    pub(crate) fn go_on(&mut self, id: u64) {
        self.signal(id, Signal::CONT);
    }

    /// SIGTERM; answers how the node ended.
    pub(crate) async fn terminate(&mut self, id: u64) -> ExitStatus {
        self.signal(id, Signal::TERM);
        self.ended(id).await
    }

    /// Waits until a node has ended by itself, and answers how.
    pub(crate) async fn ended(&mut self, id: u64) -> ExitStatus {
        let mut process = self.node_mut(id).process.take().expect("the node runs");
        process.wait(&format!("node {id}")).await
    }

    /// The last lines that a node said.
    pub(crate) fn said(&self, id: u64) -> String {
        self.node(id).lines.text()
    }

    /// A client of all nodes.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// A client of that node alone.
    pub(crate) fn only(&self, id: u64) -> Client {
        self.client.only(place(id))
    }

    /// Where a node answers clients.
    pub(crate) fn http(&self, id: u64) -> &str {
        &self.node(id).place.http
    }

    /// Where a node answers the others.
    pub(crate) fn raft(&self, id: u64) -> &str {
        &self.node(id).place.raft
    }

    /// Where a node keeps its files.
    pub(crate) fn data_dir(&self, id: u64) -> PathBuf {
        self.data_dirs[place(id)].clone()
    }

    /// The most memory that a node has had at once, in KiB.
    pub(crate) fn memory_peak_kib(&self, id: u64) -> u64 {
        self.proc_figure(id, "status", "VmHWM:")
    }

    /// A figure that the system keeps of a node's process, in the unit of that file of `/proc/<process>`.
    pub(crate) fn proc_figure(&self, id: u64, file: &str, name: &str) -> u64 {
        let process = self.node(id).process.as_ref().expect("the node runs");
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", process.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// The cluster file.
    pub(crate) fn config(&self) -> PathBuf {
        config(self.directory.path())
    }

    /// Random choices that follow from this run's seed.
    pub(crate) fn random(&self) -> StdRng {
        StdRng::seed_from_u64(self.seed)
    }

    /// What a node sees of the cluster, where it answers.
    pub(crate) async fn view(&self, id: u64) -> Option<ClusterView> {
        let call = self.only(id).cluster().tries_max(1).deadline(VIEW_TIME_MAX);
        call.await.ok().map(|answer| answer.value)
    }

    /// The leader, once it and another node agree that it is.
    pub(crate) async fn leader(&self) -> u64 {
        self.leader_among(&IDS).await
    }

    /// The leader, once these nodes, or two of them, agree on who it is.
    pub(crate) async fn leader_among(&self, ids: &[u64]) -> u64 {
        wait_for("two nodes agree on a leader", async || {
            let mut told = Vec::new();
            for &id in ids {
                if let Some(view) = self.view(id).await {
                    told.push((view.term, view.leader_id?));
                }
            }
            let &(term, leader) = told.iter().max()?;
            let agreed = told.iter().filter(|&&one| one == (term, leader)).count() >= 2;
            (agreed && ids.contains(&leader)).then_some(leader)
        })
        .await
    }

    /// The nodes that do not lead.
    pub(crate) async fn followers(&self) -> Vec<u64> {
        let leader = self.leader().await;
        others(leader)
    }

    /// Waits until all nodes have applied the same, and checks that their digests agree.
    pub(crate) async fn check_digests(&self) {
        let views = wait_for("all nodes have applied one index", async || {
            let mut views = Vec::new();
            for id in IDS {
                views.push(self.view(id).await?);
            }
            let applied = views[0].applied_index?;
            views.iter().all(|view| view.applied_index == Some(applied)).then_some(views)
        })
        .await;
        assert!(views.iter().all(|view| view.state_digest == views[0].state_digest), "{views:?}");
    }

    fn signal(&mut self, id: u64, signal: Signal) {
        self.node_mut(id).process.as_mut().expect("the node runs").signal(signal);
    }

    fn node(&self, id: u64) -> &Node {
        &self.nodes[place(id)]
    }

    fn node_mut(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[place(id)]
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SEED={}", self.seed);
            for (id, node) in IDS.iter().zip(&self.nodes) {
                eprintln!("node {id} said last:\n{}", node.lines.text());
            }
        }
    }
}

impl Node {
    fn new(place: Place) -> Node {
        Node { place, program: this_version(), lines: Lines::default(), process: None }
    }

    fn command(&self, config: &Path, id: u64) -> Command {
        let mut line = self.place.launcher.clone();
        line.push(self.program.to_string_lossy().into_owned());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).arg("serve").arg("--config").arg(config);
        command.args(["--node", &id.to_string(), "--exit-with-stdin"]);
        if !self.place.http.starts_with("127.") {
            // In a network namespace of its own.
            command.arg("--insecure-no-auth");
        }
        command
    }
}

/// The lastunit that is tested.
pub(crate) fn this_version() -> PathBuf {
    env!("CARGO_BIN_EXE_lastunit").into()
}

/// The ids of all nodes but that one.
pub(crate) fn others(id: u64) -> Vec<u64> {
    IDS.into_iter().filter(|&other| other != id).collect()
}

/// So many ports that nothing listened on a moment ago.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let mut held = Vec::new();
    while held.len() < count {
        let port = rand::rng().random_range(PORTS);
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    }
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    held.iter().map(port).collect()
}

/// Places on the loopback.
pub(crate) fn free_places() -> Vec<Place> {
    let ports = free_ports(2 * IDS.len());
    let place = |pair: &[u16]| Place {
        launcher: Vec::new(),
        http: format!("127.0.0.1:{}", pair[0]),
        raft: format!("127.0.0.1:{}", pair[1]),
    };
    ports.chunks_exact(2).map(place).collect()
}

/// The text of a cluster file with these nodes and limits.
fn cluster_file(data_dirs: &[PathBuf], places: &[Place], limits: &str) -> String {
    let mut text = format!("[cluster]\nname = \"lastunit-test\"\n{limits}\n");
    for ((id, place), data_dir) in IDS.into_iter().zip(places).zip(data_dirs) {
        let Place { http, raft, .. } = place;
        writeln!(text, "\n[[node]]\nid = {id}\nhttp = \"{http}\"\nraft = \"{raft}\"").unwrap();
        writeln!(text, "data_dir = {data_dir:?}").unwrap();
    }
    text
}

fn config(directory: &Path) -> PathBuf {
    directory.join("cluster.toml")
}

fn place(id: u64) -> usize {
    id as usize - 1
}
