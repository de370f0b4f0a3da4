//! Every rule can fail: good histories are spoiled in one place, and the rule of that name finds it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use checker::history::{Call, Came, Json, Op, Outcome, Try};
use checker::{Conclusion, History, Verdict, check};
use client::api::{EventData, ReservationState as State};
use serde_json::{Value, json};
use support::{Wanted, by_hand, history, seeds};

/// A good history in which all that is spoiled below happens.
fn good(seed: u64) -> History {
    history(&Wanted { lost_one_in: 0, ..Wanted::new(seed) })
}

fn found(history: &History, rule: &str, spoiled: &str) -> Verdict {
    let verdict = check(history);
    let broken = verdict.rule(rule).map_or(0, |rule| rule.violations_total);
    assert!(broken > 0, "{spoiled}: {rule} has found nothing; SEED={}", history.run.seed);
    assert_eq!(verdict.conclusion, Conclusion::Violated);
    verdict
}

fn body(call: &Call) -> Value {
    call.success().map_or(Value::Null, |answer| answer.body.read().unwrap())
}

/// Changes the answer of the first call that fits, a while after the beginning.
fn spoil_answer(
    history: &mut History,
    fits: impl Fn(&Call, &Value) -> bool,
    change: impl FnOnce(&mut Call, &mut Value),
) {
    let half = history.calls.len() / 3;
    let call =
        history.calls[half..].iter_mut().find(|call| call.success().is_some() && fits(call, &body(call)));
    let call = call.expect("a call that can be spoiled");
    let mut shown = body(call);
    change(call, &mut shown);
    if let Outcome::Answer(answer) = &mut call.outcome {
        answer.body = Json::of(&shown).unwrap();
    }
}

fn sequence_of(call: &mut Call) -> &mut u64 {
    match &mut call.outcome {
        Outcome::Answer(answer) => answer.sequence.as_mut().unwrap(),
        _ => panic!("no answer"),
    }
}

fn is_read(call: &Call, _: &Value) -> bool {
    call.op == Op::GetStock && !call.stale
}

fn done_fresh(call: &Call) -> bool {
    call.op.writes() && call.success().is_some_and(|answer| !answer.replayed)
}

#[test]
fn an_old_sequence_is_found() {
    for seed in seeds(0..3) {
        let mut history = good(seed);
        spoil_answer(&mut history, is_read, |call, _| *sequence_of(call) = 2);
        found(&history, "sequence_order", "a read of long ago");
        let mut history = good(seed);
        spoil_answer(&mut history, |call, _| done_fresh(call), |call, _| *sequence_of(call) = 3);
        found(&history, "sequence_order", "a write of long ago");
    }
}

#[test]
fn a_sequence_that_two_writes_share_is_found() {
    let mut history = good(1);
    let mut fresh = history.calls.iter_mut().filter(|call| done_fresh(call)).skip(40);
    let (one, other) = (fresh.next().unwrap(), fresh.next().unwrap());
    *sequence_of(other) = *sequence_of(one);
    found(&history, "sequence_unique", "one sequence for two");
}

#[test]
fn an_answer_that_the_contract_does_not_give_is_found() {
    let mut history = good(2);
    spoil_answer(&mut history, is_read, |_, record| {
        record["on_hand"] = json!(record["on_hand"].as_u64().unwrap() + 1);
        record["available"] = json!(record["on_hand"].as_u64().unwrap() - record["held"].as_u64().unwrap());
    });
    found(&history, "replay", "a unit more");
    let mut history = good(2);
    let is_refused = |call: &&mut Call| {
        call.answer().is_some_and(|answer| {
            answer.body.read::<Value>().is_ok_and(|body| body["code"] == "insufficient_stock")
        })
    };
    let refused = history.calls.iter_mut().find(is_refused).expect("a refusal");
    if let Outcome::Answer(answer) = &mut refused.outcome {
        let mut problem: Value = answer.body.read().unwrap();
        problem["code"] = json!("held_by_others");
        answer.body = Json::of(&problem).unwrap();
    }
    found(&history, "replay", "refused for another reason");
}

