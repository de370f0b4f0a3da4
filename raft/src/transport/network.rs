//! openraft's network traits over the connections of this module: conversion, nothing else.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use openraft::OptionalSend;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use storage::snapshot::Snapshot;

use super::message::{Call, Reply};
use super::{CallError, Caller, Local, appender, snapshots};
use crate::types::{PeerNode, TypeConfig, Vote};

type RpcError = RPCError<TypeConfig>;

/// How long to wait before an unreachable peer is tried again.
const BACKOFF: Duration = Duration::from_millis(100);

/// Makes the ways to the peers.
pub(crate) struct Network {
    local: Arc<Local>,
}

impl Network {
    pub(crate) fn new(local: Arc<Local>) -> Network {
        Network { local }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    /// Snapshots get a `Peer` of their own by openraft's default, and each `Peer` has its connections.
    async fn new_client(&mut self, target: u64, _node: &PeerNode) -> Peer {
        let caller = Caller::new(self.local.clone(), target);
        Peer { to: target, local: self.local.clone(), caller, is_for_heartbeats: false }
    }

    async fn new_heartbeat_client(&mut self, target: u64, _node: &PeerNode) -> Peer {
        let caller = Caller::for_heartbeats(self.local.clone(), target);
        Peer { to: target, local: self.local.clone(), caller, is_for_heartbeats: true }
    }
}

/// The way to one peer, for one purpose.
pub(crate) struct Peer {
    to: u64,
    local: Arc<Local>,
    caller: Caller,
    /// openraft sends a heartbeat as a stream of one request, and each stream of `appender` is a connection. So here
    /// they are calls, over the one that the caller keeps.
    is_for_heartbeats: bool,
}

impl Peer {
    async fn call(&self, call: &Call, deadline: Duration) -> Result<Reply, RpcError> {
        match self.caller.call(call, deadline).await {
            Ok(Reply::Failed(why)) => Err(NetworkError::from_string(why).into()),
            Ok(reply) => Ok(reply),
            Err(e @ CallError::NotSent(_)) => Err(Unreachable::new(&e).into()),
            Err(e @ CallError::Lost(_)) => Err(NetworkError::new(&e).into()),
        }
    }
}

fn unexpected<T>(reply: Reply) -> Result<T, RpcError> {
    Err(NetworkError::from_string(format!("an answer to another call: {reply:?}")).into())
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = Snapshot;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        // openraft waits for one so long, and sends no other meanwhile: there is nothing to be had from less.
        match self.call(&Call::Heartbeat(request), option.hard_ttl()).await? {
            Reply::Heartbeat(response) => Ok(response),
            other => unexpected(other),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        if self.is_for_heartbeats {
            return stream_append_sequential(self, input, option);
        }
        Box::pin(async move {
            let answers: BoxStream<'s, _> =
                appender::stream_append(self.local.clone(), self.to, input).await?;
            Ok(answers)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        match self.call(&Call::Vote(request), option.soft_ttl()).await? {
            Reply::Vote(response) => Ok(response),
            other => unexpected(other),
        }
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        match self.call(&Call::PreVote(request), option.soft_ttl()).await? {
            Reply::Vote(response) => Ok(response),
            other => unexpected(other),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, Snapshot>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        snapshots::send(&self.local, self.to, vote, snapshot, cancel, option).await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        match self.call(&Call::TransferLeader(request), option.soft_ttl()).await? {
            Reply::TransferLeader(response) => Ok(response),
            other => unexpected(other),
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(BACKOFF)))
    }
}
