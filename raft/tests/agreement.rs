//! Three members of a group agree, forward, read linearizably, and forget nothing over a restart.

mod support;

use raft::Answer;
use support::{is_won, members, put, reserve, shutdown, sku, start_all, wait_converged};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn the_last_unit_goes_to_one_of_many_on_every_node() {
    let directory = TempDir::new().unwrap();
    let groups = start_all(&members(), directory.path()).await;
    groups[1].submit(put(1)).await.unwrap();
    let mut buyers = tokio::task::JoinSet::new();
    for cart in 0..200 {
        let group = groups[cart % 3].clone();
        buyers.spawn(async move { is_won(&group.submit(reserve(cart)).await.unwrap()) });
    }
    let won = buyers.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
    for group in &groups {
        let read = group.read(|inventory| inventory.stock(&sku())).await.unwrap();
        assert_eq!(read.value.unwrap().held, 1);
    }
    let gated: u64 = groups.iter().map(|group| group.stats().commands_gated).sum();
    assert!(gated > 0, "the gate answered none of 199 losers");
    shutdown(groups).await;
}

/// A follower refuses by what is applied there, which is behind: but only once it has what the leader had.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_refuses_by_itself_and_not_what_it_has_not_heard_of_yet() {
    let directory = TempDir::new().unwrap();
    let groups = start_all(&members(), directory.path()).await;
    groups[0].submit(put(0)).await.unwrap();
    let leader = groups[0].status().leader_id.unwrap();
    let (leaders, followers): (Vec<_>, Vec<_>) = groups.iter().zip(1..).partition(|(_, id)| *id == leader);
    for round in 0..40 {
        let (follower, _) = followers[round % followers.len()];
        // It has applied what came before.
        follower.read(|_| ()).await.unwrap();
        let refused = follower.submit(reserve(round)).await.unwrap();
        assert!(matches!(refused, Answer::Gated(_)), "{refused:?}");
        leaders[0].0.submit(put(round as u64 + 1)).await.unwrap();
        assert!(is_won(&follower.submit(reserve(round)).await.unwrap()), "round {round}: one unit was there");
    }
    for (follower, _) in followers {
        assert!(follower.stats().commands_gated >= 20, "it let the leader refuse");
    }
    shutdown(groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_all_forgets_nothing() {
    let directory = TempDir::new().unwrap();
    let members = members();
    let groups = start_all(&members, directory.path()).await;
    groups[0].submit(put(50)).await.unwrap();
    for cart in 0..50 {
        assert!(is_won(&groups[cart % 3].submit(reserve(cart)).await.unwrap()));
    }
    shutdown(groups).await;
    let groups = start_all(&members, directory.path()).await;
    let read = groups[2].read(|inventory| inventory.stock(&sku())).await.unwrap();
    assert_eq!(read.value.unwrap().held, 50);
    // The kept answer is given again, whoever asks.
    let Answer::Applied(again) = groups[1].submit(reserve(7)).await.unwrap() else { panic!("gated") };
    assert!(again.replayed);
    wait_converged(&groups).await;
    shutdown(groups).await;
}
