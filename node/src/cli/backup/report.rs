//! What a backup is of, once it was read whole.

use std::path::Path;

use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::Serialize;
use storage::StorageError;
use storage::disk::RealDisk;
use storage::snapshot::{BackupFile, BackupHead, CheckedBackup};

use crate::cli::failure::{EXIT_REFUSED, EXIT_USAGE, Failure};
use crate::cli::{bar, out};

/// What a whole backup is of. Ids and digests are hexadecimal text, as everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Report {
    file: String,
    bytes: u64,
    cluster: String,
    cluster_id: String,
    node_id: u64,
    term: u64,
    applied_index: u64,
    sequence: u64,
    time: String,
    state_digest: String,
    skus: u64,
    reservations: u64,
    holds: u64,
    waiting: u64,
    answers: u64,
    customers: u64,
    events: u64,
    on_hand: u64,
    held: u64,
    sold: u64,
}

/// Reads a backup from the first byte to the last. Blocking.
pub(super) fn verify(path: &Path, progress: &ProgressBar) -> Result<Report, Failure> {
    let backup = BackupFile::open(&RealDisk, path).map_err(unusable)?;
    bar::bytes(progress, backup.bytes(), "verified");
    let checked = backup.check(|read| progress.set_position(read)).map_err(unusable)?;
    Ok(Report::of(backup.head(), backup.bytes(), &checked))
}

/// A backup that is not to be used, or cannot be.
pub(in crate::cli) fn unusable(error: StorageError) -> Failure {
    match error {
        StorageError::Corrupt { .. } => Failure::new(EXIT_REFUSED, error.to_string()),
        other => Failure::new(EXIT_USAGE, other.to_string()),
    }
}

impl Report {
    fn of(head: &BackupHead, bytes: u64, CheckedBackup { audited, .. }: &CheckedBackup) -> Report {
        Report {
            file: String::new(),
            bytes,
            cluster: head.cluster_name.clone(),
            cluster_id: format!("{:032x}", head.cluster_id),
            node_id: head.node_id,
            term: head.applied.term,
            applied_index: head.applied.index,
            sequence: head.sequence,
            time: time(head.now_ms),
            state_digest: format!("{:016x}", head.digest),
            skus: audited.skus,
            reservations: audited.reservations,
            holds: audited.holds,
            waiting: audited.waiting,
            answers: audited.answers,
            customers: audited.customers,
            events: audited.events,
            on_hand: audited.on_hand,
            held: audited.held,
            sold: audited.sold,
        }
    }

    /// The same, of the file that it is called.
    pub(super) fn of_file(self, file: &Path) -> Report {
        Report { file: file.display().to_string(), ..self }
    }

    /// Tells it, as JSON or as text.
    pub(super) fn tell(&self, json: bool) -> Result<(), Failure> {
        match json {
            true => out::line(self),
            false => out::text(&self.text()),
        }
    }

    fn text(&self) -> String {
        let number = |number: u64| Some(number.to_string());
        out::fields(&[
            ("file", Some(self.file.clone())),
            ("bytes", number(self.bytes)),
            ("cluster", Some(self.cluster.clone())),
            ("cluster_id", Some(self.cluster_id.clone())),
            ("node_id", number(self.node_id)),
            ("term", number(self.term)),
            ("applied_index", number(self.applied_index)),
            ("sequence", number(self.sequence)),
            ("time", Some(self.time.clone())),
            ("state_digest", Some(self.state_digest.clone())),
            ("skus", number(self.skus)),
            ("reservations", number(self.reservations)),
            ("holds", number(self.holds)),
            ("waiting", number(self.waiting)),
            ("answers", number(self.answers)),
            ("customers", number(self.customers)),
            ("events", number(self.events)),
            ("on_hand", number(self.on_hand)),
            ("held", number(self.held)),
            ("sold", number(self.sold)),
        ])
    }
}

/// A moment in the form of the API.
pub(in crate::cli) fn time(ms: u64) -> String {
    let moment = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", moment.unwrap_or(Timestamp::MAX))
}
