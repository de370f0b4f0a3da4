//! Units of many commands: in order, together, each with a fate of its own, through whichever node.

mod support;

use std::time::{Duration, Instant};

use raft::{Answer, Group, ProposeError, UNIT_COMMANDS_MAX};
use storage::inventory::command::{Command, Request};
use storage::inventory::outcome::{Applied, Outcome, Rejection};
use support::{
    PATIENCE, adjust, leader, members, options, put, reserve, shutdown, sku, start, start_all, wait_converged,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

fn applied(answer: Result<Answer, ProposeError>) -> Applied {
    match answer {
        Ok(Answer::Applied(applied)) => applied,
        other => panic!("not applied: {other:?}"),
    }
}

/// The sequences of a unit's answers, which must all be applied.
fn sequences(answers: Vec<Result<Answer, ProposeError>>) -> Vec<u64> {
    answers.into_iter().map(|answer| applied(answer).sequence).collect()
}

/// The sequences of a unit whose commands have keys: where the machine was too busy to tell them in time it is asked
/// again, and a replay has the sequence of the first try.
async fn sequences_at_last(group: &Group, unit: &[Request]) -> Vec<u64> {
    let since = Instant::now();
    loop {
        let answers = group.submit_many(unit.to_vec()).await;
        if answers.iter().all(|answer| matches!(answer, Ok(Answer::Applied(_)))) {
            return sequences(answers);
        }
        assert!(since.elapsed() < PATIENCE, "{answers:?}");
    }
}

fn is_consecutive(sequences: &[u64]) -> bool {
    sequences.windows(2).all(|pair| pair[0] + 1 == pair[1])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_depends_on_itself_is_executed_in_order_from_every_node() {
    let directory = TempDir::new().unwrap();
    let groups = start_all(&members(), directory.path()).await;
    groups[0].submit(put(0)).await.unwrap();
    for (round, group) in groups.iter().enumerate() {
        // The reserves would be refused by the state as it is; the adjust before them makes room for two of three.
        let carts = [3 * round, 3 * round + 1, 3 * round + 2];
        let mut unit = vec![reserve(1_000 + round), adjust(2)];
        unit.extend(carts.map(reserve));
        let answers: Vec<_> = group.submit_many(unit).await.into_iter().map(applied).collect();
        let told: Vec<_> = answers.iter().map(|applied| &applied.result).collect();
        assert!(matches!(told[0], Err(Rejection::HeldByOthers { .. } | Rejection::InsufficientStock { .. })));
        assert!(matches!(told[1], Ok(Outcome::SkuSet(stock)) if stock.on_hand == 2 * (round as u64 + 1)));
        assert!(
            matches!(told[2..], [Ok(Outcome::Reserved(_)), Ok(Outcome::Reserved(_)), Err(_)]),
            "{told:?}"
        );
        let sequences: Vec<_> = answers.iter().map(|applied| applied.sequence).collect();
        assert!(is_consecutive(&sequences), "{sequences:?}");
    }
    assert_eq!(groups[0].submit_many(Vec::new()).await, []);
    shutdown(groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_answers_a_unit_only_where_it_refuses_all_of_it() {
    let directory = TempDir::new().unwrap();
    let groups = start_all(&members(), directory.path()).await;
    groups[0].submit(put(0)).await.unwrap();
    for group in &groups {
        let proposed: u64 = groups.iter().map(|group| group.stats().entries_proposed).sum();
        let refused = group.submit_many((0..50).map(reserve).collect()).await;
        let is_gated = |answer: &Result<_, _>| matches!(answer, Ok(Answer::Gated(_)));
        assert!(refused.len() == 50 && refused.iter().all(is_gated), "{refused:?}");
        let after: u64 = groups.iter().map(|group| group.stats().entries_proposed).sum();
        // A rare idle tick may have come between.
        assert!(after - proposed <= 1, "{} entries for what is surely refused", after - proposed);

        let mut mixed: Vec<_> = (0..50).map(reserve).collect();
        mixed.push(adjust(1));
        mixed.push(adjust(-1));
        let sequences = sequences(group.submit_many(mixed).await);
        assert!(sequences.len() == 52 && is_consecutive(&sequences), "{sequences:?}");
    }
    shutdown(groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_commands_are_one_entry_and_nobody_comes_between() {
    let directory = TempDir::new().unwrap();
    let groups = start_all(&members(), directory.path()).await;
    groups[0].submit(put(1_000_000)).await.unwrap();
    let leader = leader(&groups).await;
    let mut others = JoinSet::new();
    for cart in 0..200 {
        let group = groups[cart % 3].clone();
        others.spawn(async move { group.submit(reserve(100_000 + cart)).await });
    }
    let follower = &groups[(leader + 1) % 3];
    let unit: Vec<_> = (0..UNIT_COMMANDS_MAX).map(reserve).collect();
    let sequences = sequences_at_last(follower, &unit).await;
    assert!(sequences.len() == UNIT_COMMANDS_MAX && is_consecutive(&sequences));
    assert!(others.join_all().await.into_iter().all(|answer| answer.is_ok()));
    wait_converged(&groups).await;
    shutdown(groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_no_entry_can_carry_is_whole_and_in_order_all_the_same() {
    let directory = TempDir::new().unwrap();
    let groups = start_all(&members(), directory.path()).await;
    groups[0].submit(put(1_000_000)).await.unwrap();
    let leader = leader(&groups).await;
    let before = groups[leader].stats().entries_proposed;
    // About 14 KiB each, 8 MiB together.
    let long = |cart| Request { idempotency_key: Some(format!("{cart:0>14000}").into()), ..reserve(cart) };
    let unit: Vec<_> = (0..600).map(long).collect();
    let sequences = sequences_at_last(&groups[(leader + 1) % 3], &unit).await;
    assert!(sequences.len() == 600 && is_consecutive(&sequences), "{sequences:?}");
    let entries = groups[leader].stats().entries_proposed - before;
    assert!((4..=12).contains(&entries), "{entries} entries");
    wait_converged(&groups).await;
    shutdown(groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_is_too_large_is_refused_whole_and_at_once() {
    let directory = TempDir::new().unwrap();
    let groups = start_all(&members(), directory.path()).await;
    let tick = Request { idempotency_key: None, command: Command::Tick };
    let many = groups[0].submit_many(vec![tick; UNIT_COMMANDS_MAX + 1]).await;
    assert_eq!(many, vec![Err(ProposeError::Overloaded); UNIT_COMMANDS_MAX + 1]);
    shutdown(groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_survive_leaders_that_go_away_in_their_middle() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let mut groups = start_all(&members, directory.path()).await;
    groups[0].submit(put(1_000_000)).await.unwrap();
    let mut next = 0;
    for _round in 0..4 {
        let gone = leader(&groups).await;
        let asked = groups[(gone + 1) % 3].clone();
        let first = next;
        let asking = tokio::spawn(async move { ask_until_answered(&asked, first..first + 2_000).await });
        tokio::time::sleep(Duration::from_millis(30)).await;
        groups.remove(gone).shutdown().await.unwrap();
        next += asking.await.unwrap();
        groups.insert(gone, start(options(&members, gone as u64 + 1, directory.path())).await);
        support::wait_ready(&groups[gone]).await;
    }
    wait_converged(&groups).await;
    let read = groups[0].read(|inventory| inventory.stock(&sku())).await.unwrap();
    assert_eq!(read.value.unwrap().held, next as u64, "a cart was executed twice, or lost");
    shutdown(groups).await;
}

/// Units of 200 carts until each of them is answered; what is not is asked again under its key. Answers how many carts
/// there were.
async fn ask_until_answered(group: &Group, carts: std::ops::Range<usize>) -> usize {
    let asked = carts.len();
    for unit in carts.collect::<Vec<_>>().chunks(200) {
        let since = Instant::now();
        let mut left = unit.to_vec();
        while !left.is_empty() {
            let answers = group.submit_many(left.iter().copied().map(reserve).collect()).await;
            let (mut again, mut last) = (Vec::new(), 0);
            for (cart, answer) in left.into_iter().zip(answers) {
                match answer {
                    Ok(Answer::Applied(applied)) => {
                        assert!(applied.result.is_ok(), "{applied:?}");
                        assert!(applied.replayed || applied.sequence > last, "cart {cart} overtook another");
                        last = applied.sequence;
                    }
                    Ok(gated) => panic!("{gated:?}"),
                    Err(_) => again.push(cart),
                }
            }
            left = again;
            assert!(since.elapsed() < PATIENCE, "{} carts have no answer", left.len());
        }
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_later_state_is_woken_on_every_node() {
    let directory = TempDir::new().unwrap();
    let groups = start_all(&members(), directory.path()).await;
    let seen: Vec<_> = groups.iter().map(|group| group.read_stale(|_| ()).sequence).collect();
    let last = applied(groups[1].submit(put(1)).await).sequence;
    for (group, seen) in groups.iter().zip(seen) {
        for past in [seen, last - 1] {
            tokio::time::timeout(PATIENCE, group.applied_past(past)).await.expect("it is never woken");
            assert!(group.read_stale(|_| ()).sequence > past);
        }
    }
    let waiting = groups[2].clone();
    let woken = tokio::spawn(async move { waiting.applied_past(last).await });
    assert!(!woken.is_finished());
    groups[0].submit(put(2)).await.unwrap();
    tokio::time::timeout(PATIENCE, woken).await.expect("it is never woken").unwrap();
    shutdown(groups).await;
}
