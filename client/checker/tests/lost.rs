//! Effects that no answer names are explained by the right one of several lost calls that look alike.
//!
//! In each history the first of two calls was lost on its way, the second one was executed and its answer was lost. A
//! checker that takes the effect for that of the first one accuses the server of what it did not do.

mod support;

use checker::{History, check};
use client::api::{
    CommitRequest, IfExpired, Item, PutSkuRequest, ReleaseRequest, ReserveRequest, ReturnRequest,
};
use support::ask::Ask;
use support::talk::{Talk, reserve};

fn put(on_hand: u64) -> PutSkuRequest {
    PutSkuRequest { on_hand, ..PutSkuRequest::default() }
}

/// One who sells five units of `S`, and a hold on two of them.
fn with_a_hold() -> (Talk, String) {
    let mut talk = Talk::new();
    talk.told(&Ask::Put("S".into(), put(5)));
    let id = talk.told(&Ask::Reserve(reserve("cart", 2)));
    (talk, id)
}

fn one() -> Option<Vec<Item>> {
    Some(vec![Item::new("S", 1)])
}

fn release(reservation_id: &str, items: Option<Vec<Item>>) -> Ask {
    Ask::Release(ReleaseRequest { reservation_id: reservation_id.into(), items })
}

fn commit(reservation_id: &str, if_expired: Option<IfExpired>) -> Ask {
    let reservation_id = reservation_id.into();
    Ask::Commit(CommitRequest { reservation_id, if_expired, ..CommitRequest::default() })
}

fn passes(history: &History) {
    let verdict = check(history);
    let broken: Vec<_> = verdict.rules.iter().flat_map(|rule| &rule.violations).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Of two calls the first is lost on its way, and the second one's answer; a put shows the effect of what was executed.
fn passes_with_the_second(mut talk: Talk, first: &Ask, second: &Ask, on_hand: u64) {
    talk.lost_before(first);
    talk.lost(second);
    talk.told(&Ask::Put("S".into(), put(on_hand)));
    passes(&talk.history());
}

#[test]
fn a_lost_release_of_a_part_does_not_stand_for_that_of_the_whole() {
    let (talk, id) = with_a_hold();
    passes_with_the_second(talk, &release(&id, one()), &release(&id, None), 7);
}

#[test]
fn a_lost_release_of_the_whole_does_not_stand_for_that_of_a_part() {
    let (talk, id) = with_a_hold();
    passes_with_the_second(talk, &release(&id, None), &release(&id, one()), 7);
}

#[test]
fn a_lost_commit_that_would_not_reacquire_does_not_stand_for_one_that_did() {
    let (mut talk, id) = with_a_hold();
    talk.wait(40);
    passes_with_the_second(talk, &commit(&id, None), &commit(&id, Some(IfExpired::Reacquire)), 7);
}

#[test]
fn a_lost_return_of_all_does_not_stand_for_that_of_a_part() {
    let (mut talk, id) = with_a_hold();
    let back = |items| Ask::Return(ReturnRequest { reservation_id: id.clone(), items });
    talk.told(&commit(&id, None));
    passes_with_the_second(talk, &back(None), &back(one()), 7);
}

#[test]
fn a_lost_reserve_that_would_not_wait_does_not_stand_for_one_that_waits() {
    let (talk, _) = with_a_hold();
    let second = reserve("second", 4);
    let waiting = ReserveRequest { wait: Some(true), ..second.clone() };
    passes_with_the_second(talk, &Ask::Reserve(second), &Ask::Reserve(waiting), 5);
}

#[test]
fn a_lost_reserve_of_another_time_to_live_does_not_stand_for_one_that_waited() {
    let (talk, _) = with_a_hold();
    let second = ReserveRequest { wait: Some(true), ..reserve("second", 4) };
    let shorter = ReserveRequest { ttl_seconds: Some(7), ..second.clone() };
    passes_with_the_second(talk, &Ask::Reserve(shorter), &Ask::Reserve(second), 9);
}

#[test]
fn a_lost_put_without_a_limit_does_not_stand_for_one_with_it() {
    let (mut talk, _) = with_a_hold();
    talk.lost_before(&Ask::Put("S".into(), put(7)));
    talk.lost(&Ask::Put("S".into(), PutSkuRequest { max_per_customer: Some(Some(3)), ..put(7) }));
    passes(&talk.history());
}
