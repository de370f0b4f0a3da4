//! What cannot be had: a broken cluster file, a wrong flag, an address or a directory that is taken.
//!
//! Each ends with exit code 2 and one line on stderr that names what is wrong and what to do about it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitStatus};

use support::cluster::{Cluster, free_ports};
use support::process::{Lines, Process};
use support::program::{Ended, program};
use tempfile::TempDir;

/// A whole cluster file with free ports, in a directory of its own.
struct File {
    directory: TempDir,
    text: String,
    ports: Vec<u16>,
}

impl File {
    fn new() -> File {
        let directory = tempfile::tempdir().unwrap();
        let ports = free_ports(6);
        let node = |place: usize| {
            let (id, data_dir) = (place + 1, directory.path().join(format!("data-{}", place + 1)));
            let (http, raft) = (ports[2 * place], ports[2 * place + 1]);
            format!(
                "\n[[node]]\nid = {id}\nhttp = \"127.0.0.1:{http}\"\nraft = \"127.0.0.1:{raft}\"\ndata_dir = {data_dir:?}\n"
            )
        };
        let text = format!("[cluster]\nname = \"lastunit-usage\"\n{}{}{}", node(0), node(1), node(2));
        File { directory, text, ports }
    }

    /// The file with one change, and with node 1 run from it.
    async fn changed(&self, from: &str, to: &str) -> (ExitStatus, String) {
        assert!(self.text.contains(from), "{from:?} is not in {}", self.text);
        self.with(&self.text.replacen(from, to, 1)).await
    }

    async fn with(&self, text: impl AsRef<[u8]>) -> (ExitStatus, String) {
        let path = self.directory.path().join("cluster.toml");
        std::fs::write(&path, text).unwrap();
        serve(&path, "1").await
    }
}

async fn serve(config: &Path, node: &str) -> (ExitStatus, String) {
    run(&["serve", "--config", config.to_str().unwrap(), "--node", node, "--exit-with-stdin"]).await
}

/// Runs the program until it ends; answers how, and what it said on stderr.
async fn run(arguments: &[&str]) -> (ExitStatus, String) {
    let lines = Lines::default();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastunit"));
    command.args(arguments);
    let status = Process::start(command, &lines).wait(&format!("{arguments:?}")).await;
    (status, lines.text())
}

/// Exit code 2 and one line in which all of this stands.
fn check(what: &str, (status, said): &(ExitStatus, String), named: &[&str]) {
    assert_eq!(status.code(), Some(2), "{what}: {status}, {said}");
    assert_eq!(said.lines().count(), 1, "{what}: {said}");
    for word in named {
        assert!(said.contains(word), "{what}: {word:?} is not in {said}");
    }
}

