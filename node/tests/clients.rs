//! Clients that have nothing of ours: curl, as the README's lines paste it, and Python's standard library.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use support::cluster::{Cluster, IDS};
use tokio::process::Command;
use tokio::time::timeout;

/// How long a script may take: longer than any of its waits.
const SCRIPT_TIME_MAX: Duration = Duration::from_secs(120);

/// The top of the tree.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a command until it ends well, and answers what it said.
async fn run(command: &mut Command) -> String {
    let command = command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(SCRIPT_TIME_MAX, command.output()).await.expect("the script ends").unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    format!("{said}{complained}")
}

#[tokio::test]
async fn the_python_client_walks_through_a_checkout() {
    let cluster = Cluster::start().await;
    let nodes = IDS.map(|id| format!("http://{}", cluster.http(id)));
    let script = top().join("docs/clients/lastunit_example.py");
    let said = run(Command::new("python3").arg(script).args(nodes)).await;
    assert!(said.ends_with("all went as it should\n"), "{said}");
}

/// One node is not there: the client goes on through the others.
#[tokio::test]
async fn the_python_client_does_without_one_node() {
    let mut cluster = Cluster::start().await;
    let nodes = IDS.map(|id| format!("http://{}", cluster.http(id)));
    cluster.kill(cluster.leader().await);
    let script = top().join("docs/clients/lastunit_example.py");
    let said = run(Command::new("python3").arg(script).args(nodes)).await;
    assert!(said.ends_with("all went as it should\n"), "{said}");
}

/// What the README's lines answer, in their order.
const TOLD_BY_README: [&str; 19] = [
    r#""sku":"PS5","on_hand":1,"#,
    "res_",
    r#""state":"held""#,
    "409 Conflict",
    r#""code":"held_by_others""#,
    "res_",
    r#""position":1"#,
    r#""state":"released","cart_id":"cart-1""#,
    "200 OK",
    r#""state":"committed","cart_id":"cart-2""#,
    r#""on_hand":1,"held":0,"available":1,"sold":1"#,
    r#""code":"reservation_expired""#,
    r#""state":"committed","cart_id":"cart-3""#,
    r#""payment_token":"pay-3""#,
    r#""on_hand":0,"held":0,"available":0,"sold":2"#,
    r#""cluster":"#,
    r#""state_digest":"#,
    r#""type":"lastunit.stock.created""#,
    r#""next_cursor":"#,
];

#[tokio::test]
async fn the_lines_of_the_readme_do_what_it_says() {
    let cluster = Cluster::start().await;
    let readme = std::fs::read_to_string(top().join("README.md")).unwrap();
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines: String = blocks.filter(|block| block.contains("curl ")).collect();
    let script = IDS
        .into_iter()
        .fold(lines, |lines, id| lines.replace(&format!("127.0.0.1:810{id}"), cluster.http(id)));
    let said =
        run(Command::new("bash").args(["-euo", "pipefail", "-c", &format!("exec 2>&1\n{script}")])).await;
    let mut rest = said.as_str();
    for told in TOLD_BY_README {
        let place = rest.find(told).unwrap_or_else(|| panic!("{told:?} is not, or too early, in\n{said}"));
        rest = &rest[place + told.len()..];
    }
    assert!(said.contains(r#""state":"held","cart_id":"cart-2""#), "cart 2 was not told of its hold: {said}");
}
