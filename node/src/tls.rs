//! TLS of a node: the certificates that it shows and trusts, in files that are taken notice of while it runs.
//!
//! ```text
//!   cluster.toml [tls] --> config::tls: which files
//!                             | read (files): PEM, dates, who may read the key
//!                             v
//!        .--- HttpTls: what clients are shown ----> http::server
//!   Tls -+
//!        '--- raft::PeerTls: what the other nodes are shown, and whom this one trusts
//!                             ^
//!                             | looked at once a second (watch)
//! ```
//!
//! Invariants:
//! - A node starts with no certificate that others would refuse: it says which, and what to do.
//! - New files count for new connections, all of them at once; files that are of no use change nothing.
//! - A key is in no log and no error.
//!
//! `authority` makes certificates, for `lastunit cert`; `knock` dials a node with one, for `lastunit prove`.

pub(crate) mod authority;
mod ends;
mod files;
mod http;
pub(crate) mod knock;
mod watch;

use std::sync::Arc;

use raft::{PeerTls, Unfit};

pub(crate) use self::ends::Ends;
use self::files::{Files, Texts, Unusable};
pub(crate) use self::http::HttpTls;
use crate::config::ClusterFile;

/// The TLS of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    http: Option<Arc<HttpTls>>,
    peers: Option<Arc<PeerTls>>,
    /// Where it all stands; `None`: nothing has TLS.
    files: Option<Files>,
    /// What stood there at the start.
    opened: [u8; 32],
    /// When what is in use ends.
    ends: Arc<Ends>,
}

impl Tls {
    /// What the cluster file says of that node.
    ///
    /// # Errors
    /// In one line that names the key, the file and the mend.
    pub(crate) fn open(file: &ClusterFile, id: u64) -> Result<Tls, String> {
        let Some(config) = &file.tls else { return Ok(Tls::default()) };
        let files = Files::of(config, id);
        let opened = files.read().and_then(|texts| Tls::of(files, id, &texts));
        opened.map_err(|unusable| unusable.to_string())
    }

    fn of(files: Files, id: u64, texts: &Texts) -> Result<Tls, Unusable> {
        let http = files.http(texts)?.map(HttpTls::new).map(Arc::new);
        let peers = files.peers(texts)?.map(|keys| PeerTls::new(id, keys)).transpose();
        let peers = peers.map_err(|unfit| files.unfit(unfit))?.map(Arc::new);
        files.tell(texts);
        let ends = Arc::<Ends>::default();
        ends.set(files.ends_s(texts));
        Ok(Tls { http, peers, files: Some(files), opened: texts.fingerprint(), ends })
    }

    /// New connections go by what these files say.
    fn take(&self, files: &Files, texts: &Texts) -> Result<(), Unusable> {
        let http = files.http(texts)?;
        if let (Some(tls), Some(keys)) = (&self.peers, files.peers(texts)?) {
            tls.replace(keys).map_err(|unfit: Unfit| files.unfit(unfit))?;
        }
        if let (Some(tls), Some(config)) = (&self.http, http) {
            tls.replace(config);
        }
        files.tell(texts);
        self.ends.set(files.ends_s(texts));
        Ok(())
    }

    /// What clients are shown.
    pub(crate) fn http(&self) -> Option<Arc<HttpTls>> {
        self.http.clone()
    }

    /// When the certificates in use end.
    pub(crate) fn ends(&self) -> Arc<Ends> {
        Arc::clone(&self.ends)
    }

    /// What the other nodes are shown.
    pub(crate) fn peers(&self) -> Option<Arc<PeerTls>> {
        self.peers.clone()
    }
}

#[cfg(test)]
mod tests;
