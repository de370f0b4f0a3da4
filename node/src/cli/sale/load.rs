//! The buyers: so many at a time, spread over all nodes, each with one cart.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::api::{Reservation, ReservationState};
use client::{Client, Error};
use indicatif::ProgressBar;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use super::shop::Shop;
use super::tally::{Fate, Served, Step, Tally};
use crate::cli::bar::{self, Clear};

/// How many ask again at a time.
const ASKING_AGAIN_MAX: usize = 64;

/// For how long all of them together ask again.
const ASK_AGAIN_TIME_MAX: Duration = Duration::from_secs(60);

/// How long one of them waits before it asks once more.
const ASK_AGAIN_PAUSE: Duration = Duration::from_millis(100);

/// How often the progress bar moves.
const BAR_EVERY: Duration = Duration::from_millis(100);

/// The rush of all buyers. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Load {
    client: Client,
    shop: Shop,
    buyers: u32,
    next: Arc<AtomicU32>,
    tally: Arc<Mutex<Tally>>,
    over: watch::Sender<bool>,
}

impl Load {
    /// Nobody has come yet.
    pub(super) fn new(client: Client, shop: Shop, buyers: u32) -> Load {
        let tally = Arc::new(Mutex::new(Tally::new()));
        Load { client, shop, buyers, next: Arc::default(), tally, over: watch::Sender::new(false) }
    }

    /// Serves every buyer once, so many at a time. Answers how long it took.
    ///
    /// Where call after call fails with all its retries, the cluster is gone: then the other buyers are sent home.
    pub(super) async fn run(&self, connections: u32) -> Duration {
        let started = Instant::now();
        let mut workers = JoinSet::new();
        for worker in 0..connections.min(self.buyers) {
            workers.spawn(self.clone().work(worker, 2 * connections));
        }
        tokio::select! {
            _ = workers.join_all() => (),
            never = self.show_progress() => never,
        }
        let elapsed = started.elapsed();
        self.over.send_replace(true);
        elapsed
    }

