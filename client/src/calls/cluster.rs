//! The cluster: who leads, who serves, whether all agree, what the API is.

use std::time::Duration;

use serde_json::Value;

use crate::api::{AuditView, ClusterView};
use crate::builder::Client;
use crate::call::{Call, nothing, text};
use crate::message::Message;

/// More than an audit takes.
const AUDIT: Duration = Duration::from_secs(75);

impl Client {
    /// The cluster, as the node that answers sees it.
    pub fn cluster(&self) -> Call<ClusterView> {
        self.get("/api/cluster".to_owned())
    }

    /// Every node's digest at one log entry, and every sum recomputed from each node's records. It may take long: the
    /// deadline of the call and of each try grow by 75 s, which is more than the nodes take.
    pub fn audit(&self) -> Call<AuditView> {
        self.get("/api/audit".to_owned()).longer_by(AUDIT)
    }

    /// Whether a node serves: it knows a leader, has caught up, and reads through it work. Tried once.
    pub fn ready(&self) -> Call<()> {
        self.probe("/readyz")
    }

    /// Whether a node lives. Tried once.
    pub fn live(&self) -> Call<()> {
        self.probe("/livez")
    }

    /// What a node counts, in Prometheus' text format. Tried once.
    pub fn metrics(&self) -> Call<String> {
        Call::new(self, Ok(Message::read("/metrics".to_owned())), text).tries_max(1)
    }

    /// The API's own description: an OpenAPI 3.1 document.
    pub fn openapi(&self) -> Call<Value> {
        self.get("/openapi.json".to_owned())
    }

    fn probe(&self, path: &str) -> Call<()> {
        Call::new(self, Ok(Message::read(path.to_owned())), nothing).tries_max(1)
    }
}