#[test]
fn the_last_unit_sold_twice_is_found_without_sequences() {
    let mut history = by_hand::empty();
    history.calls = vec![
        by_hand::put((0, 10), "S", 1, 1),
        by_hand::held((20, 30), "S", 2),
        by_hand::held((40, 50), "S", 3),
    ];
    found(&history, "oversell", "two holds on one unit");
    // At once, both are surely held when the later of them was answered.
    history.calls[2] = by_hand::held((25, 35), "S", 3);
    found(&history, "oversell", "two holds at once");
    history.calls[0] = by_hand::put((0, 10), "S", 2, 1);
    assert_eq!(check(&history).rule("oversell").unwrap().violations_total, 0);
}

#[test]
fn units_that_come_from_nowhere_are_found() {
    let mut history = good(3);
    history.finals[1].stock[0].on_hand += 1;
    history.finals[1].stock[0].available += 1;
    found(&history, "stock_totals", "a unit more on one node");
    let mut history = good(3);
    spoil_answer(&mut history, is_read, |_, record| record["available"] = json!(99));
    found(&history, "conservation", "more available than there is");
    let mut history = good(3);
    let sold = history.events.iter_mut().find_map(|noted| match &mut noted.event.data {
        EventData::Stock(change) if change.cause == "commit" => change.after.as_mut(),
        _ => None,
    });
    sold.unwrap().sold += 1;
    found(&history, "conservation", "sold without a unit");
}

/// Whoever is told "committed" last need not have been the one who sold.
#[test]
fn a_hold_that_may_have_lapsed_before_a_lost_commit_is_not_counted_until_the_sale() {
    let hold = by_hand::held((20, 30), "S", 2);
    let mut sold = body(&hold);
    (sold["state"], sold["committed_at"]) =
        (json!("committed"), json!(support::shop::time(support::STARTED_MS + 400_000)));
    let commit = json!({"reservation_id": "res_2", "if_expired": "reacquire"});
    let mut lost = by_hand::call(Op::Commit, (400_000_000, 400_000_010), commit, 200, 5, sold.clone());
    (lost.id, lost.outcome) = (10, Outcome::Unknown { why: "reset".into() });
    let told = json!({"reservation_id": "res_2"});
    let told = by_hand::call(Op::Commit, (500_000_000, 500_000_010), told, 200, 6, sold);
    // While it had lapsed another one held the unit, and gave it back.
    let other = by_hand::held((350_000_000, 350_000_010), "S", 3);
    let mut released = body(&other);
    released["state"] = json!("released");
    let release = json!({"reservation_id": "res_3"});
    let release = by_hand::call(Op::Release, (360_000_000, 360_000_010), release, 200, 4, released);
    let mut history = by_hand::empty();
    history.calls = vec![by_hand::put((0, 10), "S", 1, 1), hold, other, release, lost, told];
    assert_eq!(check(&history).rule("oversell").unwrap().violations_total, 0);
    history.calls.retain(|call| call.id != 10);
    found(&history, "oversell", "held without a break until the sale");
}

/// An adjust under one key may be asked for by two calls, and a lost try leaves both in doubt.
#[test]
fn an_adjust_that_two_calls_asked_for_under_one_key_counts_once() {
    let adjusted = |sequence, id, replayed| {
        let record = json!({"sku": "S", "on_hand": 3, "held": 0, "available": 3, "sold": 0, "safety_stock": 0,
            "max_per_customer": null, "waiting": 0, "version": 2});
        let mut call =
            by_hand::call(Op::Adjust, (20 + id, 21 + id), json!({"delta": 2}), 200, sequence, record);
        (call.id, call.key) = (id, Some("k".into()));
        let lost = checker::history::Came::Lost("reset".into());
        call.tries.insert(0, checker::history::Try { came: lost, ..call.tries[0].clone() });
        if let Outcome::Answer(answer) = &mut call.outcome {
            answer.replayed = replayed;
        }
        call
    };
    let mut history = good(3);
    history.calls = vec![by_hand::put((0, 10), "S", 1, 1), adjusted(2, 10, false), adjusted(2, 20, true)];
    history.events.clear();
    for last in &mut history.finals {
        last.reservations.clear();
        last.stock.truncate(1);
        let record = &mut last.stock[0];
        (record.sku, record.on_hand, record.available) = ("S".into(), 3, 3);
        (record.held, record.sold, record.safety_stock) = (0, 0, 0);
    }
    assert_eq!(check(&history).rule("stock_totals").unwrap().violations_total, 0);
    history.finals[0].stock[0].on_hand = 5;
    history.finals[0].stock[0].available = 5;
    found(&history, "stock_totals", "counted twice");
}

