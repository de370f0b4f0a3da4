//! The lane beside the library: the same bytes in, the same bytes out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper_util::server::graceful::GracefulShutdown;
use raft::{Answer, ProposeError};
use storage::inventory::outcome::{Applied, Outcome, Rejection, Shortage};
use tokio::io::{DuplexStream, duplex};
use tokio::time::{Duration, Instant, pause};

use super::*;
use crate::http::Service;
use crate::http::checkout::Call;
use crate::http::limits::{BODY_TIME_MAX, CALL_TIME_MAX, CALLS_MAX};
use crate::http::server::connection;
use crate::http::testing::{Answering, Fake, applied, reserved, service, sku, stock_view, view};

type Served = Service<Arc<Fake>>;

const RESERVE: &str = r#"{"cart_id":"c-1","items":[{"sku":"PS5","qty":2}]}"#;
const LIVEZ: &str = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
const LAST: &str = "GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

fn answering(answer: Result<Answer, ProposeError>) -> Served {
    service(&Arc::new(Fake { answer: Answering::Always(Box::new(answer)), ..Fake::default() }))
}

fn request(call: Call, headers: &str, body: &str) -> String {
    let (path, length) = (call.path(), body.len());
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{headers}");
    format!("{head}content-length: {length}\r\n\r\n{body}")
}

struct Connected {
    client: DuplexStream,
    stopping: watch::Sender<bool>,
    drain: GracefulShutdown,
}

fn connect(served: &Served) -> Connected {
    let (client, stream) = duplex(1 << 20);
    let (stopping, drain) = (watch::Sender::new(false), GracefulShutdown::new());
    let connection = connection(stream, served.clone(), stopping.subscribe(), drain.watcher());
    tokio::spawn(async move { drop(connection.await) });
    Connected { client, stopping, drain }
}

/// All that is answered to these bytes and a last request that the lane leaves alone, without the dates.
async fn answered(served: &Served, input: &str) -> String {
    let mut connected = connect(served);
    connected.client.write_all(format!("{input}{LAST}").as_bytes()).await.unwrap();
    without_dates(&rest(&mut connected.client).await)
}

async fn rest(client: &mut DuplexStream) -> String {
    let mut told = String::new();
    client.read_to_string(&mut told).await.unwrap();
    told
}

/// Without dates, and with the time that some are told to come again at, which is a random one, always the same.
fn without_dates(told: &str) -> String {
    let is_date = |line: &str| line.starts_with("date: ") && line.ends_with(" GMT\r\n") && line.len() == 37;
    let told: String = told.split_inclusive('\n').filter(|line| !is_date(line)).collect();
    ["2", "3"].iter().fold(told, |told, seconds| {
        told.replace(&format!("retry-after: {seconds}\r\n"), "retry-after: 1\r\n")
    })
}

fn without_lane(served: &Served) -> Served {
    Service { api: None, ..served.clone() }
}

/// What is answered with the lane, which must be what is answered without it.
async fn compare(served: &Served, input: &str) -> String {
    let (told, expected) = (answered(served, input).await, answered(&without_lane(served), input).await);
    assert_eq!(told, expected, "{input}");
    assert!(!told.contains("date: ") && told.ends_with("{\"status\":\"live\"}"), "{told}");
    told
}

fn results() -> Vec<Result<Answer, ProposeError>> {
    let short = |sold_out| Shortage { sku: sku("PS5"), requested: 2, available: 1, held: 3, sold_out };
    let replayed = Applied { sequence: 40, replayed: true, result: Ok(Outcome::Committed(view())) };
    let held = Rejection::HeldByOthers { shortages: vec![short(false)], earliest_ms: 9_000, now_ms: 1 };
    let rejections = [
        held,
        Rejection::InsufficientStock { shortages: vec![short(true)] },
        Rejection::SkuNotFound { sku: sku("PS5") },
        Rejection::ReservationExpired,
        Rejection::FencingTokenStale { current: 7 },
        Rejection::IdempotencyKeyReused,
        Rejection::StockAboveMax,
    ];
    let outcomes = [Outcome::Waiting(view()), Outcome::SkuSet(stock_view("PS5")), Outcome::SkuDeleted];
    let errors = [
        ProposeError::NoLeader,
        ProposeError::NoQuorum,
        ProposeError::Overloaded,
        ProposeError::NoSpace,
        ProposeError::FeatureNotActive,
        ProposeError::OutcomeUnknown,
    ];
    let applied_results = outcomes.into_iter().map(Ok).chain(rejections.into_iter().map(Err)).map(applied);
    let answers = [reserved(), Answer::Gated(replayed)].into_iter().chain(applied_results);
    answers.map(Ok).chain(errors.into_iter().map(Err)).collect()
}

