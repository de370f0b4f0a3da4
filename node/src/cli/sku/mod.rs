//! `lastunit sku`: what is on sale.

mod adjust;
mod export;
mod format;
mod get;
mod import;
mod list;
mod rm;
mod set;

use super::EXIT_CODES;
use super::failure::Failure;

/// Set, read, list, import and export what is on sale.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(after_help = EXIT_CODES)]
    Set(set::Args),
    #[command(after_help = EXIT_CODES)]
    Adjust(adjust::Args),
    #[command(after_help = EXIT_CODES)]
    Get(get::Args),
    #[command(after_help = EXIT_CODES)]
    List(list::Args),
    #[command(after_help = EXIT_CODES)]
    Rm(rm::Args),
    #[command(after_help = import::EXIT_CODES)]
    Import(import::Args),
    #[command(after_help = EXIT_CODES)]
    Export(export::Args),
}

impl Args {
    /// Whether JSON is asked for.
    pub(super) fn json(&self) -> bool {
        match &self.command {
            Command::Set(args) => args.reach.json,
            Command::Adjust(args) => args.reach.json,
            Command::Get(args) => args.reach.json,
            Command::Rm(args) => args.reach.json,
            // Their stdout has records alone, so that nobody takes a problem for one.
            Command::List(_) | Command::Import(_) | Command::Export(_) => false,
        }
    }
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Set(args) => set::run(args).await,
        Command::Adjust(args) => adjust::run(args).await,
        Command::Get(args) => get::run(args).await,
        Command::List(args) => list::run(args).await,
        Command::Rm(args) => rm::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Export(args) => export::run(args).await,
    }
}
