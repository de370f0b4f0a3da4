//! `lastunit sku export`: every SKU in a form that `import` takes back.
//!
//! Only what import sets is written: what is held and sold belongs to the cluster, and `sku list --json` tells it.
//! Each page is as of its own moment: an export of a shop that sells is no snapshot.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use client::api::InventoryRecord;
use client::{Client, Rows};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tempfile::NamedTempFile;

use super::format::{COLUMNS, Format, format, is_standard};
use crate::cli::failure::{EXIT_NOT_EXECUTED, Failure};
use crate::cli::reach::Reach;
use crate::cli::{Stop, out};

/// Rows in a page.
const PAGE_SIZE: u32 = 1_000;

/// Write every SKU as CSV or NDJSON, with the columns that import takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to; `-` is stdout. A file appears when it is whole.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// How it is written; what the file's name says unless given, and CSV on stdout.
    #[arg(long, value_enum, value_name = "FORMAT", env = "LASTUNIT_FORMAT")]
    format: Option<Format>,
    /// Only SKUs whose names begin so.
    #[arg(long, value_name = "TEXT", env = "LASTUNIT_PREFIX")]
    prefix: Option<String>,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// A SKU as NDJSON has it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    sku: &'a str,
    on_hand: u64,
    safety_stock: u64,
    max_per_customer: Option<u64>,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let given = args.format.or(args.reach.json.then_some(Format::Ndjson));
    let format = format(given, &args.file)?;
    let rows = rows(args, &args.reach.client()?);
    let mut stop = Stop::new().map_err(Failure::system("cannot listen for signals"))?;
    tokio::select! {
        ended = export(&args.file, format, rows) => ended,
        () = stop.asked() => Err(Failure::interrupted()),
    }
}

fn rows(args: &Args, client: &Client) -> Rows<InventoryRecord> {
    let list = client.skus().page_size(PAGE_SIZE);
    match &args.prefix {
        Some(prefix) => list.prefix(prefix).rows(),
        None => list.rows(),
    }
}

async fn export(file: &Path, format: Format, rows: Rows<InventoryRecord>) -> Result<(), Failure> {
    if is_standard(file) {
        return write_all(rows, Writer::new(format, io::stdout()), &ProgressBar::hidden(), out::unheard)
            .await;
    }
    let failed = |cause: io::Error| {
        Failure::new(EXIT_NOT_EXECUTED, format!("cannot write {}: {cause}", file.display()))
    };
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let part = NamedTempFile::new_in(directory.unwrap_or(Path::new("."))).map_err(failed)?;
    let bar = ProgressBar::new_spinner().with_style(style());
    let written = write_all(rows, Writer::new(format, part.as_file()), &bar, failed).await;
    bar.finish_and_clear();
    written?;
    part.as_file().sync_all().map_err(failed)?;
    part.persist(file).map_err(|refused| failed(refused.error))?;
    Ok(())
}

async fn write_all<W: Write>(
    mut rows: Rows<InventoryRecord>,
    mut writer: Writer<W>,
    bar: &ProgressBar,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    writer.header().map_err(&failed)?;
    while let Some(record) = rows.next().await? {
        writer.row(&record).map_err(&failed)?;
        bar.inc(1);
    }
    writer.flush().map_err(&failed)
}

/// Writes rows in one of the formats.
enum Writer<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Ndjson(BufWriter<W>),
}

impl<W: Write> Writer<W> {
    fn new(format: Format, to: W) -> Writer<W> {
        match format {
            Format::Csv => Writer::Csv(Box::new(csv::Writer::from_writer(to))),
            Format::Ndjson => Writer::Ndjson(BufWriter::new(to)),
        }
    }

    fn header(&mut self) -> io::Result<()> {
        match self {
            Writer::Csv(csv) => csv.write_record(COLUMNS).map_err(cause),
            Writer::Ndjson(_) => Ok(()),
        }
    }

    fn row(&mut self, record: &InventoryRecord) -> io::Result<()> {
        let InventoryRecord { sku, on_hand, safety_stock, max_per_customer, .. } = record;
        match self {
            Writer::Csv(csv) => {
                // `none` says that there is no limit; an empty cell would leave the limit as it is.
                let limit = max_per_customer.map_or_else(|| "none".to_owned(), |most| most.to_string());
                let row = [sku, &on_hand.to_string(), &safety_stock.to_string(), &limit];
                csv.write_record(row).map_err(cause)
            }
            Writer::Ndjson(to) => {
                let (on_hand, safety_stock, max_per_customer) = (*on_hand, *safety_stock, *max_per_customer);
                serde_json::to_writer(&mut *to, &Row { sku, on_hand, safety_stock, max_per_customer })?;
                to.write_all(b"\n")
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Writer::Csv(csv) => csv.flush(),
            Writer::Ndjson(to) => to.flush(),
        }
    }
}

/// The system's own error, of which the kind tells whether anybody reads: the csv crate's conversion hides it.
fn cause(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(cause) => cause,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn style() -> ProgressStyle {
    let template = "{spinner} {pos} SKUs  {per_sec}  {elapsed}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