#[test]
fn a_lost_answer_is_found_on_whatever_node() {
    for node in 0..3 {
        let mut history = good(4);
        history.finals[node].reservations.remove(20);
        let verdict = found(&history, "nothing_lost", "a reservation is gone");
        assert!(verdict.rule("replay").unwrap().violations_total > 0);
        let mut history = good(4);
        let sold = |view: &&mut client::api::Reservation| view.state == State::Committed;
        let sold = history.finals[node].reservations.iter_mut().find(sold).unwrap();
        (sold.state, sold.committed_at, sold.payment_token) = (State::Held, None, None);
        found(&history, "nothing_lost", "a sale is undone");
    }
}

#[test]
fn a_hold_that_ends_early_is_found() {
    let mut history = good(5);
    let fits = |call: &Call, view: &Value| {
        call.op == Op::GetReservation && view["state"] == "held" && view["expires_in"] == 2
    };
    spoil_answer(&mut history, fits, |_, view| {
        (view["state"], view["expires_in"]) = (json!("expired"), json!(0));
    });
    found(&history, "holds_kept", "expired two seconds early");
    let mut history = good(5);
    let expired = history.events.iter_mut().find_map(|noted| match &mut noted.event.data {
        EventData::Reservation(change) if change.cause == "time" => Some(&mut change.reservation),
        _ => None,
    });
    let expired = expired.unwrap();
    let deadline: jiff::Timestamp = expired.expires_at.as_ref().unwrap().parse().unwrap();
    expired.expires_at = Some((deadline + jiff::SignedDuration::from_millis(500)).to_string());
    found(&history, "holds_kept", "an event of an early end");
}

#[test]
fn a_hold_that_ends_late_is_found() {
    let mut history = good(6);
    let last = &history.finals[0];
    let expired: Vec<&str> = last
        .reservations
        .iter()
        .filter(|view| view.state == State::Expired)
        .map(|view| view.reservation_id.as_str())
        .collect();
    let held = |call: &&Call| {
        let view = body(call);
        call.op == Op::Reserve
            && view["state"] == "held"
            && expired.contains(&view["reservation_id"].as_str().unwrap())
    };
    let mut call = history.calls.iter().find(held).expect("a hold that expired").clone();
    (call.op, call.id, call.key) = (Op::GetReservation, 1 << 40, None);
    (call.started_us, call.ended_us) = (last.at_us, last.at_us + 1);
    *sequence_of(&mut call) = last.sequence;
    history.calls.push(call);
    found(&history, "holds_ended", "still held at the end");
}

#[test]
fn a_hold_that_is_live_for_seconds_more_is_found_without_sequences() {
    let mut history = by_hand::empty();
    let mut hold = by_hand::held((0, 10), "S", 1);
    let view = body(&hold);
    history.calls.push(hold.clone());
    // It serves every 100 ms, and 304 s later the hold is still there.
    for at in 0..100 {
        let from_us = 295_000_000 + at * 100_000;
        hold = by_hand::call(Op::GetReservation, (from_us, from_us + 5), Value::Null, 200, 1, view.clone());
        hold.id = at + 10;
        history.calls.push(hold.clone());
    }
    found(&history, "holds_ended", "four seconds late");
}

#[test]
fn two_effects_or_answers_under_one_key_are_found() {
    let mut history = history(&Wanted { lost_one_in: 3, ..Wanted::new(7) });
    let replayed = |call: &Call, view: &Value| {
        call.success().is_some_and(|answer| answer.replayed) && view.get("cart_id").is_some()
    };
    let again = history.calls.iter().find(|call| replayed(call, &body(call))).expect("a replay").clone();
    let mut other =
        Call { id: 1 << 40, started_us: again.ended_us + 1, ended_us: again.ended_us + 2, ..again };
    history.calls.push(other.clone());
    assert_eq!(check(&history).violations_total(), 0);
    if let Outcome::Answer(answer) = &mut other.outcome {
        let mut view: Value = answer.body.read().unwrap();
        view["cart_id"] = json!("another");
        answer.body = Json::of(&view).unwrap();
    }
    *history.calls.last_mut().unwrap() = other.clone();
    found(&history, "idempotency", "another body");
    if let Outcome::Answer(answer) = &mut other.outcome {
        answer.replayed = false;
        answer.sequence = Some(1 << 30);
    }
    *history.calls.last_mut().unwrap() = other;
    found(&history, "idempotency", "done twice");
}

