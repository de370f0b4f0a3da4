//! One node's state. So far: the inventory, a state machine that knows no clock, no disk and no network.

// clippy.toml bans clocks and hash order for the state machine, which denies them for itself.
#![allow(clippy::disallowed_types)]

pub mod inventory;