#[tokio::test]
async fn a_broken_cluster_file_ends_with_2_and_one_line() {
    let file = File::new();
    let http = format!("http = \"127.0.0.1:{}\"", file.ports[0]);
    let raft = format!("raft = \"127.0.0.1:{}\"", file.ports[1]);
    let http_of_2 = format!("http = \"127.0.0.1:{}\"", file.ports[2]);
    let data_dir = file.text.lines().find(|line| line.starts_with("data_dir")).unwrap().to_owned();
    let table: &[(&str, &str, &str, &[&str])] = &[
        ("no name", "name = \"lastunit-usage\"", "", &["cluster.name", "missing", "add it"]),
        ("no id", "id = 1\n", "", &["node[1].id", "missing", "add it"]),
        ("no http", &http, "", &["node[1].http", "missing", "add it"]),
        ("no raft", &raft, "", &["node[1].raft", "missing", "add it"]),
        ("no data_dir", &data_dir, "", &["node[1].data_dir", "missing", "add it"]),
        ("no [cluster]", "[cluster]", "[other]", &["cluster", "missing"]),
        ("unknown key", "id = 2", "id = 2\nport = 7", &["node[2].port", "remove it"]),
        (
            "unknown limit",
            "name =",
            "max_ttl = 7\nname =",
            &["cluster.max_ttl", "remove it", "max_ttl_seconds"],
        ),
        ("unknown table", "[cluster]", "[extra]\n[cluster]", &["extra", "remove it"]),
        (
            "one id twice",
            "id = 2",
            "id = 1",
            &["node[2].id", "another node has the id 1", "give each node its own"],
        ),
        ("id 0", "id = 1", "id = 0", &["node[1].id", "1 or more"]),
        ("id as text", "id = 1", "id = \"1\"", &["node[1].id", "string"]),
        ("id below 0", "id = 1", "id = -1", &["node[1].id", "out of range"]),
        ("id past 64 bits", "id = 1", "id = 99999999999999999999", &["line 5"]),
        ("one address twice", &http_of_2, &http, &["node[2].http", "twice", "its own port"]),
        ("no port", &http, "http = \"127.0.0.1\"", &["node[1].http", "not a host and a port"]),
        ("port 0", &http, "http = \"127.0.0.1:0\"", &["node[1].http", "not a host and a port"]),
        ("limit 0", "name =", "max_ttl_seconds = 0\nname =", &["cluster.max_ttl_seconds", "out of range"]),
        (
            "ttl past hold",
            "name =",
            "max_ttl_seconds = 9999\nname =",
            &["max_ttl_seconds", "max_hold_seconds"],
        ),
        ("not TOML", "[cluster]", "[cluster", &["line 1", "mend the TOML"]),
        ("a key twice", "id = 1", "id = 1\nid = 1", &["line 6", "mend the TOML"]),
    ];
    for (what, from, to, named) in table {
        check(what, &file.changed(from, to).await, named);
    }
    let two = file.text.rfind("\n[[node]]").unwrap();
    check("two nodes", &file.with(&file.text[..two]).await, &["node", "2 nodes", "three to five"]);
    check("empty", &file.with("").await, &["cluster", "missing"]);
    check("not UTF-8", &file.with(b"[cluster]\nname = \"\xff\"").await, &["cluster.toml"]);
}

#[tokio::test]
async fn an_address_in_use_ends_with_2_and_one_line() {
    let file = File::new();
    for (place, key) in [(0, "`http` of node 1"), (1, "`raft` of node 1")] {
        let _taken = TcpListener::bind(("127.0.0.1", file.ports[place])).unwrap();
        let ended = file.with(&file.text).await;
        let port = file.ports[place].to_string();
        check(key, &ended, &[key, &port, "in use", "stop the process that uses it, or choose another port"]);
    }
    let foreign = file.changed(&format!("127.0.0.1:{}", file.ports[0]), "192.0.2.1:8101").await;
    check(
        "no address of this machine",
        &foreign,
        &["`http` of node 1", "192.0.2.1:8101", "address of this machine"],
    );
}

#[tokio::test]
async fn a_directory_that_cannot_be_had_ends_with_2_and_one_line() {
    let file = File::new();
    let line = file.text.lines().find(|line| line.starts_with("data_dir")).unwrap().to_owned();
    let regular = file.directory.path().join("regular");
    std::fs::write(&regular, "not a directory").unwrap();
    for path in [regular.join("below"), regular.join("far/below"), regular.clone()] {
        let ended = file.changed(&line, &format!("data_dir = {path:?}")).await;
        check("a regular file in the way", &ended, &["data_dir", "node 1", path.to_str().unwrap()]);
    }
    let foreign = file.directory.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("thesis.txt"), "all that I have").unwrap();
    let ended = file.changed(&line, &format!("data_dir = {foreign:?}")).await;
    check("somebody else's directory", &ended, &[foreign.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(foreign.join("thesis.txt")).unwrap(), "all that I have");
}

#[tokio::test]
async fn a_wrong_flag_ends_with_2_and_one_line() {
    let file = File::new();
    let config = file.directory.path().join("cluster.toml");
    std::fs::write(&config, &file.text).unwrap();
    check("another node", &serve(&config, "4").await, &["--node 4", "choose one of 1, 2, 3"]);
    check("node as text", &serve(&config, "one").await, &["--node"]);
    let nowhere = file.directory.path().join("nowhere.toml");
    check("no file", &serve(&nowhere, "1").await, &["nowhere.toml", "cannot be read", "--config"]);
    check("a directory", &serve(file.directory.path(), "1").await, &["cannot be read", "--config"]);
    let config = config.to_str().unwrap();
    check("no node", &run(&["serve", "--config", config]).await, &["--node"]);
    check("unknown flag", &run(&["serve", "--config", config, "--node", "1", "--nod"]).await, &["--nod"]);
    check("unknown command", &run(&["sreve"]).await, &["sreve"]);
    let format = &["serve", "--config", config, "--node", "1", "--log-format", "xml"];
    check("unknown log format", &run(format).await, &["--log-format", "xml"]);
}

