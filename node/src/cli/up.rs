//! `lastunit up`: every node of a cluster file on this machine, until Ctrl-C.
//!
//! ```text
//!  start all -> wait until all serve -> say where, who leads, what to try -> watch -> Ctrl-C: stop all, exit 0
//!      \ a node ends with 2: stop all, exit 2                                  \ a node ends: start it again
//! ```
//!
//! A node that ends is started again after a back-off, which doubles while it keeps ending. One that ends with
//! exit code 2 says that its file or its flags are broken: to start it again would not mend them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use client::Client;
use tokio::time::{Instant, sleep};

use super::reach::Credential;
use super::venue::Given;
use super::{EXIT_FAILED, EXIT_USAGE, Stop, dial, fail, tell, this_program};
use crate::access::AccessArgs;
use crate::config::{ClusterFile, NodeConfig, SettingArgs, Settings};
use crate::local::{Extras, LocalCluster, LocalError, LocalNode, Logs};

/// How long a node may take to end after SIGTERM: it writes its checkpoint then.
const STOP_TIME_MAX: Duration = Duration::from_secs(20);

/// After so long without all nodes serving, it says why it still waits.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often it looks whether a node has ended.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// The wait before a node is started again: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Who ran so long has recovered, and its next back-off is the first again.
const RECOVERED: Duration = Duration::from_secs(60);

/// Runs every node of a cluster file on this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The cluster file.
    #[arg(long, value_name = "FILE", default_value = "cluster.toml", env = "LASTUNIT_CONFIG")]
    config: PathBuf,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    settings: SettingArgs,
}

/// Runs the cluster until Ctrl-C or SIGTERM.
pub(crate) async fn run(args: Args) -> ExitCode {
    let file = match ClusterFile::load_with(&args.config, &Settings::new(None, &args.settings)) {
        Ok(file) => file,
        Err(mistake) => return fail(EXIT_USAGE, &mistake),
    };
    let client = match client(&file) {
        Ok(client) => client,
        Err(why) => return fail(EXIT_USAGE, &why),
    };
    let mut cluster = match prepare(&args, &file, client) {
        Ok(cluster) => cluster,
        Err(why) => return fail(EXIT_FAILED, &why),
    };
    let mut stop = match Stop::new() {
        Ok(stop) => stop,
        Err(cause) => return fail(EXIT_FAILED, &format!("cannot listen for signals: {cause}")),
    };
    let ended = tokio::select! {
        ended = serve(&mut cluster, &args, &file) => Err(ended),
        () = stop.asked() => Ok(()),
    };
    tokio::select! {
        () = stop_all(&mut cluster) => (),
        // Asked a second time, it kills whoever is left.
        () = stop.asked() => (),
    }
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(exit_code(&why), &why),
    }
}

fn client(file: &ClusterFile) -> Result<Client, String> {
    let Given { addresses, ca } = Given::of(file);
    Credential::default().builder(ca)?.build(addresses).map_err(|why| why.to_string())
}

fn prepare(args: &Args, file: &ClusterFile, client: Client) -> Result<LocalCluster, String> {
    let nodes = file.nodes.iter().map(|node| LocalNode { id: node.id, http: dial(&node.http) }).collect();
    let cluster = LocalCluster::new(this_program()?, args.config.clone(), nodes, Logs::Show);
    let mut cluster = cluster.map_err(|why| why.to_string())?;
    cluster.call_through(client);
    let arguments: Vec<String> =
        args.access.arguments().into_iter().chain(args.settings.arguments()).collect();
    let told = |node: &NodeConfig| (node.id, arguments.clone());
    cluster.give(Extras { arguments: file.nodes.iter().map(told).collect(), ..Extras::default() });
    Ok(cluster)
}

/// Ends only where the cluster cannot run.
async fn serve(cluster: &mut LocalCluster, args: &Args, file: &ClusterFile) -> LocalError {
    match start(cluster, args, file).await {
        Ok(()) => watch(cluster).await,
        Err(why) => why,
    }
}

async fn start(cluster: &mut LocalCluster, args: &Args, file: &ClusterFile) -> Result<(), LocalError> {
    cluster.start_all()?;
    loop {
        match cluster.wait_ready(PATIENCE).await {
            Ok(()) => break,
            Err(waiting @ LocalError::NotReady { .. }) => eprintln!("lastunit: {waiting}; waiting on"),
            Err(why) => return Err(why),
        }
    }
    let leader_id = cluster.client().cluster().await.ok().and_then(|view| view.value.leader_id);
    let sale = format!("{} sale --cluster {}", program(), args.config.display());
    let welcome = welcome(&file.name, cluster.nodes(), leader_id, &sale);
    tell(&match file.scheme() {
        "https" => by_tls(&welcome, file.client_ca().as_deref()),
        _ => welcome,
    });
    Ok(())
}

/// Starts again whoever ends. It ends itself only where a process cannot be started.
async fn watch(cluster: &mut LocalCluster) -> LocalError {
    let mut patients = BTreeMap::new();
    loop {
        for (id, status, _already_shown) in cluster.ended().await {
            let patient: &mut Patient = patients.entry(id).or_default();
            eprintln!("lastunit: {}", patient.ended(id, status, Instant::now()));
        }
        for (&id, patient) in &mut patients {
            if patient.is_due(Instant::now())
                && let Err(why) = cluster.start(id)
            {
                return why;
            }
        }
        sleep(WATCH_EVERY).await;
    }
}

/// A node that has ended at least once.
#[derive(Debug, Default)]
struct Patient {
    started: Option<Instant>,
    backoff: Option<Duration>,
    due: Option<Instant>,
}

