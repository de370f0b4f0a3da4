//! A checkout from the first unit on sale to the last event, against a running cluster.
//!
//! ```text
//! cargo run --release                             # the cluster of cluster.toml, in another terminal
//! cargo run -p client --example checkout          # or with the nodes' addresses behind `--`
//! ```
//!
//! Two carts want the last unit. The first has it, the second waits in line. The first gives it up, the second has it
//! and pays. What happened is read back from the change feed. It ends with 0 only where each step went so.

use client::api::{CommitRequest, PutSkuRequest, Reservation, ReservationState, ReserveRequest};
use client::{Client, Error, code};

/// The nodes of `cluster.toml`.
const NODES: [&str; 3] = ["127.0.0.1:8101", "127.0.0.1:8102", "127.0.0.1:8103"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let client = if given.is_empty() { Client::new(NODES)? } else { Client::new(given)? };
    checkout(&client).await
}

/// The whole of it. A test of the node runs it as well.
pub(crate) async fn checkout(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
    // A SKU of this run alone, so that the example can run again and again.
    let sku = format!("example-{:08x}", rand::random::<u32>());
    let put = PutSkuRequest { on_hand: 1, max_per_customer: Some(Some(1)), ..Default::default() };
    let made = client.put_sku(&sku, &put).if_absent().await?;
    say(&format!("{sku}: {} on sale", made.value.available));

    let first = reserve(client, "first", &sku).await?;
    let second = reserve(client, "second", &sku).await?;
    let third = without_waiting(client, &sku).await?;
    say(&format!("a third cart that does not wait: {third}"));

    client.release(&first.reservation_id).await?;
    let second = until_held(client, second).await?;
    pay(client, &second).await?;

    let after = made.sequence.ok_or("a write has a sequence")?;
    let sold = tell_events(client, &sku, after).await?;
    if sold != 1 {
        return Err(format!("{sold} sales of one unit").into());
    }
    Ok(())
}

/// Reserves a unit, or a place in line. One key for the cart's call makes it safe to repeat, by another process too.
async fn reserve(client: &Client, cart: &str, sku: &str) -> Result<Reservation, Error> {
    let cart_id = format!("{cart}-{sku}");
    let request = ReserveRequest { wait: Some(true), ..ReserveRequest::one(&cart_id, sku, 1) };
    let reservation = client.reserve(&request).key(format!("{cart_id}/reserve")).await?.value;
    say(&format!("the {cart} cart is {} {:?}", reservation.state.as_str(), reservation.position));
    Ok(reservation)
}

/// What a cart hears that comes too late and does not want to wait.
async fn without_waiting(client: &Client, sku: &str) -> Result<String, Error> {
    match client.reserve(&ReserveRequest::one(format!("third-{sku}"), sku, 1)).await {
        Ok(hold) => Ok(format!("it overtook the line: {}", hold.value.reservation_id)),
        Err(Error::Refused(refusal)) if refusal.problem.code == code::HELD_BY_OTHERS => {
            Ok(format!("held by others, ask again in {:?} s", refusal.retry_after_seconds))
        }
        Err(error) => Err(error),
    }
}

/// Waits for the line to move: each call answers at once where the state changes.
async fn until_held(client: &Client, mut reservation: Reservation) -> Result<Reservation, Error> {
    while reservation.state == ReservationState::Waiting {
        let look = client.reservation(&reservation.reservation_id);
        reservation = look.wait_seconds(10).wait_while(ReservationState::Waiting).await?.value;
    }
    say(&format!("the second cart is {}", reservation.state.as_str()));
    Ok(reservation)
}

/// Commits. An outcome that is unknown is asked about again, with the same key, until it is known.
async fn pay(client: &Client, hold: &Reservation) -> Result<(), Error> {
    let request = CommitRequest {
        reservation_id: hold.reservation_id.clone(),
        payment_token: Some("payment-1".to_owned()),
        fencing_token: hold.fencing_token,
        ..Default::default()
    };
    loop {
        match client.commit(&request).key(format!("{}/commit", hold.reservation_id)).await {
            Err(Error::Unknown(unknown)) => say(&format!("asking again: {unknown}")),
            other => return other.map(|sold| say(&format!("sold at {:?}", sold.value.committed_at))),
        }
    }
}

/// Tells what happened after that command. Answers how many sales there were.
async fn tell_events(client: &Client, sku: &str, after: u64) -> Result<usize, Error> {
    let page = client.events().sku(sku).types(["reservation"]).after(after).page().await?.value;
    for event in &page.data {
        say(&format!("  {:>8}  {}", event.id, event.kind));
    }
    Ok(page.data.iter().filter(|event| event.kind == "lastunit.reservation.committed").count())
}

#[expect(clippy::print_stdout, reason = "it is what an example is for")]
fn say(line: &str) {
    println!("{line}");
}
