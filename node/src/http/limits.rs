//! What this server takes at most. Every bound of the HTTP side stands here by name.

use std::time::Duration;

/// The longest request body, in bytes; a batch's is [`BATCH_BYTES_MAX`].
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How long a body may take to arrive.
pub(crate) const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// The longest body of a batch, in bytes.
pub(crate) const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long the body of a batch may take to arrive.
pub(crate) const BATCH_TIME_MAX: Duration = Duration::from_secs(30);

/// How much room there is for what bodies have above [`BODY_BYTES_MAX`], in units of that many bytes. A batch takes
/// of it until its answer is sent, since what is made of a body is about as large; without room it is refused at once.
pub(crate) const BIG_BODIES_ROOM: usize = 128;

/// The most operations of a batch.
pub(crate) const OPERATIONS_MAX: usize = 10_000;

/// The longest head of a request, in bytes; also how much of a connection's input and output is kept in memory.
pub(crate) const HEAD_BYTES_MAX: usize = 128 * 1024;

/// How long the rest of a body is waited for in the fast lane before the library gets the connection, whose own time
/// for bodies begins then.
pub(crate) const LANE_PATIENCE: Duration = Duration::from_millis(250);

/// How much of a request the fast lane reads before the library gets the connection, in bytes.
pub(crate) const LANE_BYTES_MAX: usize = 16 * 1024;

/// The most headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;

/// How long a connection that was refused with unread input is still read from, so that the refusal arrives: a socket
/// that is closed with unread input is reset.
pub(crate) const LINGER_TIME_MAX: Duration = Duration::from_secs(5);

/// How much of it is read and dropped at most: twice the longest body.
pub(crate) const LINGER_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;

/// The longest body whose connection goes on although nobody read it, in bytes: it mostly came with its head.
pub(crate) const UNREAD_BYTES_MAX: u64 = 16 * 1024;

/// How long a connection may take none of what is sent to it; then it is closed, and what it was to be sent is
/// forgotten.
pub(crate) const WRITE_TIME_MAX: Duration = Duration::from_secs(30);

/// What the system keeps of an answer that its client does not take, in bytes; it takes about twice that of memory.
/// Left to itself it keeps megabytes for each connection, and then has none for those of the other nodes.
pub(crate) const UNTAKEN_BYTES_MAX: usize = 64 * 1024;

/// How many calls may be in flight in this process.
pub(crate) const CALLS_MAX: usize = 8192;

/// How many connections may be open, where the system lets this process open as many files.
pub(crate) const CONNECTIONS_MAX: usize = 16_384;

/// How long a connection may take to shake hands, where it speaks TLS.
pub(crate) const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// How many more may be, for operators' calls alone; what comes beyond them is closed at once.
pub(crate) const CONNECTIONS_CROWDED_MAX: usize = 64;

/// How many files are kept for all else than clients' connections: the log, the checkpoint, the other nodes. Where few
/// files may be open, half of them.
pub(crate) const FILES_KEPT_MAX: usize = 1_024;

/// How long a connection for operators' calls alone may take to send its one head.
pub(crate) const CROWDED_HEAD_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a connection may take to send a request's head, its idle time before it included.
pub(crate) const HEAD_TIME_MAX: Duration = Duration::from_secs(75);

/// How long a command or a read may take. The store gives up well before: this only bounds a store that does not.
pub(crate) const CALL_TIME_MAX: Duration = Duration::from_secs(15);

/// How long an audit may take. The store gives up before: this only bounds a store that does not.
pub(crate) const AUDIT_TIME_MAX: Duration = Duration::from_secs(70);

/// How long a backup may take until it begins to be sent.
pub(crate) const BACKUP_TIME_MAX: Duration = Duration::from_secs(300);

/// How long a change of the membership may take. The store gives up before: this only bounds a store that does not.
pub(crate) const CHANGE_TIME_MAX: Duration = Duration::from_secs(25);

/// How long calls in flight may go on once the process is asked to stop.
pub(crate) const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// The most characters of a cart's and a customer's id.
pub(crate) const NAME_CHARS_MAX: usize = 128;

/// The most characters of a payment token, a reason and a reference.
pub(crate) const TEXT_CHARS_MAX: usize = 255;

/// The most characters of a node's address.
pub(crate) const ADDRESS_CHARS_MAX: usize = 255;

/// The most bytes of an idempotency key.
pub(crate) const KEY_BYTES_MAX: usize = 255;

/// The most items of a cart.
pub(crate) const ITEMS_MAX: usize = 100;

/// The most rows of a page of a list.
pub(crate) const PAGE_ROWS_MAX: u64 = 1000;

/// The rows of a page of a list, unless the call says otherwise.
pub(crate) const PAGE_ROWS_DEFAULT: u64 = 100;

/// About how many items the reservations of a page of a list or of the feed have together: about 1 MiB. The page ends
/// with the reservation that reaches it.
pub(crate) const PAGE_ITEMS_MAX: usize = 10_000;

/// The most units of one SKU in a cart.
pub(crate) const QTY_MAX: u64 = 1_000_000;

/// How long a hold lasts, in seconds, unless the call says otherwise.
pub(crate) const TTL_SECONDS_DEFAULT: u64 = 300;

/// The most characters of a request that a problem repeats.
pub(crate) const ECHO_CHARS_MAX: usize = 300;

/// How many streams of events may be open.
pub(crate) const STREAMS_MAX: usize = 1024;

/// How many long polls may wait.
pub(crate) const POLLS_MAX: usize = 8192;

/// How long a long poll may wait, in seconds.
pub(crate) const WAIT_SECONDS_MAX: u64 = 60;

/// How many events a stream takes from the state at once: what a slow reader costs in memory.
pub(crate) const STREAM_PAGE_EVENTS: usize = 64;

/// How long a stream is silent at most; then there is a sign of life.
pub(crate) const STREAM_SILENCE_MAX: Duration = Duration::from_secs(15);

/// How many events the watcher of the feed takes from the state at once.
pub(crate) const LOOK_EVENTS_MAX: usize = 1024;

/// How long it pauses between two looks.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_millis(5);
