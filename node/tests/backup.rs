//! Backup and restore with real processes: a backup is taken while buyers go on, and a new cluster of it has all that
//! was answered up to it, and nothing of the old cluster beside it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use client::api::{CommitRequest, PutSkuRequest, Reservation, ReservationState, ReserveRequest};
use client::{Answer, Client, Error, code};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use support::cluster::{Cluster, IDS, free_places};
use support::program::{Ended, program};
use support::{PATIENCE, copy, seed, wait_for};

/// How much there is of what is sold: more than the test sells.
const STOCK: u64 = 1_000_000;

/// How many buyers there are.
const BUYERS: usize = 4;

/// The restore id of the test.
const RESTORE_ID: &str = "0123456789abcdef0123456789abcdef";

/// Runs a command line until it ends.
async fn lastunit(arguments: &[&str]) -> Ended {
    let mut command = Command::from(program());
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    Ended::of(timeout(PATIENCE, command.output()).await.expect("the command ends").unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn addresses(cluster: &Cluster) -> String {
    IDS.map(|id| format!("http://{}", cluster.http(id))).join(",")
}

/// One call of a buyer: its key, and what was answered.
#[derive(Clone)]
struct Line {
    key: String,
    /// The reservation that is committed; `None`: the call is a reserve.
    commits: Option<String>,
    cart: String,
    answer: Answer<Reservation>,
}

impl Line {
    fn sequence(&self) -> u64 {
        self.answer.sequence.unwrap()
    }

    fn id(&self) -> &str {
        &self.answer.value.reservation_id
    }
}

/// Buyers at work: each reserves one unit for cart after cart, and pays for every second one.
struct Buyers {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<Line>>>,
}

impl Buyers {
    fn start(client: &Client) -> Buyers {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let buyer = |buyer: usize| {
            let (client, stop, answered) = (client.clone(), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut lines = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    buy(&client, format!("cart-{buyer}-{number}"), number % 2 == 0, &mut lines).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                lines
            })
        };
        let tasks = (0..BUYERS).map(buyer).collect();
        Buyers { stop, answered, tasks }
    }

    /// Waits until they have bought so many carts more.
    async fn buy(&self, carts: usize) {
        let until = self.answered.load(Ordering::Relaxed) + carts;
        wait_for("the buyers buy", async || (self.answered.load(Ordering::Relaxed) >= until).then_some(()))
            .await;
    }

    async fn stop(self) -> Vec<Line> {
        self.stop.store(true, Ordering::Relaxed);
        let mut lines = Vec::new();
        for task in self.tasks {
            lines.extend(task.await.unwrap());
        }
        lines
    }
}

fn reserve_of(cart: &str) -> ReserveRequest {
    ReserveRequest { ttl_seconds: Some(1_800), ..ReserveRequest::one(cart, "PS5", 1) }
}

fn commit_of(reservation_id: &str, cart: &str) -> CommitRequest {
    let payment_token = Some(format!("paid-{cart}"));
    CommitRequest { reservation_id: reservation_id.to_owned(), payment_token, ..CommitRequest::default() }
}

async fn buy(client: &Client, cart: String, pays: bool, lines: &mut Vec<Line>) {
    let key = format!("reserve-{cart}");
    let answer = client.reserve(&reserve_of(&cart)).key(&key).deadline(PATIENCE).await.unwrap();
    let id = answer.value.reservation_id.clone();
    lines.push(Line { key, commits: None, cart: cart.clone(), answer });
    if pays {
        let key = format!("commit-{cart}");
        let answer = client.commit(&commit_of(&id, &cart)).key(&key).deadline(PATIENCE).await.unwrap();
        lines.push(Line { key, commits: Some(id), cart, answer });
    }
}

/// The same call once more.
async fn again(client: &Client, line: &Line) -> Answer<Reservation> {
    match &line.commits {
        None => client.reserve(&reserve_of(&line.cart)).key(&line.key).await.unwrap(),
        Some(id) => client.commit(&commit_of(id, &line.cart)).key(&line.key).await.unwrap(),
    }
}

/// What a backup or a restore told as JSON.
fn document(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.documents().remove(0)
}

fn number(document: &Value, field: &str) -> u64 {
    document[field].as_u64().unwrap_or_else(|| panic!("no {field} in {document}"))
}

/// The names in a directory.
fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// A restored cluster has what was answered up to the backup, and answers it again under its keys; it knows nothing of
/// what came after; and of the stock there is what those sales left.
async fn check_restored(client: &Client, lines: &[Line], sequence: u64) {
    let (kept, lost): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.sequence() <= sequence);
    assert!(kept.len() > 50 && lost.len() > 50, "{} and {} lines", kept.len(), lost.len());
    for line in &kept {
        let answer = again(client, line).await;
        assert!(answer.replayed, "{} was executed again", line.key);
        assert_eq!(
            (answer.sequence, &answer.value),
            (line.answer.sequence, &line.answer.value),
            "{}",
            line.key
        );
    }
    for line in lost.iter().filter(|line| line.commits.is_none()).take(40) {
        match client.reservation(line.id()).await {
            Err(Error::Refused(refusal)) => assert_eq!(refusal.problem.code, code::RESERVATION_NOT_FOUND),
            other => panic!("{} is there: {other:?}", line.id()),
        }
    }
    let sold = kept.iter().filter(|line| line.commits.is_some()).count() as u64;
    let reserved = kept.len() as u64 - sold;
    let stock = client.sku("PS5").await.unwrap().value;
    assert_eq!((stock.sold, stock.held, stock.on_hand), (sold, reserved - sold, STOCK - sold));
    support::say(&format!("{} answers kept, {} lost with the old cluster", kept.len(), lost.len()));
}

