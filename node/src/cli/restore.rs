//! `lastunit restore`: a backup put into the directories of a new cluster.
//!
//! ```text
//!   all directories of the cluster file, on this machine     restore --from FILE
//!   one of them, on each machine                             restore --from FILE --node 1 --restore-id ID
//! ```
//!
//! All that the machines must agree on follows from the backup, the cluster file's nodes and the restore id. Whoever
//! makes one directory alone has to name the id: made up on each machine it would make clusters of one node each, that
//! refuse each other.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use raft::{Member, NewCluster, Restore, TOKENS_LEFT_OUT};
use serde::Serialize;
use storage::StorageError;
use tokio::task::spawn_blocking;

use super::backup::{time, unusable};
use super::failure::{EXIT_REFUSED, EXIT_USAGE, Failure};
use super::{bar, flag, out};
use crate::config::{ClusterFile, NodeConfig};

/// What the help says at its end.
pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 the directories are made: start the nodes; 1 the backup is damaged, or a disk failed; 2 wrong usage, a
file that cannot be read, or a directory that is not empty: nothing was made.";

/// Make the directories of a new cluster of a backup. What was answered after the backup is not in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The cluster file of the new cluster; on each machine with the same nodes and addresses.
    #[arg(long, value_name = "FILE", default_value = "cluster.toml", env = "LASTUNIT_CONFIG")]
    config: PathBuf,
    /// The backup.
    #[arg(long, value_name = "FILE", env = "LASTUNIT_FROM")]
    from: PathBuf,
    /// Make this node's directory alone; without it those of all nodes of the cluster file.
    #[arg(long, value_name = "ID", env = "LASTUNIT_NODE", requires = "restore_id")]
    node: Option<u64>,
    /// 32 hexadecimal digits at random, the same for all directories of this cluster, and of no other. Needed with
    /// --node; random unless given without.
    #[arg(long, value_name = "DIGITS", env = "LASTUNIT_RESTORE_ID", value_parser = restore_id)]
    restore_id: Option<u128>,
    /// Answer in JSON: one document.
    #[arg(long, env = "LASTUNIT_JSON", value_parser = flag())]
    json: bool,
}

/// What was made.
#[derive(Debug, Serialize)]
struct Report {
    from: String,
    of_cluster: String,
    of_cluster_id: String,
    applied_index: u64,
    sequence: u64,
    time: String,
    cluster: String,
    cluster_id: String,
    restore_id: String,
    state_digest: String,
    fencing_tokens_left_out: u64,
    directories: Vec<Directory>,
}

/// A directory that was made.
#[derive(Debug, Clone, Serialize)]
struct Directory {
    node_id: u64,
    data_dir: PathBuf,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let file = ClusterFile::load(&args.config).map_err(|mistake| Failure::usage(mistake.to_string()))?;
    let directories = directories(args, &file)?;
    for Directory { data_dir, .. } in &directories {
        raft::check_empty(data_dir).map_err(unmade)?;
    }
    let member = |node: &NodeConfig| Member { id: node.id, http: node.http.clone(), raft: node.raft.clone() };
    let restore_id = args.restore_id.unwrap_or_else(rand::random);
    let members = file.nodes.iter().map(member).collect();
    let cluster = NewCluster { name: file.name.clone(), members, restore_id };
    let from = args.from.clone();
    let made = spawn_blocking(move || make(&from, cluster, directories)).await;
    let report = made.map_err(|cause| Failure::new(EXIT_REFUSED, format!("it broke off: {cause}")))??;
    match args.json {
        true => out::line(&report),
        false => out::text(&text(&report)),
    }
}

/// The directories to make.
fn directories(args: &Args, file: &ClusterFile) -> Result<Vec<Directory>, Failure> {
    let directory = |node: &NodeConfig| Directory { node_id: node.id, data_dir: node.data_dir.clone() };
    let Some(id) = args.node else { return Ok(file.nodes.iter().map(directory).collect()) };
    let (config, ids) = (args.config.display(), file.ids());
    let unknown = || Failure::usage(format!("--node {id}: {config} has no such node; choose one of {ids}"));
    file.node(id).map(|node| vec![directory(node)]).ok_or_else(unknown)
}

fn make(from: &Path, cluster: NewCluster, directories: Vec<Directory>) -> Result<Report, Failure> {
    let (name, restore_id) = (cluster.name.clone(), cluster.restore_id);
    let progress = ProgressBar::new_spinner();
    let _clear = bar::Clear(&progress);
    let mut length = 0;
    let restore = Restore::load(from, cluster, |read, bytes| {
        if length != bytes {
            length = bytes;
            bar::bytes(&progress, bytes, "verified");
        }
        progress.set_position(read);
    });
    let restore = restore.map_err(unusable)?;
    progress.set_length(directories.len() as u64);
    progress.set_position(0);
    progress.set_style(bar::style("directories made"));
    for Directory { node_id, data_dir } in &directories {
        restore.make(*node_id, data_dir).map_err(unmade)?;
        progress.inc(1);
    }
    let head = restore.head();
    Ok(Report {
        from: from.display().to_string(),
        of_cluster: head.cluster_name.clone(),
        of_cluster_id: format!("{:032x}", head.cluster_id),
        applied_index: head.applied.index,
        sequence: head.sequence,
        time: time(head.now_ms),
        cluster: name,
        cluster_id: format!("{:032x}", restore.cluster_id()),
        restore_id: format!("{restore_id:032x}"),
        state_digest: format!("{:016x}", restore.digest()),
        fencing_tokens_left_out: TOKENS_LEFT_OUT,
        directories,
    })
}

/// A directory that cannot be made: for the operator to mend, or a disk that fails.
fn unmade(error: StorageError) -> Failure {
    let code = match error {
        StorageError::Refused { .. } => EXIT_USAGE,
        _ => EXIT_REFUSED,
    };
    Failure::new(code, error.to_string())
}

fn text(report: &Report) -> String {
    let Report { applied_index, sequence, time, .. } = report;
    let mut text = out::fields(&[
        ("from", Some(report.from.clone())),
        ("of", Some(format!("cluster {} ({})", report.of_cluster, report.of_cluster_id))),
        ("cluster", Some(report.cluster.clone())),
        ("cluster_id", Some(report.cluster_id.clone())),
        ("restore_id", Some(report.restore_id.clone())),
        ("applied_index", Some(applied_index.to_string())),
        ("sequence", Some(sequence.to_string())),
        ("time", Some(time.clone())),
        ("state_digest", Some(report.state_digest.clone())),
    ]);
    for Directory { node_id, data_dir } in &report.directories {
        text.push_str(&format!("node {node_id}  {}\n", out::plain(&data_dir.to_string_lossy())));
    }
    text.push_str(&format!(
        "\nWhat was answered after command {sequence} ({time}) is not in it: units held or sold since are for sale again.\n\
         Stop the old cluster for good before this one serves. cluster_id must be the same on every machine.\n"
    ));
    text
}

/// 32 hexadecimal digits.
fn restore_id(text: &str) -> Result<u128, String> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let example = || format!("not 32 hexadecimal digits at random, such as {:032x}", rand::random::<u128>());
    u128::from_str_radix(text, 16).ok().filter(|_| digits).ok_or_else(example)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_id_is_32_digits_and_nothing_else() {
        assert_eq!(restore_id("0000000000000000000000000000000a"), Ok(10));
        for bad in ["", "a", "+000000000000000000000000000000a", &"g".repeat(32), &"0".repeat(33)] {
            let told = restore_id(bad).expect_err(bad);
            assert!(told.starts_with("not 32 hexadecimal digits at random, such as "), "{told}");
        }
    }
}
