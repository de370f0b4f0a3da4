//! What the benchmarks with a whole cluster fill it with.

use client::api::{Item, PutSkuRequest, ReserveRequest};
use client::{Batch, Client};
use tokio::task::JoinSet;

/// Calls of one kind under way while the shop is filled.
const CALLS: u64 = 64;

/// Batches under way while holds are made. More would be refused as too many commands at once.
const BATCHES: u64 = 6;

/// Operations of one batch.
const BATCH: u64 = 1_000;

/// Puts SKUs with more units than can be sold.
pub(crate) async fn put_skus(client: &Client, skus: u64) {
    let request = PutSkuRequest {
        on_hand: 1_000_000_000,
        safety_stock: None,
        max_per_customer: None,
        on_shortfall: None,
    };
    each(client, CALLS, skus, move |client, number| {
        let request = request.clone();
        async move { drop(client.put_sku(&sku(number), &request).await.unwrap()) }
    })
    .await;
}

/// Makes holds of one unit, the reserves of which a function of their number gives.
pub(crate) async fn hold(
    client: &Client,
    holds: u64,
    reserve: impl Fn(u64) -> ReserveRequest + Clone + Send + 'static,
) {
    each(client, BATCHES, holds.div_ceil(BATCH), move |client, batch| {
        let reserve = reserve.clone();
        async move {
            let mut calls = Batch::new();
            for cart in batch * BATCH..((batch + 1) * BATCH).min(holds) {
                calls.push(reserve(cart));
            }
            for outcome in client.batch(&calls).await.unwrap().value {
                outcome.unwrap();
            }
        }
    })
    .await;
}

/// Calls for each number, so many at a time.
async fn each<F: Future<Output = ()> + Send>(
    client: &Client,
    at_a_time: u64,
    count: u64,
    call: impl Fn(Client, u64) -> F + Clone + Send + 'static,
) {
    let mut tasks = JoinSet::new();
    for first in 0..at_a_time.min(count) {
        let (client, call) = (client.clone(), call.clone());
        tasks.spawn(async move {
            for number in (first..count).step_by(at_a_time as usize) {
                call(client.clone(), number).await;
            }
        });
    }
    tasks.join_all().await;
}

/// The reserve of a cart of one unit of one of so many SKUs.
pub(crate) fn reserve(cart: u64, skus: u64) -> ReserveRequest {
    ReserveRequest {
        cart_id: format!("cart-{cart:08}"),
        items: vec![Item { sku: sku(cart.wrapping_mul(7_919) % skus), qty: 1 }],
        customer_id: None,
        ttl_seconds: None,
        wait: None,
    }
}

/// The name of a SKU.
pub(crate) fn sku(number: u64) -> String {
    format!("SKU-{number:07}")
}
