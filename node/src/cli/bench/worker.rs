//! One connection's task: call after call, as the schedule says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::buyer::Buyer;
use super::connection::Connection;
use super::ledger::Ledger;
use super::outcome::Outcome;
use super::request::Request;
use super::schedule::Schedule;
use super::tally::Tally;

/// How long a connection waits that could not send a call.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// One connection's task.
#[derive(Debug)]
pub(super) struct Worker {
    buyer: Buyer,
    connection: Connection,
    host: String,
    request: Request,
    tally: Arc<Mutex<Tally>>,
    ledger: Arc<Ledger>,
}

/// What became of a call, as far as the task is concerned.
enum Called {
    /// It was answered then.
    Answered(Instant),
    /// It was sent, and got no answer that makes sense.
    Lost,
    /// It was not sent.
    NotSent,
}

impl Worker {
    /// A worker who calls what the buyer wants over that connection.
    pub(super) fn new(
        buyer: Buyer,
        connection: Connection,
        host: String,
        tally: Arc<Mutex<Tally>>,
        ledger: Arc<Ledger>,
    ) -> Worker {
        let request = Request::showing(buyer.plan().credential.authorization());
        Worker { buyer, connection, host, request, tally, ledger }
    }

    /// Calls until the schedule ends. Answers when the last answer came, if any did.
    pub(super) async fn run(mut self, schedule: Arc<Schedule>) -> Option<Instant> {
        let mut last_answer = None;
        while let Some(since) = schedule.next().await {
            match self.call(since).await {
                Called::Answered(when) => last_answer = Some(when),
                Called::Lost => {}
                Called::NotSent => sleep(ERROR_PAUSE).await,
            }
        }
        last_answer
    }

    async fn call(&mut self, since: Instant) -> Called {
        let call = self.buyer.next();
        self.buyer.render(&call, &self.host, &mut self.request);
        let called = self.connection.call(self.request.bytes()).await;
        let now = Instant::now();
        let outcome = Outcome::of(called, call.status_done());
        let mut tally = lock(&self.tally);
        tally.add_call(call.kind(), &outcome, now.saturating_duration_since(since));
        self.buyer.settle(call, &outcome, &mut tally, &self.ledger);
        match outcome {
            Outcome::Done(_) | Outcome::Refused(_) => Called::Answered(now),
            Outcome::Unknown(_) | Outcome::Nonsense(_) => Called::Lost,
            Outcome::NotSent(_) => Called::NotSent,
        }
    }
}

/// A poisoned tally is one whose worker panicked between two calls: what it counted still counts.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
