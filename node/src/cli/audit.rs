//! `lastunit audit`: whether all nodes have the same, and whether what they have adds up.

use client::api::{AuditVerdict, AuditView, ImageAuditView, NodeAuditView};

use super::failure::{EXIT_NOT_EXECUTED, EXIT_REFUSED, Failure};
use super::out::{self, Table};
use super::reach::Reach;

/// What the help says at its end.
pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 sound; 1 broken: digests differ, or what a node has does not add up; 2 wrong usage, nothing was sent;
3 a node did not tell, or nothing was found out: no quorum, or an audit under way.";

/// Compare every node's digest at one log entry, and recompute every sum from each node's records.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let call = args.reach.client()?.audit();
    let call = match args.reach.deadline() {
        Some(deadline) => call.deadline(deadline),
        None => call,
    };
    let answer = args.reach.read(call).await?;
    args.reach.tell(&answer, text)?;
    end(&answer.value)
}

/// What the exit code follows from.
fn end(audit: &AuditView) -> Result<(), Failure> {
    match audit.verdict {
        AuditVerdict::Sound => Ok(()),
        AuditVerdict::Incomplete => {
            let silent = audit.nodes.iter().filter(|node| node.error.is_some());
            let silent: Vec<_> = silent.map(|node| format!("node {}", node.id)).collect();
            let line = format!("incomplete: no audit of {}", silent.join(", "));
            Err(Failure::new(EXIT_NOT_EXECUTED, line))
        }
        AuditVerdict::Broken if audit.agree => {
            Err(Failure::new(EXIT_REFUSED, "broken: what a node has does not add up"))
        }
        AuditVerdict::Broken => Err(Failure::new(EXIT_REFUSED, "broken: the replicas differ")),
    }
}

fn word(verdict: AuditVerdict) -> &'static str {
    match verdict {
        AuditVerdict::Sound => "sound",
        AuditVerdict::Incomplete => "incomplete",
        AuditVerdict::Broken => "broken",
    }
}

fn text(audit: &AuditView) -> String {
    let AuditView { cluster, applied_index, .. } = audit;
    let verdict = word(audit.verdict);
    let mut text = format!("cluster {cluster}  entry {applied_index}  {verdict}\n");
    let mut table = Table::new([
        "#NODE",
        "DIGEST",
        "#SKUS",
        "#RESERVATIONS",
        "#HOLDS",
        "#WAITING",
        "#ON_HAND",
        "#HELD",
        "#SOLD",
        "#AT",
        "#FINDINGS",
    ]);
    let rows: Vec<_> = audit.nodes.iter().map(row).collect();
    text.push_str(&table.rows(&rows));
    audit.nodes.iter().for_each(|node| text.push_str(&remarks(node)));
    text
}

fn row(node: &NodeAuditView) -> [String; 11] {
    let number = |of: fn(&ImageAuditView) -> u64| {
        node.image.as_ref().map_or_else(|| "-".to_owned(), |image| of(image).to_string())
    };
    [
        node.id.to_string(),
        node.state_digest.clone().unwrap_or_else(|| "-".to_owned()),
        number(|image| image.skus),
        number(|image| image.reservations),
        number(|image| image.holds),
        number(|image| image.waiting),
        number(|image| image.on_hand),
        number(|image| image.held),
        number(|image| image.sold),
        number(|image| image.applied_index.unwrap_or(0)),
        number(|image| image.findings_total),
    ]
}

/// What was found in a node, or why it did not tell, a line for each.
fn remarks(node: &NodeAuditView) -> String {
    let found = node.image.iter().flat_map(|image| &image.findings);
    let lines = found.chain(&node.error);
    lines.map(|line| format!("node {}: {}\n", node.id, out::plain(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64, findings: &[&str]) -> NodeAuditView {
        let image = ImageAuditView {
            held: 7,
            findings: findings.iter().map(|&finding| finding.to_owned()).collect(),
            findings_total: findings.len() as u64,
            ..ImageAuditView::default()
        };
        NodeAuditView {
            id,
            error: None,
            state_digest: Some("9c1f44d27b03e8a5".to_owned()),
            image: Some(image),
        }
    }

    fn audit(verdict: AuditVerdict, agree: bool) -> AuditView {
        let silent =
            NodeAuditView { id: 3, error: Some("no answer".to_owned()), state_digest: None, image: None };
        AuditView {
            cluster: "shop".to_owned(),
            node_id: 1,
            applied_index: 97,
            verdict,
            agree,
            nodes: vec![node(1, &[]), node(2, &["PS5: held is 7"]), silent],
        }
    }

    #[test]
    fn the_exit_code_follows_from_the_verdict() {
        for (verdict, agree, code, line) in [
            (AuditVerdict::Incomplete, true, 3, "incomplete: no audit of node 3"),
            (AuditVerdict::Broken, true, 1, "broken: what a node has does not add up"),
            (AuditVerdict::Broken, false, 1, "broken: the replicas differ"),
        ] {
            assert_eq!(end(&audit(verdict, agree)), Err(Failure::new(code, line)));
        }
        assert_eq!(end(&audit(AuditVerdict::Sound, true)), Ok(()));
    }

    #[test]
    fn each_node_has_a_row_and_what_was_found_a_line() {
        let told = text(&audit(AuditVerdict::Broken, true));
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines[0], "cluster shop  entry 97  broken");
        assert!(lines[1].starts_with("NODE") && lines[1].ends_with("FINDINGS"), "{told}");
        assert!(lines[3].contains("9c1f44d27b03e8a5") && lines[3].ends_with('1'), "{told}");
        assert!(lines[4].trim_start().starts_with("3  -"), "{told}");
        assert_eq!(lines[5..], ["node 2: PS5: held is 7", "node 3: no answer"]);
    }
}
