//! `lastunit member remove`: a member is none any more.

use super::{make, tell};
use crate::cli::failure::Failure;
use crate::cli::reach::Reach;

/// Remove a member. Refused where the rest would be fewer than three voters, or no quorum.
///
/// A leader hands over first. The node that is removed ends with exit code 2, and its directory is of no use any more.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its id.
    id: u64,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let removed = make(args.reach.client()?.remove_member(args.id)).await?;
    tell(&args.reach, &removed)
}
