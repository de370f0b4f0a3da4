use super::*;

/// A cluster of these voters and learners, of which these do not answer, or lack so many entries.
fn known(voters: &[u64], learners: &[u64], ill: &[(u64, Option<u64>)]) -> Known {
    let all = voters.iter().chain(learners);
    let node = |id: u64| PeerNode {
        raft: format!("raft-{id}:1"),
        http: format!("http-{id}:1"),
        store_id: u128::from(id),
    };
    let nodes: BTreeMap<u64, PeerNode> = all.clone().map(|id| (*id, node(*id))).collect();
    let mut behind: BTreeMap<u64, Option<u64>> = all.map(|id| (*id, Some(0))).collect();
    for (id, entries) in ill {
        match entries {
            Some(_) => behind.insert(*id, *entries),
            None => behind.remove(id),
        };
    }
    Known { membership: uniform(voters.iter().copied().collect(), nodes), behind }
}

fn dead(id: u64) -> (u64, Option<u64>) {
    (id, None)
}

/// Three voters, of which one answers, and no more is known of it yet.
fn known_anew(id: u64) -> Known {
    let mut cluster = known(&[1, 2, id], &[], &[]);
    cluster.behind.insert(id, None);
    cluster
}

fn text(planned: Result<Vec<Membership>, Refusal>) -> Result<String, RefusalKind> {
    let one = |membership: &Membership| {
        let voters: Vec<String> =
            membership.get_joint_config().iter().map(|voters| format!("{voters:?}")).collect();
        let learners: Vec<u64> = membership.learner_ids().collect();
        format!("{}+{learners:?}", voters.concat())
    };
    let all = |planned: Vec<Membership>| planned.iter().map(one).collect::<Vec<_>>().join(" ");
    planned.map(all).map_err(|refusal| refusal.kind)
}

fn member(id: u64, raft: &str, http: &str) -> Member {
    Member { id, raft: raft.into(), http: http.into() }
}

#[test]
fn a_new_node_is_a_learner_first_and_has_what_no_other_has() {
    let three = known(&[1, 2, 3], &[], &[]);
    let four = member(4, "raft-4:1", "http-4:1");
    assert_eq!(three.check_new(&four), Ok(false));
    assert_eq!(text(Ok(three.add(&four, 4))), Ok("{1, 2, 3}+[4]".into()));
    assert_eq!(known(&[1, 2, 3], &[4], &[]).check_new(&four), Ok(true));
    for (what, cluster, member, kind) in [
        ("another address", &three, member(3, "raft-3:2", "http-3:1"), RefusalKind::Exists),
        ("the address of another", &three, member(4, "raft-3:1", "http-4:1"), RefusalKind::Exists),
        ("crosswise", &three, member(4, "raft-4:1", "raft-3:1"), RefusalKind::Exists),
        (
            "an eighth",
            &known(&[1, 2, 3, 4, 5], &[6, 7], &[]),
            member(8, "a:1", "b:1"),
            RefusalKind::OutOfRange,
        ),
    ] {
        assert_eq!(cluster.check_new(&member).map_err(|refusal| refusal.kind), Err(kind), "{what}");
    }
}

#[test]
fn a_learner_votes_once_it_has_caught_up() {
    use RefusalKind::{Behind, NotFound, OutOfRange, QuorumLost, Unreachable};
    for (what, cluster, planned) in [
        ("a learner", known(&[1, 2, 3], &[4], &[]), Ok("{1, 2, 3, 4}+[]")),
        ("a voter", known(&[1, 2, 3, 4], &[], &[]), Ok("")),
        ("nobody", known(&[1, 2, 3], &[], &[]), Err(NotFound)),
        ("a dead one", known(&[1, 2, 3], &[4], &[dead(4)]), Err(Unreachable)),
        ("one that lacks some", known(&[1, 2, 3], &[4], &[(4, Some(1_000))]), Ok("{1, 2, 3, 4}+[]")),
        ("one that lacks more", known(&[1, 2, 3], &[4], &[(4, Some(1_001))]), Err(Behind)),
        ("one beside a dead voter", known(&[1, 2, 3], &[4], &[dead(3)]), Ok("{1, 2, 3, 4}+[]")),
        ("one beside two dead voters", known(&[1, 2, 3], &[4], &[dead(3), dead(2)]), Err(QuorumLost)),
        ("a sixth", known(&[1, 2, 3, 5, 6], &[4], &[]), Err(OutOfRange)),
    ] {
        assert_eq!(text(cluster.promote(4)), planned.map(str::to_owned), "{what}");
    }
}