#[tokio::test]
async fn every_answer_is_to_the_byte_that_of_the_library() {
    let results = results();
    for result in &results {
        let served = answering(result.clone());
        compare(&served, &request(Call::Reserve, "idempotency-key: k\r\n", RESERVE)).await;
    }
    println!("{} answers", results.len());
}

#[tokio::test]
async fn a_traced_call_is_told_where_it_is_in_its_trace() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-";
    // The span is another one each time.
    let spanless = |told: String| match told.split_once(TRACE) {
        Some((before, after)) => format!("{before}{TRACE}...{}", &after[16..]),
        None => told,
    };
    let given = format!("traceparent: {TRACE}00f067aa0ba902b7-01\r\n");
    for (headers, is_told) in
        [(given.clone(), true), (given.replace("-01", "-1"), false), (given.repeat(2), false)]
    {
        for answer in [Ok(reserved()), Err(ProposeError::NoLeader)] {
            let (served, input) = (answering(answer), request(Call::Reserve, &headers, RESERVE));
            let ours = spanless(answered(&served, &input).await);
            assert_eq!(ours, spanless(answered(&without_lane(&served), &input).await), "{headers}");
            assert_eq!(ours.contains(&format!("traceresponse: {TRACE}...-01\r\n")), is_told, "{ours}");
        }
    }
}

