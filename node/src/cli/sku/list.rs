//! `lastunit sku list`: the SKUs in the order of their names, page by page.

use client::List;
use client::api::InventoryRecord;

use crate::cli::failure::Failure;
use crate::cli::reach::Reach;
use crate::cli::{Stop, out, show};

/// Rows in a page.
const PAGE_SIZE: u64 = 1_000;

/// List SKUs in the order of their names; in JSON one record a line.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those whose names begin so.
    #[arg(long, value_name = "TEXT", env = "LASTUNIT_PREFIX")]
    prefix: Option<String>,
    /// At most so many; all unless given.
    #[arg(long, value_name = "NUMBER", env = "LASTUNIT_LIMIT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Read what the asked node has applied, which may be behind; it works without a quorum.
    #[arg(long, env = "LASTUNIT_STALE", value_parser = crate::cli::flag())]
    stale: bool,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let mut list = args.reach.client()?.skus();
    if let Some(prefix) = &args.prefix {
        list = list.prefix(prefix);
    }
    if args.stale {
        list = list.stale();
    }
    let mut stop = Stop::new().map_err(Failure::system("cannot listen for signals"))?;
    tokio::select! {
        told = tell(args, &list) => told,
        () = stop.asked() => Err(Failure::interrupted()),
    }
}

/// Tells page by page, so that a million SKUs need no more memory than a thousand.
async fn tell(args: &Args, list: &List<InventoryRecord>) -> Result<(), Failure> {
    let mut table = show::sku_table();
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut cursor: Option<String> = None;
    loop {
        let page_size = u32::try_from(left.min(PAGE_SIZE)).unwrap_or(u32::MAX);
        let page = list.clone().page_size(page_size).page(cursor.as_deref()).await?.value;
        match args.reach.json {
            true => page.data.iter().try_for_each(out::line)?,
            false => out::text(&table.rows(&page.data.iter().map(show::sku_row).collect::<Vec<_>>()))?,
        }
        left = left.saturating_sub(page.data.len() as u64);
        cursor = page.next_cursor;
        if cursor.is_none() || left == 0 {
            return Ok(());
        }
    }
}
