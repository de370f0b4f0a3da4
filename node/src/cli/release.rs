//! `lastunit release`: gives a hold's units back to sale, or a place in the line.

use client::api::{Item, ReleaseRequest};

use super::failure::Failure;
use super::reach::{Key, Reach};
use super::{show, words};

/// Give a hold's units back to sale, or a part of them, or a place in the line.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which hold, or which place in the line.
    reservation_id: String,
    /// What is given back: SKU, or SKU=QTY; all of it unless given.
    #[arg(value_name = "SKU=QTY", value_parser = words::item)]
    items: Vec<Item>,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let items = words::part(args.items.clone());
    let request = ReleaseRequest { reservation_id: args.reservation_id.clone(), items };
    let done = args.reach.write(args.reach.client()?.release(request), &args.key).await?;
    args.reach.tell_done(&done, show::reservation)
}
