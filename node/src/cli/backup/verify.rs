//! `lastunit backup verify`: whether a file is a whole backup, and of what.

use std::path::PathBuf;

use indicatif::ProgressBar;
use tokio::task::spawn_blocking;

use super::report;
use crate::cli::failure::{EXIT_NOT_EXECUTED, Failure};
use crate::cli::{bar, flag};

/// What the help says at its end.
pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 whole; 1 damaged, or no backup; 2 it cannot be read, or another version wrote it.";

/// Read a backup from the first byte to the last, recompute every sum, and show what it is of.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backup.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Answer in JSON: one document.
    #[arg(long, env = "LASTUNIT_JSON", value_parser = flag())]
    json: bool,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let path = args.file.clone();
    let verified = spawn_blocking(move || {
        let progress = ProgressBar::new_spinner();
        let _clear = bar::Clear(&progress);
        report::verify(&path, &progress)
    });
    let report = verified.await;
    let lost = |cause| Failure::new(EXIT_NOT_EXECUTED, format!("cannot verify it: {cause}"));
    report.map_err(lost)??.of_file(&args.file).tell(args.json)
}
