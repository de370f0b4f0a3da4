//! `lastunit sku get`: a SKU's figures.

use crate::cli::failure::Failure;
use crate::cli::reach::Reach;
use crate::cli::show;

/// Show a SKU's figures.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which one.
    sku: String,
    /// Read what the asked node has applied, which may be behind; it works without a quorum.
    #[arg(long, env = "LASTUNIT_STALE", value_parser = crate::cli::flag())]
    stale: bool,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let mut call = args.reach.client()?.sku(&args.sku);
    if args.stale {
        call = call.stale();
    }
    let answer = args.reach.read(call).await?;
    args.reach.tell(&answer, show::sku)
}
