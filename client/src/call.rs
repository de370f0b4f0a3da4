//! A call that is ready to be made.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use hyper::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::answer::{Answer, Reply};
use crate::api::{InventoryRecord, Reservation, ReservationState};
use crate::builder::Client;
use crate::error::{Error, Tries};
use crate::message::Message;
use crate::retry;
use crate::transport::Sending;

/// How a reply becomes a value, or why it does not.
type Decode<T> = Box<dyn FnOnce(&Reply, Tries) -> Result<T, String> + Send>;

/// A call that is made when it is awaited. Before that, its key, its patience and its conditions can be set.
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
    client: Client,
    message: Result<Message, Error>,
    decode: Decode<T>,
    takes_preconditions: bool,
    from_oldest: bool,
}

impl<T> Call<T> {
    /// Carries this key in all tries, instead of a random one. Reads and batches have none, and ignore it.
    pub fn key(mut self, key: impl Into<String>) -> Call<T> {
        self.message = self.message.and_then(|message| message.keyed(key.into()));
        self
    }

    /// The call with all its tries takes no longer.
    pub fn deadline(mut self, deadline: Duration) -> Call<T> {
        self.client.policy.deadline = deadline;
        self
    }

    /// Tries at most so often; at least once.
    pub fn tries_max(mut self, tries_max: u32) -> Call<T> {
        self.client.policy.tries_max = tries_max;
        self
    }

    /// Also retries a refusal that says `retryable`, such as `held_by_others`, as its `Retry-After` says.
    pub fn retry_refusals(mut self, retry: bool) -> Call<T> {
        self.client.policy.retry_refusals = retry;
        self
    }

    /// A read of the state that the asked node has applied, which may be behind. [`Answer::applied_index`] says how
    /// far it was. It costs no round between the nodes, and works without a quorum.
    pub fn stale(self) -> Call<T> {
        self.changed(
            "stale",
            |message| !message.writes(),
            |message| Ok(message.with_query("consistency", "stale")),
        )
    }

    /// Only where the SKU's record has this version: `If-Match: "7"`. Else `precondition_failed`.
    ///
    /// Of a put, an adjust and a delete. It makes "read, decide, write" safe against whoever writes in between.
    ///
    /// ```no_run
    /// # async fn example(client: client::Client) -> Result<(), client::Error> {
    /// use client::api::AdjustRequest;
    ///
    /// let counted = client.sku("PS5").await?.value;
    /// let request = AdjustRequest { delta: -1, reason: Some("damaged".to_owned()), ..Default::default() };
    /// client.adjust("PS5", &request).if_version(counted.version).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn if_version(self, version: u64) -> Call<T> {
        self.precondition("if_version", IF_MATCH, &format!("\"{version}\""))
    }

    /// Only where the SKU is there: `If-Match: *`. Else `precondition_failed`. Of a put, an adjust and a delete.
    pub fn if_present(self) -> Call<T> {
        self.precondition("if_present", IF_MATCH, "*")
    }

    /// Only where the SKU is not there: `If-None-Match: *`. Else `precondition_failed`. Of a put.
    pub fn if_absent(self) -> Call<T> {
        self.precondition("if_absent", IF_NONE_MATCH, "*")
    }

    /// A call by that client; `decode` makes a value of its answer.
    pub(crate) fn new(
        client: &Client,
        message: Result<Message, Error>,
        decode: impl FnOnce(&Reply, Tries) -> Result<T, String> + Send + 'static,
    ) -> Call<T> {
        let client = client.clone();
        Call { client, message, decode: Box::new(decode), takes_preconditions: false, from_oldest: false }
    }

    /// The same call, which may depend on the version of the record that it changes.
    pub(crate) fn conditional(mut self) -> Call<T> {
        self.takes_preconditions = true;
        self
    }

    /// The same call, which asks again from the oldest event on that is kept where it is told of one.
    pub(crate) fn or_from_oldest(mut self) -> Call<T> {
        self.from_oldest = true;
        self
    }

    /// The same call, which may take so much longer.
    pub(crate) fn longer_by(mut self, time: Duration) -> Call<T> {
        self.client.policy.deadline += time;
        self.client.policy.try_time_max += time;
        self
    }

    fn precondition(self, name: &str, header: HeaderName, value: &str) -> Call<T> {
        let takes = self.takes_preconditions;
        self.changed(name, |_| takes, |message| message.with_header(header, value))
    }

    /// Changes the message where it is one that the setting is for.
    fn changed(
        mut self,
        setting: &str,
        fits: impl FnOnce(&Message) -> bool,
        change: impl FnOnce(Message) -> Result<Message, Error>,
    ) -> Call<T> {
        self.message = self.message.and_then(|message| match fits(&message) {
            true => change(message),
            false => Err(Error::Usage(format!("{setting} has no meaning for this call"))),
        });
        self
    }

    async fn run(self) -> Result<Answer<T>, Error> {
        let message = self.message?;
        let (reply, tries) = exchange(&self.client, &message, self.from_oldest).await?;
        match (self.decode)(&reply, tries) {
            Ok(value) => Ok(Answer::new(value, &reply, tries)),
            Err(cause) => {
                let why = format!("{cause}, in: {}", retry::excerpt(&reply.body));
                let call = retry::Call { key: message.key(), writes: message.writes() };
                Err(retry::invalid(reply.status, why, tries, &call))
            }
        }
    }
}

