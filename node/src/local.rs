//! A whole cluster on this machine: every node a child process of this one.
//!
//! ```text
//!  LocalCluster -- spawn --> lastunit serve --config F --node 1 --exit-with-stdin
//!       |  stdin (a pipe, held open) ---------------> at its end the node shuts down
//!       |  stderr <--------------------------------- its log: shown with the node's id, or its end kept
//!       +- SIGTERM, SIGKILL, exit status
//! ```
//!
//! `lastunit prove` asks for more: arguments of a node's own, its log lines as they come, lines to its stdin, and
//! SIGSTOP ([`Extras`], [`LocalCluster::tell`], [`LocalCluster::signal`]).
//!
//! Invariants:
//! - No node outlives this process: the pipe closes whatever ends us, `kill -9` included.
//! - Ctrl-C reaches this process alone, since each child has a process group of its own. We stop them in order.
//! - A signal goes only to a child that was not reaped, so its number cannot belong to another process.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::Client;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::config::keys::{KEYS, Key};
use crate::config::{NODES, NodeConfig};
use crate::logs::FILTER_VARIABLE;

/// How many of a node's last log lines are kept, to tell why it ended.
const LINES_KEPT: usize = 20;

/// Where free ports are looked for: below those that systems give to outgoing connections, so that none takes a node's
/// port while the node is down.
const PORTS: Range<u16> = 12_000..30_000;

/// For each port so many are tried.
const PORT_TRIES: usize = 100;

/// How long is waited between two looks at whether a node serves.
const READY_POLL: Duration = Duration::from_millis(50);

/// A node of a local cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalNode {
    /// Its id in the cluster file.
    pub(crate) id: u64,
    /// Where it answers HTTP: `host:port`.
    pub(crate) http: String,
}

/// How the file of a cluster of our own begins.
const HEAD: &str = "[cluster]\nname = \"lastunit-scratch\"\n";

/// What becomes of the nodes' log lines. The last ones of each node are kept, to tell why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logs {
    /// They are shown on stderr, each with its node's id before it.
    Show,
    /// They are shown only where the node ends.
    Hide,
}

/// What the nodes' processes are given, and give, beyond what a cluster needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extras {
    /// Further arguments of `serve`, by the node's id.
    pub(crate) arguments: BTreeMap<u64, Vec<String>>,
    /// Nodes that the cluster's own file does not name, and the files that do.
    pub(crate) others: BTreeMap<u64, PathBuf>,
    /// Gets every log line, with the id of its node: those that are written where nobody asks for others.
    pub(crate) lines: Option<UnboundedSender<(u64, String)>>,
}

/// Why a local cluster does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// A process, a port or a directory could not be had.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// No node of that id.
    #[error("the cluster has no node {0}")]
    NoNode(u64),
    /// A node ended.
    #[error("node {id} ended ({status}){last_words}")]
    Ended {
        /// Which node.
        id: u64,
        /// How.
        status: ExitStatus,
        /// Its last log line.
        last_words: String,
    },
    /// The nodes do not serve in time.
    #[error("node {id} does not serve after {waited_s} s: {why}")]
    NotReady {
        /// Which node.
        id: u64,
        /// How long was waited, in seconds.
        waited_s: u64,
        /// What it says.
        why: String,
    },
    /// The client was given no sensible address.
    #[error(transparent)]
    Client(#[from] client::Error),
}

/// A cluster whose nodes are children of this process.
#[derive(Debug)]
pub(crate) struct LocalCluster {
    program: PathBuf,
    config: PathBuf,
    nodes: Vec<LocalNode>,
    logs: Logs,
    extras: Extras,
    /// It is this process's own: what is said of other clusters of this machine is not meant for it.
    own: bool,
    running: BTreeMap<u64, Running>,
    client: Client,
    /// Removed with the cluster.
    _scratch: Option<TempDir>,
}

/// A node's process.
#[derive(Debug)]
struct Running {
    child: Child,
    /// Held open: its end tells the node that we are gone.
    stdin: Option<ChildStdin>,
    lines: Arc<Mutex<VecDeque<String>>>,
    reader: JoinHandle<()>,
}