/// Either the first node executed what it said it had not, or the second one sent it twice.
#[test]
fn a_replay_where_nothing_was_done_before_is_found() {
    let mut history = by_hand::empty();
    let mut hold = by_hand::held((20, 30), "S", 2);
    hold.key = Some("k".into());
    let refused = Came::Answer { status: 503, code: Some("no_leader".into()) };
    hold.tries.insert(0, Try { came: refused, ..hold.tries[0].clone() });
    history.calls = vec![by_hand::put((0, 10), "S", 1, 1), hold];
    let broken = |history: &History| check(history).rule("idempotency").unwrap().violations_total;
    assert_eq!(broken(&history), 0);
    if let Outcome::Answer(answer) = &mut history.calls[1].outcome {
        answer.replayed = true;
    }
    found(&history, "idempotency", "answered again, and never before");
    history.calls[1].tries[0].came = Came::Lost("reset".into());
    assert_eq!(broken(&history), 0, "the lost one may have been the first");
}

#[test]
fn another_call_under_a_used_key_that_is_not_refused_as_such_is_found() {
    let mut history = by_hand::empty();
    let mut hold = by_hand::held((20, 30), "S", 2);
    hold.key = Some("k".into());
    let problem = |code: &str| json!({"type": "", "title": "", "status": 409, "detail": "", "code": code, "retryable": false, "executed": "no"});
    let request = json!({"cart_id": "another", "items": [{"sku": "S", "qty": 1}]});
    let mut other = by_hand::call(Op::Reserve, (40, 50), request, 422, 3, problem("idempotency_key_reused"));
    other.key = Some("k".into());
    history.calls = vec![by_hand::put((0, 10), "S", 1, 1), hold, other];
    assert_eq!(check(&history).rule("idempotency").unwrap().violations_total, 0);
    if let Outcome::Answer(answer) = &mut history.calls[2].outcome {
        answer.status = 409;
        answer.body = Json::of(&problem("insufficient_stock")).unwrap();
    }
    found(&history, "idempotency", "refused as if its key were new");
}

#[test]
fn a_server_error_is_found_though_the_call_succeeded_in_the_end() {
    for came in [
        Came::Answer { status: 500, code: Some("internal".into()) },
        Came::Answer { status: 409, code: None },
    ] {
        let mut history = good(16);
        let again = Try { came, ..history.calls[50].tries[0].clone() };
        history.calls[50].tries.insert(0, again);
        found(&history, "readable", "an answer of no contract");
    }
}

#[test]
fn a_record_without_its_end_is_not_called_passed() {
    let mut history = good(17);
    history.end = None;
    assert_eq!(check(&history).conclusion, Conclusion::Unknown);
    let mut history = good(17);
    history.calls.retain(|call| call.op != Op::ListStock || call.stale);
    assert_eq!(check(&history).conclusion, Conclusion::Unknown);
}

/// A call goes on until it is dealt with: of calls all are.
#[test]
fn a_cluster_that_answers_only_every_other_try_is_not_called_passed() {
    let mut history = good(17);
    for call in &mut history.calls {
        let refused = Came::Answer { status: 503, code: Some("overloaded".into()) };
        call.tries.insert(0, Try { came: refused, ..call.tries[0].clone() });
    }
    let verdict = check(&history);
    assert_eq!(verdict.conclusion, Conclusion::Unknown);
    assert!(verdict.doubts[0].contains("tries between faults"), "{:?}", verdict.doubts);
}

