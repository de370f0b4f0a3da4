//! What the handlers need of the replicated store: a boundary as narrow as what they ask.
//!
//! [`raft::Group`] is the store. The handlers' own tests put answers of their choice in its place.

use std::future::Future;

use raft::{Answer, Group, ProposeError, Read, ReadError, Stats, Status};
use storage::inventory::command::Request;
use storage::inventory::ids::{ReservationId, Sku};
use storage::inventory::outcome::{ReservationView, StockView};

/// How fresh a read is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Consistency {
    /// It reflects every command that was answered before it was asked.
    #[default]
    Linearizable,
    /// This node's own applied state, however old.
    Stale,
}

/// The replicated store, as the handlers see it.
pub(crate) trait Store: Send + Sync + 'static {
    /// Gets a command applied, through the leader, wherever it is.
    fn submit(&self, request: Request) -> impl Future<Output = Result<Answer, ProposeError>> + Send;
    /// A SKU's figures.
    fn stock(
        &self,
        sku: Sku,
        consistency: Consistency,
    ) -> impl Future<Output = Result<Read<Option<StockView>>, ReadError>> + Send;
    /// A reservation.
    fn reservation(
        &self,
        id: ReservationId,
        consistency: Consistency,
    ) -> impl Future<Output = Result<Read<Option<ReservationView>>, ReadError>> + Send;
    /// This node's view of the cluster.
    fn status(&self) -> Status;
    /// Counters and gauges.
    fn stats(&self) -> Stats;
    /// Whether this node can serve; the error says what is missing.
    fn ready(&self) -> impl Future<Output = Result<(), String>> + Send;
}

impl Store for Group {
    async fn submit(&self, request: Request) -> Result<Answer, ProposeError> {
        Group::submit(self, request).await
    }

    async fn stock(&self, sku: Sku, consistency: Consistency) -> Result<Read<Option<StockView>>, ReadError> {
        match consistency {
            Consistency::Linearizable => self.read(move |inventory| inventory.stock(&sku)).await,
            Consistency::Stale => Ok(self.read_stale(|inventory| inventory.stock(&sku))),
        }
    }

    async fn reservation(
        &self,
        id: ReservationId,
        consistency: Consistency,
    ) -> Result<Read<Option<ReservationView>>, ReadError> {
        match consistency {
            Consistency::Linearizable => self.read(move |inventory| inventory.reservation(id)).await,
            Consistency::Stale => Ok(self.read_stale(|inventory| inventory.reservation(id))),
        }
    }

    fn status(&self) -> Status {
        Group::status(self)
    }

    fn stats(&self) -> Stats {
        Group::stats(self)
    }

    async fn ready(&self) -> Result<(), String> {
        Group::ready(self).await
    }
}
