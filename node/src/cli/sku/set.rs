//! `lastunit sku set`: makes a SKU, or sets its figures.

use client::api::PutSkuRequest;

use crate::cli::failure::Failure;
use crate::cli::reach::{Key, Reach};
use crate::cli::show;
use crate::cli::words::{Condition, Shortfall};

/// Make a SKU, or set its figures.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which one.
    sku: String,
    /// Units that the shop owns and has not sold, those under a hold included.
    #[arg(long, value_name = "UNITS", env = "LASTUNIT_ON_HAND")]
    on_hand: u64,
    /// Units kept back from sale; left as they are unless given, 0 on a new SKU.
    #[arg(long, value_name = "UNITS", env = "LASTUNIT_SAFETY_STOCK")]
    safety_stock: Option<u64>,
    /// The most units that one customer may have, or `none`; left as it is unless given.
    #[arg(long, value_name = "UNITS", env = "LASTUNIT_MAX_PER_CUSTOMER", value_parser = limit)]
    max_per_customer: Option<Limit>,
    /// What to do where on_hand would fall below what is held; `refuse` unless given.
    #[arg(long, value_enum, value_name = "WHAT", env = "LASTUNIT_ON_SHORTFALL")]
    on_shortfall: Option<Shortfall>,
    /// Only where the SKU is not there yet; else precondition_failed.
    #[arg(long, env = "LASTUNIT_IF_ABSENT", value_parser = crate::cli::flag(), conflicts_with = "if_version")]
    if_absent: bool,
    #[command(flatten)]
    condition: Condition,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// A limit for each customer, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit(pub(super) Option<u64>);

/// `2`, or `none`.
pub(super) fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit(None)),
        number => number
            .parse()
            .map(|most| Limit(Some(most)))
            .map_err(|_| format!("{text:?} is no number, nor `none`")),
    }
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let request = PutSkuRequest {
        on_hand: args.on_hand,
        safety_stock: args.safety_stock,
        max_per_customer: args.max_per_customer.map(|Limit(most)| most),
        on_shortfall: args.on_shortfall.map(Into::into),
    };
    let mut call = args.condition.on(args.reach.client()?.put_sku(&args.sku, &request));
    if args.if_absent {
        call = call.if_absent();
    }
    let done = args.reach.write(call, &args.key).await?;
    args.reach.tell_done(&done, show::sku)
}
