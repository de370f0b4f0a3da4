//! A leader that is cut off and deposed, and that nothing reaches but what the others had answered before.
//!
//! ```text
//!   it           leads, has one, takes a second, sends it |           nothing leaves it           a read -----> ?
//!                                                         |                                              ^ ^
//!   the others   have the second on disk and say so ------|-- late ------------------------------------- | |
//!                                                         |   elect one of them, which takes a third
//! ```
//!
//! What they said is of before the read, and of what is on disk: it confirms nothing.

use crate::cluster::{ALL, Cluster, answer, one_more};

/// Within this time all connections are made that a cluster at rest has, in milliseconds.
const SETTLED_MS: u64 = 1_000;

/// Within this time what has arrived is on disk and the answer to it on its way, in milliseconds.
const WRITTEN_MS: u64 = 20;

/// Within this time what was held up on a link has arrived, and something was made of it, in milliseconds.
const ARRIVED_MS: u64 = 100;

/// openraft took the answer to an entry for the answer to all that it had sent since and that ends with this entry,
/// such as the news that it is committed. So a read was confirmed to a leader that was none any more.
#[test]
fn a_read_is_not_confirmed_by_late_answers_to_what_was_sent_before_it() {
    for seed in 1..=5 {
        let (mut cluster, old) = Cluster::with_one(seed);
        let others: Vec<u64> = ALL.into_iter().filter(|id| *id != old).collect();
        cluster.run(SETTLED_MS);

        // The second one: the others have it on disk, and the answers that say so are held up.
        others.iter().for_each(|other| cluster.net.cut(*other, old, true));
        let second = cluster.last(old).map(|last| last + 1);
        cluster.submit(old, one_more());
        cluster.wait("all have it", |cluster| {
            others.iter().all(|other| cluster.last(*other) >= second).then_some(())
        });
        cluster.run(WRITTEN_MS);
        assert!(cluster.committed(old) < second, "seed {seed}: an answer has come through");

        // The third one is taken without the old leader, which does not hear of it.
        others.iter().for_each(|other| cluster.net.cut(old, *other, true));
        let new = cluster.wait("another one leads", |cluster| cluster.leader(&others));
        let third = cluster.submit(new, one_more());
        assert!(cluster.wait("there are three", |_| answer(&third)), "seed {seed}");

        let read = cluster.read(old);
        cluster.run(1);
        for other in others {
            assert_eq!(cluster.leader(&[old]), Some(old), "seed {seed}: it has heard of it");
            cluster.net.cut(other, old, false);
            cluster.wait("the answer has come", |cluster| (cluster.committed(old) >= second).then_some(()));
            cluster.run(ARRIVED_MS);
        }
        cluster.net.heal();
        let read = cluster.wait("the read is answered", |_| answer(&read));
        assert!(read.is_err() || read == Ok(3), "seed {seed}: three were there, {read:?} was read");
    }
}
