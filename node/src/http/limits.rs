//! What this server takes at most. Every bound of the HTTP side stands here by name.

use std::time::Duration;

/// The longest request body, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How long a body may take to arrive.
pub(crate) const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// How many calls may be in flight in this process.
pub(crate) const CALLS_MAX: usize = 8192;

/// How many connections may be open; more wait in the system's backlog.
pub(crate) const CONNECTIONS_MAX: usize = 16_384;

/// How long a connection may take to send a request's head, its idle time before it included.
pub(crate) const HEAD_TIME_MAX: Duration = Duration::from_secs(75);

/// How long a command or a read may take. The store gives up well before: this only bounds a store that does not.
pub(crate) const CALL_TIME_MAX: Duration = Duration::from_secs(15);

/// How long calls in flight may go on once the process is asked to stop.
pub(crate) const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// The most characters of a cart's and a customer's id.
pub(crate) const NAME_CHARS_MAX: usize = 128;

/// The most characters of a payment token, a reason and a reference.
pub(crate) const TEXT_CHARS_MAX: usize = 255;

/// The most bytes of an idempotency key.
pub(crate) const KEY_BYTES_MAX: usize = 255;

/// The most items of a cart.
pub(crate) const ITEMS_MAX: usize = 100;

/// The most units of one SKU in a cart.
pub(crate) const QTY_MAX: u64 = 1_000_000;

/// How long a hold lasts, in seconds, unless the call says otherwise.
pub(crate) const TTL_SECONDS_DEFAULT: u64 = 300;

/// The most characters of a request that a problem repeats.
pub(crate) const ECHO_CHARS_MAX: usize = 300;
