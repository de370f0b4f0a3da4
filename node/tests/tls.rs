//! A cluster with TLS for clients and between nodes, by what `lastunit cert` makes: it sells on through a leader's
//! death, a new member and new certificates, and takes in nobody whose certificate is not its own.
//!
//! What the two sides of a single connection say of each other's certificates, `raft`'s own tests have case by case.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use client::Client;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use support::cluster::{Cluster, IDS, free_ports};
use support::load::{Ledger, Load};
use support::process::{Lines, Process};
use support::program::{Ended, program};
use support::{PATIENCE, wait_for};

/// How many calls are answered between two things that happen.
const CALLS: usize = 50;

/// What the operator can mend.
const MENDABLE: i32 = 2;

/// A cluster with TLS, and where its certificates are.
struct Secured {
    cluster: Cluster,
    certificates: TempDir,
}

impl Secured {
    async fn start() -> Secured {
        let certificates = tempfile::tempdir().unwrap();
        let directory = certificates.path().join("tls");
        let tls = format!("\n[tls]\ndir = {directory:?}\n");
        let mut cluster = Cluster::stopped_with(&tls).await;
        made(&["new"], &cluster.config());
        cluster.speak_tls(&directory.join("ca.pem"));
        cluster.start_all().await;
        Secured { cluster, certificates }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.certificates.path().join("tls").join(name)
    }

    fn ca(&self) -> Vec<u8> {
        fs::read(self.path("ca.pem")).unwrap()
    }

