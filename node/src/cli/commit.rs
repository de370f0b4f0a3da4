//! `lastunit commit`: sells what a hold holds.

use client::api::{CommitRequest, IfExpired, Item};

use super::failure::Failure;
use super::reach::{Key, Reach};
use super::{show, words};

/// Sell what a hold holds, or a part of it; the rest is released.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which hold.
    reservation_id: String,
    /// What is sold: SKU, or SKU=QTY; all of it unless given.
    #[arg(value_name = "SKU=QTY", value_parser = words::item)]
    items: Vec<Item>,
    /// The shop's proof of payment.
    #[arg(long, value_name = "TOKEN", env = "LASTUNIT_PAYMENT_TOKEN")]
    payment_token: Option<String>,
    /// Refuse unless the hold has this fencing token.
    #[arg(long, value_name = "NUMBER", env = "LASTUNIT_FENCING_TOKEN")]
    fencing_token: Option<u64>,
    /// What to do with a hold that has expired; `fail` unless given.
    #[arg(long, value_enum, value_name = "WHAT", env = "LASTUNIT_IF_EXPIRED")]
    if_expired: Option<Expired>,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// What a commit does with an expired hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Expired {
    /// Refuse with reservation_expired.
    Fail,
    /// Commit all the same where all its units are still available.
    Reacquire,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let request = CommitRequest {
        reservation_id: args.reservation_id.clone(),
        payment_token: args.payment_token.clone(),
        fencing_token: args.fencing_token,
        if_expired: args.if_expired.map(|what| match what {
            Expired::Fail => IfExpired::Fail,
            Expired::Reacquire => IfExpired::Reacquire,
        }),
        items: words::part(args.items.clone()),
    };
    let done = args.reach.write(args.reach.client()?.commit(&request), &args.key).await?;
    args.reach.tell_done(&done, show::reservation)
}