#[test]
fn an_effect_that_the_feed_tells_twice_is_found_under_its_key() {
    let mut history = good(7);
    let keyed = history.calls.iter().find(|call| {
        call.op == Op::Reserve
            && call.key.is_some()
            && call.success().is_some_and(|answer| answer.status == 201)
    });
    let cart = body(keyed.unwrap())["cart_id"].as_str().unwrap().to_owned();
    let made = |data: &EventData| matches!(data, EventData::Reservation(change) if change.cause == "reserve" && change.reservation.cart_id == cart);
    let place = history.events.iter().position(|noted| made(&noted.event.data)).unwrap();
    let mut again = history.events[place].clone();
    let last = history.events.last().unwrap().event.sequence.parse::<u64>().unwrap();
    again.event.sequence = (last + 1).to_string();
    again.event.id = format!("{}.0", last + 1);
    history.events.push(again);
    found(&history, "idempotency", "the same cart once more");
}

/// The places of two events by which two joined one line, of whom the first was served while the second waited.
fn two_in_line(history: &History) -> Option<(usize, usize)> {
    let changes = || {
        history.events.iter().enumerate().filter_map(|(place, noted)| match &noted.event.data {
            EventData::Reservation(change) => Some((place, change)),
            EventData::Stock(_) => None,
        })
    };
    let joins = changes()
        .filter(|(_, change)| change.state_before.is_none() && change.reservation.state == State::Waiting);
    let joins: Vec<_> = joins.map(|(place, change)| (place, &change.reservation)).collect();
    let served = |id: &str| {
        let mut served = changes().filter(|(_, change)| change.reservation.state == State::Held);
        served.find(|(_, change)| change.reservation.reservation_id == id).map(|(place, _)| place)
    };
    let pair = joins.windows(2).find(|pair| {
        let [(_, one), (other_place, other)] = pair else { return false };
        let together = served(&one.reservation_id).is_some_and(|place| place > *other_place);
        one.items[0].sku == other.items[0].sku && together
    });
    pair.map(|pair| (pair[0].0, pair[1].0))
}

#[test]
fn a_line_that_is_overtaken_is_found() {
    let mut spoiled = 0;
    for seed in seeds(0..4) {
        let mut history = good(seed);
        let Some((one, other)) = two_in_line(&history) else { continue };
        let data = history.events[one].event.data.clone();
        history.events[one].event.data = std::mem::replace(&mut history.events[other].event.data, data);
        found(&history, "waiting_line", "the second one was the first one");
        spoiled += 1;
    }
    assert!(spoiled > 0 || std::env::var("SEED").is_ok(), "no line was long enough");
}

#[test]
fn a_line_that_is_overtaken_is_found_without_a_feed() {
    let mut history = by_hand::empty();
    history.calls = vec![
        by_hand::put((0, 10), "S", 1, 1),
        by_hand::held((20, 30), "S", 2),
        by_hand::waiting((40, 50), "S", 3),
        by_hand::held((60, 70), "S", 5),
    ];
    let mut served = body(&by_hand::held((40, 50), "S", 3));
    served["fencing_token"] = json!(6);
    history.calls.push(by_hand::call(Op::GetReservation, (80, 90), Value::Null, 200, 6, served));
    found(&history, "waiting_line", "a hold past the line");
}

#[test]
fn fencing_tokens_that_do_not_grow_are_found() {
    let mut history = good(8);
    let fits = |_: &Call, view: &Value| view["state"] == "held" && view["fencing_token"] != 1;
    spoil_answer(&mut history, fits, |_, view| view["fencing_token"] = json!(1));
    found(&history, "fencing", "the first token again");
}

#[test]
fn an_old_state_in_a_linearizable_read_is_found_without_sequences() {
    let mut history = good(9);
    let fits = |call: &Call, view: &Value| {
        call.op == Op::GetReservation && !call.stale && view["state"] == "committed"
    };
    let half = history.calls.len() / 2;
    let place = half + history.calls[half..].iter().position(|call| fits(call, &body(call))).unwrap();
    let mut again = history.calls[place].clone();
    (again.started_us, again.ended_us, again.id) = (again.ended_us + 1, again.ended_us + 2, 1 << 40);
    if let Outcome::Answer(answer) = &mut again.outcome {
        let mut view: Value = answer.body.read().unwrap();
        view["state"] = json!("held");
        answer.body = Json::of(&view).unwrap();
    }
    history.calls.push(again);
    found(&history, "current_reads", "held after it was committed");
}

