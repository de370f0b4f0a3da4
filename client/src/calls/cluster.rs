//! The cluster: who leads, who serves, what the API is.

use serde_json::Value;

use crate::api::ClusterView;
use crate::builder::Client;
use crate::call::{Call, nothing};
use crate::message::Message;

impl Client {
    /// The cluster, as the node that answers sees it.
    pub fn cluster(&self) -> Call<ClusterView> {
        self.get("/api/cluster".to_owned())
    }

    /// Whether a node serves: it knows a leader, has caught up, and reads through it work. Tried once.
    pub fn ready(&self) -> Call<()> {
        self.probe("/readyz")
    }

    /// Whether a node lives. Tried once.
    pub fn live(&self) -> Call<()> {
        self.probe("/livez")
    }

    /// The API's own description: an OpenAPI 3.1 document.
    pub fn openapi(&self) -> Call<Value> {
        self.get("/openapi.json".to_owned())
    }

    fn probe(&self, path: &str) -> Call<()> {
        Call::new(self, Ok(Message::read(path.to_owned())), nothing).tries_max(1)
    }
}