impl Patient {
    /// Notes that the node ended, and says what will be done about it.
    fn ended(&mut self, id: u64, status: ExitStatus, now: Instant) -> String {
        if status.code() == Some(i32::from(EXIT_USAGE)) {
            self.due = None;
            return format!("node {id} ended ({status}): it stays down until its file or flags are mended");
        }
        let recovered = self.started.is_none_or(|started| now.duration_since(started) >= RECOVERED);
        let doubled = self.backoff.filter(|_| !recovered).map(|last| (2 * last).min(BACKOFF.1));
        let backoff = doubled.unwrap_or(BACKOFF.0);
        self.backoff = Some(backoff);
        self.due = Some(now + backoff);
        format!("node {id} ended ({status}): starting it again in {} s", backoff.as_secs())
    }

    /// Whether to start it now; said once.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| now >= due);
        if due {
            self.due = None;
            self.started = Some(now);
        }
        due
    }
}

async fn stop_all(cluster: &mut LocalCluster) {
    eprintln!("lastunit: stopping all nodes");
    for (id, end) in cluster.stop_all(STOP_TIME_MAX).await {
        match end {
            Ok(status) if status.success() => (),
            Ok(status) => eprintln!("lastunit: node {id} did not end cleanly ({status})"),
            Err(cause) => eprintln!("lastunit: node {id} could not be ended: {cause}"),
        }
    }
}

/// A node whose file or flags are broken makes them ours.
fn exit_code(why: &LocalError) -> u8 {
    match why {
        LocalError::Ended { status, .. } if status.code() == Some(i32::from(EXIT_USAGE)) => EXIT_USAGE,
        _ => EXIT_FAILED,
    }
}

/// This program as it was called.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "lastunit".to_owned())
}

/// What is said once all nodes serve.
fn welcome(name: &str, nodes: &[LocalNode], leader_id: Option<u64>, sale: &str) -> String {
    let mut text = format!("{name} serves:\n");
    for node in nodes {
        let role = if leader_id == Some(node.id) { "  leads" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  node {}  http://{}{role}", node.id, node.http);
    }
    let at = |place: usize| nodes.get(place % nodes.len().max(1)).map_or("", |node| node.http.as_str());
    text.push_str(&examples(at(0), at(1), at(2)));
    let _ =
        writeln!(text, "Or a flash sale of one unit to 50,000 buyers:\n  {sale}\nCtrl-C stops all nodes.");
    text
}

/// The same where the nodes are called by TLS.
fn by_tls(welcome: &str, ca: Option<&Path>) -> String {
    let trust = ca.map(|ca| format!("--cacert {} ", ca.display())).unwrap_or_default();
    welcome.replace("http://", "https://").replace("curl -s ", &format!("curl -s {trust}"))
}

fn examples(first: &str, second: &str, third: &str) -> String {
    let json = "-H 'Content-Type: application/json'";
    let id = r#"sed -n 's/.*"reservation_id":"\([^"]*\)".*/\1/p'"#;
    format!(
        r#"
Try, in another terminal: put one unit on sale, take it through a second node, pay for it through a third.
  curl -s -X PUT http://{first}/api/inventory/PS5 {json} -d '{{"on_hand":1}}'
  RES=$(curl -s http://{second}/api/checkout/reserve {json} -d '{{"cart_id":"cart-1","items":[{{"sku":"PS5","qty":1}}]}}' | {id})
  curl -s http://{third}/api/checkout/commit {json} -d '{{"reservation_id":"'$RES'","payment_token":"pay-1"}}'
  curl -s http://{first}/api/inventory/PS5
"#
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    /// The status of a process that ended with that code.
    fn code(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn the_backoff_doubles_until_a_node_has_run_for_a_while() {
        let start = Instant::now();
        let mut patient = Patient::default();
        let mut now = start;
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            patient.ended(1, code(1), now);
            let backoff = Duration::from_secs(seconds);
            assert!(!patient.is_due(now + backoff - Duration::from_millis(1)), "{seconds}");
            now += backoff;
            assert!(patient.is_due(now), "{seconds}");
            assert!(!patient.is_due(now), "it is started once");
        }
        now += RECOVERED;
        patient.ended(1, ExitStatus::from_raw(9), now);
        assert!(patient.is_due(now + BACKOFF.0));
    }

    #[test]
    fn a_node_that_ends_with_2_stays_down() {
        let mut patient = Patient::default();
        let now = Instant::now();
        assert!(patient.ended(1, code(2), now).contains("stays down"));
        assert!(!patient.is_due(now + 10 * RECOVERED));
    }

    #[test]
    fn a_broken_node_makes_up_end_with_2() {
        let ended = |status| LocalError::Ended { id: 1, status, last_words: String::new() };
        assert_eq!(exit_code(&ended(code(2))), EXIT_USAGE);
        assert_eq!(exit_code(&ended(code(1))), EXIT_FAILED);
        assert_eq!(exit_code(&LocalError::NoNode(1)), EXIT_FAILED);
    }

    #[test]
    fn the_welcome_names_every_node_and_the_leader() {
        let node = |id| LocalNode { id, http: format!("127.0.0.1:810{id}") };
        let text = welcome("shop", &[node(1), node(2), node(3)], Some(2), "lastunit sale");
        assert!(text.starts_with("shop serves:\n  node 1  http://127.0.0.1:8101\n"), "{text}");
        assert!(text.contains("  node 2  http://127.0.0.1:8102  leads\n"), "{text}");
        assert!(text.contains("http://127.0.0.1:8103/api/checkout/commit"), "{text}");
    }
}
