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
    /// Dial other nodes at these addresses, such as `2=127.0.0.1:7002,3=127.0.0.1:7003`: a test's proxies.
    #[arg(long, hide = true, env = "LASTUNIT_RAFT_VIA", value_delimiter = ',', value_parser = parse_via)]
    raft_via: Vec<(u64, String)>,
}

/// `2=127.0.0.1:7002`.
fn parse_via(text: &str) -> Result<(u64, String), String> {
    let parts = text.split_once('=').and_then(|(id, address)| Some((id.parse().ok()?, address.to_owned())));
    parts.ok_or_else(|| "not an id and an address, such as 2=127.0.0.1:7002".to_owned())
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
            via: self.raft_via.iter().cloned().collect(),
        }
    }
}
