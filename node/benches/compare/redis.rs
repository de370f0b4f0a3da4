//! Redis servers as child processes: one, or a primary and two replicas, on free ports and in a scratch directory.
//!
//! ```text
//!   redis      primary                        appendonly yes, appendfsync always, save ""
//!   replicas   primary --> replica, replica   the same each
//! ```
//!
//! Everything else is as the server's own version has it, but for `repl-diskless-sync-delay`: a primary need not wait
//! five seconds for more replicas before it sends the first copy.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::connection::Connection;
use super::machine::cpu_seconds;
use super::support::cluster::free_ports;
use super::support::process::{Lines, Process};
use super::support::wait_for;

/// The program, as found on PATH.
const PROGRAM: &str = "redis-server";

/// Servers that run until this is dropped; then their directory goes, too.
pub(crate) struct Redis {
    primary: Server,
    replicas: Vec<Server>,
    _directory: TempDir,
}

struct Server {
    process: Process,
    port: u16,
}

/// What the program on PATH calls its version, such as `7.0.15`.
///
/// # Errors
///
/// What to install, where there is none.
pub(crate) fn version() -> Result<String, String> {
    let missing = |why| format!("{PROGRAM}: {why}; install it, on Debian: apt-get install redis-server");
    let output =
        Command::new(PROGRAM).arg("--version").output().map_err(|error| missing(error.to_string()))?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = told.split_whitespace().find_map(|word| word.strip_prefix("v="));
    version.map(str::to_owned).ok_or_else(|| missing(format!("it tells no version: {told:?}")))
}

impl Redis {
    /// A primary with so many replicas, once all of them are in step and no file is rewritten any more.
    pub(crate) async fn start(replicas: usize) -> Redis {
        let directory = tempfile::Builder::new().prefix("lastunit-compare-").tempdir().unwrap();
        let ports = free_ports(1 + replicas);
        let primary = Server::start(directory.path(), ports[0], None);
        primary.listens().await;
        let replica = |&port: &u16| Server::start(directory.path(), port, Some(ports[0]));
        let replicas = ports[1..].iter().map(replica).collect();
        let redis = Redis { primary, replicas, _directory: directory };
        redis.in_step().await;
        redis
    }

    /// A new socket to the primary.
    pub(crate) fn connect(&self) -> TcpStream {
        self.primary.connect().expect("the primary listens")
    }

    /// How many replicas it has.
    pub(crate) fn replicas(&self) -> usize {
        self.replicas.len()
    }

    /// The processor time that all servers have taken, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.servers().map(|server| cpu_seconds(server.process.id())).sum()
    }

    async fn in_step(&self) {
        let online = |info: &str| info.matches("state=online").count() == self.replicas.len();
        self.primary.info("all replicas are online", online).await;
        for server in self.servers() {
            let quiet = |info: &str| {
                ["aof_enabled:1", "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"]
                    .iter()
                    .all(|line| info.lines().any(|told| told == *line))
            };
            server.info("the append-only file is there", quiet).await;
        }
    }

    fn servers(&self) -> impl Iterator<Item = &Server> {
        std::iter::once(&self.primary).chain(&self.replicas)
    }
}

impl Server {
    fn start(directory: &Path, port: u16, primary: Option<u16>) -> Server {
        let home = directory.join(port.to_string());
        std::fs::create_dir(&home).unwrap();
        let mut command = Command::new(PROGRAM);
        command.current_dir(&home).args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        command.args(["--repl-diskless-sync-delay", "0"]);
        if let Some(primary) = primary {
            command.args(["--replicaof", &format!("127.0.0.1 {primary}")]);
        }
        Server { process: Process::start(command, &Lines::default()), port }
    }

    async fn listens(&self) {
        wait_for(format!("port {} answers", self.port), async || self.connect()).await;
    }

    fn connect(&self) -> Option<TcpStream> {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()
    }

    /// Waits until what the server tells of itself is as wanted.
    async fn info(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        self.listens().await;
        let mut connection = Connection::new(self.connect().expect("it listened a moment ago"));
        wait_for(what, async || {
            let told = connection.text(&[b"INFO"]).await;
            wanted(&told).then_some(())
        })
        .await;
    }
}
