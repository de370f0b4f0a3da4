//! A client and how it is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;

use crate::error::Error;
use crate::nodes::{Nodes, Route};
use crate::retry::Policy;
use crate::tls;
use crate::transport::Transport;

/// A client of one cluster. A cheap handle: clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) transport: Arc<Transport>,
    pub(crate) route: Route,
    pub(crate) policy: Policy,
}

impl Client {
    /// A client of the nodes at these addresses (`http://host:port`, `https://host:port`), with the usual patience.
    ///
    /// # Errors
    /// [`Error::Usage`] where an address is not one, or none is given.
    pub fn new<A: AsRef<str>>(addresses: impl IntoIterator<Item = A>) -> Result<Client, Error> {
        Client::builder().build(addresses)
    }

    /// A client with another patience than the usual.
    pub fn builder() -> Builder {
        Builder { policy: Policy::default(), connect_time_max: Duration::from_secs(1), token: None, ca: None }
    }

    /// How many nodes it knows.
    pub fn nodes(&self) -> usize {
        self.transport.nodes.len()
    }

    /// The same client, whose calls go to the node at that place in the addresses, and to no other.
    pub fn only(&self, node: usize) -> Client {
        Client { route: Route::Only(node), ..self.clone() }
    }

    /// The same client, whose calls go to the node at that place in the addresses first.
    pub fn prefer(&self, node: usize) -> Client {
        Client { route: Route::Prefer(node), ..self.clone() }
    }
}

/// Makes a [`Client`].
///
/// ```no_run
/// # use std::time::Duration;
/// # fn example() -> Result<(), client::Error> {
/// let client = client::Client::builder().deadline(Duration::from_secs(5)).tries_max(5).build(["127.0.0.1:8101"])?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    policy: Policy,
    connect_time_max: Duration,
    token: Option<Token>,
    ca: Option<Vec<u8>>,
}

/// The token that is shown; not printed by accident.
#[derive(Clone)]
struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

impl Builder {
    /// Every call shows this token, which `lastunit token new` has made.
    pub fn token(mut self, token: &str) -> Builder {
        self.token = Some(Token(token.to_owned()));
        self
    }

    /// Nodes at `https://` addresses are trusted by these authorities alone (PEM, such as the cluster's `ca.pem`); by
    /// those that this machine trusts unless set.
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Builder {
        self.ca = Some(pem.into());
        self
    }

    /// A call with all its tries takes no longer; 15 s unless set.
    pub fn deadline(mut self, deadline: Duration) -> Builder {
        self.policy.deadline = deadline;
        self
    }

    /// One try takes no longer; 7 s unless set, which is longer than a node takes to say that it cannot tell.
    pub fn try_time_max(mut self, try_time_max: Duration) -> Builder {
        self.policy.try_time_max = try_time_max;
        self
    }

    /// To connect takes no longer; 1 s unless set.
    pub fn connect_time_max(mut self, connect_time_max: Duration) -> Builder {
        self.connect_time_max = connect_time_max;
        self
    }

    /// A call is tried at most so often; 12 times unless set, and at least once.
    pub fn tries_max(mut self, tries_max: u32) -> Builder {
        self.policy.tries_max = tries_max;
        self
    }

    /// Back-off starts with a wait drawn from 0 to `base` and doubles up to `max`; 50 ms and 2 s unless set.
    pub fn backoff(mut self, base: Duration, max: Duration) -> Builder {
        self.policy.backoff_base = base;
        self.policy.backoff_max = max;
        self
    }

    /// The client of the nodes at these addresses (`http://host:port`, `https://host:port`).
    ///
    /// # Errors
    /// [`Error::Usage`] where an address is not one, none is given, the token cannot stand in a header, or the
    /// authorities are of no use.
    pub fn build<A: AsRef<str>>(self, addresses: impl IntoIterator<Item = A>) -> Result<Client, Error> {
        let authorization = self.token.map(|Token(token)| authorization(&token)).transpose()?;
        let nodes = Nodes::new(addresses)?;
        let tls = tls::config(self.ca.as_deref(), nodes.speak_tls())?;
        let transport = Transport::new(nodes, self.connect_time_max, authorization, tls);
        let transport = Arc::new(transport);
        Ok(Client { transport, route: Route::Any, policy: self.policy })
    }
}

/// The header that shows a token; whoever prints the header does not print it.
fn authorization(token: &str) -> Result<HeaderValue, Error> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value =
        value.map_err(|_| Error::Usage("the token has characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