impl LocalCluster {
    /// The cluster of that file, with these nodes. No process is started yet.
    ///
    /// # Errors
    /// Where an address is not one.
    pub(crate) fn new(
        program: PathBuf,
        config: PathBuf,
        nodes: Vec<LocalNode>,
        logs: Logs,
    ) -> Result<LocalCluster, LocalError> {
        let client = Client::new(nodes.iter().map(|node| node.http.as_str()))?;
        let (extras, running) = (Extras::default(), BTreeMap::new());
        Ok(LocalCluster { program, config, nodes, logs, extras, running, client, own: false, _scratch: None })
    }

    /// A new cluster of so many nodes in a temporary directory, on free ports of the loopback.
    ///
    /// # Errors
    /// Where no directory, no port or no file can be had.
    pub(crate) fn scratch(program: PathBuf, count: u64, logs: Logs) -> Result<LocalCluster, LocalError> {
        let scratch = tempfile::Builder::new().prefix("lastunit-").tempdir();
        let scratch = scratch.map_err(system("cannot make a temporary directory"))?;
        let cluster = LocalCluster::within(scratch.path(), "", program, count, logs)?;
        Ok(LocalCluster { _scratch: Some(scratch), ..cluster })
    }

    /// A new cluster of so many nodes in a directory that stays, on free ports of the loopback. `limits` are further
    /// lines of the file's `[cluster]`.
    ///
    /// # Errors
    /// Where no port or no file can be had.
    pub(crate) fn within(
        directory: &Path,
        limits: &str,
        program: PathBuf,
        count: u64,
        logs: Logs,
    ) -> Result<LocalCluster, LocalError> {
        let ports = free_ports(2 * count as usize).map_err(system("cannot find free ports"))?;
        let config = directory.join("cluster.toml");
        let (text, nodes) = cluster_file(directory, limits, &ports);
        std::fs::write(&config, text).map_err(system("cannot write the cluster file"))?;
        let cluster = LocalCluster::new(program, config, nodes, logs)?;
        Ok(LocalCluster { own: true, ..cluster })
    }

    /// Calls the nodes through that client, which numbers them alike, where they are not called by plain HTTP.
    pub(crate) fn call_through(&mut self, client: Client) {
        self.client = client;
    }

    /// Gives these to every process that is started from now on.
    pub(crate) fn give(&mut self, extras: Extras) {
        self.extras = extras;
    }

    /// The nodes, running or not.
    pub(crate) fn nodes(&self) -> &[LocalNode] {
        &self.nodes
    }

    /// A client of all nodes, which are numbered as in [`LocalCluster::nodes`].
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Starts every node that does not run.
    ///
    /// # Errors
    /// Where a process cannot be started.
    pub(crate) fn start_all(&mut self) -> Result<(), LocalError> {
        let ids: Vec<_> = self.nodes.iter().map(|node| node.id).collect();
        ids.into_iter().try_for_each(|id| self.start(id))
    }

    /// Starts a node, unless it runs.
    ///
    /// # Errors
    /// Where there is no such node, or its process cannot be started.
    pub(crate) fn start(&mut self, id: u64) -> Result<(), LocalError> {
        if !self.nodes.iter().any(|node| node.id == id) && !self.extras.others.contains_key(&id) {
            return Err(LocalError::NoNode(id));
        }
        if !self.running.contains_key(&id) {
            let running = self.spawn(id).map_err(system(&format!("cannot start node {id}")))?;
            self.running.insert(id, running);
        }
        Ok(())
    }

    /// Waits until every node serves.
    ///
    /// # Errors
    /// Where a node ends, or does not serve in time.
    pub(crate) async fn wait_ready(&mut self, time_max: Duration) -> Result<(), LocalError> {
        let deadline = Instant::now() + time_max;
        for place in 0..self.nodes.len() {
            let id = self.nodes[place].id;
            while let Err(why) = self.client.only(place).ready().await {
                self.refuse_ended().await?;
                if Instant::now() > deadline {
                    let waited_s = time_max.as_secs();
                    return Err(LocalError::NotReady { id, waited_s, why: why.to_string() });
                }
                sleep(READY_POLL).await;
            }
        }
        Ok(())
    }

