use storage::inventory::command::Command;
use storage::inventory::outcome::{Applied, Rejection};

use super::*;
use crate::suite::alone;
use crate::{Answer, Limit};

#[test]
fn only_the_end_of_a_unit_that_was_not_executed_is_tried_again() {
    let (done, unknown) = (Ok(Answer::Applied(applied())), Err(ProposeError::OutcomeUnknown));
    let (leader, quorum) = (Err(ProposeError::NoLeader), Err(ProposeError::NoQuorum));
    let cases = [
        (vec![], None),
        (vec![&done], None),
        (vec![&done, &unknown], None),
        (vec![&leader], Some((0, ProposeError::NoLeader))),
        (vec![&quorum, &quorum], Some((0, ProposeError::NoQuorum))),
        (vec![&done, &quorum, &leader], Some((1, ProposeError::NoQuorum))),
        (vec![&unknown, &leader], Some((1, ProposeError::NoLeader))),
        (vec![&leader, &done], None),
        (vec![&leader, &unknown, &leader], Some((2, ProposeError::NoLeader))),
        (vec![&Err(ProposeError::Overloaded)], None),
        (vec![&Err(ProposeError::NoSpace)], None),
    ];
    for (answers, end) in cases {
        let answers: Vec<_> = answers.into_iter().cloned().collect();
        assert_eq!(not_executed_end(&answers), end, "{answers:?}");
    }
}

#[test]
fn what_was_refused_is_told_where_it_stood() {
    let limited = ProposeError::RateLimited { limit: Limit::Customer, wait_ms: 7 };
    let done = Ok(Answer::Applied(applied()));
    let told =
        together(vec![None, Some(limited), None, None], vec![done.clone(), Err(ProposeError::NoQuorum)]);
    let unknown = Err(ProposeError::OutcomeUnknown);
    assert_eq!(told, [done.clone(), Err(limited), Err(ProposeError::NoQuorum), unknown]);
    assert_eq!(together(Vec::new(), vec![done.clone()]), [done]);
}

fn applied() -> Applied {
    Applied { sequence: 1, replayed: false, result: Err(Rejection::AlreadyCommitted) }
}

/// Clients came to wait at a node that had just started and that its peers did not deal with yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_node_that_is_held_off_is_not_executed_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let group = alone(&directory).await;
    let proposer = group.proposer();
    let mut quickest = Duration::MAX;
    // A busy machine may well take longer than a command is waited with, but not each time.
    for _ in 0..10 {
        let since = Instant::now();
        proposer.local.refusals.hold_off();
        let tick = Request { idempotency_key: None, command: Command::Tick };
        assert_eq!(proposer.submit(tick, None).await, Err(ProposeError::NoLeader));
        assert!(group.read(|_| ()).await.is_err());
        quickest = quickest.min(since.elapsed());
    }
    assert!(quickest < PATIENCE, "it was tried again");
    group.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_forwarded_to_a_node_that_does_not_lead_is_refused_and_not_passed_on() {
    let directory = tempfile::tempdir().unwrap();
    let group = alone(&directory).await;
    let tick = Request { idempotency_key: None, command: Command::Tick };
    let unit = |requests| Forwarded { requests, caller: None, counted: false };
    let units = vec![unit(Requests::Many(vec![tick.clone(); 3])), unit(Requests::One(tick.clone()))];
    let since = Instant::now();
    let answers = group.proposer().submit_forwarded(units).await;
    assert_eq!(answers, vec![Err(ProposeError::NoLeader); 4]);
    assert!(since.elapsed() < PATIENCE, "it was tried again here");
    // What this node's own clients ask is tried for longer, and refused whole.
    assert_eq!(group.submit_many(vec![tick; 2]).await, vec![Err(ProposeError::NoLeader); 2]);
    assert!(since.elapsed() > PATIENCE, "it was not tried again");
    group.shutdown().await.unwrap();
}
