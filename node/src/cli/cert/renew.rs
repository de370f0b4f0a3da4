//! `lastunit cert renew`: new certificates of the same authority.

use super::Making;
use super::write::{self, Readers};
use crate::cli::Failure;
use crate::config::NodeConfig;
use crate::tls::authority::Authority;

/// Make new certificates and keys of the same authority, for all nodes or some, new ones included. Nodes that run show
/// them within some seconds.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) making: Making,
    /// For these nodes alone, by their ids, with commas.
    #[arg(long, value_name = "IDS", env = "LASTUNIT_CERT_NODES", value_delimiter = ',')]
    nodes: Vec<u64>,
}

/// Runs it.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let place = args.making.place()?;
    let ca = write::read(&place.ca, "lastunit cert new makes one")?;
    let key = write::read(&place.ca_key, "bring the authority's key back, or name it with --ca-key")?;
    let load = |why| Failure::usage(format!("{}, {}: {why}", place.ca.display(), place.ca_key.display()));
    let authority = Authority::load(&ca, &key).map_err(load)?;
    let mut nodes = Vec::new();
    for node in args.meant(&place.file.nodes)? {
        nodes.push((node.id, args.making.issue(&authority, &ca, node)?));
    }
    for (id, pair) in &nodes {
        let [cert, key] = place.of_node(*id);
        // Between the two a node that looks finds that they do not belong together, and looks again.
        write::replace(&key, &pair.key, Readers::Owner)?;
        write::replace(&cert, &pair.cert, Readers::All)?;
    }
    let nodes: Vec<u64> = nodes.iter().map(|(id, _)| *id).collect();
    place.tell(args.making.json, &nodes, "Give each node its own two files: it takes notice of them.\n")
}

impl Args {
    fn meant<'f>(&self, nodes: &'f [NodeConfig]) -> Result<Vec<&'f NodeConfig>, Failure> {
        if self.nodes.is_empty() {
            return Ok(nodes.iter().collect());
        }
        let find = |id: &u64| {
            let none = || Failure::usage(format!("--nodes {id}: the cluster file has no such node"));
            nodes.iter().find(|node| node.id == *id).ok_or_else(none)
        };
        self.nodes.iter().map(find).collect()
    }
}