#[test]
fn a_node_is_removed_where_the_rest_is_a_quorum_that_is_there() {
    use RefusalKind::{NotFound, OutOfRange, QuorumLost};
    for (what, cluster, to_replace, planned) in [
        ("a learner", known(&[1, 2, 3], &[4], &[dead(4)]), false, Ok("{1, 2, 3}+[]")),
        ("a learner beside a dead voter", known(&[1, 2, 3], &[4], &[dead(2)]), false, Ok("{1, 2, 3}+[]")),
        ("nobody", known(&[1, 2, 3], &[], &[]), false, Err(NotFound)),
        ("one of four", known(&[1, 2, 3, 4], &[], &[]), false, Ok("{1, 2, 3}+[]")),
        ("a dead one of four", known(&[1, 2, 3, 4], &[], &[dead(4)]), false, Ok("{1, 2, 3}+[]")),
        ("one of four beside a dead one", known(&[1, 2, 3, 4], &[], &[dead(3)]), false, Ok("{1, 2, 3}+[]")),
        ("one of five, two dead", known(&[1, 2, 3, 4, 5], &[], &[dead(3), dead(5)]), false, Err(QuorumLost)),
        (
            "one of five, one behind",
            known(&[1, 2, 3, 4, 5], &[], &[dead(3), (5, Some(9_999))]),
            false,
            Err(QuorumLost),
        ),
        ("one of three", known(&[1, 2, 4], &[], &[]), false, Err(OutOfRange)),
        ("a dead one of three", known(&[1, 2, 4], &[3], &[dead(4)]), false, Err(OutOfRange)),
        ("a dead one of three, to replace it", known(&[1, 2, 4], &[], &[dead(4)]), true, Ok("{1, 2}+[]")),
        ("one of three that serves, to replace it", known(&[1, 2, 4], &[], &[]), true, Err(QuorumLost)),
        (
            "one that a new leader has heard of, but does not know the log of",
            known_anew(4),
            true,
            Err(QuorumLost),
        ),
        (
            "one that is far behind, to replace it",
            known(&[1, 2, 4], &[], &[(4, Some(9_999))]),
            true,
            Err(QuorumLost),
        ),
        (
            "two dead ones of three, to replace one",
            known(&[1, 2, 4], &[], &[dead(2), dead(4)]),
            true,
            Err(QuorumLost),
        ),
        ("a dead one of two, to replace it", known(&[1, 4], &[], &[dead(4)]), true, Err(OutOfRange)),
    ] {
        assert_eq!(text(cluster.remove(4, to_replace)), planned.map(str::to_owned), "{what}");
    }
}

#[test]
fn a_learner_takes_a_voters_place_by_way_of_both() {
    use RefusalKind::{Behind, Exists, Learner, NotFound, QuorumLost, Unreachable};
    for (what, cluster, planned) in [
        ("a dead voter's", known(&[1, 2, 3], &[4], &[dead(3)]), Ok("{1, 2, 3}{1, 2, 4}+[] {1, 2, 4}+[]")),
        (
            "another learner stays",
            known(&[1, 2, 3], &[4, 5], &[]),
            Ok("{1, 2, 3}{1, 2, 4}+[5] {1, 2, 4}+[5]"),
        ),
        ("it did so before", known(&[1, 2, 4], &[], &[]), Ok("")),
        ("nobody's", known(&[1, 2, 5], &[4], &[]), Err(NotFound)),
        ("nobody does", known(&[1, 2, 3], &[], &[]), Err(NotFound)),
        ("a learner's", known(&[1, 2, 5], &[3, 4], &[]), Err(Learner)),
        ("a voter does", known(&[1, 2, 3, 4], &[], &[]), Err(Exists)),
        ("a dead one does", known(&[1, 2, 3], &[4], &[dead(4)]), Err(Unreachable)),
        ("one that is behind does", known(&[1, 2, 3], &[4], &[(4, Some(5_000))]), Err(Behind)),
        ("too few would be there", known(&[1, 2, 3], &[4], &[dead(2), dead(1)]), Err(QuorumLost)),
    ] {
        assert_eq!(text(cluster.swap(3, 4)), planned.map(str::to_owned), "{what}");
    }
}

#[test]
fn who_is_behind_or_has_no_vote_does_not_lead() {
    let cluster = known(&[1, 2, 3], &[4], &[(3, Some(2_000)), dead(2)]);
    let kinds = [1, 2, 3, 4, 5].map(|id| cluster.check_heir(id).map_err(|refusal| refusal.kind));
    use RefusalKind::{Behind, Learner, NotFound, Unreachable};
    assert_eq!(kinds, [Ok(()), Err(Unreachable), Err(Behind), Err(Learner), Err(NotFound)]);
    assert_eq!(cluster.healthy(), BTreeSet::from([1]));
}

#[test]
fn what_a_dead_leader_left_half_done_is_ended_as_it_was_meant() {
    let steps = known(&[1, 2, 3], &[4, 5], &[]).swap(3, 4).unwrap();
    assert_eq!(end(&steps[0]).as_ref(), Some(&steps[1]));
    assert_eq!(end(&steps[1]), None);
}
