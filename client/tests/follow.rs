//! Following the change feed over scripted nodes that die, repeat themselves, fall silent and refuse.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a broken script ends the test")]

mod support;

use std::time::Duration;

use client::Error;
use client::api::EventData;
use futures_util::StreamExt;

use support::{Deed, Node, client, header, problem};

const STREAM: &str = "content-type: text/event-stream\r\n";

/// The message of an event.
fn message(id: &str) -> String {
    let data = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/clusters/c","type":"lastunit.stock.deleted","subject":"PS5",
            "time":"2026-11-22T10:00:00.000Z","datacontenttype":"application/json","sequence":"1",
            "data":{{"cause":"delete","before":null,"after":null}}}}"#
    )
    .replace('\n', " ");
    format!("id: {id}\nevent: lastunit.stock.deleted\ndata: {data}\n\n")
}

/// A stream that brings these and ends.
fn stream(messages: &[String]) -> Deed {
    Deed::Answer(200, STREAM, messages.concat())
}

fn messages(ids: &[&str]) -> Deed {
    stream(&ids.iter().map(|id| message(id)).collect::<Vec<_>>())
}

/// The problem that says from where the feed can be read on.
fn expired(resume_after: &str) -> String {
    format!(
        r#"{{"type":"about:blank","title":"t","status":410,"detail":"d","code":"events_expired",
            "retryable":false,"executed":"no","oldest":"99.0","resume_after":"{resume_after}"}}"#
    )
    .replace('\n', " ")
}

fn cursors(node: &Node) -> Vec<String> {
    node.heard().iter().map(|request| header(request, "last-event-id")).collect()
}

