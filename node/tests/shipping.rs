//! What an operator installs and sets: configuration in its one order, manual pages, what a supervisor is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not all of what tests share is needed here")]

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use support::PATIENCE;
use support::cluster::free_ports;
use support::process::{Lines, Process};
use support::program::{Ended, program};

/// A sound cluster file with free ports, in a directory of its own.
fn cluster_file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let ports = free_ports(6);
    let node = |id: usize| {
        let (http, raft) = (ports[2 * id - 2], ports[2 * id - 1]);
        let data_dir = directory.path().join(format!("data-{id}"));
        format!(
            "[[node]]\nid = {id}\nhttp = \"127.0.0.1:{http}\"\nraft = \"127.0.0.1:{raft}\"\ndata_dir = {data_dir:?}\n"
        )
    };
    let path = directory.path().join("cluster.toml");
    fs::write(&path, format!("[cluster]\nname = \"shop\"\n{}{}{}", node(1), node(2), node(3))).unwrap();
    (directory, path)
}

/// `lastunit config check` of that file, with those further arguments and variables.
fn check(file: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = program();
    command.args(["config", "check", "--config"]).arg(file).args(arguments);
    Ended::of(command.envs(variables.iter().copied()).output().unwrap())
}

fn change(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn what_is_in_force_is_told_with_what_says_so() {
    let (_directory, file) = cluster_file();
    let variables = [
        ("LASTUNIT_CLUSTER_RETENTION_SECONDS", "20"),
        ("LASTUNIT_CLUSTER_MAX_TTL_SECONDS", "5"),
        ("LASTUNIT_LOG_FORMAT", "json"),
        ("LASTUNIT_TOKEN", "lu_planted_secret"),
    ];
    let ended = check(&file, &["--node", "2", "--set", "cluster.max_ttl_seconds=7"], &variables);
    assert_eq!(ended.code, 0, "{ended:?}");
    let told = |key: &str| {
        let line = ended.stdout.lines().find(|line| line.split_whitespace().next() == Some(key));
        let words: Vec<&str> =
            line.unwrap_or_else(|| panic!("no {key} in {ended:?}")).split_whitespace().collect();
        format!("{} {}", words[1], words[2])
    };
    assert_eq!(told("--node"), "2 flag");
    assert_eq!(told("--log-format"), "json LASTUNIT_LOG_FORMAT");
    assert_eq!(told("cluster.name"), format!("\"shop\" {}:2", file.display()));
    assert_eq!(told("cluster.max_ttl_seconds"), "7 --set");
    assert_eq!(told("cluster.retention_seconds"), "20 LASTUNIT_CLUSTER_RETENTION_SECONDS");
    assert_eq!(told("cluster.events_max"), "262144 default");
    assert!(ended.stdout.contains("node[2].http") && !ended.stdout.contains("node[1].http"), "{ended:?}");
    assert!(ended.stdout.ends_with(&format!("{} is sound\n", file.display())), "{ended:?}");
    assert!(!ended.stdout.contains("planted") && !ended.stderr.contains("planted"), "{ended:?}");
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_ends_with_2() {
    let (_directory, file) = cluster_file();
    change(&file, "name = \"shop\"", "nmae = \"shop\"");
    change(&file, "id = 3", "id = 2");
    let variables = [("LASTUNIT_CLUSTER_EVENTS_MAX", "0"), ("LASTUNIT_LOG", "raft=loud")];
    let ended = check(&file, &[], &variables);
    assert_eq!(ended.code, 2, "{ended:?}");
    let at = file.display();
    for told in [
        format!(
            "lastunit: {at}, line 1, key `cluster.name`: is missing; add it: nodes of another name are refused"
        ),
        format!("lastunit: {at}, line 2, key `cluster.nmae`: is not a key of this file"),
        "lastunit: LASTUNIT_CLUSTER_EVENTS_MAX, key `cluster.events_max`: 0 is out of range; write 1 to"
            .to_owned(),
        format!(
            "lastunit: {at}, line 14, key `node[3].id`: another node has the id 2; give each node its own"
        ),
        "lastunit: LASTUNIT_LOG=\"raft=loud\"".to_owned(),
        format!("lastunit: {at} is not sound: 5 mistakes"),
    ] {
        assert!(
            ended.stderr.lines().any(|line| line.starts_with(&told)),
            "{told}\nis not in\n{}",
            ended.stderr
        );
    }
    let json = check(&file, &["--json"], &variables).documents();
    assert_eq!(json[0]["sound"], Value::from(false));
    assert_eq!(json[0]["mistakes"].as_array().map(Vec::len), Some(5), "{json:?}");
}

#[test]
fn what_would_end_a_start_is_a_mistake_and_what_is_seldom_meant_a_doubt() {
    let (directory, file) = cluster_file();
    let none = check(&file, &["--node", "4"], &[]);
    assert!(none.code == 2 && none.stderr.contains("has no such node; choose one of 1, 2, 3"), "{none:?}");
    let tokens = directory.path().join("none.toml");
    let lacking = check(&file, &["--tokens", tokens.to_str().unwrap()], &[]);
    assert!(lacking.code == 2 && lacking.stderr.contains("lastunit token new"), "{lacking:?}");
    change(&file, "http = \"127.0.0.1", "http = \"10.0.0.1");
    let open = check(&file, &[], &[]);
    assert!(open.code == 2 && open.stderr.contains("no tokens are configured"), "{open:?}");
    assert_eq!(check(&file, &["--node", "2"], &[]).code, 0, "node 2 is this machine's alone");
    let slip = [("LASTUNIT_CLUSTER_RETENTION_SECOND", "1")];
    let meant = check(&file, &["--insecure-no-auth"], &slip);
    assert_eq!(meant.code, 0, "{meant:?}");
    assert!(meant.stdout.ends_with("is sound, with 2 doubts\n"), "{meant:?}");
    for told in ["doubtful: --insecure-no-auth: ", "doubtful: variable LASTUNIT_CLUSTER_RETENTION_SECOND: "] {
        assert!(meant.stderr.contains(told), "{told} is not in {meant:?}");
    }
}

#[test]
fn a_node_obeys_what_is_set_as_the_check_told() {
    let (directory, file) = cluster_file();
    let mut command = program();
    command.args(["serve", "--node", "1", "--set", "node.data_dir=", "--config"]).arg(&file);
    let ended = Ended::of(command.output().unwrap());
    assert_eq!(ended.code, 2, "{ended:?}");
    assert_eq!(ended.stderr, "lastunit: --set, key `node[1].data_dir`: is empty; such as \"data/1\"\n");
    let mut command = program();
    let elsewhere = directory.path().join("cluster.toml").join("no-directory");
    command.args(["serve", "--node", "1", "--config"]).arg(&file).env("LASTUNIT_NODE_DATA_DIR", &elsewhere);
    let ended = Ended::of(command.output().unwrap());
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.stderr.contains(&format!("key `data_dir` of node 1 is {}", elsewhere.display())),
        "{ended:?}"
    );
}

#[test]
fn nodes_that_are_not_there_are_not_ready() {
    let (_directory, file) = cluster_file();
    let ask = |arguments: &[&str]| {
        Ended::of(program().args(["ready", "--config"]).arg(&file).args(arguments).output().unwrap())
    };
    let all = ask(&[]);
    assert_eq!((all.code, all.stdout.as_str()), (3, ""), "{all:?}");
    assert_eq!(all.stderr.matches("http://127.0.0.1:").count(), 3, "{all:?}");
    let one = ask(&["--node", "2", "--wait", "1s", "--json"]);
    assert_eq!(one.code, 3, "{one:?}");
    assert_eq!(one.documents()[0]["not_ready"].as_array().map(Vec::len), Some(1), "{one:?}");
    assert_eq!(ask(&["--node", "9"]).code, 2);
}

#[test]
fn every_command_has_a_manual_page_with_its_flags() {
    let directory = tempfile::tempdir().unwrap();
    let made = Ended::of(program().args(["man", "--dir"]).arg(directory.path()).output().unwrap());
    assert_eq!(made.code, 0, "{made:?}");
    let page = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    for (name, flag) in [
        ("lastunit.1", "help"),
        ("lastunit-serve.1", "insecure\\-no\\-auth"),
        ("lastunit-sku-set.1", "on\\-hand"),
        ("lastunit-config-check.1", "set"),
        ("lastunit-member-replace.1", "config"),
    ] {
        let text = page(name);
        assert!(text.contains(".TH ") && text.contains(".SH SYNOPSIS"), "{name}: {text}");
        assert!(text.contains(&format!("\\-\\-{flag}")), "{name} has no --{flag}: {text}");
    }
    let serve = page("lastunit-serve.1");
    assert!(serve.contains("LASTUNIT_CONFIG"), "a flag is told with its variable: {serve}");
    assert!(!serve.contains("segment"), "what is hidden is in no page: {serve}");
    let nowhere = Ended::of(program().args(["man", "--dir", "/no/such/directory"]).output().unwrap());
    assert_eq!(nowhere.code, 1, "{nowhere:?}");
}

/// Reads what the supervisor is told until that line comes.
fn told_until(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    let (mut told, mut buffer) = (Vec::new(), [0; 4096]);
    while !told.iter().any(|line| line == wanted) {
        let length =
            socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted} never came: {error}; {told:?}"));
        told.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
    }
    told
}

/// The first of three nodes is ready for its supervisor before there is a quorum to serve with.
#[tokio::test]
async fn a_supervisor_is_told_when_a_node_takes_part_is_alive_and_stops() {
    let (directory, file) = cluster_file();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = program();
    command.args(["serve", "--node", "1", "--config"]).arg(&file);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000");
    let lines = Lines::default();
    let mut node = Process::start(command, &lines);
    let ready = told_until(&socket, "READY=1");
    assert!(!ready.iter().any(|line| line == "WATCHDOG=1"), "{ready:?}");
    for _ in 0..3 {
        told_until(&socket, "WATCHDOG=1");
    }
    node.signal(Signal::TERM);
    told_until(&socket, "STOPPING=1");
    let status = node.wait("the node").await;
    assert!(status.success(), "{status}: {}", lines.text());
}
