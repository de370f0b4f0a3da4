//! `[tls]` of the cluster file: what has TLS, and by which files. One file serves all nodes.
//!
//! ```text
//!   [tls]
//!   dir = "tls"      ca.pem                     whom the nodes trust among themselves
//!                    node-2.pem, node-2.key     what node 2 shows, to the others and to clients
//!   [[tls.node]]     another place for one node's files
//! ```
//!
//! Files are looked for relative to the working directory. What is in them, [`crate::tls`] looks at.

use std::path::PathBuf;

use super::{ConfigError, NodeConfig, Section};

/// Where the files are, unless it is given.
const DIR: &str = "tls";

/// `[tls]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    /// Where all files are that have no place of their own.
    pub(crate) dir: PathBuf,
    /// Whether clients are answered by TLS alone.
    pub(crate) http: bool,
    /// Whether nodes speak TLS, and show each other certificates.
    pub(crate) peers: bool,
    ca: Option<Named>,
    http_pair: Option<Pair>,
    nodes: Vec<OfNode>,
}

/// A file, and the key by which it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// The key of the cluster file.
    pub(crate) key: String,
    /// The file.
    pub(crate) path: PathBuf,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    cert: Named,
    key: Named,
}

/// One `[[tls.node]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OfNode {
    id: u64,
    pair: Option<Pair>,
    http_pair: Option<Pair>,
}

/// The files of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeFiles {
    /// The authorities that nodes trust among themselves.
    pub(crate) ca: Named,
    /// What the node shows to the others: the certificate and its key.
    pub(crate) peers: [Named; 2],
    /// What it shows to clients.
    pub(crate) http: [Named; 2],
}

impl TlsConfig {
    /// What the section says.
    pub(super) fn read(mut section: Section<'_>, nodes: &[NodeConfig]) -> Result<TlsConfig, ConfigError> {
        let dir = section.optional_text("dir", "such as \"tls\"")?;
        let dir = PathBuf::from(dir.map_or(DIR.to_owned(), |dir| dir.value));
        let (http, peers) = (section.flag("http", true)?, section.flag("peers", true)?);
        let ca = path(&mut section, "ca")?;
        let http_pair = pair(&mut section, "http_cert", "http_key")?;
        let own = section.optional_tables("node")?;
        section.finish()?;
        if !http && !peers {
            let mend = "leave [tls] out, or one of the two";
            return Err(section.error("http", Some(section.line), "is false, and so is peers", mend));
        }
        let nodes = own.into_iter().map(|own| of_node(own, nodes)).collect::<Result<_, _>>()?;
        Ok(TlsConfig { dir, http, peers, ca, http_pair, nodes })
    }

    /// The authorities' certificates.
    pub(crate) fn ca(&self) -> Named {
        self.ca.clone().unwrap_or_else(|| self.in_dir("ca.pem".to_owned()))
    }

    /// The same, where clients are shown certificates of no other.
    pub(super) fn client_ca(&self) -> Option<PathBuf> {
        let others = self.http_pair.is_some() || self.nodes.iter().any(|node| node.http_pair.is_some());
        (!others).then(|| self.ca().path)
    }

    /// The files of that node.
    pub(crate) fn files(&self, id: u64) -> NodeFiles {
        let own = self.nodes.iter().find(|node| node.id == id);
        let own_pair = own.and_then(|own| own.pair.clone());
        let pair = own_pair.unwrap_or_else(|| Pair {
            cert: self.in_dir(format!("node-{id}.pem")),
            key: self.in_dir(format!("node-{id}.key")),
        });
        let http = own.and_then(|own| own.http_pair.as_ref()).or(self.http_pair.as_ref()).unwrap_or(&pair);
        let http = [http.cert.clone(), http.key.clone()];
        NodeFiles { ca: self.ca(), http, peers: [pair.cert, pair.key] }
    }

    fn in_dir(&self, name: String) -> Named {
        Named { key: "tls.dir".to_owned(), path: self.dir.join(name) }
    }
}

fn of_node(mut section: Section<'_>, nodes: &[NodeConfig]) -> Result<OfNode, ConfigError> {
    let id = section.integer("id", "such as id = 1")?;
    let (pair, http_pair) =
        (pair(&mut section, "cert", "key")?, pair(&mut section, "http_cert", "http_key")?);
    section.finish()?;
    if !nodes.iter().any(|node| node.id == id.value) {
        let what = format!("no [[node]] has the id {}", id.value);
        return Err(section.error("id", Some(id.line), &what, "give it that of one, or remove this table"));
    }
    Ok(OfNode { id: id.value, pair, http_pair })
}

/// A certificate and its key, which belong together.
fn pair(
    section: &mut Section<'_>,
    cert: &'static str,
    key: &'static str,
) -> Result<Option<Pair>, ConfigError> {
    match (path(section, cert)?, path(section, key)?) {
        (Some(cert), Some(key)) => Ok(Some(Pair { cert, key })),
        (None, None) => Ok(None),
        (given, _) => {
            let (missing, given) = if given.is_some() { (key, cert) } else { (cert, key) };
            let mend = format!("add it, or leave out {given}");
            Err(section.error(missing, Some(section.line), "is missing", &mend))
        }
    }
}

fn path(section: &mut Section<'_>, key: &'static str) -> Result<Option<Named>, ConfigError> {
    let found = section.optional_text(key, "name a file")?;
    Ok(found.map(|found| Named { key: section.key(key), path: PathBuf::from(found.value) }))
}
