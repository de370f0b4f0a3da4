//! `lastunit extend`: moves a hold's deadline.

use client::api::ExtendRequest;

use super::failure::Failure;
use super::reach::{Key, Reach};
use super::show;

/// Move a hold's deadline, never to an earlier time.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which hold.
    reservation_id: String,
    /// The new deadline is so long from now; 300 unless given.
    #[arg(long, value_name = "SECONDS", env = "LASTUNIT_TTL")]
    ttl: Option<u64>,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let request = ExtendRequest { reservation_id: args.reservation_id.clone(), ttl_seconds: args.ttl };
    let done = args.reach.write(args.reach.client()?.extend(&request), &args.key).await?;
    args.reach.tell_done(&done, show::reservation)
}
