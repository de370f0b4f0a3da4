//! `lastunit cert new`: an authority of the cluster's own, and a certificate for each of its nodes.

use std::path::PathBuf;

use super::write::{self, Readers};
use super::{Making, Place};
use crate::cli::Failure;
use crate::tls::authority::Authority;

/// Make an authority of the cluster's own, and a certificate and a key for each node. Replaces nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) making: Making,
    /// How long the authority is valid, in days.
    #[arg(long, value_name = "DAYS", default_value_t = 3_650, env = "LASTUNIT_CA_DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    ca_days: u32,
}

/// Runs it.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let place = args.making.place()?;
    refuse_old(&place)?;
    let (authority, pair) = Authority::new(args.ca_days).map_err(|why| Failure::usage(why.to_string()))?;
    // All is made before the first file is: a host that is none leaves nothing behind.
    let issue = |node| Ok((node, args.making.issue(&authority, &pair.cert, node)?));
    let issued = place.file.nodes.iter().map(issue).collect::<Result<Vec<_>, Failure>>()?;
    write::directory(&place.dir, Readers::All)?;
    if let Some(offline) = place.ca_key.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        write::directory(offline, Readers::Owner)?;
    }
    write::new(&place.ca_key, &pair.key, Readers::Owner)?;
    write::new(&place.ca, &pair.cert, Readers::All)?;
    for (node, pair) in &issued {
        let [cert, key] = place.of_node(node.id);
        write::new(&key, &pair.key, Readers::Owner)?;
        write::new(&cert, &pair.cert, Readers::All)?;
    }
    let nodes: Vec<u64> = issued.iter().map(|(node, _)| node.id).collect();
    place.tell(args.making.json, &nodes, &advice(&place))
}

/// Refuses to lose what is there.
fn refuse_old(place: &Place) -> Result<(), Failure> {
    let of_nodes = place.file.nodes.iter().flat_map(|node| place.of_node(node.id));
    let mut all = [place.ca.clone(), place.ca_key.clone()].into_iter().chain(of_nodes);
    match all.find(|path: &PathBuf| path.symlink_metadata().is_ok()) {
        None => Ok(()),
        Some(old) => Err(Failure::usage(format!(
            "{} is there already; lastunit cert renew makes certificates of the same authority, or name another --dir",
            old.display()
        ))),
    }
}

fn advice(place: &Place) -> String {
    let (ca, ca_key, dir) = (place.ca.display(), place.ca_key.display(), place.dir.display());
    let tls = match place.file.tls {
        Some(_) => String::new(),
        None => format!("\nTo the cluster file add\n  [tls]\n  dir = \"{dir}\""),
    };
    format!(
        "{ca}: for every node, and for clients (--ca)\n\
         {ca_key}: whoever has it can be any node. Take it off this machine, and keep it for lastunit cert renew\n\
         Give each node ca.pem and its own two files.{tls}\n"
    )
}
