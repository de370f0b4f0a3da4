//! `lastunit member promote`: a learner votes.

use super::{make, tell};
use crate::cli::failure::Failure;
use crate::cli::reach::Reach;

/// Let a learner vote. Refused while it has not caught up.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its id.
    id: u64,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let promoted = make(args.reach.client()?.promote_member(args.id)).await?;
    tell(&args.reach, &promoted)
}
