//! openraft glue: one Raft group that agrees on every command of one inventory.
//!
//! No business rules and no HTTP here; openraft's types stay inside.
//!
//! ```text
//!   Group::submit --> propose ---> openraft ---> log_store ------> storage::log
//!                        |            |  \-----> transport ------> peers
//!                        v            v
//!                     gate, read   state_machine --> storage::inventory
//!                                       \----------> keeper --> storage::{checkpoint, snapshot}
//! ```
//!
//! * [`Group`] is the whole of it for the node crate.
//! * `propose` makes one entry of all commands that wait, which are in `waiting`, as `pack` puts them into it; `rates`
//!   refuses before what comes too fast; `gate` answers those that are surely refused; `read` has one confirmation for
//!   all reads that wait. `deposed` tells both of them that the leader they have asked is none any more.
//! * `clock` is the cluster clock, `pulse` the tick that makes it felt.
//! * `form` forms the cluster once; `open` puts a directory's parts together; `promises` is what of it is for good.
//! * `level` raises the feature level once every member supports it.
//! * `digests` compares the replicas while they run; `audit` recomputes all that they hold, when asked.
//! * `backup` is a copy of the running cluster's state; `restore` puts one into the directories of a new cluster.
//! * [`inspect`] looks at the directory of a node that is stopped.
//! * `simulated` is what a simulation puts in the place of threads, chance and network, `runtime` and
//!   `watch` tokio with that chance, `look` what it sees of a group.
//! * `keeper` is the thread that writes images, with `rests`; `replica` the applied state that readers share; `unsaved`
//!   what changed in it on its way to the keeper; `turn` keeps the nodes from saving at the same moment.
//! * `compaction` cuts the log short. `space` is what the file system still takes; `aside` what a leader does when it
//!   is too little for its log, with `hand_over`.
//!
//! * `membership` changes who belongs to the cluster, and who leads it, while it runs.
//!
//! Absent on purpose: retries of what may have been executed, leases on clocks.

mod answer;
mod aside;
mod audit;
mod backup;
mod clock;
mod codec;
mod compaction;
mod deposed;
mod digests;
mod fatal;
mod form;
#[cfg(test)]
mod fuzz_tests;
mod gate;
#[cfg(test)]
mod golden;
mod group;
mod hand_over;
pub mod inspect;
mod keeper;
mod leadership;
mod level;
mod log_store;
#[doc(hidden)]
pub mod look;
mod membership;
mod open;
mod options;
mod pack;
mod promises;
mod propose;
mod pulse;
mod rates;
mod read;
mod replica;
mod restore;
mod rests;
#[cfg(test)]
mod rot;
mod runtime;
#[doc(hidden)]
pub mod simulated;
mod space;
mod stall;
mod state_machine;
mod status;
#[cfg(test)]
mod suite;
mod transport;
mod turn;
mod types;
mod unsaved;
mod waiting;
mod watch;

pub use answer::{Answer, Limit, ProposeError, Read, ReadError};
pub use audit::{Audit, AuditError, ImageAudit, NodeAudit, Verdict};
pub use backup::{Backup, BackupError};
pub use fatal::{Stop, StopKind};
pub use group::Group;
pub use membership::{
    Change, ChangeError, Changed, ENTRIES_BEHIND_MAX, MEMBERS_MAX, Refusal, RefusalKind, VOTERS_MAX,
    VOTERS_MIN,
};
pub use options::{GroupOptions, Member, StartError, Tuning, WallClock};
pub use propose::UNIT_COMMANDS_MAX;
pub use rates::{Buckets, Rate, RateLimits};
pub use restore::{NewCluster, Restore, TOKENS_LEFT_OUT, check_empty};
pub use space::{has_room, has_room_on};
pub use status::{MemberStatus, Role, Stats, Status};
pub use storage::inventory::command::HoldLimits;
pub use transport::about::{Build, OWN_VERSION};
pub use transport::tls::{PeerKeys, PeerTls, Unfit, node_name};
