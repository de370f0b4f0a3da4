//! `lastunit backup`: the whole state of a running cluster in one file.
//!
//! ```text
//!   refuse a FILE that is there -> any node: GET /api/cluster/backup -> a temporary name beside FILE
//!        ^ the next node where one breaks off                             fsync, read back whole, every sum recomputed
//!                                                                         rename to FILE, fsync of the directory
//! ```
//!
//! A file of the name that was asked for is a whole backup, whatever crashes.

mod fetch;
mod report;
mod verify;

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use super::failure::{EXIT_NOT_EXECUTED, Failure};
use super::reach::Reach;
use super::{Stop, bar, out};
use report::Report;
pub(super) use report::{time, unusable};

/// What the help says at its end.
pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 there is a whole backup; 1 refused, or what came is damaged; 2 wrong usage, or a file that cannot be
read; 3 there is none: no node, no quorum or no room, or interrupted. No file is left but a whole one.";

/// Take a backup of the running cluster: its whole state at one log entry, verified, in one file.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The file to write; it must not be there yet. It has customers' names and payment tokens in it.
    #[arg(long, value_name = "FILE", env = "LASTUNIT_TO", required = true)]
    to: Option<PathBuf>,
    #[command(flatten)]
    pub(super) reach: Reach,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(after_help = verify::EXIT_CODES)]
    Verify(verify::Args),
}

impl Args {
    /// Whether a failure is told in JSON, too.
    pub(super) fn json(&self) -> bool {
        match &self.command {
            Some(Command::Verify(_)) => false,
            None => self.reach.json,
        }
    }
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    match (&args.command, &args.to) {
        (Some(Command::Verify(args)), _) => verify::run(args).await,
        (None, Some(to)) => take(args, to).await,
        (None, None) => Err(Failure::usage("name the file to write: --to FILE")),
    }
}

async fn take(args: &Args, to: &Path) -> Result<(), Failure> {
    refuse_what_is_there(to)?;
    let (client, mut stop) =
        (args.reach.client()?, Stop::new().map_err(Failure::system("cannot listen for signals"))?);
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let part = tempfile::Builder::new().prefix(".lastunit-backup-").suffix(".part").tempfile_in(directory);
    let part = part.map_err(|cause| Failure::usage(format!("cannot write {}: {cause}", to.display())))?;
    let report = tokio::select! {
        report = fetch_and_verify(args, &client, &part) => report?,
        () = stop.asked() => return Err(Failure::interrupted()),
    };
    keep(part, to, directory)?;
    report.of_file(to).tell(args.reach.json)
}

/// The file is synced and read back before it gets its name: what is in memory alone proves nothing.
async fn fetch_and_verify(
    args: &Args,
    client: &client::Client,
    part: &NamedTempFile,
) -> Result<Report, Failure> {
    let progress =
        ProgressBar::new_spinner().with_style(bar::line()).with_message("waiting for a node's backup");
    let _clear = bar::Clear(&progress);
    progress.enable_steady_tick(std::time::Duration::from_millis(200));
    fetch::fetch(client, args.reach.deadline(), part.as_file(), &progress).await?;
    let failed = Failure::system("cannot write the backup");
    part.as_file().sync_all().map_err(failed)?;
    let (path, progress) = (part.path().to_owned(), progress.clone());
    let verified = spawn_blocking(move || report::verify(&path, &progress)).await;
    verified
        .unwrap_or_else(|cause| Err(Failure::new(EXIT_NOT_EXECUTED, format!("cannot verify it: {cause}"))))
}

fn refuse_what_is_there(to: &Path) -> Result<(), Failure> {
    match to.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(Failure::usage(format!(
            "{} is there already: name another file, or move it away",
            to.display()
        ))),
        Err(cause) => Err(Failure::usage(format!("cannot look at {}: {cause}", to.display()))),
    }
}

/// Gives the file its name, durable at return.
fn keep(part: NamedTempFile, to: &Path, directory: &Path) -> Result<(), Failure> {
    let failed = |cause: std::io::Error| {
        Failure::new(
            EXIT_NOT_EXECUTED,
            format!("cannot write {}: {cause}", out::plain(&to.to_string_lossy())),
        )
    };
    part.persist_noclobber(to).map_err(|refused| failed(refused.error))?;
    std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}
