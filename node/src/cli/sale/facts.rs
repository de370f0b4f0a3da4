//! What is known once the rush is over: the tally, and what every node says of it.

use std::sync::Arc;
use std::time::Duration;

use client::Client;
use client::api::{InventoryRecord, Reservation, ReservationState};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::shop::Shop;
use super::tally::{Tally, Winner};
use crate::cli::agreement::Agreement;

/// How many winners' reservations are read at a time.
const READERS_MAX: usize = 32;

/// For how long, beyond a hold's own time, it waits until the last holds left unpaid have ended.
const LAPSE_TIME_MAX: Duration = Duration::from_secs(3);

/// How long it waits between two looks.
const LAPSE_POLL: Duration = Duration::from_millis(100);

/// Everything that a verdict and a report need.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Units that were put on sale.
    pub(super) stock: u64,
    /// Buyers who came.
    pub(super) buyers: u32,
    /// Whether those who found no unit waited.
    pub(super) waited: bool,
    /// How many of them at a time.
    pub(super) connections: u32,
    /// The nodes.
    pub(super) addresses: Vec<String>,
    /// How long the rush took.
    pub(super) elapsed: Duration,
    /// What became of the leader, where it was to be killed.
    pub(super) kill: Option<Kill>,
    /// What became of the buyers.
    pub(super) tally: Tally,
    /// What the nodes say.
    pub(super) read_back: ReadBack,
}

/// What became of a leader that was to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kill {
    /// It was.
    Done {
        /// Which node.
        id: u64,
        /// How long after the start of the rush.
        after: Duration,
    },
    /// The rush was over before.
    TooLate,
}

/// What the nodes say of the sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadBack {
    /// The SKU's figures, read through each node.
    pub(super) records: Vec<Result<InventoryRecord, String>>,
    /// What is wrong with the winners' reservations.
    pub(super) wrong_winners: Vec<String>,
    /// Whether all nodes' states are the same.
    pub(super) agreement: Agreement,
}

/// Reads everything back: each figure through every node, and each winner's reservation through some node.
pub(super) async fn read_back(client: &Client, shop: &Shop, tally: &Tally) -> ReadBack {
    if tally.abandoned > 0 {
        until_lapsed(client, shop).await;
    }
    let mut records = Vec::new();
    for node in 0..client.nodes() {
        let record = client.only(node).sku(shop.sku()).await;
        records.push(record.map(|answer| answer.value).map_err(|why| why.to_string()));
    }
    let wrong_winners = wrong_winners(client, shop, &tally.winners).await;
    ReadBack { records, wrong_winners, agreement: Agreement::of(client).await }
}

/// Waits for the holds that were left unpaid. Where they do not end, the figures will tell.
async fn until_lapsed(client: &Client, shop: &Shop) {
    let deadline = Instant::now() + shop.rules().hold() + LAPSE_TIME_MAX;
    while Instant::now() < deadline {
        match client.sku(shop.sku()).await {
            Ok(answer) if answer.value.held == 0 => return,
            _ => sleep(LAPSE_POLL).await,
        }
    }
}

/// What is wrong with the winners' reservations; each of so many readers stops at the first that is.
async fn wrong_winners(client: &Client, shop: &Shop, winners: &[Winner]) -> Vec<String> {
    let winners: Arc<[Winner]> = winners.into();
    let mut readers = JoinSet::new();
    for reader in 0..winners.len().min(READERS_MAX) {
        readers.spawn(read_share(client.prefer(reader), shop.clone(), Arc::clone(&winners), reader));
    }
    readers.join_all().await.into_iter().flatten().collect()
}

/// Reads the winners whose turn is the reader's, up to the first that is wrong.
async fn read_share(client: Client, shop: Shop, winners: Arc<[Winner]>, reader: usize) -> Option<String> {
    for winner in winners.iter().skip(reader).step_by(READERS_MAX) {
        let read = client.reservation(&winner.reservation_id).await;
        let fault = match read {
            Ok(answer) => fault(&answer.value, &shop.payment(winner.buyer)),
            Err(why) => Some(why.to_string()),
        };
        if let Some(fault) = fault {
            return Some(format!("{}: {fault}", winner.reservation_id));
        }
    }
    None
}

/// What is wrong with a winner's reservation.
fn fault(reservation: &Reservation, payment_token: &str) -> Option<String> {
    if reservation.state != ReservationState::Committed {
        return Some(format!("it is {:?} and not committed", reservation.state));
    }
    let paid = reservation.payment_token.as_deref();
    (paid != Some(payment_token)).then(|| format!("it was paid with {paid:?} and not with {payment_token:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_winner_is_committed_with_his_own_payment() {
        let mut reservation = Reservation {
            reservation_id: "res_1".to_owned(),
            state: ReservationState::Committed,
            cart_id: "c".to_owned(),
            customer_id: None,
            items: vec![],
            expires_in: Some(0),
            expires_at: Some(String::new()),
            created_at: String::new(),
            fencing_token: Some(1),
            committed_at: None,
            payment_token: Some("mine".to_owned()),
            returned: vec![],
            position: None,
        };
        assert_eq!(fault(&reservation, "mine"), None);
        assert!(fault(&reservation, "other").is_some());
        reservation.state = ReservationState::Held;
        assert!(fault(&reservation, "mine").is_some());
    }
}
