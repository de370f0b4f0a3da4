//! Long polls over a store that changes while they wait.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use raft::ReadError;
use serde_json::Value;
use storage::inventory::Inventory;
use storage::inventory::command::{Command, Release, Request, Stamp};
use storage::inventory::outcome::Outcome;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance};

use super::*;
use crate::http::limits::{POLLS_MAX, STREAM_SILENCE_MAX};
use crate::http::testing::{Fake, ask, get, json_of, put, reserve, stamp};

const NOW_MS: u64 = 1_795_000_000_123;

struct Server {
    fake: Arc<Fake>,
    api: Arc<Api<Arc<Fake>>>,
    router: Router,
}

fn server() -> Server {
    let fake = Arc::new(Fake::of(Inventory::default()));
    let api = Arc::new(Api::new(Arc::clone(&fake), "shop".to_owned(), 1, 1800));
    fake.apply(NOW_MS, Command::PutSku(put("PS5", 1_000)));
    Server { fake, router: Api::routed(Arc::clone(&api)), api }
}

impl Server {
    fn hold(&self, cart: &str) -> ReservationId {
        let held = self.fake.apply(NOW_MS, Command::Reserve(reserve(cart, "PS5", 1)));
        let Ok(Outcome::Reserved(view)) = held.result else { panic!("{held:?}") };
        view.id
    }

    fn release(&self, id: ReservationId) {
        self.fake.apply(NOW_MS, Command::Release(Release { reservation_id: id, items: None }));
    }

    /// A call that waits, once it does.
    async fn waiting(&self, id: ReservationId, seconds: u64) -> JoinHandle<Response<Body>> {
        let router = self.router.clone();
        let path = format!("/api/reservations/{id}?wait_seconds={seconds}");
        let call = tokio::spawn(async move { ask(&router, get(&path)).await });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!call.is_finished());
        call
    }
}

