//! What the handlers need of the replicated store: a boundary as narrow as what they ask.
//!
//! [`raft::Group`] is the store. The handlers' own tests put a state of their own in its place.

use std::future::Future;

use raft::{
    Answer, Audit, AuditError, Backup, BackupError, Change, ChangeError, Changed, Group, ProposeError, Read,
    ReadError, Stats, Status,
};
use storage::inventory::Inventory;
use storage::inventory::command::Request;

/// How fresh a read is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Consistency {
    /// It reflects every command that was answered before it was asked.
    #[default]
    Linearizable,
    /// This node's own applied state, however old.
    Stale,
}

/// The replicated store, as the handlers see it. A clone is the same store.
pub(crate) trait Store: Clone + Send + Sync + 'static {
    /// Gets a command of that caller applied, through the leader, wherever it is.
    fn submit(
        &self,
        request: Request,
        caller: Option<&str>,
    ) -> impl Future<Output = Result<Answer, ProposeError>> + Send;
    /// Gets commands applied together and in order: one answer for each.
    fn submit_many(
        &self,
        requests: Vec<Request>,
        caller: Option<&str>,
    ) -> impl Future<Output = Vec<Result<Answer, ProposeError>>> + Send;
    /// What a query finds. It holds up apply: it must be short.
    fn read<T: Send>(
        &self,
        consistency: Consistency,
        query: impl FnOnce(&Inventory) -> T + Send,
    ) -> impl Future<Output = Result<Read<T>, ReadError>> + Send;
    /// What a query finds in this node's own applied state, at once.
    fn read_stale<T>(&self, query: impl FnOnce(&Inventory) -> T) -> Read<T>;
    /// Resolves as soon as this node has applied a command with a greater sequence.
    fn applied_past(&self, sequence: u64) -> impl Future<Output = ()> + Send;
    /// This node's view of the cluster.
    fn status(&self) -> Status;
    /// What every node finds in itself.
    fn audit(&self) -> impl Future<Output = Result<Audit, AuditError>> + Send;
    /// The state at one log entry that reflects every command answered before.
    fn backup(&self) -> impl Future<Output = Result<Backup, BackupError>> + Send;
    /// Changes the members, or who leads, through the leader, wherever it is.
    fn change(&self, change: &Change) -> impl Future<Output = Result<Changed, ChangeError>> + Send;
    /// Counters and gauges.
    fn stats(&self) -> Stats;
    /// Whether this node can serve; the error says what is missing.
    fn ready(&self) -> impl Future<Output = Result<(), String>> + Send;
}

impl Store for Group {
    async fn submit(&self, request: Request, caller: Option<&str>) -> Result<Answer, ProposeError> {
        Group::submit_by(self, request, caller).await
    }

    async fn submit_many(
        &self,
        requests: Vec<Request>,
        caller: Option<&str>,
    ) -> Vec<Result<Answer, ProposeError>> {
        Group::submit_many_by(self, requests, caller).await
    }

    async fn read<T: Send>(
        &self,
        consistency: Consistency,
        query: impl FnOnce(&Inventory) -> T + Send,
    ) -> Result<Read<T>, ReadError> {
        match consistency {
            Consistency::Linearizable => Group::read(self, query).await,
            Consistency::Stale => Ok(Group::read_stale(self, query)),
        }
    }

    fn read_stale<T>(&self, query: impl FnOnce(&Inventory) -> T) -> Read<T> {
        Group::read_stale(self, query)
    }

    async fn applied_past(&self, sequence: u64) {
        Group::applied_past(self, sequence).await;
    }

    fn status(&self) -> Status {
        Group::status(self)
    }

    async fn audit(&self) -> Result<Audit, AuditError> {
        Group::audit(self).await
    }

    async fn backup(&self) -> Result<Backup, BackupError> {
        Group::backup(self).await
    }

    async fn change(&self, change: &Change) -> Result<Changed, ChangeError> {
        Group::change(self, change).await
    }

    fn stats(&self) -> Stats {
        Group::stats(self)
    }

    async fn ready(&self) -> Result<(), String> {
        Group::ready(self).await
    }
}