    /// The certificate that a node shows to clients.
    async fn shown(&self, id: u64) -> CertificateDer<'static> {
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_slice(&self.ca()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(trusted).with_no_client_auth();
        let socket = TcpStream::connect(self.cluster.http(id)).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    /// Waits until a node shows the certificate that is in its file.
    async fn shows_its_file(&self, id: u64) {
        let file = fs::read(self.path(&format!("node-{id}.pem"))).unwrap();
        let file = CertificateDer::from_pem_slice(&file).unwrap();
        wait_for(format!("node {id} shows what is in its file"), async || {
            (self.shown(id).await == file).then_some(())
        })
        .await;
    }

    async fn said(&self, id: u64, what: &str) {
        wait_for(format!("node {id} says {what:?}"), async || {
            self.cluster.said(id).contains(what).then_some(())
        })
        .await;
    }
}

/// Runs `lastunit cert`, which succeeds.
fn made(arguments: &[&str], config: &Path) {
    let ended = cert(arguments, config);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
}

fn cert(arguments: &[&str], config: &Path) -> Ended {
    let output = program().arg("cert").args(arguments).arg("--config").arg(config).output();
    Ended::of(output.unwrap())
}

async fn run(mut command: Command) -> Ended {
    command.stdin(Stdio::null());
    Ended::of(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
}

/// Knocks at every node again and again, each time on a new connection. A machine that is too busy may make one late,
/// but no certificate may be in its way.
fn knock(cluster: &Cluster, ca: Vec<u8>, stop: Arc<AtomicBool>) -> JoinHandle<usize> {
    let addresses = IDS.map(|id| format!("https://{}", cluster.http(id)));
    tokio::spawn(async move {
        let mut knocks = 0;
        while !stop.load(Ordering::Relaxed) {
            for address in &addresses {
                let client =
                    Client::builder().ca(ca.clone()).connect_time_max(PATIENCE).try_time_max(PATIENCE);
                let client = client.build([address]).unwrap();
                match client.live().tries_max(1).deadline(PATIENCE).await {
                    Ok(_) => knocks += 1,
                    Err(why) => {
                        let why = why.to_string();
                        assert!(!why.contains("certificate") && !why.contains("alert"), "{why}");
                    }
                }
            }
        }
        knocks
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_tls_sells_on_while_its_leader_dies_and_its_certificates_change() {
    let mut secured = Secured::start().await;
    let mut ledger = Ledger::default();
    let load = Load::start(&secured.cluster, &mut ledger).await;
    load.more(CALLS).await;

    new_certificates_are_shown_and_broken_ones_are_not(&secured, &load).await;

    let leader = secured.cluster.leader().await;
    secured.cluster.kill(leader);
    load.more(CALLS).await;
    secured.cluster.spawn(leader);
    secured.cluster.ready(&IDS).await;
    load.more(CALLS).await;

    let _fourth = a_new_node_is_added(&secured).await;
    load.more(CALLS).await;
    load.stop(&mut ledger).await;

    strangers_are_refused(&mut secured).await;
    clients_are_told_what_is_wrong(&secured).await;
    secured.cluster.ready(&IDS).await;
    ledger.check(&secured.cluster).await;
}

/// Certificates are renewed while clients knock: no connection fails. A broken file then changes nothing.
async fn new_certificates_are_shown_and_broken_ones_are_not(secured: &Secured, load: &Load) {
    let Secured { cluster, .. } = secured;
    let stop = Arc::default();
    let knocking = knock(cluster, secured.ca(), Arc::clone(&stop));
    let before = secured.shown(2).await;
    made(&["renew"], &cluster.config());
    for id in IDS {
        secured.shows_its_file(id).await;
    }
    assert_ne!(secured.shown(2).await, before);
    fs::write(secured.path("node-2.pem"), "broken").unwrap();
    secured.said(2, "the certificates of before stay in use: key `tls.dir`").await;
    load.more(CALLS).await;
    let _still_shown = secured.shown(2).await;
    made(&["renew", "--nodes", "2"], &cluster.config());
    secured.shows_its_file(2).await;
    stop.store(true, Ordering::Relaxed);
    assert!(knocking.await.unwrap() > 0);
}

/// A fourth node gets a certificate of the same authority, and is added by the command line over TLS.
async fn a_new_node_is_added(secured: &Secured) -> Process {
    let Secured { cluster, .. } = secured;
    let ports = free_ports(2);
    let data_dir = cluster.config().with_file_name("4");
    let mut text = fs::read_to_string(cluster.config()).unwrap();
    let (http, raft) = (format!("127.0.0.1:{}", ports[0]), format!("127.0.0.1:{}", ports[1]));
    writeln!(text, "\n[[node]]\nid = 4\nhttp = \"{http}\"\nraft = \"{raft}\"\ndata_dir = {data_dir:?}")
        .unwrap();
    let config = cluster.config().with_file_name("grown.toml");
    fs::write(&config, text).unwrap();
    made(&["renew", "--nodes", "4"], &config);
    let process = Process::start(serve(&config, 4), &Lines::default());
    let mut add = program();
    add.args(["member", "add", "4", "--json", "--config"]).arg(&config);
    let added = run(add).await;
    assert_eq!(added.code, 0, "{}{}", added.stdout, added.stderr);
    process
}

fn serve(config: &Path, id: u64) -> Command {
    let mut command = program();
    command.args(["serve", "--exit-with-stdin", "--node", &id.to_string(), "--config"]).arg(config);
    command
}

/// Node 3 is started with what is not its own, with what is another cluster's, and with no TLS at all.
async fn strangers_are_refused(secured: &mut Secured) {
    secured.cluster.terminate(3).await;
    let config = secured.cluster.config();
    let other = config.with_file_name("other.toml");
    let text = fs::read_to_string(&config).unwrap();
    let [own, of_two] =
        ["node-3", "node-2"].map(|name| ["pem", "key"].map(|kind| secured.path(&format!("{name}.{kind}"))));
    let with = |[cert, key]: &[PathBuf; 2]| {
        format!("{text}\n[[tls.node]]\nid = 3\ncert = {cert:?}\nkey = {key:?}\n")
    };
    fs::write(&other, with(&of_two)).unwrap();
    let ended = run(serve(&other, 3)).await;
    assert_eq!(ended.code, MENDABLE, "{}", ended.stderr);
    assert!(ended.stderr.contains("is not made out to node-3.lastunit.internal"), "{}", ended.stderr);
    assert!(ended.stderr.contains("key `tls.node[1].cert`"), "{}", ended.stderr);

    fs::set_permissions(&own[1], fs::Permissions::from_mode(0o604)).unwrap();
    let ended = run(serve(&config, 3)).await;
    assert!(ended.code == MENDABLE && ended.stderr.contains("chmod 600"), "{}", ended.stderr);
    fs::set_permissions(&own[1], fs::Permissions::from_mode(0o600)).unwrap();

    let foreign = secured.certificates.path().join("foreign");
    let told = cert(&["new", "--dir", foreign.to_str().unwrap()], &config);
    assert_eq!(told.code, 0, "{}", told.stderr);
    fs::write(
        &other,
        text.replace(secured.path("").to_str().unwrap().trim_end_matches('/'), foreign.to_str().unwrap()),
    )
    .unwrap();
    fs::copy(foreign.join("ca.pem"), secured.certificates.path().join("strange.pem")).unwrap();
    // It trusts the cluster's authority as well, or it would itself have nothing to do with the others.
    let both = [fs::read(foreign.join("ca.pem")).unwrap(), secured.ca()].concat();
    fs::write(foreign.join("ca.pem"), both).unwrap();
    let stranger = Process::start(serve(&other, 3), &Lines::default());
    secured.said(1, "refused a connection between nodes: its certificate is of another authority").await;
    secured.said(1, "the certificate of node 3 is of another authority").await;
    stranger.kill();

    let plain: String = text.replace("[tls]\n", "[tls]\npeers = false\n");
    fs::write(&other, plain).unwrap();
    let lines = Lines::default();
    let stranger = Process::start(serve(&other, 3), &lines);
    secured.said(1, "refused a connection between nodes: it does not speak TLS").await;
    wait_for("node 3 says that the others speak TLS", async || {
        lines.text().contains("refused a connection between nodes: it speaks TLS").then_some(())
    })
    .await;
    stranger.kill();
    secured.cluster.spawn(3);
}

/// What speaks to the HTTP side by TLS, and what is told to who does it wrongly.
async fn clients_are_told_what_is_wrong(secured: &Secured) {
    let Secured { cluster, .. } = secured;
    let (ca, https) = (secured.path("ca.pem"), format!("https://{}", cluster.http(1)));
    let mut status = program();
    status.args(["sku", "list", "--json", "--nodes", &https, "--ca"]).arg(&ca);
    let ended = run(status).await;
    assert!(ended.code == 0 && ended.stdout.contains("LOAD"), "{}{}", ended.stdout, ended.stderr);
    let mut bench = program();
    bench.args(["bench", "hot", "--nodes", &https, "--ca"]).arg(&ca);
    let ended = run(bench).await;
    assert!(ended.code == MENDABLE && ended.stderr.contains("without TLS"), "{}", ended.stderr);
    let stranger = Client::builder().ca(fs::read(secured.certificates.path().join("strange.pem")).unwrap());
    let refused = stranger.build([&https]).unwrap().live().tries_max(1).await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");

    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "60", "--cacert"]).arg(&ca).arg(format!("{https}/api/inventory/LOAD"));
    let ended = run(curl).await;
    assert!(ended.code == 0 && ended.stdout.contains("\"sku\":\"LOAD\""), "{ended:?}");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "60", "-i", &format!("http://{}/livez", cluster.http(1))]);
    let ended = run(curl).await;
    assert!(ended.code == 0 && ended.stdout.starts_with("HTTP/1.1 400 Bad Request"), "{ended:?}");
    assert!(ended.stdout.contains("call it by https://"), "{ended:?}");
}

#[test]
fn certificates_are_made_once_and_keys_are_their_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("cluster.toml");
    fs::write(&config, include_str!("../../cluster.toml")).unwrap();
    let place = directory.path().join("t");
    let dir = ["--dir", place.to_str().unwrap()];
    let new = cert(&[&["new"][..], &dir].concat(), &config);
    assert_eq!((new.code, new.stderr.as_str()), (0, ""));
    for told in ["ca.pem", "node-3.key", "offline/ca.key", "Take it off this machine", "[tls]"] {
        assert!(new.stdout.contains(told), "{told}: {}", new.stdout);
    }
    let mode = |name: &str| fs::metadata(place.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(["node-1.key", "offline/ca.key", "offline"].map(mode), [0o600, 0o600, 0o700]);
    assert!(!new.stdout.contains("PRIVATE"), "{}", new.stdout);

    let again = cert(&[&["new"][..], &dir].concat(), &config);
    assert_eq!(again.code, MENDABLE);
    assert!(again.stderr.contains("is there already; lastunit cert renew"), "{}", again.stderr);
    let before = fs::read(place.join("node-1.pem")).unwrap();
    let renewed = cert(&[&["renew", "--nodes", "2,3", "--json"][..], &dir].concat(), &config);
    assert_eq!(renewed.code, 0, "{}", renewed.stderr);
    let ids: Vec<_> =
        renewed.documents()[0]["nodes"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, [2, 3]);
    assert_eq!(fs::read(place.join("node-1.pem")).unwrap(), before);
    assert_eq!(mode("node-2.key"), 0o600);

    fs::rename(place.join("offline"), directory.path().join("safe")).unwrap();
    let gone = cert(&[&["renew"][..], &dir].concat(), &config);
    assert!(gone.code == MENDABLE && gone.stderr.contains("--ca-key"), "{}", gone.stderr);
    let other = cert(&["new", "--dir", directory.path().join("o").to_str().unwrap()], &config);
    assert_eq!(other.code, 0);
    let wrong = directory.path().join("o/offline/ca.key");
    let refused = cert(&[&["renew", "--ca-key", wrong.to_str().unwrap()][..], &dir].concat(), &config);
    assert_eq!(refused.code, MENDABLE, "the key of another authority makes nothing that nodes take");
    assert_eq!(fs::read(place.join("node-1.pem")).unwrap(), before);
    let bad = cert(&["new", "--host", "no host"], &config);
    assert!(bad.code == MENDABLE && bad.stderr.contains("--host"), "{}", bad.stderr);
}
