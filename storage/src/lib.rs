//! One node's state: the inventory, the Raft log, the checkpoint and the snapshots.
//!
//! Nothing here knows the network, HTTP or openraft. The modules, and what may import what:
//!
//! ```text
//!   snapshot --> checkpoint --> inventory      inventory: pure, imports std and serde
//!       \            |
//!        \-----------+--> disk, error, position <--- log
//!        \-----------+--> pace
//!                         disk, error <--- small <--- identity, peers
//! ```
//!
//! * [`inventory`] is the state machine: `apply(stamp, request) -> Applied`.
//! * [`log`] keeps Raft's entries and vote on disk, with group commit.
//! * [`checkpoint`] is the local image of the inventory in sled, rebuilt whenever in doubt.
//! * [`snapshot`] is the image at one index, as a file that peers receive.
//! * [`identity`] says whose directory this is; [`peers`] what is known of the other nodes' directories.
//! * [`mod@planted`] are mistakes made on purpose, for tests of the tests; no release has any.
//! * [`pace`] is how fast saves and snapshots are made.
//! * [`histogram`] is what metrics tell of times.
//! * [`disk`] is the one seam to the file system; [`error`] the one kind of failure: a fatal one.

// clippy.toml bans clocks and hash order for the state machine, which denies them for itself.
#![allow(clippy::disallowed_types)]

pub mod checkpoint;
pub mod disk;
pub mod error;
pub mod histogram;
pub mod identity;
pub mod inventory;
pub mod log;
pub mod pace;
pub mod peers;
pub mod planted;
pub mod position;
mod small;
pub mod snapshot;

pub use error::{LEAVE_STOPPED, StorageError};
pub use position::Position;
