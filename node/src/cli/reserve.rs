//! `lastunit reserve`: takes a hold for a whole cart, or nothing.

use client::api::{Item, ReserveRequest};

use super::failure::Failure;
use super::reach::{Key, Reach};
use super::{show, words};

/// Take a hold for a whole cart, or nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shop's name for the cart.
    cart: String,
    /// What is wanted: SKU, or SKU=QTY.
    #[arg(required = true, value_name = "SKU=QTY", value_parser = words::item)]
    items: Vec<Item>,
    /// Who buys.
    #[arg(long, value_name = "ID", env = "LASTUNIT_CUSTOMER")]
    customer: Option<String>,
    /// How long the hold lasts; 300 unless given.
    #[arg(long, value_name = "SECONDS", env = "LASTUNIT_TTL")]
    ttl: Option<u64>,
    /// Join the waiting line where the cart's one SKU does not fit; `lastunit get --wait 60 --while waiting` then waits
    /// for the turn.
    #[arg(long, env = "LASTUNIT_WAIT_IN_LINE", value_parser = super::flag())]
    wait: bool,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let request = ReserveRequest {
        cart_id: args.cart.clone(),
        items: args.items.clone(),
        customer_id: args.customer.clone(),
        ttl_seconds: args.ttl,
        wait: args.wait.then_some(true),
    };
    let done = args.reach.write(args.reach.client()?.reserve(&request), &args.key).await?;
    args.reach.tell_done(&done, show::reservation)
}
