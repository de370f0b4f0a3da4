//! Who may call a node, as its flags and its cluster file say: the holders of tokens, or this machine alone.

use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::BoolishValueParser;
use tokio::net::TcpListener;

use crate::auth::{Access, Kept};
use crate::config::doubts::is_loopback;
use crate::config::{ClusterFile, NodeConfig};

/// The flags of who may call.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AccessArgs {
    /// The file of tokens that callers show, made by `lastunit token new`; unless given, the cluster file's `tokens`.
    #[arg(long, value_name = "FILE", env = "LASTUNIT_TOKENS")]
    tokens: Option<PathBuf>,
    /// Serve whoever reaches this address, on other machines, too, though no tokens are configured.
    #[arg(long, env = "LASTUNIT_INSECURE_NO_AUTH", value_parser = BoolishValueParser::new())]
    insecure_no_auth: bool,
}

impl AccessArgs {
    /// What is asked of callers.
    ///
    /// # Errors
    /// In one line, where the tokens cannot be read, or are forbidden and given at once.
    pub(crate) fn open(&self, file: &ClusterFile) -> Result<Access, String> {
        let Some(path) = self.tokens.as_ref().or(file.tokens.as_ref()) else { return Ok(Access::Open) };
        if self.insecure_no_auth {
            let path = path.display();
            return Err(format!("--insecure-no-auth: there are tokens in {path}; leave out one of the two"));
        }
        let kept = Kept::open(path);
        let kept = kept.map_err(|error| format!("{error}; make one with lastunit token new, or mend it"))?;
        Ok(Access::Tokens(Arc::new(kept)))
    }

    /// What is allowed, and seldom meant.
    pub(crate) fn doubt(&self, file: &ClusterFile) -> Option<String> {
        let open = self.insecure_no_auth && file.nodes.iter().any(|node| !is_loopback(&node.http));
        open.then(|| {
            "--insecure-no-auth: whoever reaches the nodes' http may do everything; make tokens instead, unless what \
             stands before them asks who is there"
                .to_owned()
        })
    }

    /// The same flags for a node that is started with them.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let tokens = self.tokens.iter().map(|path| format!("--tokens={}", path.display()));
        tokens.chain(self.insecure_no_auth.then(|| "--insecure-no-auth".to_owned())).collect()
    }

    /// Refuses to serve other machines where nothing is asked of them, unless that is spelled out.
    ///
    /// # Errors
    /// In one line that names the key and the mend.
    pub(crate) fn check(
        &self,
        access: &Access,
        node: &NodeConfig,
        listener: &TcpListener,
    ) -> Result<(), String> {
        let local = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
        self.check_reach(access, node, local)
    }

    /// The same, of a node that does not listen yet: whether its own machine alone can reach it is told.
    ///
    /// # Errors
    /// In one line that names the key and the mend.
    pub(crate) fn check_reach(&self, access: &Access, node: &NodeConfig, local: bool) -> Result<(), String> {
        if local || self.insecure_no_auth || matches!(access, Access::Tokens(_)) {
            return Ok(());
        }
        Err(format!(
            "key `http` of node {}: {} is open to other machines, and no tokens are configured; make some with \
             lastunit token new and name the file with --tokens, or say --insecure-no-auth",
            node.id, node.http
        ))
    }
}