#[tokio::test]
async fn it_goes_on_at_the_next_node_without_a_gap_or_a_repeat() {
    let first = Node::new([messages(&["1.0", "1.1"]), Deed::Drop]).await;
    // What was answered already is dropped.
    let second = Node::new([messages(&["1.0", "1.1", "2.0"]), messages(&["10.0"])]).await;
    let third = Node::new([Deed::Break, messages(&["11.0"])]).await;
    let client = client([&first.address, &second.address, &third.address]);
    let mut follow = client.events().sku("PS5").follow();
    for id in ["1.0", "1.1", "2.0", "10.0", "11.0"] {
        let event = follow.next().await.unwrap();
        assert_eq!(event.id, id);
        assert!(matches!(event.data, EventData::Stock(_)));
        assert_eq!(follow.cursor(), Some(id));
    }
    assert_eq!(cursors(&first), ["", "2.0"]);
    assert_eq!(cursors(&second), ["1.1", "2.0"]);
    assert_eq!(cursors(&third), ["2.0", "10.0"]);
    let request = &first.heard()[0];
    assert!(request.starts_with("GET /api/events?sku=PS5 HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(request, "accept"), "text/event-stream");
}

#[tokio::test]
async fn a_dead_node_is_passed_over_and_one_without_a_leader_waited_for() {
    let dead = Node::dead().await;
    let node =
        Node::new([problem(503, "retry-after: 0\r\n", "no_leader", true, "no"), messages(&["5.0"])]).await;
    let mut follow = client([&dead, &node.address]).events().after(4).follow();
    assert_eq!(follow.next().await.unwrap().id, "5.0");
    assert_eq!(cursors(&node), ["4", "4"]);
}

#[tokio::test]
async fn a_silent_connection_is_given_up() {
    let silent = format!("HTTP/1.1 200 X\r\n{STREAM}transfer-encoding: chunked\r\n\r\n");
    let (paused, node) = (Node::new([Deed::Raw(silent)]).await, Node::new([messages(&["1.0"])]).await);
    let follow = client([&paused.address, &node.address]).events().follow();
    let mut follow = follow.silence_max(Duration::from_millis(50));
    assert_eq!(follow.next().await.unwrap().id, "1.0");
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_given_up() {
    let (paused, node) = (Node::new([Deed::Hang]).await, Node::new([messages(&["1.0"])]).await);
    let builder = client::Client::builder().try_time_max(Duration::from_millis(50));
    let client = builder.build([&paused.address, &node.address]).unwrap().prefer(0);
    assert_eq!(client.events().follow().next().await.unwrap().id, "1.0");
}

#[tokio::test]
async fn a_cursor_that_is_too_old_ends_it() {
    let refusal = expired("8");
    let at_once = Deed::Answer(410, "", refusal.clone());
    let slow = stream(&[message("1.0"), format!("event: lastunit.events_expired\ndata: {refusal}\n\n")]);
    for (script, events) in [(at_once, 0), (slow, 1)] {
        let node = Node::new([script]).await;
        let mut follow = client([&node.address]).events().after("0.1").follow();
        for _ in 0..events {
            follow.next().await.unwrap();
        }
        let Err(Error::Refused(refusal)) = follow.next().await else { panic!("the cursor is too old") };
        assert_eq!((&*refusal.problem.code, refusal.resume_after()), ("events_expired", Some("8")));
    }
}

#[tokio::test]
async fn without_a_cursor_it_begins_at_the_oldest_event_that_is_kept() {
    let at_once = |resume_after| Deed::Answer(410, "", expired(resume_after));
    let slow = stream(&[format!("event: lastunit.events_expired\ndata: {}\n\n", expired("8"))]);
    // By the next try that one is gone, too.
    let script = [slow, at_once("9.1"), messages(&["9.2"]), at_once("12")];
    let node = Node::new(script).await;
    let mut follow = client([&node.address]).events().follow();
    assert_eq!(follow.next().await.unwrap().id, "9.2");
    assert!(matches!(follow.next().await, Err(Error::Refused(_))), "now there is a cursor");
    assert_eq!(cursors(&node), ["", "8", "9.1", "9.2"]);
    // Who says the same again would be asked for ever.
    let node = Node::new([at_once("8"), at_once("8")]).await;
    assert!(matches!(client([&node.address]).events().follow().next().await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn a_page_without_a_cursor_is_that_of_the_oldest_event_that_is_kept() {
    let empty = || Deed::Answer(200, "", r#"{"data":[],"next_cursor":"9"}"#.to_owned());
    let gone = |resume_after| Deed::Answer(410, "", expired(resume_after));
    let node = Node::new([gone("8"), gone("9"), empty(), gone("12")]).await;
    let client = client([&node.address]);
    let page = client.events().sku("PS5").page().await.unwrap().value;
    assert_eq!(page.next_cursor.as_deref(), Some("9"));
    let Err(Error::Refused(refusal)) = client.events().after("9").page().await else { panic!("it is gone") };
    assert_eq!(refusal.resume_after(), Some("12"));
    let asked: Vec<_> = node.heard().iter().map(|it| it.lines().next().unwrap().to_owned()).collect();
    let expected = ["sku=PS5", "sku=PS5&after=8", "sku=PS5&after=9", "after=9"];
    assert_eq!(asked, expected.map(|query| format!("GET /api/events?{query} HTTP/1.1")));
}

#[tokio::test]
async fn what_no_node_would_send_ends_it() {
    let bad_event = stream(&["data: {}\n\n".to_owned()]);
    let bad_id = stream(&[message("seven")]);
    let no_stream = Deed::Answer(200, "content-type: application/json\r\n", "{}".to_owned());
    for script in [bad_event, bad_id, no_stream, Deed::Answer(404, "", "<html>".to_owned())] {
        let node = Node::new([script]).await;
        let error = client([&node.address]).events().follow().next().await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
    }
}

#[tokio::test]
async fn an_id_without_data_moves_the_cursor() {
    let script = [stream(&[": silence\n\n".to_owned(), "id: 7.0\n\n".to_owned()]), messages(&["8.0"])];
    let node = Node::new(script).await;
    assert_eq!(client([&node.address]).events().follow().next().await.unwrap().id, "8.0");
    assert_eq!(cursors(&node), ["", "7.0"]);
}

#[tokio::test]
async fn a_node_that_only_says_hello_is_asked_ever_less_often() {
    let hello = || stream(&["retry: 1000\n\n".to_owned()]);
    let node = Node::new(std::iter::repeat_n(hello(), 1000)).await;
    let base = Duration::from_millis(20);
    let client = client::Client::builder().backoff(base, Duration::from_secs(60)).build([&node.address]);
    let mut follow = client.unwrap().events().follow();
    assert!(tokio::time::timeout(Duration::from_secs(1), follow.next()).await.is_err());
    assert!((1..100).contains(&node.heard().len()), "{}", node.heard().len());
}

#[tokio::test]
async fn patience_ends_where_nobody_answers() {
    let dead = Node::dead().await;
    let mut follow = client([&dead]).events().follow().patience(Duration::from_millis(50));
    let error = follow.next().await.unwrap_err();
    assert!(matches!(&error, Error::NotExecuted(e) if e.tries.made > 1), "{error}");
}

#[tokio::test]
async fn a_stream_ends_after_its_first_error() {
    let node = Node::new([messages(&["1.0"]), problem(400, "", "invalid_request", false, "no")]).await;
    let stream = client([&node.address]).events().follow().into_stream();
    let told: Vec<_> = stream.map(|event| event.is_ok()).collect().await;
    assert_eq!(told, [true, false]);
}
