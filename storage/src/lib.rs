//! One node's state: the inventory, and the Raft log on disk.

// clippy.toml bans clocks and hash order for the state machine, which denies them for itself.
#![allow(clippy::disallowed_types)]

pub mod disk;
pub mod error;
pub mod inventory;
pub mod log;
pub mod position;

pub use error::{LEAVE_STOPPED, StorageError};
pub use position::Position;
