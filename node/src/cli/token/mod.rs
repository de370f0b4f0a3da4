//! `lastunit token`: who may call. It changes a file, of which nodes that run take notice.

mod list;
mod new;
mod revoke;

use std::path::PathBuf;

use super::Failure;
use crate::auth::TokensFile;
use crate::config::ClusterFile;

/// Makes, lists and revokes the tokens that callers show.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    New(new::Args),
    List(list::Args),
    Revoke(revoke::Args),
}

/// Which file it is about.
#[derive(Debug, Clone, clap::Args)]
struct Where {
    /// The tokens file; unless given, the one that the cluster file names.
    #[arg(long, value_name = "FILE", env = "LASTUNIT_TOKENS")]
    tokens: Option<PathBuf>,
    /// The cluster file whose `tokens` are meant, where --tokens is not given.
    #[arg(long, value_name = "FILE", default_value = "cluster.toml", env = "LASTUNIT_CONFIG")]
    config: PathBuf,
    /// Answer in JSON.
    #[arg(long, env = "LASTUNIT_JSON", value_parser = super::flag())]
    json: bool,
}

/// Runs it.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::New(args) => new::run(args),
        Command::List(args) => list::run(args),
        Command::Revoke(args) => revoke::run(args),
    }
}

impl Args {
    /// Whether a failure is told in JSON, too.
    pub(super) fn json(&self) -> bool {
        match &self.command {
            Command::New(args) => args.place.json,
            Command::List(args) => args.place.json,
            Command::Revoke(args) => args.place.json,
        }
    }
}

impl Where {
    /// The path of the tokens file.
    fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.tokens {
            return Ok(path.clone());
        }
        let file = ClusterFile::load(&self.config)
            .map_err(|mistake| Failure::usage(format!("{mistake}; or give --tokens or LASTUNIT_TOKENS")))?;
        file.tokens.ok_or_else(|| {
            let config = self.config.display();
            let mend = "add it, such as tokens = \"tokens.toml\", or give --tokens";
            Failure::usage(format!("{config}, key `cluster.tokens`: is missing; {mend}"))
        })
    }

    /// The file's tokens.
    fn load(&self) -> Result<TokensFile, Failure> {
        Ok(TokensFile::load(&self.path()?)?)
    }
}
