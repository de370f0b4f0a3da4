//! `lastunit sku rm`: deletes a SKU.

use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::out;
use crate::cli::reach::{Key, Reach};
use crate::cli::words::Condition;

/// Delete a SKU that no reservation holds or waits for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which one.
    sku: String,
    #[command(flatten)]
    condition: Condition,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let call = args.condition.on(args.reach.client()?.delete_sku(&args.sku));
    let done = args.reach.write(call, &args.key).await?;
    let (sku, outcome) = (&args.sku, "deleted");
    let done = done.map(|()| json!({"sku": sku, "outcome": outcome}));
    args.reach.tell_done(&done, |_| format!("{} is {outcome}\n", out::plain(sku)))
}