    /// `kill -9` of one node, and waits until it is gone.
    ///
    /// # Errors
    /// Where it does not run.
    pub(crate) async fn kill(&mut self, id: u64) -> Result<(), LocalError> {
        let mut running = self.running.remove(&id).ok_or(LocalError::NoNode(id))?;
        running.child.kill().await.map_err(system(&format!("cannot kill node {id}")))
    }

    /// Sends a node a signal, unless it is gone.
    ///
    /// # Errors
    /// Where it does not run.
    pub(crate) fn signal(&self, id: u64, signal: Signal) -> Result<(), LocalError> {
        self.running.get(&id).ok_or(LocalError::NoNode(id)).map(|running| running.signal(signal))
    }

    /// Writes a line to a node's stdin.
    ///
    /// # Errors
    /// Where it does not run, or does not listen.
    pub(crate) async fn tell(&mut self, id: u64, line: &str) -> Result<(), LocalError> {
        let stdin = self.running.get_mut(&id).and_then(|running| running.stdin.as_mut());
        let told = stdin.ok_or(LocalError::NoNode(id))?.write_all(format!("{line}\n").as_bytes()).await;
        told.map_err(system(&format!("cannot tell node {id}")))
    }

    /// Whether a node's process is there, a stopped one included.
    pub(crate) fn runs(&self, id: u64) -> bool {
        self.running.get(&id).is_some_and(|running| running.child.id().is_some())
    }

    /// Ends every node: SIGTERM to all, and `kill -9` to whoever has not ended in time.
    ///
    /// Answers how each ended.
    pub(crate) async fn stop_all(&mut self, time_max: Duration) -> Vec<(u64, io::Result<ExitStatus>)> {
        let deadline = Instant::now() + time_max;
        self.running.values().for_each(Running::terminate);
        let mut ends = Vec::new();
        while let Some((id, mut running)) = self.running.pop_first() {
            let end = running.wait_until(deadline).await;
            // What it said last is still to be shown.
            let _ = timeout(READY_POLL, &mut running.reader).await;
            ends.push((id, end));
        }
        ends
    }

    /// The nodes that ended since the last look, how, and their last words.
    pub(crate) async fn ended(&mut self) -> Vec<(u64, ExitStatus, String)> {
        let looked = self.running.iter_mut().map(|(&id, running)| (id, running.child.try_wait()));
        let ended: Vec<_> = looked.filter_map(|(id, status)| Some((id, status.ok()??))).collect();
        let mut told = Vec::new();
        for (id, status) in ended {
            if let Some(running) = self.running.remove(&id) {
                told.push((id, status, running.last_words().await));
            }
        }
        told
    }

    async fn refuse_ended(&mut self) -> Result<(), LocalError> {
        match self.ended().await.into_iter().next() {
            Some((id, status, last_words)) => Err(LocalError::Ended { id, status, last_words }),
            None => Ok(()),
        }
    }

    fn spawn(&self, id: u64) -> io::Result<Running> {
        let mut command = Command::new(&self.program);
        // What is set for one node cannot be meant for each of them.
        command.env_remove("LASTUNIT_NODE_DATA_DIR");
        if self.extras.lines.is_some() {
            // Who reads the lines counts on those that there are by default.
            command.env_remove(FILTER_VARIABLE);
        }
        if self.own {
            command.env_remove("LASTUNIT_INSECURE_NO_AUTH");
            KEYS.iter().filter_map(Key::variable).for_each(|name| _ = command.env_remove(name));
        }
        let mut child = command
            .arg("serve")
            .arg("--config")
            .arg(self.extras.others.get(&id).unwrap_or(&self.config))
            .args(["--node", &id.to_string(), "--exit-with-stdin"])
            .args(self.extras.arguments.get(&id).into_iter().flatten())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let lines = Arc::default();
        let ears = Ears { id, logs: self.logs, kept: Arc::clone(&lines), lines: self.extras.lines.clone() };
        let reader = tokio::spawn(read_lines(child.stderr.take(), ears));
        Ok(Running { child, stdin, lines, reader })
    }
}

