//! `lastunit leader transfer`: another node leads.

use super::EXIT_CODES;
use super::failure::Failure;
use super::member::{make, tell};
use super::reach::Reach;

/// Move the leadership.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(after_help = EXIT_CODES)]
    Transfer(Transfer),
}

/// Have another voter lead. No command is lost by it; some wait for a moment.
#[derive(Debug, clap::Args)]
struct Transfer {
    /// Which one; whichever has most of the log unless given.
    #[arg(long, value_name = "ID", env = "LASTUNIT_LEADER_TO")]
    to: Option<u64>,
    #[command(flatten)]
    reach: Reach,
}

impl Args {
    /// Whether a failure is told in JSON, too.
    pub(super) fn json(&self) -> bool {
        let Command::Transfer(transfer) = &self.command;
        transfer.reach.json
    }
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let Command::Transfer(Transfer { to, reach }) = &args.command;
    let led = make(reach.client()?.transfer_leader(*to)).await?;
    tell(reach, &led)
}
