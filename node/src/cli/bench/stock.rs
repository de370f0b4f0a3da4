//! The SKUs of a run: put before it, read back after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use client::Client;
use client::api::{InventoryRecord, PutSkuRequest};
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::plan::Plan;
use crate::cli::bar::{self, Clear};

/// How many SKUs are put at a time.
const PUTS_MAX: u32 = 64;

/// How many rows of a list are read at a time.
const PAGE: u32 = 1_000;

/// Puts every SKU of the run.
///
/// # Errors
/// Where one cannot be put.
pub(super) async fn put(client: &Client, plan: &Arc<Plan>) -> Result<(), String> {
    let skus = plan.skus_put();
    let bar = ProgressBar::new(u64::from(skus)).with_style(bar::style("SKUs put"));
    let _clear = Clear(&bar);
    let next = Arc::new(AtomicU32::new(0));
    let mut workers = JoinSet::new();
    for worker in 0..PUTS_MAX.min(skus) {
        let client = client.prefer(worker as usize);
        workers.spawn(put_share(client, Arc::clone(plan), Arc::clone(&next), bar.clone()));
    }
    while let Some(done) = workers.join_next().await {
        done.map_err(|why| why.to_string())?.map_err(|why| format!("cannot put the stock: {why}"))?;
    }
    Ok(())
}

async fn put_share(
    client: Client,
    plan: Arc<Plan>,
    next: Arc<AtomicU32>,
    bar: ProgressBar,
) -> Result<(), client::Error> {
    let request = PutSkuRequest { on_hand: plan.stock, ..PutSkuRequest::default() };
    loop {
        let number = next.fetch_add(1, Relaxed);
        if number >= plan.skus_put() {
            return Ok(());
        }
        client.put_sku(&plan.sku(number), &request).await?;
        bar.inc(1);
    }
}

/// Reads every SKU of the run, linearizably: its record by its number, none where it is not there.
///
/// # Errors
/// Where the list cannot be read.
pub(super) async fn read(client: &Client, plan: &Plan) -> Result<Vec<Option<InventoryRecord>>, String> {
    let prefix = format!("{}.", plan.run);
    let mut records = vec![None; plan.skus_put() as usize];
    let mut rows = client.skus().prefix(&prefix).page_size(PAGE).rows();
    while let Some(record) = rows.next().await.map_err(|why| format!("cannot read the stock back: {why}"))? {
        let number = record.sku.strip_prefix(&prefix).and_then(|number| number.parse::<usize>().ok());
        if let Some(place) = number.and_then(|number| records.get_mut(number)) {
            *place = Some(record);
        }
    }
    Ok(records)
}
