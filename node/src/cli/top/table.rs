//! The figures as text: who leads, what the shop has, a row for each node, and why a node does not tell.

use std::fmt::Write as _;

use super::figures::{Figures, Node, Units};
use crate::cli::out::{Table, plain};

/// What stands where a node did not tell.
const UNTOLD: &str = "-";

/// The whole text.
pub(super) fn text(figures: &Figures) -> String {
    let mut text = head(figures);
    if let Some(units) = &figures.units {
        text.push_str(&shop(units));
    }
    let mut table = Table::new([
        "#NODE",
        "ADDRESS",
        "ROLE",
        "#TERM",
        "#APPLIED",
        "#BEHIND",
        "#REQ/S",
        "#P99",
        "#FSYNC P99",
        "#QUEUE",
        "#CONNS",
        "#RSS",
    ]);
    let rows: Vec<_> = figures.nodes.iter().map(row).collect();
    text.push_str(&table.rows(&rows));
    for node in &figures.nodes {
        if let Some(why) = &node.error {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}: {}", node.address, plain(why));
        }
    }
    text
}

fn head(figures: &Figures) -> String {
    let Some(cluster) = &figures.cluster else { return "no node answers\n".to_owned() };
    let leader = figures.leader_id.map_or_else(|| "none".to_owned(), |id| format!("node {id}"));
    format!("cluster {}  leader {leader}  term {}\n", plain(cluster), or_untold(figures.term))
}

fn shop(units: &Units) -> String {
    let Units { on_hand, held, available, sold, held_per_second, sold_per_second } = units;
    format!(
        "units: on hand {on_hand}  held {held} ({held_per_second:+.1}/s)  available {available}  \
         sold {sold} ({sold_per_second:+.1}/s)\n"
    )
}

fn row(node: &Node) -> [String; 12] {
    let role = match (&node.role, node.node_id) {
        (Some(role), _) => role,
        (None, Some(_)) => UNTOLD,
        (None, None) => "down",
    };
    [
        node.node_id.map_or_else(|| "?".to_owned(), |id| id.to_string()),
        node.address.clone(),
        role.to_owned(),
        or_untold(node.term),
        or_untold(node.applied_index),
        or_untold(node.behind),
        or_untold(node.requests_per_second.map(|rate| format!("{rate:.0}"))),
        or_untold(node.request_p99_seconds.map(time)),
        or_untold(node.sync_p99_seconds.map(time)),
        or_untold(node.commands_waiting),
        or_untold(node.connections),
        or_untold(node.resident_bytes.map(|bytes| format!("{:.0} MB", bytes / 1e6))),
    ]
}

fn or_untold(figure: Option<impl ToString>) -> String {
    figure.map_or_else(|| UNTOLD.to_owned(), |figure| figure.to_string())
}

/// Beyond the last bucket it is only known to be more.
fn time(seconds: f64) -> String {
    match seconds {
        beyond if beyond.is_infinite() => ">10 s".to_owned(),
        long if long >= 1.0 => format!("{long:.1} s"),
        short => format!("{:.1} ms", short * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::looks;
    use super::*;

    #[test]
    fn each_node_has_a_row_and_who_is_down_has_a_reason() {
        let [before, now] = looks();
        let told = text(&Figures::between(&before, &now));
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines[0], "cluster shop  leader node 1  term 4");
        assert_eq!(lines[1], "units: on hand 100  held 10 (+0.0/s)  available 90  sold 46 (+3.0/s)");
        let cells = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>();
        assert_eq!(
            cells(3),
            ["1", "http://h1:1", "leader", "4", "20", "0", "100", "1.0", "ms", "-", "3", "5", "300", "MB"]
        );
        assert_eq!(cells(5)[..4], ["?", "http://h3:1", "down", "-"]);
        assert_eq!(lines[6], "http://h3:1: connection\u{fffd}refused");
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        assert_eq!([0.0004, 0.25, 1.25, f64::INFINITY].map(time), ["0.4 ms", "250.0 ms", "1.2 s", ">10 s"]);
    }
}