async fn state_of(answer: JoinHandle<Response<Body>>) -> (u16, Value) {
    let answer = answer.await.unwrap();
    (answer.status().as_u16(), json_of(answer).await["state"].clone())
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_state_is_answered_when_it_happens() {
    let server = server();
    let id = server.hold("c-1");
    let since = Instant::now();
    let call = server.waiting(id, 30).await;
    server.release(id);
    assert_eq!(state_of(call).await, (200, "released".into()));
    assert!(since.elapsed() < Duration::from_secs(1), "it waited for its time");
}

#[tokio::test(start_paused = true)]
async fn without_a_change_the_state_is_answered_when_the_time_is_over() {
    let server = server();
    let (id, other) = (server.hold("c-1"), server.hold("c-2"));
    let since = Instant::now();
    let call = server.waiting(id, 7).await;
    server.release(other);
    assert_eq!(state_of(call).await, (200, "held".into()));
    assert_eq!(since.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_change_any_more_and_what_is_not_there_is_answered_at_once() {
    let server = server();
    let id = server.hold("c-1");
    server.release(id);
    let since = Instant::now();
    let path = format!("/api/reservations/{id}?wait_seconds=60");
    assert_eq!(json_of(ask(&server.router, get(&path)).await).await["state"], "released");
    let none = ReservationId { sequence: 77, nonce: 7 };
    let missing = ask(&server.router, get(&format!("/api/reservations/{none}?wait_seconds=60"))).await;
    assert_eq!(missing.status(), 404);
    assert_eq!(since.elapsed(), Duration::ZERO);
}

/// A cart that joined the line and was served before its long poll came would have waited for nothing.
#[tokio::test(start_paused = true)]
async fn a_change_before_the_call_is_not_missed_where_it_says_what_it_knows() {
    let server = server();
    let id = server.hold("c-1");
    let since = Instant::now();
    let path = |state| format!("/api/reservations/{id}?wait_seconds=9&while={state}");
    assert_eq!(json_of(ask(&server.router, get(&path("waiting"))).await).await["state"], "held");
    assert_eq!(since.elapsed(), Duration::ZERO);
    assert_eq!(json_of(ask(&server.router, get(&path("held"))).await).await["state"], "held");
    assert_eq!(since.elapsed().as_secs(), 9);
    let refused = ask(&server.router, get(&path("gone"))).await;
    assert_eq!((refused.status().as_u16(), json_of(refused).await["field"].clone()), (400, "while".into()));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_takes_no_room_and_the_drain_answers_it() {
    let server = server();
    let id = server.hold("c-1");
    let call = server.waiting(id, 60).await;
    assert_eq!(server.api.calls.load(Ordering::Relaxed), 0);
    let since = Instant::now();
    server.api.drain().begin();
    assert_eq!(state_of(call).await, (200, "held".into()));
    assert_eq!((since.elapsed(), server.api.calls.load(Ordering::Relaxed)), (Duration::ZERO, 0));
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_those_of_its_reservation_and_nobody_else() {
    let server = server();
    let ids: Vec<_> = (0..500).map(|cart| server.hold(&format!("c-{cart}"))).collect();
    let polls: Vec<_> =
        ids.iter().map(|id| server.api.events.watch.poll(&server.fake, *id).unwrap()).collect();
    server.release(ids[123]);
    let woken =
        async |place: usize| tokio::time::timeout(Duration::from_secs(1), polls[place].woken()).await.is_ok();
    for place in 0..500 {
        assert_eq!(woken(place).await, place == 123, "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_watcher_rests_while_nobody_waits_and_misses_nothing_of_the_next_ones() {
    let server = server();
    for round in 0..3 {
        let id = server.hold(&format!("c-{round}"));
        let call = server.waiting(id, 30).await;
        server.release(id);
        assert_eq!(state_of(call).await.1, "released");
        // Long enough for the watcher to see that nobody waits any more; more happens meanwhile than it would look at.
        advance(STREAM_SILENCE_MAX).await;
        let other = server.hold(&format!("d-{round}"));
        server.release(other);
        advance(STREAM_SILENCE_MAX).await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_feed_has_a_gap_everybody_looks_for_themselves() {
    let server = server();
    let id = server.hold("c-1");
    let call = server.waiting(id, 30).await;
    // A snapshot from far ahead: the state jumps, and the events between are not kept.
    let mut ahead = Inventory::clone(&server.fake.inventory.lock().unwrap());
    let few = Stamp { events_max: 1, ..stamp(NOW_MS) };
    let mut apply = |command| ahead.apply(&few, &Request { idempotency_key: None, command });
    apply(Command::Release(Release { reservation_id: id, items: None })).result.unwrap();
    (1..=300).for_each(|on_hand| drop(apply(Command::PutSku(put("PS5", 1_000 + on_hand)))));
    let sequence = ahead.sequence();
    *server.fake.inventory.lock().unwrap() = ahead;
    server.fake.applied.send_replace(sequence);
    assert_eq!(state_of(call).await, (200, "released".into()));
}

#[tokio::test]
async fn waiting_is_bounded_and_its_range_is_told() {
    let server = server();
    let id = server.hold("c-1");
    let room: Vec<_> =
        (0..POLLS_MAX).map(|_| server.api.events.watch.poll(&server.fake, id).unwrap()).collect();
    let refused = ask(&server.router, get(&format!("/api/reservations/{id}?wait_seconds=1"))).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(json_of(refused).await["code"], "overloaded");
    drop(room);
    for seconds in ["0", "61", "-1", "1.5", ""] {
        let refused =
            ask(&server.router, get(&format!("/api/reservations/{id}?wait_seconds={seconds}"))).await;
        assert_eq!(refused.status(), 400, "{seconds}");
        assert_eq!(json_of(refused).await["field"], "wait_seconds");
    }
}

#[tokio::test]
async fn a_wait_that_cannot_begin_with_a_fresh_read_is_refused() {
    let fake = Fake { read_error: Some(ReadError::NoLeader), ..Fake::of(Inventory::default()) };
    let router = crate::http::testing::router(&Arc::new(fake));
    let id = ReservationId { sequence: 1, nonce: 1 };
    let refused = ask(&router, get(&format!("/api/reservations/{id}?wait_seconds=9"))).await;
    assert_eq!(refused.status(), 503);
}
