//! One request to one node, sent once, and whatever comes back, read whole.
//!
//! For whoever must see each try by itself and each body as it was, such as `lastunit prove`: nothing is tried again,
//! and no answer is held against what a node would say.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use tokio::time::timeout;

use crate::builder::Client;
use crate::transport::BODY_BYTES_MAX;

/// Why there is no answer, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// No connection was made, so nothing was sent.
    NotSent(String),
    /// It was sent, at least in part.
    Lost(String),
}

impl Client {
    /// Sends a request once to the node at that place in the addresses. Its URI is a path, with a query where it has
    /// one; the client adds where the node is and the token that it shows, and nothing else.
    ///
    /// # Errors
    /// [`Missing`], also where no whole answer is there by the end of that time.
    pub async fn send_once(
        &self,
        node: usize,
        request: Request<Full<Bytes>>,
        time_max: Duration,
    ) -> Result<Response<Bytes>, Missing> {
        let late = |_| Err(Missing::Lost(format!("no answer within {} ms", time_max.as_millis())));
        timeout(time_max, self.exchange(node, request)).await.unwrap_or_else(late)
    }

    async fn exchange(&self, node: usize, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Missing> {
        let opened = self.transport.open(node, request).await;
        let (head, body) = opened.map_err(|unopened| unopened.missing())?.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|cause| Missing::Lost(format!("the answer broke off: {cause}")))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}
