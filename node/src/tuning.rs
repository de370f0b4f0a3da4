//! Hidden flags of `lastunit serve` for what no operator needs to set, so that tests with real processes can: a log
//! that begins a new segment, and builds a snapshot, every few moments.

use std::time::Duration;

use clap::builder::BoolishValueParser;
use raft::Tuning;

/// What is set otherwise than by default.
#[derive(Debug, clap::Args)]
pub(crate) struct TuningArgs {
    /// How long a segment of the log is, in bytes.
    #[arg(long, hide = true, env = "LASTUNIT_SEGMENT_BYTES", value_parser = clap::value_parser!(u64).range(4096..))]
    segment_bytes: Option<u64>,
    /// After how many entries a snapshot is built.
    #[arg(long, hide = true, env = "LASTUNIT_SNAPSHOT_ENTRIES", value_parser = clap::value_parser!(u64).range(1..))]
    snapshot_entries: Option<u64>,
    /// After how many bytes of log a snapshot is built.
    #[arg(long, hide = true, env = "LASTUNIT_SNAPSHOT_BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    snapshot_bytes: Option<u64>,
    /// How often the digests of all nodes are compared, in milliseconds.
    #[arg(long, hide = true, env = "LASTUNIT_DIGESTS_EVERY_MS", value_parser = clap::value_parser!(u64).range(1..))]
    digests_every_ms: Option<u64>,
    /// Save no checkpoint while the node runs: to measure what checkpoints cost.
    #[arg(long, hide = true, env = "LASTUNIT_NO_CHECKPOINTS", value_parser = BoolishValueParser::new())]
    no_checkpoints: bool,
}

impl TuningArgs {
    /// The default with what is set.
    pub(crate) fn tuning(&self) -> Tuning {
        let usual = Tuning::default();
        Tuning {
            segment_bytes: self.segment_bytes.unwrap_or(usual.segment_bytes),
            snapshot_entries: self.snapshot_entries.unwrap_or(usual.snapshot_entries),
            snapshot_bytes: self.snapshot_bytes.unwrap_or(usual.snapshot_bytes),
            digests_every: self.digests_every_ms.map_or(usual.digests_every, Duration::from_millis),
            save_records: if self.no_checkpoints { usize::MAX } else { usual.save_records },
            save_every: if self.no_checkpoints { Duration::MAX } else { usual.save_every },
        }
    }
}
