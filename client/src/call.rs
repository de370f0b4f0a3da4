//! A call that is ready to be made.

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::HeaderValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{Answer, Reply};
use crate::error::{Error, Invalid, Tries};
use crate::nodes::Route;
use crate::retry::{self, Policy};
use crate::transport::{Message, Sending, Transport};

/// How a body becomes a value.
type Decode<T> = fn(&[u8]) -> Result<T, serde_json::Error>;

/// A call that is made when it is awaited. Before that, its key and its patience can be set.
///
/// ```no_run
/// # use std::time::Duration;
/// # use client::api::ReserveRequest;
/// # async fn example(client: client::Client) -> Result<(), client::Error> {
/// let cart = ReserveRequest::one("cart-1", "PS5", 1);
/// let hold = client.reserve(&cart).key("cart-1/try-1").deadline(Duration::from_secs(3)).await?;
/// println!("{} at {:?}", hold.value.reservation_id, hold.sequence);
/// # Ok(())
/// # }
/// ```
#[must_use = "a call is made when it is awaited"]
pub struct Call<T> {
    transport: Arc<Transport>,
    route: Route,
    policy: Policy,
    message: Result<Message, Error>,
    decode: Decode<T>,
}

impl<T> Call<T> {
    /// Carries this key in all tries, instead of a random one. A read has none, and ignores it.
    pub fn key(mut self, key: impl Into<String>) -> Call<T> {
        self.message = self.message.and_then(|message| message.keyed(key.into()));
        self
    }

    /// The call with all its tries takes no longer.
    pub fn deadline(mut self, deadline: Duration) -> Call<T> {
        self.policy.deadline = deadline;
        self
    }

    /// Tries at most so often; at least once.
    pub fn tries_max(mut self, tries_max: u32) -> Call<T> {
        self.policy.tries_max = tries_max;
        self
    }

    /// Also retries a refusal that says `retryable`, such as `held_by_others`, as its `Retry-After` says.
    pub fn retry_refusals(mut self, retry: bool) -> Call<T> {
        self.policy.retry_refusals = retry;
        self
    }

    pub(crate) fn new(
        transport: Arc<Transport>,
        route: Route,
        policy: Policy,
        message: Result<Message, Error>,
        decode: Decode<T>,
    ) -> Call<T> {
        Call { transport, route, policy, message, decode }
    }

    async fn run(self) -> Result<Answer<T>, Error> {
        let message = self.message?;
        let mut sending =
            Sending { transport: &self.transport, message: &message, route: self.route, last: None };
        let (reply, tries) = retry::run(&mut sending, &self.policy).await?;
        match (self.decode)(&reply.body) {
            Ok(value) => Ok(answer(value, &reply, tries)),
            Err(cause) => Err(unreadable(&cause, &reply, tries, message.key)),
        }
    }
}

impl<T: Send + 'static> IntoFuture for Call<T> {
    type Output = Result<Answer<T>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Message {
    /// A read.
    pub(crate) fn read(path: String) -> Result<Message, Error> {
        Ok(Message { method: Method::GET, path, body: Bytes::new(), key: None })
    }

    /// A write under a random key.
    pub(crate) fn write(method: Method, path: String, body: &impl Serialize) -> Result<Message, Error> {
        let body = serde_json::to_vec(body).map_err(|cause| Error::Usage(format!("not JSON: {cause}")))?;
        let key = Some(header(format!("{:032x}", rand::random::<u128>()))?);
        Ok(Message { method, path, body: Bytes::from(body), key })
    }

    fn keyed(mut self, key: String) -> Result<Message, Error> {
        if self.key.is_some() {
            self.key = Some(header(key)?);
        }
        Ok(self)
    }
}

/// The value of a JSON body.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body)
}

/// Nothing, whatever the body is.
pub(crate) fn nothing(_body: &[u8]) -> Result<(), serde_json::Error> {
    Ok(())
}

fn header(key: String) -> Result<(String, HeaderValue), Error> {
    let fits = (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    match HeaderValue::from_str(&key) {
        Ok(value) if fits => Ok((key, value)),
        _ => {
            Err(Error::Usage(format!("an idempotency key is 1 to 255 visible ASCII characters, not {key:?}")))
        }
    }
}

fn answer<T>(value: T, reply: &Reply, tries: Tries) -> Answer<T> {
    Answer { value, status: reply.status, sequence: reply.sequence, replayed: reply.replayed, tries }
}

fn unreadable(
    cause: &serde_json::Error,
    reply: &Reply,
    tries: Tries,
    key: Option<(String, HeaderValue)>,
) -> Error {
    let why = format!("{cause}, in: {}", retry::excerpt(&reply.body));
    let idempotency_key = key.map(|(key, _)| key);
    Error::Invalid(Box::new(Invalid { status: reply.status, why, idempotency_key, tries }))
}
