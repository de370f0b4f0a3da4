//! `lastunit sku import`: many SKUs from a file, each line a call of its own.
//!
//! ```text
//!   file -- reader thread: lines --> by SKU --> workers, so many calls at a time --> report --> exit code
//!                one line at a time     |  one SKU is always one worker's, so its lines are done in their order
//!                                       |  queues are short: a slow cluster slows the reading
//! ```
//!
//! A line is set (PUT: the figures are what stands there, as after a count) or, with `--adjust`, added (what came or
//! went, as of a delivery). Each line has an idempotency key made of the import's id and its number, so an import
//! that broke off can be run again under its id: what is done is not done twice.
//!
//! Lines are single calls and no batch, because a batch has no put; and they need none, because the cluster makes one
//! log entry of all calls that wait.

mod line;
mod read;
mod report;
mod work;

use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};

use self::read::{Input, Queue};
use self::report::Report;
use self::work::Work;
use super::format::{Format, format};
use crate::cli::Stop;
use crate::cli::failure::Failure;
use crate::cli::reach::Reach;
use crate::cli::words::Shortfall;

/// Lines that wait for one worker.
const QUEUE: usize = 4;

/// What the help says at its end.
pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 all lines are done; 1 some were rejected; 2 wrong usage, or the file cannot be read on;
3 some were not executed, or it was interrupted; 4 the outcome of some is unknown. After 3 and 4, run it
again with the same --import-id.";

/// Set the figures of many SKUs from a file; with --adjust, add to them.
///
/// A CSV file begins with the names of its columns, in any order:
///
///   sku,on_hand,safety_stock,max_per_customer    to set; the last two may be left out
///   sku,delta,reason,reference                   with --adjust; likewise
///
/// An NDJSON file has an object with these names on each line. What is left out, or an empty cell, stays as it is in
/// the cluster; a max_per_customer of `none` (null in NDJSON) takes the limit away. SKUs that the file does not name
/// are left alone.
///
/// Every line is a call of its own. A line that is rejected is told, with its number and the reason, and the others
/// are done. Lines of one SKU are done in their order.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The file; `-` is stdin.
    file: PathBuf,
    /// How it is written; what the file's name says unless given, and CSV on stdin.
    #[arg(long, value_enum, value_name = "FORMAT", env = "LASTUNIT_FORMAT")]
    format: Option<Format>,
    /// What separates the columns of a CSV file.
    #[arg(long, value_name = "CHARACTER", default_value = ",", env = "LASTUNIT_DELIMITER", value_parser = delimiter)]
    delimiter: u8,
    /// Add each line's `delta` to on_hand, instead of setting on_hand.
    #[arg(long, env = "LASTUNIT_ADJUST", value_parser = crate::cli::flag())]
    adjust: bool,
    /// What to do where on_hand would fall below what is held; `refuse` unless given.
    #[arg(long, value_enum, value_name = "WHAT", env = "LASTUNIT_ON_SHORTFALL")]
    on_shortfall: Option<Shortfall>,
    /// Change nothing: check every line, compare it with the cluster, and tell what would be done.
    #[arg(long, env = "LASTUNIT_DRY_RUN", value_parser = crate::cli::flag())]
    dry_run: bool,
    /// Names this import: run again under the same name within 24 h, it does only what was not done. Random unless
    /// given.
    #[arg(long, value_name = "ID", env = "LASTUNIT_IMPORT_ID", value_parser = import_id)]
    import_id: Option<String>,
    /// Calls at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 32, env = "LASTUNIT_CONCURRENCY", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    concurrency: u32,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let format = format(args.format, &args.file)?;
    let client = args.reach.client()?;
    let input =
        Input::open(&args.file, format, args.delimiter, args.adjust, args.on_shortfall.map(Into::into))?;
    let import_id = args.import_id.clone().unwrap_or_else(|| format!("{:016x}", rand::random::<u64>()));
    let mut stop = Stop::new().map_err(Failure::system("cannot listen for signals"))?;

    let bar = bar(input.bytes());
    let (ending, ended) = watch::channel(false);
    let (results, mut done) = mpsc::channel(1024);
    let (mut workers, mut queues) = (JoinSet::new(), Vec::new());
    for _ in 0..args.concurrency {
        let (queue, lines) = mpsc::channel(QUEUE);
        queues.push(queue);
        let work = Work::new(client.clone(), import_id.clone(), args.dry_run);
        workers.spawn(work.run(lines, results.clone(), ended.clone()));
    }
    // Only the workers report: when the last of them ends, so does the report.
    drop(results);
    let reader = spawn_blocking({
        let (queue, bar) = (Queue::new(queues), bar.clone());
        move || input.read(&queue, &bar)
    });

    let mut report = Report::new(args.reach.json, args.dry_run, 2 * u64::from(args.concurrency), import_id);
    let mut interrupted = false;
    loop {
        tokio::select! {
            result = done.recv() => match result {
                Some(result) => report.tell(result, &bar),
                None => break,
            },
            // Calls under way are waited for, unless it is asked twice.
            () = stop.asked() => match interrupted {
                false => interrupted = true,
                true => return Err(report.abandoned()),
            },
        }
        if interrupted || report.is_hopeless() {
            ending.send_replace(true);
        }
    }
    bar.finish_and_clear();
    // A reader that waits for stdin may wait for ever, and who stopped does not need what it has to say.
    let read = match *ending.borrow() {
        true => Ok(()),
        false => reader.await.unwrap_or_else(|cause| Err(Failure::usage(format!("cannot read on: {cause}")))),
    };
    report.end(interrupted, read)
}

/// How far it is: in bytes where the file has a length, else in lines.
fn bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:40} {bytes}/{total_bytes}  {elapsed}  {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {elapsed}  {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// One ASCII character, or `tab`.
fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err("write one character, such as ; or the word tab".to_owned()),
    }
}

/// A part of an idempotency key.
fn import_id(text: &str) -> Result<String, String> {
    match (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("write 1 to 200 visible ASCII characters".to_owned()),
    }
}
