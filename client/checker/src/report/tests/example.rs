//! Runs that never were, drawn from a seed: what a report shows, without a cluster.

use std::ops::Range;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::history::{
    Answer, Call, Came, Fault, History, Json, Link, Op, Outcome, Run, Sample, Settings, Try,
};
use crate::verdict::{
    Conclusion, FaultCount, Gap, Hit, Impact, OperationCount, Rate, RuleVerdict, Statistics, Verdict,
    Violation,
};

const SECOND: u64 = 1_000_000;

/// How large a run is to be.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) nodes: u64,
    pub(super) clients: u64,
    pub(super) seconds: u64,
    /// Each client's calls in a second, when all is well.
    pub(super) calls_per_second: u64,
}

/// Something that a fault did to the leader: nobody is served meanwhile, then another one leads.
struct Outage {
    time_us: Range<u64>,
    leader: u64,
}

/// A run with everything in it, of which the checker finds nothing wrong.
pub(super) fn good(seed: u64, size: Size) -> (History, Verdict) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut history = History::new(run(seed, size));
    let outages = hurt(&mut random, &mut history, size);
    look(&mut history, &outages, size);
    call(&mut random, &mut history, &outages, size);
    let verdict = verdict(&history, &outages);
    (history, verdict)
}

/// The same, with two rules broken.
pub(super) fn violated(seed: u64, size: Size) -> (History, Verdict) {
    let (history, mut verdict) = good(seed, size);
    verdict.conclusion = Conclusion::Violated;
    let middle = history.calls.len() / 2;
    let calls = |count: usize| history.calls[middle..middle + count].iter().map(|call| call.id).collect();
    let at_us = history.calls[middle].ended_us;
    let broken = |message: &str, at_us, calls| Violation { at_us, message: message.to_owned(), calls };
    verdict.rules[1].violations = vec![broken("41 units of SKU-3 were held or sold, of 40", at_us, calls(3))];
    verdict.rules[1].violations_total = 1;
    let early =
        |n: u64| broken("the hold ended 812 ms before its expires_at", at_us / 2 + n * SECOND, calls(1));
    verdict.rules[3].violations = (0..3).map(early).collect();
    verdict.rules[3].violations_total = 3;
    (history, verdict)
}

/// The same, where too little was answered.
pub(super) fn unknown(seed: u64, size: Size) -> (History, Verdict) {
    let (mut history, mut verdict) = good(seed, size);
    verdict.conclusion = Conclusion::Unknown;
    verdict.doubts = vec!["No fault of the kind clock bit.".to_owned()];
    verdict
        .statistics
        .faults
        .iter_mut()
        .filter(|count| count.fault == "clock")
        .for_each(|count| count.fired = 0);
    history.faults.iter_mut().filter(|fault| fault.fault == "clock").for_each(|fault| fault.fired = false);
    (history, verdict)
}

/// A run in which nothing happened.
pub(super) fn empty() -> (History, Verdict) {
    let size = Size { nodes: 3, clients: 0, seconds: 0, calls_per_second: 0 };
    let statistics = Statistics::default();
    let doubts = vec!["No operation was made.".to_owned()];
    let verdict = Verdict { conclusion: Conclusion::Unknown, doubts, rules: Vec::new(), statistics };
    (History::new(Run { faults: Vec::new(), ..run(1, size) }), verdict)
}

fn run(seed: u64, size: Size) -> Run {
    let kinds = ["kill", "pause", "partition", "oneway", "slow", "clock", "disk", "membership"];
    Run {
        format: Run::FORMAT,
        version: "0.1.0".to_owned(),
        seed,
        command: format!("lastunit prove --nodes {} --seconds {} --seed {seed}", size.nodes, size.seconds),
        nodes: (1..=size.nodes).collect(),
        clients: size.clients,
        seconds: size.seconds,
        faults: kinds.map(str::to_owned).to_vec(),
        started_at: "2026-11-22T14:00:00.000Z".to_owned(),
        settings: Settings::default(),
    }
}

