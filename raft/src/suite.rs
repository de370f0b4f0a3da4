//! openraft's own tests of a log store and a state machine, on ours; and a group of one for tests of this crate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use storage::disk::RealDisk;
use tempfile::TempDir;

use crate::fatal::Fatal;
use crate::keeper::Keeper;
use crate::log_store::LogStore;
use crate::open::{self, Store};
use crate::promises::Promises;
use crate::replica::Replica;
use crate::space::Space;
use crate::state_machine::{Saving, StateMachine};
use crate::types::TypeConfig;
use crate::{Group, GroupOptions, Member, Tuning, WallClock};

struct Builder;

fn options(directory: &TempDir) -> GroupOptions {
    let member = |id| Member {
        id,
        http: format!("127.0.0.1:{}", 8100 + id),
        raft: format!("127.0.0.1:{}", 9100 + id),
    };
    GroupOptions {
        cluster_name: "suite".into(),
        node_id: 1,
        members: (1..=3).map(member).collect(),
        data_dir: directory.path().join("data"),
        retention: Duration::from_secs(60),
        idempotency_retention: Duration::from_secs(60),
        max_hold: Duration::from_secs(60),
        events_retention: Duration::from_secs(3_600),
        events_max: 100_000,
        limits: crate::HoldLimits::NONE,
        rates: crate::RateLimits::default(),
        tuning: Tuning::default(),
    }
}

struct Wall;

impl WallClock for Wall {
    fn now_ms(&self) -> u64 {
        1_790_000_000_000
    }
}

/// A member of a group whose other members never come, so that nobody leads.
pub(crate) async fn alone(directory: &TempDir) -> Group {
    let mut options = options(directory);
    options.members[0].raft = "127.0.0.1:0".into();
    Group::start(options, Arc::new(Wall)).await.expect("a new directory and a free port")
}

/// A state machine over a new directory, which saves then; and where its checkpoint is.
pub(crate) fn machine(directory: &TempDir, saving: Saving) -> (StateMachine, PathBuf) {
    let (_, machine) = stores(directory, saving);
    (machine, options(directory).data_dir.join("checkpoint"))
}

fn stores(directory: &TempDir, saving: Saving) -> (LogStore, StateMachine) {
    let store: Store = open::open(Arc::new(RealDisk), &options(directory)).expect("a new directory opens");
    let space = Space::new(Arc::new(RealDisk), options(directory).data_dir);
    let keeper =
        Keeper::start(store.checkpoint, store.snapshots, space, Fatal::new()).expect("a thread starts");
    let replica = Replica::new(store.applied, store.snapshot).into();
    let promises = Promises::new(store.log.clone()).into();
    (LogStore::new(store.log, promises), StateMachine::new(replica, keeper, saving))
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let (log, machine) = stores(&directory, Saving::NEVER);
        Ok((directory, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_suite_passes_on_this_store() {
    Suite::test_all(Builder).await.expect("openraft's suite");
}
