//! One try of one call: a request out, a reply in, over pooled connections.
//!
//! What matters here is one line: whether the request can have left this machine. Only a connection that was not
//! made says that it cannot. Any other error, a time-out included, may have come after the node read the call.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Request, Response, Uri, body::Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::timeout;

use crate::answer::{Reply, Tried};
use crate::message::Message;
use crate::nodes::{Nodes, Route};
use crate::once::Missing;
use crate::retry::Exchange;

/// The longest answer that is read: a batch of 32 MiB whose every operation is refused with all that is short.
pub(crate) const BODY_BYTES_MAX: usize = 128 << 20;

/// How long an idle connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// The connections to all nodes.
#[derive(Debug)]
pub(crate) struct Transport {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    pub(crate) nodes: Nodes,
    /// What every request shows of who asks.
    authorization: Option<HeaderValue>,
}

/// No head of an answer came.
#[derive(Debug)]
pub(crate) struct Unopened {
    /// Whether the request can have left this machine.
    pub(crate) sent: bool,
    pub(crate) why: String,
}

impl Unopened {
    fn unbuilt(cause: &hyper::http::Error) -> Unopened {
        Unopened { sent: false, why: format!("the request cannot be built: {cause}") }
    }

    /// The same, of a request that is not tried again.
    pub(crate) fn missing(self) -> Missing {
        match self.sent {
            true => Missing::Lost(self.why),
            false => Missing::NotSent(self.why),
        }
    }
}

impl From<Unopened> for Tried {
    fn from(unopened: Unopened) -> Tried {
        match unopened.sent {
            true => lost(unopened.why),
            false => Tried::NotReached(unopened.why),
        }
    }
}

/// A call under way.
pub(crate) struct Sending<'a> {
    pub(crate) transport: &'a Transport,
    pub(crate) message: &'a Message,
    pub(crate) route: Route,
    pub(crate) last: Option<usize>,
}

impl Transport {
    /// No connection yet; each is made when it is needed.
    pub(crate) fn new(
        nodes: Nodes,
        connect_time_max: Duration,
        authorization: Option<HeaderValue>,
        tls: ClientConfig,
    ) -> Transport {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_time_max));
        // It is asked for https addresses, too, and what it makes of them is TLS's from there on.
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = connector.enable_http1().wrap_connector(tcp);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build(connector);
        Transport { pool, nodes, authorization }
    }

    async fn send(&self, node: usize, message: &Message) -> Tried {
        match self.open_message(node, message).await {
            Ok(response) => receive(response).await,
            Err(unopened) => unopened.into(),
        }
    }

    /// As [`Transport::open`].
    pub(crate) async fn open_message(
        &self,
        node: usize,
        message: &Message,
    ) -> Result<Response<Incoming>, Unopened> {
        match message.request() {
            Ok(request) => self.open(node, request).await,
            Err(cause) => Err(Unopened::unbuilt(&cause)),
        }
    }

    /// The head of the answer to a request whose URI is a path; its body is still to be read.
    pub(crate) async fn open(
        &self,
        node: usize,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Unopened> {
        let uri = at(self.nodes.address(node), request.uri());
        *request.uri_mut() = uri.map_err(|cause| Unopened::unbuilt(&cause))?;
        match self.pool.request(self.authorized(request)).await {
            Ok(response) => Ok(response),
            Err(cause) => Err(Unopened { sent: !cause.is_connect(), why: self.tell(node, &cause) }),
        }
    }

    fn authorized<B>(&self, mut request: Request<B>) -> Request<B> {
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        request
    }

    /// The error with its causes, which hyper's own text leaves out.
    fn tell(&self, node: usize, error: &dyn std::error::Error) -> String {
        let causes = std::iter::successors(Some(error), |cause| cause.source());
        let causes: Vec<_> = causes.map(ToString::to_string).collect();
        format!("{}: {}", self.nodes.address(node), causes.join(": "))
    }
}

impl Exchange for Sending<'_> {
    async fn once(&mut self, time_max: Duration) -> Tried {
        let node = self.transport.nodes.pick(self.route, self.last);
        self.last = Some(node);
        let tried = timeout(time_max, self.transport.send(node, self.message)).await;
        let tried = tried.unwrap_or_else(|_| {
            lost(format!("{}: no answer within {time_max:?}", self.transport.nodes.address(node)))
        });
        self.transport.nodes.note(node, !tried.is_of_its_node());
        tried
    }

    fn key(&self) -> Option<&str> {
        self.message.key()
    }

    fn writes(&self) -> bool {
        self.message.writes()
    }

    fn nodes(&self) -> usize {
        self.transport.nodes.reach(self.route)
    }
}

/// The path at that node.
fn at(address: &Uri, path: &Uri) -> Result<Uri, hyper::http::Error> {
    let mut uri = Uri::builder().scheme(address.scheme_str().unwrap_or("http"));
    if let Some(authority) = address.authority() {
        uri = uri.authority(authority.clone());
    }
    uri.path_and_query(path.path_and_query().map_or("/", |path| path.as_str())).build()
}

/// The reply, read whole.
pub(crate) async fn receive(response: Response<Incoming>) -> Tried {
    let (head, body) = response.into_parts();
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Reply::new(head.status.as_u16(), &head.headers, body.to_bytes()).read(),
        Err(cause) => {
            lost(format!("status {}, and then the answer broke off: {cause}", head.status.as_u16()))
        }
    }
}

/// A try that may have been executed.
pub(crate) fn lost(why: String) -> Tried {
    Tried::Unanswered { why, retry_after_seconds: None }
}
