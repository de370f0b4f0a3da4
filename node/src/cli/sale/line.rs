//! The waiting line: every buyer who found no unit stands in it until there is one, or until all are sold.
//!
//! Each of them asks by a long poll of their own, as the shop's pages would. The last unit's buyer ends it for all:
//! whoever still waits then gives the place in the line up, and goes home.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::api::{Reservation, ReservationState};
use client::{Call, Client};
use indicatif::ProgressBar;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::load::{Load, Round};
use super::tally::Fate;
use crate::cli::bar::{self, Clear};

/// How long one long poll lasts, in seconds.
const POLL_SECONDS: u64 = 20;

/// How long a buyer whose poll failed waits before the next one.
const POLL_PAUSE: Duration = Duration::from_millis(500);

/// How long the line goes on without a sale, beyond the time that one hold lasts, before it is closed.
const STANDSTILL_MAX: Duration = Duration::from_secs(30);

/// How often the line is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The line of one sale. Clones share it.
#[derive(Debug, Clone)]
struct Line {
    load: Load,
    /// Units that are not sold yet.
    left: Arc<AtomicU64>,
    closed: watch::Sender<bool>,
    /// The line closes where nothing was sold for so long.
    standstill_max: Duration,
}

/// Serves the line until all units are sold, or nothing moves any more.
pub(super) async fn serve(load: &Load, stock: u64) {
    let waiting = std::mem::take(&mut load.tally().waiting);
    if waiting.is_empty() {
        return;
    }
    let left = stock.saturating_sub(load.tally().winners.len() as u64);
    let line = Line {
        load: load.clone(),
        left: Arc::new(AtomicU64::new(left)),
        closed: watch::Sender::new(left == 0),
        standstill_max: STANDSTILL_MAX + load.shop().rules().hold(),
    };
    let mut buyers = JoinSet::new();
    for (buyer, reservation_id) in waiting {
        buyers.spawn(line.clone().stand(buyer, reservation_id));
    }
    tokio::select! {
        () = async { while buyers.join_next().await.is_some() {} } => (),
        never = line.watch() => never,
    }
}

impl Line {
    async fn stand(self, buyer: u32, reservation_id: String) {
        let client = self.load.client().prefer(buyer as usize);
        let fate = match self.wait(&client, &reservation_id).await {
            Some(reservation) => self.load.go_on(&client, buyer, reservation, Round::Again).await,
            None => self.load.leave(&client, reservation_id).await,
        };
        let won = matches!(fate, Fate::Won { .. });
        self.load.tally().add(buyer, fate);
        // Of those who win, one takes the last unit.
        if won && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.closed.send_replace(true);
        }
    }

    /// Polls until the line has moved up to this buyer; `None` where it closed before.
    async fn wait(&self, client: &Client, reservation_id: &str) -> Option<Reservation> {
        let mut closed = self.closed.subscribe();
        loop {
            let polled = tokio::select! {
                polled = self.poll(client, reservation_id) => polled,
                _ = closed.wait_for(|closed| *closed) => return None,
            };
            match polled {
                Ok(answer) if answer.value.state != ReservationState::Waiting => return Some(answer.value),
                Ok(_) => {}
                Err(error) => {
                    self.load.tally().note(&error);
                    sleep(POLL_PAUSE).await;
                }
            }
        }
    }

    fn poll(&self, client: &Client, reservation_id: &str) -> Call<Reservation> {
        client.reservation(reservation_id).wait_seconds(POLL_SECONDS).wait_while(ReservationState::Waiting)
    }

    /// Shows how far the line is, and closes it where nothing moves.
    async fn watch(&self) {
        let bar = ProgressBar::new(self.left.load(Ordering::Relaxed))
            .with_style(bar::style("sold out of the line"));
        let _clear = Clear(&bar);
        let (total, mut last, mut moved) = (self.left.load(Ordering::Relaxed), u64::MAX, Instant::now());
        loop {
            let left = self.left.load(Ordering::Relaxed);
            bar.set_position(total.saturating_sub(left));
            if left != std::mem::replace(&mut last, left) {
                moved = Instant::now();
            }
            if moved.elapsed() > self.standstill_max {
                self.closed.send_replace(true);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
