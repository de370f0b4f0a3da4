//! `lastunit return`: takes sold units back into stock.

use client::api::{Item, ReturnRequest};

use super::failure::Failure;
use super::reach::{Key, Reach};
use super::{show, words};

/// Take sold units back into stock.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which committed reservation.
    reservation_id: String,
    /// What comes back: SKU, or SKU=QTY; all that is not back yet unless given.
    #[arg(value_name = "SKU=QTY", value_parser = words::item)]
    items: Vec<Item>,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let items = words::part(args.items.clone());
    let request = ReturnRequest { reservation_id: args.reservation_id.clone(), items };
    let done = args.reach.write(args.reach.client()?.return_(request), &args.key).await?;
    args.reach.tell_done(&done, show::reservation)
}