#[test]
fn a_read_under_the_wrong_label_is_found() {
    let relabelled = |stale: bool| {
        let mut history = good(10);
        let fits = |call: &Call, _: &Value| call.op == Op::GetStock && call.stale == stale;
        spoil_answer(&mut history, fits, |call, _| call.stale = !stale);
        history
    };
    found(&relabelled(true), "stale_reads", "linearizable, labelled as stale");
    found(&relabelled(false), "stale_reads", "stale, without a label");
    let mut history = good(10);
    let fits = |call: &Call, _: &Value| call.op == Op::GetStock && call.stale;
    spoil_answer(&mut history, fits, |call, _| {
        if let Outcome::Answer(answer) = &mut call.outcome {
            answer.applied_index = Some(1 << 40);
        }
    });
    found(&history, "stale_reads", "a log entry that is another state");
}

/// Found in a run in which a node with an empty directory was asked at once.
#[test]
fn a_node_that_has_applied_nothing_has_no_log_entry_to_name() {
    let mut history = by_hand::empty();
    let nothing = json!({"data": [], "next_cursor": null, "applied_index": null});
    let mut call = by_hand::call(Op::ListReservations, (5, 6), Value::Null, 200, 0, nothing);
    call.stale = true;
    history.calls.push(call);
    assert_eq!(check(&history).rule("stale_reads").unwrap().violations_total, 0);
    *sequence_of(&mut history.calls[0]) = 1;
    found(&history, "stale_reads", "a state without its log entry");
}

#[test]
fn a_gap_in_the_feed_is_found_wherever_it_is() {
    for seed in seeds(11..13) {
        let whole = good(seed);
        // The very last ones have nothing behind them that could miss them, and are of time alone.
        for place in (0..whole.events.len() * 9 / 10).step_by(whole.events.len() / 12) {
            let mut history = whole.clone();
            let gone = history.events.remove(place);
            found(&history, "change_feed", &format!("without event {}", gone.event.id));
        }
    }
}

#[test]
fn what_nobody_asked_for_is_found_in_the_feed() {
    let mut history = good(13);
    let place = history
        .calls
        .iter()
        .position(|call| call.op == Op::Reserve && call.success().is_some_and(|answer| answer.status == 201));
    history.calls.remove(place.unwrap());
    found(&history, "change_feed", "a hold that nobody asked for");
    let mut history = good(13);
    history.finals[2].feed.digest = "another".into();
    found(&history, "change_feed", "another feed on one node");
}

#[test]
fn nodes_that_differ_are_found() {
    let mut history = good(14);
    history.finals[2].cluster.state_digest = "another".into();
    found(&history, "replicas_agree", "another digest");
    let mut history = good(14);
    history.finals[2].reservations.pop();
    found(&history, "replicas_agree", "a reservation less");
}

#[test]
fn a_clock_that_turns_back_or_runs_ahead_is_found() {
    let mut history = good(15);
    let half = history.events.len() / 2;
    history.events[half].event.time = history.events[half / 2].event.time.clone();
    found(&history, "cluster_clock", "back to the past");
    let mut history = good(15);
    history.calls.iter_mut().for_each(|call| {
        call.started_us = call.started_us.saturating_sub(2_000_000);
        call.ended_us = call.ended_us.saturating_sub(2_000_000);
    });
    found(&history, "cluster_clock", "two seconds ahead");
}

#[test]
fn an_answer_that_is_none_is_found() {
    let mut history = good(16);
    spoil_answer(&mut history, is_read, |_, record| *record = json!({"sku": 7}));
    found(&history, "readable", "a record without figures");
}

#[test]
fn a_run_that_shows_too_little_is_not_called_passed() {
    let mut history = good(17);
    assert_eq!(check(&history).conclusion, Conclusion::Passed);
    history.run.faults = vec!["kill".into()];
    assert_eq!(check(&history).conclusion, Conclusion::Unknown);
    let mut history = good(17);
    history.events.clear();
    history.finals.clear();
    history.calls.truncate(300);
    assert_eq!(check(&history).conclusion, Conclusion::Unknown);
}