impl Running {
    fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal, unless it was reaped. An error says that it is gone already, which is as well.
    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }

    async fn wait_until(&mut self, deadline: Instant) -> io::Result<ExitStatus> {
        match tokio::time::timeout_at(deadline, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                self.child.kill().await?;
                self.child.wait().await
            }
        }
    }

    async fn last_words(mut self) -> String {
        let _ = timeout(READY_POLL, &mut self.reader).await;
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.back().map(|line| format!(": {line}")).unwrap_or_default()
    }
}

/// Where a node's log lines go.
struct Ears {
    id: u64,
    logs: Logs,
    kept: Arc<Mutex<VecDeque<String>>>,
    lines: Option<UnboundedSender<(u64, String)>>,
}

/// Keeps a node's last log lines, and shows all where that is wanted, until the node closes its stderr.
async fn read_lines(stderr: Option<ChildStderr>, ears: Ears) {
    let Some(stderr) = stderr else { return };
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if ears.logs == Logs::Show {
            eprintln!("node {} | {line}", ears.id);
        }
        if let Some(lines) = &ears.lines {
            // Whoever wanted them may have gone.
            let _ = lines.send((ears.id, line.clone()));
        }
        keep(&ears.kept, line);
    }
}

fn keep(kept: &Mutex<VecDeque<String>>, line: String) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() == LINES_KEPT {
        kept.pop_front();
    }
    kept.push_back(line);
}

/// Writes the cluster file of a node that may join the cluster of these nodes: its own section, and those of as many of
/// the others as a file may have, below the limits of [`LocalCluster::within`]. Answers the node.
pub(crate) fn spare(
    directory: &Path,
    limits: &str,
    others: &[&NodeConfig],
    id: u64,
) -> Result<(PathBuf, NodeConfig), LocalError> {
    let taken = |port: &u16| {
        let port = format!(":{port}");
        others.iter().any(|node| node.http.ends_with(&port) || node.raft.ends_with(&port))
    };
    let mut ports = free_ports(2).map_err(system("cannot find free ports"))?;
    while ports.iter().any(taken) {
        ports = free_ports(2).map_err(system("cannot find free ports"))?;
    }
    let address = |port: u16| format!("127.0.0.1:{port}");
    let data_dir = directory.join(id.to_string());
    let own = NodeConfig { id, http: address(ports[0]), raft: address(ports[1]), data_dir };
    let others = others.iter().copied().take(NODES.end() - 1);
    let sections: String = others.chain([&own]).map(section).collect();
    let config = directory.join(format!("spare-{id}.toml"));
    let text = format!("{HEAD}{limits}{sections}");
    std::fs::write(&config, text).map_err(system("cannot write the cluster file"))?;
    Ok((config, own))
}

/// The `[[node]]` of a cluster file.
fn section(node: &NodeConfig) -> String {
    let NodeConfig { id, http, raft, data_dir } = node;
    let data_dir = toml::Value::from(data_dir.to_string_lossy().into_owned());
    format!("\n[[node]]\nid = {id}\nhttp = \"{http}\"\nraft = \"{raft}\"\ndata_dir = {data_dir}\n")
}

/// Ports that nothing listened on a moment ago. All are held until all are found, so that no two are the same.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let mut held = Vec::new();
    for _ in 0..PORT_TRIES * count {
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, rand::random_range(PORTS)));
        held.extend(free());
        if held.len() == count {
            return held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect();
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// The text of a cluster file with these limits and a node for every two ports, and its nodes.
fn cluster_file(directory: &Path, limits: &str, ports: &[u16]) -> (String, Vec<LocalNode>) {
    let mut text = format!("{HEAD}{limits}");
    let mut nodes = Vec::new();
    for (id, pair) in (1..).zip(ports.chunks_exact(2)) {
        let (http, raft) = (format!("127.0.0.1:{}", pair[0]), format!("127.0.0.1:{}", pair[1]));
        let data_dir = directory.join(id.to_string());
        text.push_str(&section(&NodeConfig { id, http: http.clone(), raft, data_dir }));
        nodes.push(LocalNode { id, http });
    }
    (text, nodes)
}

fn system(what: &str) -> impl FnOnce(io::Error) -> LocalError + use<> {
    let what = what.to_owned();
    move |source| LocalError::System { what, source }
}

#[cfg(test)]
mod tests;
