//! `lastunit sku adjust`: adds to a SKU's on_hand, or takes from it.

use client::api::AdjustRequest;

use crate::cli::failure::Failure;
use crate::cli::reach::{Key, Reach};
use crate::cli::show;
use crate::cli::words::{Condition, Shortfall};

/// Add to a SKU's on_hand, or take from it: `lastunit sku adjust PS5 -3`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which one.
    sku: String,
    /// What is added to on_hand; not 0.
    #[arg(allow_negative_numbers = true)]
    delta: i64,
    /// Why, in the shop's words.
    #[arg(long, value_name = "TEXT", env = "LASTUNIT_REASON")]
    reason: Option<String>,
    /// The shop's own reference, such as a delivery note's number.
    #[arg(long, value_name = "TEXT", env = "LASTUNIT_REFERENCE")]
    reference: Option<String>,
    /// What to do where on_hand would fall below what is held; `refuse` unless given.
    #[arg(long, value_enum, value_name = "WHAT", env = "LASTUNIT_ON_SHORTFALL")]
    on_shortfall: Option<Shortfall>,
    #[command(flatten)]
    condition: Condition,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let request = AdjustRequest {
        delta: args.delta,
        reason: args.reason.clone(),
        reference: args.reference.clone(),
        on_shortfall: args.on_shortfall.map(Into::into),
    };
    let call = args.condition.on(args.reach.client()?.adjust(&args.sku, &request));
    let done = args.reach.write(call, &args.key).await?;
    args.reach.tell_done(&done, show::sku)
}
