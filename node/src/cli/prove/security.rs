//! Certificates and tokens of the cluster under test, made by the commands that make them for any cluster.
//!
//! ```text
//!   DATA/tls/ca.pem, node-N.pem, node-N.key      lastunit cert new, cert renew
//!   DATA/next/                                   a new authority, until its files are those of DATA/tls
//!   DATA/tokens.toml                             lastunit token new, token revoke
//! ```
//!
//! All nodes have the same files, as nodes of one machine may.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::commands::Commands;
use super::keys::{Part, Token, Tokens};
use crate::tls::authority::Pair;

/// Where what is made of a new authority stands, before the nodes have it.
const NEXT: &str = "next";

/// Makes certificates and tokens.
#[derive(Debug)]
pub(super) struct Security {
    commands: Commands,
    data: PathBuf,
    /// The ids of the nodes that may join, and their cluster files; all others stand in `cluster.toml`.
    spares: Vec<(u64, PathBuf)>,
    /// The ids of all nodes.
    ids: Vec<u64>,
}

/// What cluster files must say so that their nodes ask for both: further lines of `[cluster]`, and a section.
pub(super) fn lines(data: &Path) -> String {
    let text = |name: &str| toml::Value::from(data.join(name).to_string_lossy().into_owned());
    format!("tokens = {}\n\n[tls]\ndir = {}\n", text("tokens.toml"), text("tls"))
}

impl Security {
    /// Makes an authority, and certificates for all nodes.
    pub(super) async fn lay_out(
        commands: Commands,
        data: &Path,
        nodes: &[u64],
        spares: Vec<(u64, PathBuf)>,
    ) -> Result<Security, String> {
        let ids = nodes.iter().copied().chain(spares.iter().map(|(id, _)| *id)).collect();
        let security = Security { commands, data: data.to_owned(), spares, ids };
        security.new_certificates("tls").await?;
        Ok(security)
    }

    /// Makes a token for each part.
    pub(super) async fn new_tokens(&self) -> Result<Tokens, String> {
        let mut tokens = Tokens::new();
        let file = self.path("tokens.toml");
        for part in Part::ALL {
            let arguments = ["token", "new", "--tokens", &file, "--role", part.roles()];
            let made = self.commands.run(&arguments, None).await.map_err(|undone| undone.why)?;
            let text = |field: &str| made[field].as_str().unwrap_or_default().to_owned();
            tokens.insert(part, Token { id: text("id"), text: text("token") });
        }
        Ok(tokens)
    }

    /// Revokes them.
    pub(super) async fn revoke(&self, tokens: &Tokens) -> Result<(), String> {
        let file = self.path("tokens.toml");
        for token in tokens.values() {
            self.run(&["token", "revoke", &token.id, "--tokens", &file]).await?;
        }
        Ok(())
    }

    /// Whom the nodes trust.
    pub(super) fn authorities(&self) -> Result<String, String> {
        read(&self.data.join("tls/ca.pem"))
    }

    /// What that node shows.
    pub(super) fn pair(&self, id: u64) -> Result<Pair, String> {
        let of = |kind: &str| read(&self.data.join(format!("tls/node-{id}.{kind}")));
        Ok(Pair { cert: of("pem")?, key: of("key")? })
    }

    /// Has the nodes trust these.
    pub(super) fn trust(&self, authorities: &str) -> Result<(), String> {
        let path = self.data.join("tls/ca.pem");
        let replace = || {
            fs::write(path.with_extension("new"), authorities)?;
            fs::rename(path.with_extension("new"), &path)
        };
        replace().map_err(|cause| format!("{}: {cause}", path.display()))
    }

    /// Makes new certificates of the same authority, which are at once those of the nodes.
    pub(super) async fn renew(&self) -> Result<(), String> {
        let [config, dir] = ["cluster.toml", "tls"].map(|name| self.path(name));
        self.run(&["cert", "renew", "--config", &config, "--dir", &dir]).await?;
        self.renew_spares(&dir).await
    }

    /// Makes a new authority and certificates of it, of which no node knows yet. Answers the authority.
    pub(super) async fn new_authority(&self) -> Result<String, String> {
        self.new_certificates(NEXT).await?;
        read(&self.data.join(NEXT).join("ca.pem"))
    }

    /// Gives the nodes the certificates of the new authority.
    pub(super) fn show_next(&self) -> Result<(), String> {
        for id in &self.ids {
            // Between the two a node that looks finds that they do not belong together, and looks again.
            for kind in ["key", "pem"] {
                self.take_next(&format!("node-{id}.{kind}"))?;
            }
        }
        Ok(())
    }

    /// From now on certificates are renewed by the new authority.
    pub(super) fn keep_next(&self) -> Result<(), String> {
        self.take_next("offline/ca.key")?;
        let next = self.data.join(NEXT);
        fs::remove_dir_all(&next).map_err(|cause| format!("{}: {cause}", next.display()))
    }

    fn take_next(&self, name: &str) -> Result<(), String> {
        let [from, to] = [NEXT, "tls"].map(|dir| self.data.join(dir).join(name));
        fs::rename(&from, to).map_err(|cause| format!("{}: {cause}", from.display()))
    }

    async fn new_certificates(&self, dir: &str) -> Result<(), String> {
        let [config, dir] = ["cluster.toml", dir].map(|name| self.path(name));
        self.run(&["cert", "new", "--config", &config, "--dir", &dir]).await?;
        self.renew_spares(&dir).await
    }

    async fn renew_spares(&self, dir: &str) -> Result<(), String> {
        for (id, config) in &self.spares {
            let (id, config) = (id.to_string(), config.to_string_lossy());
            self.run(&["cert", "renew", "--nodes", &id, "--config", &config, "--dir", dir]).await?;
        }
        Ok(())
    }

    async fn run(&self, arguments: &[&str]) -> Result<(), String> {
        self.commands.run(arguments, None).await.map(drop).map_err(|undone| undone.why)
    }

    fn path(&self, name: &str) -> String {
        self.data.join(name).to_string_lossy().into_owned()
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|cause: io::Error| format!("{}: {cause}", path.display()))
}