    /// Resolves when every buyer was served.
    pub(super) async fn over(&self) {
        // An error says that the sender is gone, and it is `self`'s.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// The client of the buyers.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The sale's names and rules.
    pub(super) fn shop(&self) -> &Shop {
        &self.shop
    }

    /// Asks again for whoever got no answer, until there is one or patience ends.
    pub(super) async fn ask_again(&self) {
        let open = std::mem::take(&mut self.tally().open);
        let workers_max = open.len().min(ASKING_AGAIN_MAX);
        let open = Arc::new(Mutex::new(open));
        let deadline = Instant::now() + ASK_AGAIN_TIME_MAX;
        let mut workers = JoinSet::new();
        for worker in 0..workers_max {
            workers.spawn(self.clone().work_again(worker, Arc::clone(&open), deadline));
        }
        workers.join_all().await;
    }

    /// What became of all buyers.
    pub(super) fn into_tally(self) -> Tally {
        self.tally().clone()
    }

    async fn work(self, worker: u32, failures_max: u32) {
        let client = self.client.prefer(worker as usize);
        while let Some(buyer) = self.next_buyer() {
            let fate = self.buy(&client, buyer, Step::Reserve, Round::First).await;
            let mut tally = self.tally();
            tally.add(buyer, fate);
            if tally.failed_calls > u64::from(failures_max) {
                return;
            }
        }
    }

    fn next_buyer(&self) -> Option<u32> {
        let buyer = self.next.fetch_add(1, Ordering::Relaxed);
        (buyer < self.buyers).then_some(buyer)
    }

    async fn work_again(self, worker: usize, open: Arc<Mutex<Vec<(u32, Step)>>>, deadline: Instant) {
        let client = self.client.prefer(worker);
        loop {
            let Some((buyer, step)) = lock(&open).pop() else {
                return;
            };
            let fate = self.insist(&client, buyer, step, deadline).await;
            self.tally().add(buyer, fate);
        }
    }

    async fn insist(&self, client: &Client, buyer: u32, mut step: Step, deadline: Instant) -> Fate {
        while Instant::now() < deadline {
            match self.buy(client, buyer, step, Round::Again).await {
                Fate::Open(still) => step = still,
                fate => return fate,
            }
            sleep(ASK_AGAIN_PAUSE).await;
        }
        Fate::Open(step)
    }

    /// From that step to the end.
    async fn buy(&self, client: &Client, buyer: u32, step: Step, round: Round) -> Fate {
        match step {
            Step::Reserve => match self.reserve(client, buyer, round).await {
                Ok(reservation) => self.go_on(client, buyer, reservation, round).await,
                Err(fate) => fate,
            },
            Step::Commit { reservation_id } => self.commit(client, buyer, reservation_id, round).await,
            Step::Leave { reservation_id } => self.leave(client, reservation_id).await,
        }
    }

    /// From a reservation to the end, or into the line.
    pub(super) async fn go_on(
        &self,
        client: &Client,
        buyer: u32,
        reservation: Reservation,
        round: Round,
    ) -> Fate {
        let Reservation { reservation_id, state, fencing_token, .. } = reservation;
        let Some(fencing_token) = fencing_token.filter(|_| state != ReservationState::Waiting) else {
            return Fate::Waiting { reservation_id };
        };
        self.tally().served.push(Served { reservation_id: reservation_id.clone(), fencing_token });
        match self.shop.rules().abandons(buyer) {
            true => Fate::Abandoned,
            false => self.commit(client, buyer, reservation_id, round).await,
        }
    }

    /// Gives a place in the line up. Whoever was served in that very moment goes home without paying.
    pub(super) async fn leave(&self, client: &Client, reservation_id: String) -> Fate {
        match client.release(reservation_id.as_str()).await {
            Ok(answer) if answer.value.fencing_token.is_none() => Fate::LeftLine { reservation_id },
            Ok(_) => Fate::Abandoned,
            Err(error) => fate(&mut self.tally(), &error, Fate::Forfeited, Step::Leave { reservation_id }),
        }
    }

    async fn reserve(&self, client: &Client, buyer: u32, round: Round) -> Result<Reservation, Fate> {
        let started = Instant::now();
        let call = client.reserve(&self.shop.reserve(buyer)).key(self.shop.reserve_key(buyer));
        let answer = call.await;
        let mut tally = self.tally();
        if round == Round::First {
            tally.latencies.record(started.elapsed());
        }
        round.count(&mut tally, answer.as_ref().map_or_else(Error::tries, |answer| answer.tries));
        match answer {
            Ok(answer) => Ok(answer.value),
            Err(error) => Err(fate(&mut tally, &error, Fate::Lost, Step::Reserve)),
        }
    }

    async fn commit(&self, client: &Client, buyer: u32, reservation_id: String, round: Round) -> Fate {
        let call = client.commit(&self.shop.commit(buyer, &reservation_id)).key(self.shop.commit_key(buyer));
        let answer = call.await;
        let mut tally = self.tally();
        round.count(&mut tally, answer.as_ref().map_or_else(Error::tries, |answer| answer.tries));
        match answer {
            Ok(_) => Fate::Won { reservation_id },
            Err(error) => fate(&mut tally, &error, Fate::Forfeited, Step::Commit { reservation_id }),
        }
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    async fn show_progress(&self) {
        let bar = ProgressBar::new(u64::from(self.buyers)).with_style(bar::style("buyers"));
        let mut ticks = interval(BAR_EVERY);
        // The bar goes when its future is dropped, with the last worker.
        let _clear = Clear(&bar);
        loop {
            ticks.tick().await;
            bar.set_position(u64::from(self.next.load(Ordering::Relaxed).min(self.buyers)));
        }
    }
}

/// Whether a buyer calls for the first time or asks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// The first time.
    First,
    /// Not the first time.
    Again,
}

impl Round {
    fn count(self, tally: &mut Tally, tries: client::Tries) {
        if self == Round::First {
            tally.add_tries(tries);
        }
    }
}

/// What an error makes of a buyer: only a refusal of all that was sent is definite.
fn fate(tally: &mut Tally, error: &Error, refused: fn(String) -> Fate, step: Step) -> Fate {
    match error {
        Error::Refused(refusal) if refusal.tries.unanswered == 0 => refused(refusal.problem.code.to_string()),
        // A lost try went before it: the buyer asks again, so that even one that is still under way is settled.
        Error::Refused(_) => Fate::Open(step),
        other => {
            tally.note(other);
            Fate::Open(step)
        }
    }
}

/// A poisoned tally is one whose worker panicked between two buyers: what it counted still counts.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use client::{NotExecuted, Refusal, Tries, Unknown};

    use super::*;

    fn refused(unanswered: u32) -> Error {
        let problem = r#"{"type":"about:blank","title":"t","status":409,"detail":"d","code":"held_by_others",
            "retryable":true,"executed":"no"}"#;
        Error::Refused(Box::new(Refusal {
            problem: serde_json::from_str(problem).unwrap(),
            sequence: None,
            retry_after_seconds: None,
            tries: Tries { made: 1 + unanswered, unanswered },
        }))
    }

    #[test]
    fn only_a_refusal_of_all_that_was_sent_is_definite() {
        let (why, tries) = ("x".to_owned(), Tries { made: 1, unanswered: 1 });
        let idempotency_key = Some("k".to_owned());
        let unknown = Error::Unknown(Box::new(Unknown { idempotency_key, why: why.clone(), tries }));
        let not_executed = Error::NotExecuted(Box::new(NotExecuted { why, problem: None, tries }));
        let open = Fate::Open(Step::Reserve);
        let table = [
            (refused(0), Fate::Lost("held_by_others".to_owned())),
            (refused(1), open.clone()),
            (unknown, open.clone()),
            (not_executed, open),
        ];
        for (error, expected) in table {
            assert_eq!(fate(&mut Tally::new(), &error, Fate::Lost, Step::Reserve), expected, "{error}");
        }
    }
}