fn hurt(random: &mut StdRng, history: &mut History, size: Size) -> Vec<Outage> {
    let mut outages = vec![Outage { time_us: 0..0, leader: 1 }];
    let mut at_us = 3 * SECOND;
    while at_us + 6 * SECOND < size.seconds * SECOND {
        let leader = outages.last().map_or(1, |outage| outage.leader);
        let fault = fault(random, at_us, leader, size);
        if fault.hit_leader && matches!(fault.fault.as_str(), "kill" | "pause" | "partition") {
            let back_us = at_us + random.random_range(400_000..1_900_000);
            outages.push(Outage { time_us: at_us..back_us, leader: leader % size.nodes + 1 });
        }
        at_us = fault.until_us + random.random_range(SECOND..4 * SECOND);
        history.faults.push(fault);
    }
    outages
}

fn fault(random: &mut StdRng, from_us: u64, leader: u64, size: Size) -> Fault {
    const DONE: [(&str, &str); 8] = [
        ("kill", "kill -9, started again"),
        ("partition", "cut off from all others"),
        ("pause", "stopped, then continued"),
        ("clock", "the wall clock is 90 s ahead"),
        ("slow", "200 ms later, 64 kB/s"),
        ("oneway", "hears the others, is not heard"),
        ("disk", "every fsync takes 300 ms"),
        ("membership", "a learner joins, is promoted and removed"),
    ];
    let (fault, detail) = DONE[random.random_range(0..DONE.len())];
    let node = random.random_range(1..=size.nodes);
    let others = (1..=size.nodes).filter(|other| *other != node);
    let links = others.map(|to| Link { from: node, to }).filter(|_| matches!(fault, "partition" | "oneway"));
    Fault {
        from_us,
        until_us: from_us + random.random_range(SECOND..5 * SECOND),
        fault: fault.to_owned(),
        nodes: if fault == "membership" { Vec::new() } else { vec![node] },
        links: links.collect(),
        hit_leader: node == leader && fault != "membership",
        detail: format!("node {node}: {detail}"),
        fired: random.random_bool(0.95),
    }
}

fn look(history: &mut History, outages: &[Outage], size: Size) {
    for at_us in (0..size.seconds * SECOND).step_by(250_000) {
        let current = outages.iter().rposition(|outage| outage.time_us.start <= at_us).unwrap_or(0);
        let elected = outages[current].time_us.end <= at_us;
        for node in 1..=size.nodes {
            let is = |kind| {
                history.faults.iter().any(|fault| {
                    fault.fault == kind
                        && fault.nodes.contains(&node)
                        && (fault.from_us..fault.until_us).contains(&at_us)
                })
            };
            let up = !is("kill");
            let reachable = up && !is("pause");
            let role = match (elected, is("partition")) {
                (true, _) if outages[current].leader == node => "leader",
                (true, false) => "follower",
                _ => "candidate",
            };
            history.samples.push(Sample {
                at_us,
                node,
                up,
                reachable,
                role: reachable.then(|| role.to_owned()),
                term: reachable.then_some(current as u64 + u64::from(elected)),
                leader: elected.then_some(outages[current].leader),
                applied_index: Some(at_us),
            });
        }
    }
}

fn call(random: &mut StdRng, history: &mut History, outages: &[Outage], size: Size) {
    let slow = |fault: &&Fault| matches!(fault.fault.as_str(), "slow" | "disk");
    let slow: Vec<_> =
        history.faults.iter().filter(slow).map(|fault| fault.from_us..fault.until_us).collect();
    for client in 1..=size.clients {
        let mut at_us = random.random_range(0..SECOND / 20);
        while at_us < size.seconds * SECOND {
            let outage = outages.iter().find(|outage| outage.time_us.contains(&at_us));
            let slow = slow.iter().any(|time_us| time_us.contains(&at_us));
            let id = history.calls.len() as u64;
            let call = one_call(random, (id, client), at_us, (outage, slow));
            at_us = call.ended_us + SECOND / size.calls_per_second.max(1);
            history.calls.push(call);
        }
    }
}

