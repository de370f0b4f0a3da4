//! The client crate against three real nodes: the calls that no other test makes through it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use client::api::{
    AdjustOperation, AdjustRequest, CommitRequest, PutSkuRequest, ReservationState, ReserveRequest,
};
use client::{Batch, Error, Record, code};
use futures_util::{StreamExt, TryStreamExt};

use support::cluster::Cluster;

fn stock(on_hand: u64) -> PutSkuRequest {
    PutSkuRequest { on_hand, ..Default::default() }
}

fn code_of(error: &Error) -> &str {
    error.problem().map_or("", |problem| &*problem.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_may_be_sent_as_often_as_it_takes() {
    let cluster = Cluster::start().await;
    let follower = cluster.only(cluster.followers().await[0]);
    follower.put_sku("A", &stock(2)).await.unwrap();
    let mut batch = Batch::new();
    batch.push(ReserveRequest::one("one", "A", 1)).push(ReserveRequest::one("two", "A", 2));
    batch.push_adjust("A", AdjustRequest { delta: 5, ..Default::default() });
    batch.push(ReserveRequest::one("three", "A", 2)).push_keyed(
        "b",
        AdjustOperation { sku: "NONE".to_owned(), adjust: AdjustRequest { delta: 1, ..Default::default() } },
    );
    let first = follower.batch(&batch).await.unwrap().value;
    assert!(matches!(&first[0].as_ref().unwrap().value, Record::Reservation(hold) if hold.cart_id == "one"));
    assert_eq!(code_of(first[1].as_ref().unwrap_err()), code::HELD_BY_OTHERS);
    assert!(
        matches!(&first[2].as_ref().unwrap().value, Record::Sku(sku) if (sku.on_hand, sku.held) == (7, 1))
    );
    assert!(first[3].is_ok(), "{:?}", first[3]);
    assert_eq!(code_of(first[4].as_ref().unwrap_err()), code::SKU_NOT_FOUND);

    let again = cluster.client().batch(&batch).await.unwrap().value;
    for place in [0, 2, 3] {
        let (first, again) = (first[place].as_ref().unwrap(), again[place].as_ref().unwrap());
        assert!(again.replayed && !first.replayed);
        assert_eq!((&again.value, again.sequence), (&first.value, first.sequence));
    }
    // What was refused left its key unused, and now there is enough.
    assert!(again[1].is_ok(), "{:?}", again[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_changed_is_not_read_or_written_again() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    let made = client.put_sku("A", &stock(5)).if_absent().await.unwrap().value;
    assert_eq!(client.sku("A").if_changed_since(made.version).await.unwrap().value, None);
    let set = client.put_sku("A", &stock(6)).if_version(made.version).await.unwrap().value;
    assert_eq!(client.sku("A").if_changed_since(made.version).await.unwrap().value.unwrap(), set);
    for refused in [
        client.put_sku("A", &stock(7)).if_version(made.version).await.unwrap_err(),
        client.put_sku("A", &stock(7)).if_absent().await.unwrap_err(),
        client.put_sku("B", &stock(7)).if_present().await.unwrap_err(),
        client.delete_sku("A").if_version(made.version).await.map(|_| ()).unwrap_err(),
    ] {
        assert_eq!(code_of(&refused), code::PRECONDITION_FAILED, "{refused}");
    }
    let delete = || client.delete_sku("A").if_version(set.version).key("delete/1");
    let (deleted, again) = (delete().await.unwrap(), delete().await.unwrap());
    assert_eq!((deleted.status, deleted.replayed, again.status, again.replayed), (204, false, 204, true));
    assert!(deleted.sequence.is_some() && deleted.sequence == again.sequence);
    assert_eq!(code_of(&client.delete_sku("A").await.map(|_| ()).unwrap_err()), code::SKU_NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_events_are_streams() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    for sku in ["P1", "P2", "P3", "Q1"] {
        client.put_sku(sku, &stock(9)).await.unwrap();
    }
    let rows = client.skus().prefix("P").page_size(2).rows().into_stream();
    let rows: Vec<_> = rows.map_ok(|record| record.sku).try_collect().await.unwrap();
    assert_eq!(rows, ["P1", "P2", "P3"]);

    let mut sold = Vec::new();
    for cart in ["a", "b", "c"] {
        let hold = client.reserve(&ReserveRequest::one(cart, "Q1", 1)).await.unwrap().value;
        let request = CommitRequest { reservation_id: hold.reservation_id, ..Default::default() };
        sold.push(client.commit(&request).await.unwrap());
    }
    client.reserve(&ReserveRequest::one("d", "Q1", 1)).await.unwrap();
    let list = client.reservations().sku("Q1").state(ReservationState::Committed).page_size(1);
    let carts: Vec<_> = list.rows().into_stream().map_ok(|it| it.cart_id).try_collect().await.unwrap();
    assert_eq!(carts, ["a", "b", "c"]);

    let after = sold[0].sequence.unwrap();
    let feed = client.events().after(after).types(["lastunit.reservation.committed"]);
    let page = feed.page().await.unwrap().value;
    let told: Vec<_> = page.data.iter().map(|event| event.subject.clone()).collect();
    let expected = [&sold[1].value.reservation_id, &sold[2].value.reservation_id];
    assert_eq!(told.iter().collect::<Vec<_>>(), expected);
    let followed: Vec<_> = feed.follow().into_stream().take(2).try_collect().await.unwrap();
    assert_eq!(followed, page.data);

    let stale = client.sku("Q1").stale().await.unwrap();
    assert!(stale.applied_index.is_some_and(|index| index > 0));
}
