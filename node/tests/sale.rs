//! `lastunit sale`, as a user runs it: its own cluster, its own verdict.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::process::{Command, Stdio};

/// A sale in a cluster of its own, whatever cluster other commands are told to call. Runs it to its end, and answers
/// its report. Panics with all that was said where it does not pass.
async fn sale(flags: &'static [&'static str]) -> String {
    let run = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastunit"));
        command.env("LASTUNIT_NODES", "http://127.0.0.1:1").env("LASTUNIT_CLUSTER", "no-such-file.toml");
        command.arg("sale").args(flags).stdin(Stdio::null()).output()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{flags:?}: {}\n{said}\n{report}", output.status);
    report
}

fn tells(report: &str, line: &str) {
    assert!(report.lines().any(|told| told.trim() == line), "{line:?} is not in\n{report}");
}

#[tokio::test]
async fn the_nodes_of_other_commands_are_not_where_a_sale_is_held() {
    tells(&sale(&["--buyers", "10", "--connections", "2"]).await, "1  winners");
}

#[tokio::test]
async fn the_last_unit_is_sold_once_though_the_leader_dies() {
    let flags = &["--stock", "1", "--buyers", "3000", "--connections", "64", "--kill-leader-after", "100ms"];
    let report = sale(flags).await;
    tells(&report, "1  winners");
    tells(&report, "0  unknown at the end");
}

/// 1,000 units, 5,000 buyers who wait, and half of those who get a hold never pay: each time their units go to the
/// next in the line, until all are sold.
#[tokio::test]
async fn a_line_buys_what_others_leave_unpaid_in_its_order() {
    let report = sale(&["--stock", "1000", "--buyers", "5000", "--wait", "--abandon", "50"]).await;
    tells(&report, "1000  winners");
    tells(&report, "0  unknown at the end");
    tells(&report, "ok       every unit that was wanted was sold");
    tells(&report, "ok       the line was served in the order in which it formed");
}