/// A hold of the new cluster has a token that the old one never gave out, though it went on after the backup.
async fn check_tokens_and_time(client: &Client, lines: &[Line], backup: &Value) {
    let answer = client.reserve(&reserve_of("a-new-cart")).await.unwrap();
    assert_eq!(answer.value.state, ReservationState::Held);
    let given = lines.iter().filter_map(|line| line.answer.value.fencing_token).max().unwrap();
    let token = answer.value.fencing_token.unwrap();
    assert!(token > given, "{token} was given out before: the last one was {given}");
    let time = backup["time"].as_str().unwrap();
    assert!(answer.value.created_at.as_str() >= time, "{} is before {time}", answer.value.created_at);
    assert!(answer.sequence.unwrap() > number(backup, "sequence"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_becomes_a_new_cluster_that_the_old_one_is_no_part_of() {
    let scratch = TempDir::new().unwrap();
    let dirs = |name: &str| -> Vec<PathBuf> {
        IDS.iter().map(|id| scratch.path().join(format!("{name}-{id}"))).collect()
    };
    let file = scratch.path().join("shop.backup");
    let mut old = Cluster::start_in(seed(), free_places(), "", dirs("old")).await;
    let stock = PutSkuRequest { on_hand: STOCK, ..PutSkuRequest::default() };
    old.client().put_sku("PS5", &stock).await.unwrap();
    let buyers = Buyers::start(old.client());
    buyers.buy(60).await;
    let before = old.client().put_sku("LAST-BEFORE", &stock).await.unwrap().sequence.unwrap();
    let backup = lastunit(&["backup", "--to", text(&file), "--nodes", &addresses(&old), "--json"]).await;
    let backup = document(&backup);
    buyers.buy(60).await;
    let lines = buyers.stop().await;
    let sequence = number(&backup, "sequence");
    assert!(sequence >= before, "what was answered before the backup is in it");
    old.check_digests().await;
    let audit = lastunit(&["audit", "--nodes", &addresses(&old)]).await;
    assert_eq!(audit.code, 0, "{audit:?}");
    for id in IDS {
        assert_eq!(names(&old.data_dir(id).join("snapshots")), [""; 0], "no file of it is left");
    }
    let to_be_refused = lastunit(&["backup", "--to", text(&file), "--nodes", &addresses(&old)]).await;
    assert!(
        to_be_refused.code == 2 && to_be_refused.stderr.contains("is there already"),
        "{to_be_refused:?}"
    );
    for id in IDS {
        assert_eq!(old.terminate(id).await.code(), Some(0));
    }
    drop(old);

    let verified = document(&lastunit(&["backup", "verify", text(&file), "--json"]).await);
    assert_eq!(verified, backup);
    check_damaged_ones_are_refused(scratch.path(), &file).await;

    let mut new = Cluster::stopped_in(seed(), free_places(), "", dirs("new")).await;
    restore_each(&new, &file, &backup).await;
    new.start_all().await;
    check_restored(new.client(), &lines, sequence).await;
    check_tokens_and_time(new.client(), &lines, &backup).await;
    new.check_digests().await;
    let audit = lastunit(&["audit", "--nodes", &addresses(&new)]).await;
    assert_eq!(audit.code, 0, "{audit:?}");

    an_old_node_is_refused(&mut new, &dirs("old")[2], &backup).await;
    new.kill_all();
    new.start_all().await;
    new.client().reserve(&reserve_of("after-a-restart")).await.unwrap();
    new.check_digests().await;
}

/// Makes the directories one by one, as on three machines, then all of another cluster at once.
async fn restore_each(new: &Cluster, file: &Path, backup: &Value) {
    let config = new.config();
    let mut ids = Vec::new();
    for id in IDS {
        let node = id.to_string();
        let line = ["restore", "--config", text(&config), "--from", text(file), "--node", &node, "--json"];
        let missing = lastunit(&line).await;
        assert!(missing.code == 2 && missing.stderr.contains("--restore-id"), "{missing:?}");
        let made = document(&lastunit(&[&line[..], &["--restore-id", RESTORE_ID]].concat()).await);
        assert_eq!(made["applied_index"], backup["applied_index"]);
        assert_eq!(made["of_cluster_id"], backup["cluster_id"]);
        ids.push(made["cluster_id"].as_str().unwrap().to_owned());
        let again = lastunit(&[&line[..], &["--restore-id", RESTORE_ID]].concat()).await;
        assert!(again.code == 2 && again.stderr.contains("is not empty"), "{again:?}");
        let inspected = document(&lastunit(&["inspect", text(&new.data_dir(id)), "--json"]).await);
        assert_eq!((&inspected["verdict"], &inspected["starts"]), (&"whole".into(), &true.into()));
        assert_eq!(inspected["identity"]["cluster_id"], made["cluster_id"], "{inspected}");
        assert_eq!(inspected["checkpoint"]["content"]["digest"], made["state_digest"]);
    }
    assert!(ids.iter().all(|id| *id == ids[0] && *id != backup["cluster_id"]), "{ids:?}");
    restore_all(new, file, &ids[0]).await;
}

/// The directories of all nodes at once, which are of another cluster again.
async fn restore_all(new: &Cluster, file: &Path, other: &str) {
    let (scratch, text_of) = (TempDir::new().unwrap(), fs::read_to_string(new.config()).unwrap());
    let config = scratch.path().join("cluster.toml");
    let parent = new.data_dir(1).parent().unwrap().to_owned();
    fs::write(&config, text_of.replace(text(&parent), text(&scratch.path().join("data")))).unwrap();
    let line = ["restore", "--config", text(&config), "--from", text(file)];
    let made = lastunit(&line).await;
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.stdout.contains("is not in it: units held or sold since are for sale again"), "{made:?}");
    assert!(!made.stdout.contains(other), "a random id: {made:?}");
    assert_eq!(names(&scratch.path().join("data")).len(), IDS.len());
}

/// A node of the old cluster is started in a new one's place.
async fn an_old_node_is_refused(new: &mut Cluster, old_dir: &Path, backup: &Value) {
    let (dir, aside) = (new.data_dir(3), new.data_dir(3).with_extension("aside"));
    assert_eq!(new.terminate(3).await.code(), Some(0));
    fs::rename(&dir, &aside).unwrap();
    copy(old_dir, &dir);
    new.spawn(3);
    assert_eq!(new.ended(3).await.code(), Some(2));
    let said = new.said(3);
    let old_id = backup["cluster_id"].as_str().unwrap();
    assert!(said.contains(&format!("belongs to the cluster with id {old_id}, but node ")), "{said}");
    fs::remove_dir_all(&dir).unwrap();
    fs::rename(&aside, &dir).unwrap();
    new.start_all().await;
}

/// Whatever is wrong with a file, nothing is made of it, and one line says so.
async fn check_damaged_ones_are_refused(scratch: &Path, whole: &Path) {
    let bytes = fs::read(whole).unwrap();
    let config = scratch.join("restored.toml");
    let node = |id: u64| {
        let dir = scratch.join(format!("never-{id}"));
        format!(
            "[[node]]\nid = {id}\nhttp = \"127.0.0.1:1{id}\"\nraft = \"127.0.0.1:2{id}\"\ndata_dir = {dir:?}\n"
        )
    };
    let nodes: String = IDS.into_iter().map(node).collect();
    fs::write(&config, format!("[cluster]\nname = \"shop\"\n{nodes}")).unwrap();
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let damaged = scratch.join("damaged.backup");
    for (what, content) in [
        ("a bit of its head", flipped(20)),
        ("a bit in its middle", flipped(bytes.len() / 2)),
        ("its last bit", flipped(bytes.len() - 1)),
        ("its end", bytes[..bytes.len() - 1].to_vec()),
        ("half of it", bytes[..bytes.len() / 2].to_vec()),
        ("all of it", Vec::new()),
        ("another file", fs::read(&config).unwrap()),
    ] {
        fs::write(&damaged, content).unwrap();
        let restore = ["restore", "--config", text(&config), "--from", text(&damaged)];
        for line in [&["backup", "verify", text(&damaged)][..], &restore] {
            let ended = lastunit(line).await;
            assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{what}: {ended:?}");
            assert_eq!(ended.stderr.lines().count(), 1, "{what}: {ended:?}");
            assert!(ended.stderr.contains(" is damaged at offset "), "{what}: {ended:?}");
        }
    }
    let missing = lastunit(&["backup", "verify", text(&scratch.join("none"))]).await;
    assert_eq!((missing.code, missing.stderr.lines().count()), (2, 1), "{missing:?}");
    assert!(names(scratch).iter().all(|name| !name.starts_with("never-")), "a directory was made");
}

/// A node that answers every call with these bytes and closes the connection.
async fn fake_node(head: &'static str, body: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = [0; 4096];
            let _ = stream.read(&mut heard).await;
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_breaks_off_or_lies_leaves_no_file() {
    let scratch = TempDir::new().unwrap();
    let file = scratch.path().join("never.backup");
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 1000\r\n\r\n";
    let busy = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n";
    let problem = r#"{"type":"about:blank","title":"t","status":503,"detail":"busy","code":"overloaded","retryable":true,
        "executed":"no"}"#;
    for (head, body, exit_code, told) in [
        (half, vec![0; 10], 3, "broke off after"),
        (half, vec![0; 1000], 1, "this is not a backup of lastunit"),
        (busy, problem.as_bytes().to_vec(), 3, "not executed"),
    ] {
        let node = fake_node(head, body).await;
        let nodes = format!("http://{node}");
        let ended = lastunit(&["backup", "--to", text(&file), "--nodes", &nodes, "--json"]).await;
        assert_eq!(ended.code, exit_code, "{ended:?}");
        assert!(ended.stderr.lines().last().unwrap().contains(told), "{ended:?}");
        assert_eq!(names(scratch.path()), [""; 0]);
    }
}
