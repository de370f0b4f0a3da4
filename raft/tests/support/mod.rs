//! A group of three in one process, on free loopback ports and a scratch directory.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

pub(crate) mod plant;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use raft::{Answer, Group, GroupOptions, Member, StartError, Tuning, WallClock};
use storage::disk::Disk;
use storage::inventory::command::{
    AdjustSku, Command, OnShortfall, Precondition, PutSku, Request, Reserve, Setting,
};
use storage::inventory::ids::{Item, Sku};
use storage::inventory::outcome::{Outcome, Rejection};

/// Longer than anything here should take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

struct System;

impl WallClock for System {
    fn now_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
    }
}

/// Three members on free ports.
pub(crate) fn members() -> Vec<Member> {
    members_of(3)
}

/// So many members on free ports.
pub(crate) fn members_of(count: usize) -> Vec<Member> {
    let sockets: Vec<_> =
        (0..2 * count).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addrs: Vec<_> = sockets.iter().map(|s| s.local_addr().unwrap().to_string()).collect();
    let member =
        |i: usize| Member { id: i as u64 + 1, http: addrs[2 * i].clone(), raft: addrs[2 * i + 1].clone() };
    (0..count).map(member).collect()
}

/// The options of one of them.
pub(crate) fn options(members: &[Member], node_id: u64, directory: &Path) -> GroupOptions {
    GroupOptions {
        cluster_name: "test".into(),
        node_id,
        members: members.to_vec(),
        data_dir: directory.join(node_id.to_string()),
        retention: Duration::from_secs(3_600),
        idempotency_retention: Duration::from_secs(3_600),
        max_hold: Duration::from_secs(1_800),
        events_retention: Duration::from_secs(3_600),
        events_max: 100_000,
        limits: raft::HoldLimits::NONE,
        rates: raft::RateLimits::default(),
        tuning: Tuning { snapshot_entries: 100, ..Tuning::default() },
    }
}

pub(crate) async fn start(options: GroupOptions) -> Group {
    Group::start(options, Arc::new(System)).await.unwrap()
}

/// Starts one on another disk.
pub(crate) async fn start_on(disk: Arc<dyn Disk>, options: GroupOptions) -> Group {
    Group::start_on(disk, options, Arc::new(System)).await.unwrap()
}

/// Starts one on another disk, which may fail.
pub(crate) async fn try_start_on(disk: Arc<dyn Disk>, options: GroupOptions) -> Result<Group, StartError> {
    Group::start_on(disk, options, Arc::new(System)).await
}

/// Starts all and waits until each is ready.
pub(crate) async fn start_all(members: &[Member], directory: &Path) -> Vec<Group> {
    let mut groups = Vec::new();
    for member in members {
        groups.push(start(options(members, member.id, directory)).await);
    }
    for group in &groups {
        wait_ready(group).await;
    }
    groups
}

pub(crate) async fn wait_ready(group: &Group) {
    let since = Instant::now();
    while let Err(why) = group.ready().await {
        assert!(since.elapsed() < PATIENCE, "not ready: {why}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until all have the same state at the same index, and checks that it is the same.
pub(crate) async fn wait_converged(groups: &[Group]) {
    let since = Instant::now();
    loop {
        let states: Vec<_> =
            groups.iter().map(Group::status).map(|s| (s.applied_index, s.state_digest)).collect();
        if states.iter().all(|state| state.0 == states[0].0) {
            assert!(states.iter().all(|state| state.1 == states[0].1), "digests differ: {states:?}");
            return;
        }
        assert!(since.elapsed() < PATIENCE, "not converged: {states:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Which of them leads.
pub(crate) async fn leader(groups: &[Group]) -> usize {
    let since = Instant::now();
    loop {
        let led: Vec<_> = groups.iter().map(|group| group.status().leader_id).collect();
        if let Some(Some(id)) = led.first()
            && led.iter().all(|other| other == &Some(*id))
        {
            return *id as usize - 1;
        }
        assert!(since.elapsed() < PATIENCE, "no leader: {led:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn shutdown(groups: Vec<Group>) {
    for group in &groups {
        group.shutdown().await.unwrap();
    }
}

pub(crate) fn sku() -> Sku {
    Sku::new("PS5").unwrap()
}

pub(crate) fn put(on_hand: u64) -> Request {
    let command = Command::PutSku(PutSku {
        sku: sku(),
        on_hand,
        safety_stock: None,
        max_per_customer: Setting::Keep,
        on_shortfall: OnShortfall::Refuse,
        precondition: Precondition::None,
    });
    Request { idempotency_key: None, command }
}

pub(crate) fn adjust(delta: i64) -> Request {
    let command = Command::AdjustSku(AdjustSku {
        sku: sku(),
        delta,
        reason: None,
        reference: None,
        on_shortfall: OnShortfall::Refuse,
        precondition: Precondition::None,
    });
    Request { idempotency_key: None, command }
}

/// An adjust with so much text that it takes about 600 bytes of log.
pub(crate) fn long_adjust(number: usize) -> Request {
    let text = |kind: &str| Some(format!("{kind} {number} {}", "x".repeat(240)).into());
    let command = Command::AdjustSku(AdjustSku {
        sku: sku(),
        delta: 1,
        reason: text("reason"),
        reference: text("reference"),
        on_shortfall: OnShortfall::Refuse,
        precondition: Precondition::None,
    });
    Request { idempotency_key: None, command }
}

/// Gets a command applied, however often it takes: the same key for all tries resolves an unknown outcome.
pub(crate) async fn submit_until_answered(group: &Group, request: Request) -> Answer {
    let since = Instant::now();
    loop {
        match group.submit(request.clone()).await {
            Ok(answer) => return answer,
            Err(why) => assert!(since.elapsed() < PATIENCE, "{request:?}: {why}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Polls until it is so.
pub(crate) async fn wait_until(what: &str, is: impl Fn() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < PATIENCE, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn reserve(cart: usize) -> Request {
    let command = Command::Reserve(Reserve {
        nonce: cart as u64,
        cart_id: format!("cart-{cart}").into(),
        customer_id: None,
        items: vec![Item { sku: sku(), qty: 1 }],
        ttl_ms: 600_000,
        wait: false,
    });
    Request { idempotency_key: Some(format!("key-{cart}").into()), command }
}

/// Whether a reserve got its unit.
pub(crate) fn is_won(answer: &Answer) -> bool {
    let (Answer::Applied(applied) | Answer::Gated(applied)) = answer;
    match &applied.result {
        Ok(Outcome::Reserved(_)) => true,
        Err(Rejection::HeldByOthers { .. }) => false,
        other => panic!("neither a hold nor a refusal: {other:?}"),
    }
}