/// The hidden ones took `true` alone.
#[tokio::test]
async fn every_flag_without_a_value_takes_1_from_its_variable() {
    for (value, named) in [("1", "nowhere.toml"), ("no", "nowhere.toml"), ("2", "2")] {
        let mut command = program();
        command.args(["serve", "--node", "1", "--config", "nowhere.toml"]);
        command.env("LASTUNIT_NO_CHECKPOINTS", value).env("LASTUNIT_EXIT_WITH_STDIN", value);
        let lines = Lines::default();
        let status = Process::start(command, &lines).wait(value).await;
        check(value, &(status, lines.text()), &[named]);
        assert_eq!(lines.text().contains("nowhere.toml"), value != "2", "{}", lines.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_one_directory_is_refused() {
    let cluster = Cluster::start().await;
    let second = serve(&cluster.config(), "1").await;
    check("the same node twice", &second, &["`http` of node 1", "in use"]);

    // The same directory under other addresses: the lock must tell, not the port.
    let mut text = std::fs::read_to_string(cluster.config()).unwrap();
    let ports = free_ports(2);
    for (old, port) in text.clone().lines().filter(|line| line.contains("127.0.0.1")).take(2).zip(ports) {
        let (key, _) = old.split_once('=').unwrap();
        text = text.replacen(old, &format!("{key}= \"127.0.0.1:{port}\""), 1);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let config = elsewhere.path().join("cluster.toml");
    std::fs::write(&config, text).unwrap();
    let directory = cluster.data_dir(1);
    check("one directory twice", &serve(&config, "1").await, &[directory.to_str().unwrap()]);
    for id in [1, 2, 3] {
        cluster.only(id).live().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_node_or_cluster_is_refused() {
    let mut cluster = Cluster::start().await;
    for id in [1, 3] {
        assert_eq!(cluster.terminate(id).await.code(), Some(0));
    }
    let text = std::fs::read_to_string(cluster.config()).unwrap();
    let [one, three] = [1, 3].map(|id| format!("{:?}", cluster.data_dir(id)));
    let swapped = text.replace(&one, "SWAP").replace(&three, &one).replace("SWAP", &three);
    let renamed = text.replace("name = \"lastunit-test\"", "name = \"lastunit-other\"");
    let elsewhere = tempfile::tempdir().unwrap();
    let config = elsewhere.path().join("cluster.toml");
    for (what, text, directory) in [("another node's", swapped, three), ("another cluster's", renamed, one)] {
        std::fs::write(&config, text).unwrap();
        check(what, &serve(&config, "1").await, &[directory.trim_matches('"')]);
    }
    cluster.start_all().await;
}

/// Nobody shall take a build with planted bugs for one that can be used; and no other build knows of any. What feature
/// level it supports is told as well.
#[tokio::test]
async fn a_build_says_whether_it_has_planted_bugs() {
    let planted = cfg!(feature = "planted-bugs");
    let version = Ended::of(program().arg("--version").output().unwrap());
    assert_eq!(version.stdout.contains("with planted bugs"), planted, "{version:?}");
    assert!(version.stdout.contains(" (feature level "), "{version:?}");
    let mut serve = program();
    serve
        .args(["serve", "--config", "/nowhere/cluster.toml", "--node", "1"])
        .env("LASTUNIT_PLANTED", "no-such-bug");
    let refused = Ended::of(serve.output().unwrap());
    assert_eq!((refused.code, refused.stderr.lines().count()), (2, 1), "{refused:?}");
    assert_eq!(refused.stderr.contains("no-such-bug is no planted bug"), planted, "{refused:?}");
}