#[tokio::test]
async fn every_mistake_is_told_to_the_byte_as_the_library_tells_it() {
    let served = answering(Ok(reserved()));
    let id = format!("{{\"reservation_id\":\"{}\"}}", view().id);
    for (call, headers, body, status) in [
        (Call::Commit, "", id.as_str(), 201),
        (Call::Release, "x: 1\r\nconnection: keep-alive\r\n", &id, 201),
        (Call::Extend, "", &id, 201),
        (Call::Return, "", &id, 201),
        (Call::Reserve, "", "", 400),
        (Call::Reserve, "", "{", 400),
        (Call::Reserve, "", r#"{"cart_id":"c","items":[{"sku":"A","qty":"1"}]}"#, 400),
        (Call::Reserve, "", r#"{"cart_id":"c","items":[]}"#, 400),
        (Call::Reserve, "", r#"{"cart_id":"c","items":[{"sku":"A","qty":1}],"more":1}"#, 400),
        (Call::Commit, "", r#"{"reservation_id":"res_1"}"#, 400),
        (Call::Commit, "", r#"{"reservation_id":null}"#, 400),
        (Call::Extend, "", RESERVE, 400),
        (Call::Reserve, "idempotency-key: \r\n", RESERVE, 400),
        (Call::Reserve, "idempotency-key: a b\r\n", RESERVE, 400),
        (Call::Reserve, "idempotency-key: a\r\nidempotency-key: b\r\n", RESERVE, 400),
        (Call::Reserve, "host: b\r\n", RESERVE, 400),
        (Call::Reserve, "content-encoding: gzip\r\n", RESERVE, 415),
    ] {
        let told = compare(&served, &request(call, headers, body)).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{body}: {told}");
    }
}

#[tokio::test]
async fn past_the_bound_a_plain_call_is_refused_like_any_other() {
    let fake = Arc::new(Fake::default());
    let served = service(&fake);
    let api = served.api.as_ref().unwrap();
    api.calls.store(CALLS_MAX, Ordering::Relaxed);
    let told = compare(&served, &request(Call::Reserve, "", RESERVE)).await;
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("retry-after: 1\r\n"), "{told}");
    assert!(fake.asked.lock().unwrap().is_empty());
    assert_eq!(api.calls.load(Ordering::Relaxed), CALLS_MAX);
}

#[tokio::test]
async fn plain_requests_and_others_may_follow_each_other_in_any_order() {
    let served = answering(Ok(reserved()));
    let reserve = request(Call::Reserve, "", RESERVE);
    for (input, answers) in [
        (format!("{reserve}{reserve}{reserve}"), 3),
        (format!("{reserve}{LIVEZ}{reserve}"), 3),
        (format!("{LIVEZ}{reserve}{reserve}"), 3),
        (format!("{reserve}{}", request(Call::Reserve, "transfer-encoding: gzip\r\n", RESERVE)), 2),
    ] {
        let (told, expected) =
            (answered(&served, &input).await, answered(&without_lane(&served), &input).await);
        assert_eq!(told, expected, "{input}");
        assert!(told.matches("HTTP/1.1 ").count() >= answers, "{told}");
    }
}

/// Without this the comparisons would hold of a lane that answers nothing.
#[tokio::test]
async fn what_is_plain_is_answered_here_and_the_rest_is_handed_over_as_it_came() {
    let served = answering(Ok(reserved()));
    let (mut client, stream) = duplex(1 << 20);
    let stopping = watch::Sender::new(false);
    let lane = Lane::new(served.api.as_ref().unwrap(), stream, stopping.subscribe());
    let (reserve, other) = (request(Call::Reserve, "", RESERVE), format!("{LIVEZ}{RESERVE}"));
    client.write_all(format!("{reserve}{reserve}{other}").as_bytes()).await.unwrap();
    let Left::Other(stream, read) = lane.run().await.unwrap() else { panic!("it ended") };
    assert_eq!(String::from_utf8(read).unwrap(), other);
    drop(stream);
    let mut told = String::new();
    client.read_to_string(&mut told).await.unwrap();
    assert_eq!(told.matches("HTTP/1.1 201 Created\r\n").count(), 2, "{told}");
}

#[tokio::test]
async fn a_request_may_come_in_any_two_parts() {
    let (served, request) = (answering(Ok(reserved())), request(Call::Reserve, "", RESERVE));
    let expected = answered(&served, &request).await;
    for end in 1..request.len() {
        let mut connected = connect(&served);
        connected.client.write_all(&request.as_bytes()[..end]).await.unwrap();
        // The lane reads on what there is before it comes to the rest.
        tokio::task::yield_now().await;
        let rest_of_it = format!("{}{LAST}", &request[end..]);
        connected.client.write_all(rest_of_it.as_bytes()).await.unwrap();
        assert_eq!(without_dates(&rest(&mut connected.client).await), expected, "{end}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_refused_in_the_end() {
    pause();
    let (served, request) = (answering(Ok(reserved())), request(Call::Reserve, "", RESERVE));
    for missing in [1, RESERVE.len()] {
        let (mut connected, began) = (connect(&served), Instant::now());
        let part = &request.as_bytes()[..request.len() - missing];
        connected.client.write_all(part).await.unwrap();
        let mut told = vec![0; 12];
        connected.client.read_exact(&mut told).await.unwrap();
        assert_eq!(told, b"HTTP/1.1 400");
        let late = began.elapsed().checked_sub(BODY_TIME_MAX).expect("not early");
        assert!(late <= LANE_PATIENCE + Duration::from_millis(2), "{late:?}");
    }
}

/// Bytes that come one by one must not buy time.
#[tokio::test]
async fn a_body_that_trickles_is_refused_in_the_end() {
    pause();
    let mut connected = connect(&answering(Ok(reserved())));
    let head = request(Call::Reserve, "", &" ".repeat(1000));
    connected.client.write_all(&head.as_bytes()[..head.len() - 1000]).await.unwrap();
    let (mut from, mut to) = tokio::io::split(connected.client);
    let began = Instant::now();
    let trickle = async {
        loop {
            tokio::time::sleep(LANE_PATIENCE / 2).await;
            let _ = to.write_all(b" ").await;
        }
    };
    let mut told = vec![0; 12];
    tokio::select! {
        () = trickle => {}
        read = from.read_exact(&mut told) => drop(read.unwrap()),
    }
    assert_eq!(told, b"HTTP/1.1 400");
    assert!(began.elapsed() <= BODY_TIME_MAX + 2 * LANE_PATIENCE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    pause();
    for input in ["", "POST /api/checkout/reserve HTTP/1.1\r\nhost:"] {
        let (mut connected, began) = (connect(&answering(Ok(reserved()))), Instant::now());
        connected.client.write_all(input.as_bytes()).await.unwrap();
        assert_eq!(rest(&mut connected.client).await, "");
        let late = began.elapsed().checked_sub(HEAD_TIME_MAX).expect("not early");
        assert!(late <= Duration::from_millis(2), "{late:?}");
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_leaves_the_outcome_unknown() {
    pause();
    let served = service(&Arc::new(Fake { answer: Answering::Never, ..Fake::default() }));
    let (mut connected, began) = (connect(&served), Instant::now());
    let input = format!("{}{LAST}", request(Call::Reserve, "", RESERVE));
    connected.client.write_all(input.as_bytes()).await.unwrap();
    let told = rest(&mut connected.client).await;
    assert!(told.starts_with("HTTP/1.1 504 ") && told.contains("outcome_unknown"), "{told}");
    assert!(began.elapsed() >= CALL_TIME_MAX);
}

/// A stop ends what is idle at once, and what is in flight after its answer, which says so.
#[tokio::test]
async fn a_stop_ends_a_connection_between_two_calls() {
    pause();
    let lane = service(&Arc::new(Fake { answer: Answering::Never, ..Fake::default() }));
    let mut told = Vec::new();
    for served in [without_lane(&lane), lane] {
        let (mut idle, mut busy, began) = (connect(&served), connect(&served), Instant::now());
        busy.client.write_all(request(Call::Reserve, "", RESERVE).as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        for connected in [&idle, &busy] {
            connected.stopping.send_replace(true);
        }
        let drained = tokio::spawn(idle.drain.shutdown());
        assert_eq!(rest(&mut idle.client).await, "");
        drained.await.unwrap();
        assert!(began.elapsed() < CALL_TIME_MAX);
        let (finished, ()) = tokio::join!(rest(&mut busy.client), busy.drain.shutdown());
        assert!(
            finished.starts_with("HTTP/1.1 504 ") && finished.contains("connection: close\r\n"),
            "{finished}"
        );
        told.push(without_dates(&finished));
    }
    assert_eq!(told[0], told[1]);
}

/// The library finishes what it has begun to read; it was given half a request as one that it had seen nothing of.
#[tokio::test]
async fn a_stop_lets_a_request_finish_that_was_handed_over_half() {
    pause();
    let served = answering(Ok(reserved()));
    let request = request(Call::Reserve, "", RESERVE);
    let (first, second) = request.split_at(request.len() - 5);
    for served in [without_lane(&served), served] {
        let mut connected = connect(&served);
        connected.client.write_all(first.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        connected.stopping.send_replace(true);
        tokio::time::sleep(2 * LANE_PATIENCE).await;
        connected.client.write_all(second.as_bytes()).await.unwrap();
        let (told, ()) = tokio::join!(rest(&mut connected.client), connected.drain.shutdown());
        assert!(told.starts_with("HTTP/1.1 201 ") && told.contains("connection: close\r\n"), "{told}");
    }
}

/// Else the calls of clients that give up and come again would gather in an overload.
#[tokio::test]
async fn who_hangs_up_gives_the_call_up() {
    pause();
    let lane = service(&Arc::new(Fake { answer: Answering::Never, ..Fake::default() }));
    for served in [without_lane(&lane), lane] {
        let (mut connected, began) = (connect(&served), Instant::now());
        connected.client.write_all(request(Call::Reserve, "", RESERVE).as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(connected.client);
        connected.drain.shutdown().await;
        assert!(began.elapsed() < CALL_TIME_MAX, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn what_comes_while_a_call_is_in_flight_is_answered_after_it() {
    let served = answering(Ok(reserved()));
    let request = request(Call::Reserve, "", RESERVE);
    let mut connected = connect(&served);
    for part in [&*request, &request[..9], &request[9..], &request, LAST] {
        connected.client.write_all(part.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    let told = rest(&mut connected.client).await;
    assert_eq!(told.matches("HTTP/1.1 201 Created\r\n").count(), 3, "{told}");
}

/// A head in many pieces would be looked at from its beginning with each of them.
#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_left_to_the_library() {
    let served = answering(Ok(reserved()));
    let (mut client, stream) = duplex(1 << 10);
    let stopping = watch::Sender::new(false);
    let lane = Lane::new(served.api.as_ref().unwrap(), stream, stopping.subscribe());
    let request = request(Call::Reserve, "", RESERVE);
    let writing = async {
        for byte in request.bytes() {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        std::future::pending::<()>().await;
    };
    let left = tokio::select! { left = lane.run() => left.unwrap(), () = writing => unreachable!() };
    let Left::Other(_, read) = left else { panic!("it ended") };
    assert!((1..20).contains(&read.len()), "{}", read.len());
}
