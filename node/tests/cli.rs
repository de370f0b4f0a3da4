//! The command line as people and programs use it: the real binary against three real nodes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "its main is for whoever runs it alone")]
#[path = "../../client/examples/checkout.rs"]
mod checkout;
#[path = "cli/files.rs"]
mod files;
mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use client::Batch;
use client::api::{AdjustRequest, PutSkuRequest, ReserveRequest};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use files::{import, write};
use support::cluster::{Cluster, IDS};
use support::program::{Ended, program};
use support::{PATIENCE, wait_for};

impl Ended {
    /// The JSON document on stdout, of a command that is done.
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        self.document()
    }

    /// The one JSON document on stdout.
    fn document(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Checks the exit code, and that stderr is one line in which these words stand.
    fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, self.stderr.lines().count()), (code, 1), "{self:?}");
        assert!(self.stderr.starts_with("lastunit: "), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {self:?}");
        }
    }
}

/// The binary, that neither reads nor outlives its test.
fn lastunit() -> Command {
    let mut command = Command::from(program());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs a command line until it ends.
async fn run(command: &mut Command) -> Ended {
    Ended::of(timeout(PATIENCE, command.output()).await.expect("the command ends").unwrap())
}

/// Runs `lastunit` with these arguments, separated by blanks, over these nodes.
async fn over(cluster: &Cluster, ids: &[u64], line: &str) -> Ended {
    run(lastunit().args(line.split(' ')).env("LASTUNIT_NODES", addresses(cluster, ids))).await
}

/// Runs `lastunit` with these arguments, separated by blanks, over all nodes.
async fn cli(cluster: &Cluster, line: &str) -> Ended {
    over(cluster, &IDS, line).await
}

fn addresses(cluster: &Cluster, ids: &[u64]) -> String {
    ids.iter().map(|&id| format!("http://{}", cluster.http(id))).collect::<Vec<_>>().join(",")
}

async fn put(cluster: &Cluster, sku: &str, on_hand: u64) {
    let request = PutSkuRequest { on_hand, ..Default::default() };
    cluster.client().put_sku(sku, &request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_does_its_call() {
    let cluster = Cluster::start().await;
    let told = cli(&cluster, "sku set PS5 --on-hand 5 --max-per-customer 3 --if-absent").await;
    assert_eq!(told.code, 0, "{told:?}");
    let lines: Vec<_> = told.stdout.lines().collect();
    assert!(lines[0].starts_with("SKU") && lines[0].ends_with("VERSION"), "{told:?}");
    let cells: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(cells, ["PS5", "5", "0", "5", "0", "0", "3", "0", "1"]);
    cli(&cluster, "sku set PS5 --on-hand 9 --if-absent").await.failed(1, &["precondition_failed"]);

    let hold = cli(&cluster, "reserve cart-1 PS5=3 --customer ada --ttl 60 --json").await.json();
    let id = hold["reservation_id"].as_str().unwrap();
    assert_eq!((&hold["state"], &hold["items"]), (&json!("held"), &json!([{"sku": "PS5", "qty": 3}])));
    assert!(hold["sequence"].as_u64().is_some() && hold.get("replayed").is_none(), "{hold}");
    let told = cli(&cluster, &format!("get {id}")).await;
    let state = told.stdout.lines().find(|line| line.starts_with("state ")).unwrap();
    assert_eq!(state.split_whitespace().collect::<Vec<_>>(), ["state", "held"]);
    assert!(told.stdout.contains("PS5=3") && told.stdout.contains("ada"), "{told:?}");

    cli(&cluster, "reserve cart-2 PS5 --customer ada").await.failed(1, &["refused: customer_limit"]);
    let extended = cli(&cluster, &format!("extend {id} --ttl 600 --json")).await.json();
    assert!(extended["expires_in"].as_u64() > hold["expires_in"].as_u64(), "{extended}");
    let part = cli(&cluster, &format!("release {id} PS5=1 --json")).await.json();
    assert_eq!((&part["state"], &part["items"][0]["qty"]), (&json!("held"), &json!(2)));
    let line = format!("commit {id} PS5=1 --payment-token pay-1 --json");
    let sold = cli(&cluster, &line).await.json();
    assert_eq!((&sold["state"], &sold["items"][0]["qty"]), (&json!("committed"), &json!(1)));
    let back = cli(&cluster, &format!("return {id} --json")).await.json();
    assert_eq!(back["returned"], json!([{"sku": "PS5", "qty": 1}]));

    let adjusted = cli(&cluster, "sku adjust PS5 -2 --reason damaged --json").await.json();
    assert_eq!((&adjusted["on_hand"], &adjusted["held"]), (&json!(3), &json!(0)));
    let stale = cli(&cluster, "sku get PS5 --stale --json").await.json();
    assert!(stale["applied_index"].as_u64().is_some(), "{stale}");
    cli(&cluster, "sku rm PS5 --if-version 1").await.failed(1, &["precondition_failed"]);
    for _ in 0..2 {
        assert_eq!(cli(&cluster, "sku rm PS5 --key rm/1").await.stdout, "PS5 is deleted\n");
    }
    cli(&cluster, "sku rm PS5").await.failed(1, &["refused: sku_not_found"]);
    cli(&cluster, "sku get PS5").await.failed(1, &["refused: sku_not_found"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_in_line_hears_of_their_turn() {
    let cluster = Cluster::start().await;
    put(&cluster, "ONE", 1).await;
    let first = cli(&cluster, "reserve first ONE --json").await.json();
    let second = cli(&cluster, "reserve second ONE --wait --json").await.json();
    assert_eq!((&second["state"], &second["position"]), (&json!("waiting"), &json!(1)));
    let [first, second] = [first, second].map(|it| it["reservation_id"].as_str().unwrap().to_owned());
    let wait = format!("get {second} --wait 10 --while waiting --json");
    let release = format!("release {first}");
    let (waited, released) = tokio::join!(cli(&cluster, &wait), cli(&cluster, &release));
    assert_eq!(released.code, 0, "{released:?}");
    assert_eq!(waited.json()["state"], "held");
    // Who comes after the turn does not wait for the hold's end: it is told at once.
    let line = format!("get {second} --wait 60 --while waiting --json");
    let late = timeout(Duration::from_secs(50), cli(&cluster, &line)).await.expect("it does not wait");
    assert_eq!(late.json()["state"], "held");
    // Without a state it is the next change after a first look.
    let (waited, released) =
        tokio::join!(async { cli(&cluster, &format!("get {second} --wait 3 --json")).await }, async {
            cli(&cluster, &format!("release {second}")).await
        });
    assert_eq!((released.code, &waited.json()["state"]), (0, &json!("released")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_one_line_and_in_json_the_problem() {
    let cluster = Cluster::start().await;
    put(&cluster, "FEW", 2).await;
    let line = "reserve cart FEW=3";
    let refused = cli(&cluster, line).await;
    refused.failed(1, &["refused: insufficient_stock: "]);
    assert_eq!(refused.stdout, "");
    let refused = cli(&cluster, &format!("{line} --json")).await;
    refused.failed(1, &["refused: insufficient_stock: "]);
    let problem = refused.document();
    assert_eq!((&problem["code"], &problem["executed"]), (&json!("insufficient_stock"), &json!("no")));
    assert_eq!(problem["shortages"][0]["requested"], 3);

    cli(&cluster, "reserve one FEW=2").await;
    let refused = cli(&cluster, "reserve two FEW --json").await;
    refused.failed(1, &["refused: held_by_others: ", "again in "]);
    assert!(refused.document()["retry_after"].as_u64() > Some(0), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_settled_by_the_same_key() {
    let mut cluster = Cluster::start().await;
    put(&cluster, "ONE", 1).await;
    IDS.into_iter().for_each(|id| cluster.pause(id));
    let line = "reserve cart ONE --deadline 1s --key cart/1 --json";
    let unknown = cli(&cluster, line).await;
    unknown.failed(4, &["outcome unknown", "--key cart/1"]);
    let told = unknown.document();
    assert_eq!(told["executed"], "unknown");
    assert_eq!(told["idempotency_key"], "cart/1");
    // A read changes nothing, so it was not executed.
    cli(&cluster, "sku get ONE --deadline 1s").await.failed(3, &["not executed"]);
    cli(&cluster, "sku rm ONE --deadline 1s").await.failed(4, &["outcome unknown", "--key "]);
    IDS.into_iter().for_each(|id| cluster.go_on(id));
    cluster.ready(&IDS).await;
    let again = cli(&cluster, "reserve cart ONE --key cart/1 --json").await;
    // Of the two that got lost, either may have come first.
    match again.code {
        0 => assert_eq!(again.document()["state"], "held"),
        _ => again.failed(1, &["sku_not_found"]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_node_heard_was_not_executed() {
    let mut cluster = Cluster::start().await;
    put(&cluster, "ONE", 1).await;
    let told = cli(&cluster, "status").await;
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stdout.starts_with("cluster lastunit-test  leader node "), "{told:?}");
    assert_eq!(told.stdout.lines().filter(|line| line.contains(" yes ")).count(), 3, "{told:?}");

    cluster.kill(1);
    let told = cli(&cluster, "status --json").await.json();
    let nodes = told["nodes"].as_array().unwrap();
    assert_eq!((&nodes[0]["ready"], &nodes[0]["view"]), (&json!(false), &Value::Null));
    assert_eq!(nodes[1]["view"]["node_id"], 2);
    assert_eq!(cli(&cluster, "reserve a ONE").await.code, 0, "two of three are enough");

    cluster.kill_all();
    for line in
        ["reserve b ONE", "sku get ONE", "sku list", "sku export", "events", "status", "events --follow"]
    {
        let told = cli(&cluster, &format!("{line} --deadline 1s")).await;
        told.failed(3, &["not executed"]);
    }
    let told = cli(&cluster, "reserve b ONE --deadline 1s --json").await;
    assert_eq!((told.code, &told.document()["executed"]), (3, &json!("no")));
}

#[tokio::test]
async fn wrong_usage_sends_nothing() {
    let directory = TempDir::new().unwrap();
    let rows = directory.path().join("rows.csv");
    std::fs::write(&rows, "sku,price\nA,1\n").unwrap();
    let file = rows.to_str().unwrap();
    let empty = write(&directory, "empty.csv", "");
    let empty = empty.to_str().unwrap();
    let table: &[(&[&str], &str)] = &[
        (&["reserve", "cart"], "SKU=QTY"),
        (&["reserve", "cart", "PS5=x"], "\"x\" is no number of units"),
        (&["sku", "adjust", "PS5", "much"], "'much'"),
        (&["sku", "set", "PS5"], "--on-hand"),
        (&["sku", "set", "PS5", "--on-hand", "1", "--max-per-customer", "some"], "nor `none`"),
        (&["sku", "get", "PS5", "--nodes", "ftp://a:1"], "only http://"),
        (&["sku", "get", "PS5", "--config", "no-such-file.toml"], "no-such-file.toml"),
        (&["sku", "get", "PS5", "--nodes", "a:1", "--deadline", "soon"], "not a time such as"),
        (&["reserve", "c", "A", "--nodes", "127.0.0.1:1", "--key", "a b"], "visible ASCII"),
        (&["sku", "import", "no-such-file.csv", "--nodes", "a:1"], "no-such-file.csv"),
        (&["sku", "import", "rows.txt", "--nodes", "a:1"], "--format csv or ndjson"),
        (&["sku", "import", file, "--nodes", "a:1"], "\"price\" is no column"),
        (&["events", "--limit", "0"], "'0'"),
        (&["get", "res_1", "--while", "waiting"], "--wait"),
        (&["get", "res_1", "--wait", "1", "--while", "lost"], "`waiting`, `held`"),
        (&["sku", "import", empty, "--nodes", "a:1"], "line 1: the columns are missing"),
        (&["completions", "tcsh"], "'tcsh'"),
    ];
    for (arguments, word) in table {
        run(lastunit().args(*arguments).current_dir(directory.path())).await.failed(2, &[word]);
    }
}

#[tokio::test]
async fn every_shell_has_completions_and_the_help_has_the_exit_codes() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(lastunit().args(["completions", shell])).await;
        assert_eq!((script.code, script.stderr.as_str()), (0, ""));
        for word in ["reserve", "import", "if-version"] {
            assert!(script.stdout.contains(word), "{shell}: {word}");
        }
    }
    for command in ["reserve", "commit", "release", "extend", "return", "get", "events", "status"] {
        let help = run(lastunit().args([command, "--help"])).await;
        assert!(help.stdout.contains("Exit codes: 0 done; 1 refused"), "{help:?}");
    }
}

/// A command that goes on, and its lines.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines }
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a line comes");
        line.unwrap().expect("it goes on")
    }

    fn interrupt(&self) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
    }

    async fn code(mut self) -> Option<i32> {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_across_the_death_of_each_node() {
    let mut cluster = Cluster::start().await;
    put(&cluster, "ONE", 1_000).await;
    let mut command = lastunit();
    command.args(["events", "--follow", "--json", "--sku", "ONE", "--types", "reservation"]);
    let mut follow = Running::start(command.env("LASTUNIT_NODES", addresses(&cluster, &IDS)));
    let mut told = Vec::new();
    let mut made = Vec::new();
    for (round, id) in IDS.into_iter().enumerate() {
        for cart in 0..5 {
            let request = ReserveRequest::one(format!("{round}/{cart}"), "ONE", 1);
            made.push(cluster.client().reserve(&request).await.unwrap().value.reservation_id);
            if cart == 2 {
                cluster.kill(id);
            }
        }
        while told.len() < made.len() {
            let event: Value = serde_json::from_str(&follow.line().await).unwrap();
            assert_eq!(event["type"], "lastunit.reservation.held");
            told.push(event["subject"].as_str().unwrap().to_owned());
        }
        cluster.start_all().await;
    }
    assert_eq!(told, made, "each event once, in order");
    follow.interrupt();
    assert_eq!(follow.code().await, Some(0), "Ctrl-C is how it ends");

    // The same again, read from the beginning, and then from its middle.
    let all = cli(&cluster, "events --json --types reservation").await.documents();
    assert_eq!(all.iter().map(|event| event["subject"].as_str().unwrap()).collect::<Vec<_>>(), made);
    let after = all[9]["id"].as_str().unwrap();
    let rest = cli(&cluster, &format!("events --after {after} --types reservation --limit 3")).await;
    let subjects: Vec<_> = rest.stdout.lines().map(|line| line.split_whitespace().nth(3).unwrap()).collect();
    assert_eq!(subjects, made[10..13]);
    cli(&cluster, "events --types stocks").await.failed(1, &["invalid_request"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_has_dropped_events_is_read_from_the_oldest_that_is_kept() {
    let cluster = Cluster::start_with("events_max = 64").await;
    put(&cluster, "ONE", 1).await;
    let mut batch = Batch::new();
    for _ in 0..300 {
        batch.push_adjust("ONE", AdjustRequest { delta: 1, ..Default::default() });
    }
    cluster.client().batch(&batch).await.unwrap();
    let told = cli(&cluster, "events --json").await;
    told.failed(0, &["earlier events are gone"]);
    let places: Vec<_> =
        told.documents().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert!((64..301).contains(&places.len()), "{}", places.len());
    let (first, last) = (&places[0], &places[places.len() - 1]);
    let mut command = lastunit();
    command.args(["events", "--follow"]).env("LASTUNIT_NODES", addresses(&cluster, &IDS));
    let mut follow = Running::start(&mut command);
    assert!(follow.line().await.starts_with(first));
    follow.interrupt();
    // Who gave a cursor wants no gap.
    cli(&cluster, "events --after 1").await.failed(1, &["events_expired", "(read on with --after "]);
    let rest = cli(&cluster, &format!("events --after {last}")).await;
    assert_eq!((rest.code, rest.stdout.as_str(), rest.stderr.as_str()), (0, "", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_reading_ends_a_command_quietly() {
    let cluster = Cluster::start().await;
    let directory = TempDir::new().unwrap();
    let rows: String =
        (0..3000).map(|n| format!("{{\"sku\":\"{}-{n}\",\"on_hand\":1}}\n", "X".repeat(100))).collect();
    assert_eq!(import(&cluster, &write(&directory, "rows.ndjson", &rows), "").await.code, 0);
    for line in ["sku list", "sku list --json", "sku export", "events", "events --follow"] {
        let mut command = lastunit();
        command.args(line.split(' ')).env("LASTUNIT_NODES", addresses(&cluster, &IDS));
        let mut running = Running::start(&mut command);
        running.line().await;
        let Running { mut child, lines } = running;
        drop(lines);
        let mut stderr = child.stderr.take().unwrap();
        let mut said = String::new();
        let (status, read) = tokio::join!(
            timeout(PATIENCE, child.wait()),
            tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut said)
        );
        read.unwrap();
        assert_eq!((status.expect("it ends").unwrap().code(), said.as_str()), (Some(0), ""), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stdout_does_not_take_is_known_to_be_one() {
    let cluster = Cluster::start().await;
    put(&cluster, "ONE", 5).await;
    let full = async |line: &str| {
        let stdout = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = lastunit();
        command.args(line.split(' ')).env("LASTUNIT_NODES", addresses(&cluster, &IDS)).stdout(stdout);
        // `output` would set stdout itself.
        let child = command.spawn().unwrap();
        let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Ended { code: output.status.code().unwrap(), stdout: String::new(), stderr }
    };
    for line in ["sku get ONE", "sku get ONE --json", "sku list", "sku export", "events"] {
        full(line).await.failed(3, &["cannot write the answer"]);
    }
    let told = full("reserve cart ONE --key full/1 --json").await;
    told.failed(4, &["done, reservation res_", "cannot write the answer", "with --key full/1 tells"]);
    let again = cli(&cluster, "reserve cart ONE --key full/1 --json").await.json();
    assert_eq!(again["replayed"], true);
    assert!(told.stderr.contains(again["reservation_id"].as_str().unwrap()), "{told:?}");
    full("sku adjust ONE 1").await.failed(4, &["done, but cannot write the answer", "--key "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_command_says_what_is_known() {
    let mut cluster = Cluster::start().await;
    put(&cluster, "ONE", 1).await;
    IDS.into_iter().for_each(|id| cluster.pause(id));
    for (line, code, word) in [
        ("sku get ONE", 3, "interrupted"),
        ("reserve cart ONE --key k-1", 4, "the same command with --key k-1 tells"),
    ] {
        let mut command = lastunit();
        command.args(line.split(' ')).env("LASTUNIT_NODES", addresses(&cluster, &IDS));
        let child = command.spawn().unwrap();
        let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        wait_for("it catches Ctrl-C", async || catches_interrupt(pid).then_some(())).await;
        kill_process(pid, Signal::INT).unwrap();
        let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(said.contains(word), "{line}: {said}");
    }
    IDS.into_iter().for_each(|id| cluster.go_on(id));
}

/// Whether SIGINT has a handler in that process.
fn catches_interrupt(pid: Pid) -> bool {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (Signal::INT.as_raw() - 1)) != 0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_client_crate_runs() {
    let cluster = Cluster::start().await;
    checkout::checkout(cluster.client()).await.unwrap();
}
