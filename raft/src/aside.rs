//! A leader whose log is short of space steps aside.
//!
//! ```text
//!   the log is short, this node leads --> is there a peer that is not?  yes --> hand leadership over
//!                                                 | no
//!                                                 v
//!                                          refuse clients' commands; ticks, votes, purges and reads go on
//! ```
//!
//! While it is being handed over, commands go on into what was made ahead: their clients notice nothing. Only what is
//! kept for ticks and votes is never given to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use storage::log::Log;

use crate::hand_over::hand_over;
use crate::transport::message::{Call, Reply};
use crate::transport::{Callers, Local};
use crate::types::Raft;

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long between two tries to step aside. Each may cost an election.
const TRY_EVERY: Duration = Duration::from_secs(5);

/// How long a peer's answer is waited for.
const DEADLINE: Duration = Duration::from_millis(300);

/// The last bytes of a short log are for what the group itself needs: a tick takes a few hundred, and comes at most
/// twenty times a second.
const KEPT_BYTES: u64 = 16 << 20;

/// Whether the log has room for clients' commands. A cheap handle.
#[derive(Clone)]
pub(crate) struct Room {
    log: Log,
    /// Nobody else can lead in this node's place.
    alone: Arc<AtomicBool>,
}

impl Room {
    pub(crate) fn new(log: Log) -> Room {
        Room { log, alone: Arc::default() }
    }

    /// Whether a spare segment is missing for want of space.
    pub(crate) fn is_short(&self) -> bool {
        self.log.room().is_short
    }

    /// Whether clients' commands are to be refused.
    pub(crate) fn is_refused(&self) -> bool {
        let room = self.log.room();
        room.is_short && (self.alone.load(Ordering::Relaxed) || room.bytes < KEPT_BYTES)
    }
}

/// Looks after it for ever.
pub(crate) async fn run(local: Arc<Local>, raft: Raft, room: Room) {
    let callers = Callers::new(local.clone());
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if !room.is_short() || raft.as_leader().is_err() {
            room.alone.store(false, Ordering::Relaxed);
            continue;
        }
        let heirs = heirs(&local, &callers).await;
        room.alone.store(heirs.is_empty(), Ordering::Relaxed);
        if !heirs.is_empty() {
            hand_over(&local, &raft, &heirs).await;
        }
        wait_for_room(&room).await;
    }
}

/// Waits until the log is no longer short, or it is time for another try.
async fn wait_for_room(room: &Room) {
    let longer = async {
        while room.is_short() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    // Either end will do.
    let _ = tokio::time::timeout(TRY_EVERY, longer).await;
}

/// The voters that are there and have room.
async fn heirs(local: &Local, callers: &Callers) -> Vec<u64> {
    let voters = local.roster.voters();
    let heirs = callers.all().into_iter().filter(|(id, _)| voters.contains(id) && local.is_reachable(*id));
    let asked = heirs.map(|(id, caller)| async move {
        let answer = caller.call(&Call::HasRoom, DEADLINE).await;
        matches!(answer, Ok(Reply::HasRoom(true))).then_some(id)
    });
    join_all(asked).await.into_iter().flatten().collect()
}