/// Sends the message until it is answered or refused. With `from_oldest` a feed's page is asked for again, from the
/// oldest event on that is kept, as long as the deadline lets it: that one may be gone by then, too.
async fn exchange(client: &Client, message: &Message, from_oldest: bool) -> Result<(Reply, Tries), Error> {
    let Client { transport, route, policy } = client;
    let deadline = Instant::now() + policy.deadline;
    let (mut asked, mut policy) = (message.clone(), policy.clone());
    loop {
        let mut sending = Sending { transport, message: &asked, route: *route, last: None };
        let ended = retry::run(&mut sending, &policy).await;
        policy.deadline = deadline.saturating_duration_since(Instant::now());
        match &ended {
            Err(Error::Refused(refusal)) if from_oldest && !policy.deadline.is_zero() => {
                let Some(oldest) = refusal.resume_after() else { return ended };
                asked = message.clone().with_query("after", oldest);
            }
            _ => return ended,
        }
    }
}

impl Call<InventoryRecord> {
    /// Answers `None` where the record still has this version: `If-None-Match: "7"`, and 304. Of a read of a SKU.
    ///
    /// ```no_run
    /// # async fn example(client: client::Client, cached: client::api::InventoryRecord) -> Result<(), client::Error> {
    /// match client.sku("PS5").if_changed_since(cached.version).await?.value {
    ///     Some(record) => println!("now {} are available", record.available),
    ///     None => println!("still {}", cached.available),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn if_changed_since(self, version: u64) -> Call<Option<InventoryRecord>> {
        let etag = format!("\"{version}\"");
        let change = |message: Message| message.with_header(IF_NONE_MATCH, &etag);
        let call = self.changed("if_changed_since", |message| !message.writes(), change);
        Call::new(&call.client, call.message, |reply, tries| match reply.status {
            304 => Ok(None),
            _ => json(reply, tries).map(Some),
        })
    }
}

impl Call<Reservation> {
    /// Answers at the next change of the reservation's state, or as it is after so many seconds, 1 to 60. Of a read
    /// of a reservation.
    ///
    /// The deadline of the call and of each try grow by as much. A try that gets lost begins its wait anew, and a
    /// change in between is not missed for ever: the next try answers with the state as it is then at its end. To miss
    /// none, say what is known: [`Call::wait_while`].
    ///
    /// ```no_run
    /// # async fn example(client: client::Client, id: &str) -> Result<(), client::Error> {
    /// use client::api::ReservationState;
    ///
    /// let mut place = client.reservation(id).await?.value;
    /// while place.state == ReservationState::Waiting {
    ///     println!("place {:?} in the line", place.position);
    ///     place = client.reservation(id).wait_seconds(30).wait_while(ReservationState::Waiting).await?.value;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_seconds(self, seconds: u64) -> Call<Reservation> {
        let change = |message: Message| Ok(message.with_query("wait_seconds", seconds));
        let call = self.changed("wait_seconds", |message| !message.writes(), change);
        // More than the nodes take is theirs to refuse, at once.
        call.longer_by(Duration::from_secs(seconds.min(60)))
    }

    /// With [`Call::wait_seconds`]: answers at once where the reservation is in any other state than this, which the
    /// caller saw last. So a change between that look and this call is not missed.
    pub fn wait_while(self, state: ReservationState) -> Call<Reservation> {
        let change = |message: Message| Ok(message.with_query("while", state.as_str()));
        self.changed("wait_while", |message| !message.writes(), change)
    }
}

impl<T: Send + 'static> IntoFuture for Call<T> {
    type Output = Result<Answer<T>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// The value of a JSON body.
pub(crate) fn json<T: DeserializeOwned>(reply: &Reply, _tries: Tries) -> Result<T, String> {
    serde_json::from_slice(&reply.body).map_err(|cause| cause.to_string())
}

/// Nothing, whatever the body is.
pub(crate) fn nothing(_reply: &Reply, _tries: Tries) -> Result<(), String> {
    Ok(())
}

/// The body as it is.
pub(crate) fn text(reply: &Reply, _tries: Tries) -> Result<String, String> {
    String::from_utf8(reply.body.to_vec()).map_err(|_| "the answer is no text".to_owned())
}