fn one_call(
    random: &mut StdRng,
    (id, client): (u64, u64),
    started_us: u64,
    (outage, slow): (Option<&Outage>, bool),
) -> Call {
    let took_us = (1_500.0 / (1.0 - random.random::<f64>()).sqrt()) as u64 * if slow { 30 } else { 1 };
    let ended_us = outage.map_or(started_us, |outage| outage.time_us.end) + took_us.min(2 * SECOND);
    let op = [Op::Reserve, Op::Commit, Op::Release, Op::GetStock][random.random_range(0..4)];
    let chance = random.random_range(0..1_000);
    let (status, outcome) = match (outage.is_some(), chance) {
        (true, 0..60) => (504, Outcome::Unknown { why: "the node was gone".to_owned() }),
        (true, 60..90) => (503, Outcome::NotExecuted { why: "no_leader".to_owned() }),
        (_, 0..700) => (200, answer(200, id)),
        _ => (409, answer(409, id)),
    };
    Call {
        id,
        client,
        op,
        target: (op == Op::GetStock).then(|| "SKU-3".to_owned()),
        query: Default::default(),
        stale: false,
        condition: None,
        request: Json::parse(r#"{"cart_id":"cart-1","items":[{"sku":"SKU-3","qty":1}]}"#).unwrap(),
        key: op.writes().then(|| format!("key-{client}-{started_us}")),
        started_us,
        ended_us,
        tries: vec![Try { node: 1, started_us, ended_us, came: Came::Answer { status, code: None } }],
        outcome,
    }
}

fn answer(status: u16, sequence: u64) -> Outcome {
    let body = Json::parse(r#"{"state":"held","fencing_token":42}"#).unwrap();
    Outcome::Answer(Answer { status, sequence: Some(sequence), replayed: false, applied_index: None, body })
}

fn verdict(history: &History, outages: &[Outage]) -> Verdict {
    const RULES: [(&str, &str); 8] = [
        ("sequence_order", "An operation that began after another one's answer has the greater sequence."),
        ("no_oversell", "At no moment are more units surely held or sold than there were."),
        ("model_agrees", "Replayed in the order of their sequences, all answers are what the contract says."),
        ("hold_kept", "No hold ends before its expires_at, and its units are for sale at most 1 s after it."),
        ("nothing_lost", "What was acknowledged is there at the end, on every node."),
        ("same_answer", "One idempotency key has one effect and one answer."),
        ("line_in_order", "Whoever waits is served in the order of the line."),
        ("feed_is_history", "The change feed tells every change once, in order."),
    ];
    let calls = history.calls.len() as u64;
    let rule = |(name, says): (&str, &str)| RuleVerdict {
        name: name.to_owned(),
        says: says.to_owned(),
        looked_at: calls,
        violations: Vec::new(),
        violations_total: 0,
    };
    let rules = RULES.map(rule).to_vec();
    Verdict {
        conclusion: Conclusion::Passed,
        doubts: Vec::new(),
        rules,
        statistics: statistics(history, outages),
    }
}

fn statistics(history: &History, outages: &[Outage]) -> Statistics {
    let calls = history.calls.len() as u64;
    let count = |kind: &String| {
        let of_kind = || history.faults.iter().filter(|fault| fault.fault == *kind);
        let fired = of_kind().filter(|fault| fault.fired).count() as u64;
        FaultCount { fault: kind.clone(), begun: of_kind().count() as u64, fired }
    };
    let mut gaps: Vec<Gap> = outages[1..].iter().map(|outage| gap(history, outage)).collect();
    gaps.sort_by_key(|gap| std::cmp::Reverse(gap.until_us - gap.from_us));
    Statistics {
        operations: vec![
            OperationCount {
                op: Op::Reserve,
                succeeded: calls / 2,
                refused: calls / 4,
                not_executed: 3,
                unknown: 2,
            },
            OperationCount { op: Op::Commit, succeeded: calls / 4, refused: 0, not_executed: 1, unknown: 0 },
        ],
        between_faults: Rate { count: calls / 2, of: calls / 2 },
        during_faults: Rate { count: calls / 2 - 1, of: calls / 2 },
        faults: history.run.faults.iter().map(count).collect(),
        impacts: gaps.iter().map(impact).collect(),
        gaps,
    }
}

fn gap(history: &History, outage: &Outage) -> Gap {
    let cause = history.faults.iter().find(|fault| fault.from_us == outage.time_us.start);
    let causes =
        cause.map(|fault| format!("{} of node {}", fault.fault, fault.nodes[0])).into_iter().collect();
    Gap { from_us: outage.time_us.start, until_us: outage.time_us.end, causes }
}

fn impact(gap: &Gap) -> Impact {
    let fault = gap.causes[0].split(' ').next().unwrap_or_default().to_owned();
    Impact {
        from_us: gap.from_us,
        fault,
        hit: Hit::Leader,
        alone: gap.from_us.is_multiple_of(2),
        served_us: Some(gap.until_us),
        gap_us: gap.until_us - gap.from_us,
        calls: Rate { count: 12, of: 12 },
        elsewhere: Rate { count: 40, of: 44 },
    }
}
