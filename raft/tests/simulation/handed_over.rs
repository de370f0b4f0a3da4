//! A leader that has handed over to a node which never takes over: it is cut off, or stops.
//!
//! ```text
//!   it          leads, is to hand over, takes nothing more    read, read, read --->
//!                        |                                                        no answer confirms them, so
//!   its heir             x is cut off                                             the third hears no heartbeat,
//!   the third                                                                     campaigns, and serves
//! ```

use crate::cluster::{ALL, Cluster, answer, one_more};

/// How often somebody reads, in milliseconds: more often than a follower's patience ends.
const READ_EVERY_MS: u64 = 50;

/// Within this time the leader has begun to hand over, in milliseconds.
const BEGUN_MS: u64 = 100;

/// Within this time another node leads and serves, in milliseconds.
const SERVED_MS: u64 = 10_000;

/// Within this time all have stopped that were told to at the same time, in milliseconds: less than a leader waits for
/// an heir that is there.
const STOPPED_MS: u64 = 1_000;

/// openraft's leader takes no command from when it was told to hand over until another one leads, and sends no
/// heartbeats: so the others elect one. Ours, which confirm reads, kept them from it for as long as anybody read.
#[test]
fn reads_do_not_keep_a_leader_in_place_that_has_handed_over_to_a_node_that_is_gone() {
    for seed in 1..=5 {
        let (mut cluster, old) = Cluster::with_one(seed);
        let heir = ALL.into_iter().find(|id| *id != old).unwrap();
        for other in ALL.into_iter().filter(|id| *id != heir) {
            cluster.net.cut(other, heir, true);
            cluster.net.cut(heir, other, true);
        }
        cluster.hand_over(old, heir);
        cluster.run(BEGUN_MS);
        let mut second = cluster.submit(old, one_more());
        for passed_ms in 0.. {
            match answer(&second) {
                Some(true) => break,
                Some(false) => second = cluster.submit(old, one_more()),
                None => {}
            }
            assert!(passed_ms < SERVED_MS, "seed {seed}: nobody serves");
            if passed_ms % READ_EVERY_MS == 0 {
                cluster.read(old);
            }
            cluster.run(1);
        }
        assert_ne!(cluster.leader(&ALL), Some(old), "seed {seed}: it was told to hand over");
    }
}

/// It waited in vain for the one that it had handed over to, which was about to stop as well.
#[test]
fn a_leader_that_stops_with_all_others_does_not_wait_for_an_heir_that_is_gone() {
    for seed in 1..=5 {
        let (mut cluster, _) = Cluster::with_one(seed);
        cluster.leave();
        cluster.run(STOPPED_MS);
        assert!(cluster.have_ended(), "seed {seed}: one is still there");
    }
}
