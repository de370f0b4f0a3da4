//! The bytes of log payloads, memberships and messages, so that none can change unnoticed: not by us, and not by a
//! newer openraft or bincode.
//!
//! `tests/golden.txt` has one line for each: a name and its bytes. `UPDATE=1 cargo test -p raft --lib golden` writes it
//! anew: read the difference. A line that differs is a new version of the log's kinds or of the frame.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::Once;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};
use serde::Serialize;
use storage::Position;
use storage::inventory::command::{
    AdjustSku, Command, Commit, DeleteSku, Extend, HoldLimits, IfExpired, OnShortfall, Precondition, PutSku,
    Release, Request, Reserve, Return, Setting, Stamp,
};
use storage::inventory::ids::{Item, ReservationId, Sku};
use storage::inventory::outcome::{Applied, Outcome, Rejection, Shortage};
use storage::peers::{Incarnation, Promised};

use crate::codec::{self, BatchWriter};
use crate::transport::about::{About, Build};
use crate::transport::frame::{self, Kind, Sender};
use crate::transport::message::{
    Appended, Call, Channel, Greeting, Hello, Introduction, Reply, Reverted, SnapshotBegin, SnapshotDone,
};
use crate::types::{PeerNode, Proposal, SnapshotMeta, StoredMembership, TypeConfig, Vote, log_id};
use crate::waiting::{Forwarded, Requests};
use crate::{Answer, Limit, ProposeError, ReadError};

/// The file's text, written anew first, once, where that is asked for.
fn golden_text() -> String {
    static UPDATED: Once = Once::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.txt");
    UPDATED.call_once(|| {
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, lines()).unwrap();
        }
    });
    std::fs::read_to_string(&path).unwrap()
}

#[test]
fn golden() {
    let (expected, actual) = (golden_text(), lines());
    for (expected, actual) in expected.lines().zip(actual.lines()) {
        assert_eq!(expected, actual);
    }
    assert_eq!(expected.lines().count(), actual.lines().count());
}

/// The log's payloads are read back, every one of them.
#[test]
fn golden_payloads_are_read() {
    let text = golden_text();
    let payloads = text.lines().filter_map(|line| line.strip_prefix("payload "));
    let mut read = 0;
    for line in payloads {
        let (name, hex) = line.rsplit_once(' ').unwrap();
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        let payload = codec::decode_payload(Bytes::from_iter(bytes)).unwrap();
        if let EntryPayload::Normal(proposal) = payload {
            assert_eq!(codec::decode_batch(&proposal).unwrap().stamp, STAMP, "{name}");
        }
        read += 1;
    }
    assert_eq!(read, 2 + commands().len());
}

fn lines() -> String {
    let mut text = String::new();
    let mut line = |name: &str, bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "{name} {hex}").unwrap();
    };
    line("payload blank", &codec::encode_payload(EntryPayload::Blank).unwrap());
    let joint = codec::encode_payload(EntryPayload::Membership(membership())).unwrap();
    line("payload membership", &joint);
    for (name, command) in commands() {
        line(&format!("payload {name}"), &batch(&[request(command)]).0);
    }
    let mut limited = BatchWriter::new(&Stamp { limits: LIMITS, ..STAMP }).unwrap();
    limited.push(&request(Command::Tick)).unwrap();
    line("limited tick", &limited.finish().0);
    let stored = StoredMembership::new(Some(log_id(position(0))), membership());
    line("image membership", &codec::encode_membership(&stored).unwrap());
    for (name, call) in calls() {
        line(&format!("call {name}"), &encoded(&call));
    }
    for (name, reply) in replies() {
        line(&format!("reply {name}"), &encoded(&reply));
    }
    line("append", &encoded(&append(entries())));
    let appended: Appended = Ok(Ok(Some(log_id(position(9)))));
    line("appended", &encoded(&appended));
    line("snapshot begin", &encoded(&snapshot_begin()));
    let done: SnapshotDone = Ok(SnapshotResponse { vote: vote() });
    line("snapshot done", &encoded(&done));
    line("hello", &encoded(&hello()));
    for (name, greeting) in greetings() {
        line(&format!("greeting {name}"), &encoded(&greeting));
    }
    let sender = Sender { wall_ms: 1_790_000_000_000, promised: PROMISED };
    line("frame", &frame::seal(Kind::Call, 7, sender, b"body").unwrap());
    text
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    codec::encode(value).unwrap()
}

const STAMP: Stamp = Stamp {
    now_ms: 1_790_000_000_000,
    retention_ms: 250,
    idempotency_ms: 251,
    max_hold_ms: 65_536,
    events_ms: 4,
    events_max: 5,
    limits: HoldLimits::NONE,
};

const LIMITS: HoldLimits =
    HoldLimits { customer_holds_max: Some(7), customer_units_max: Some(250), hold_extensions_max: None };

fn position(index: u64) -> Position {
    Position { term: 3, leader: 1, index }
}

fn vote() -> Vote {
    Vote::new_committed(3, 1)
}

fn membership() -> openraft::Membership<u64, PeerNode> {
    let node = |id: u64| PeerNode { raft: format!("r{id}:1"), http: format!("h{id}:2"), store_id: id.into() };
    let nodes: BTreeMap<u64, PeerNode> = [1, 2, 3].map(|id| (id, node(id))).into();
    openraft::Membership::new(vec![BTreeSet::from([1, 2, 3])], nodes).unwrap()
}

fn batch(requests: &[Request]) -> Proposal {
    let mut writer = BatchWriter::new(&STAMP).unwrap();
    requests.iter().for_each(|request| writer.push(request).unwrap());
    writer.finish()
}

fn request(command: Command) -> Request {
    Request { idempotency_key: Some("key".into()), command }
}

fn sku() -> Sku {
    Sku::new("PS5").unwrap()
}

/// Every command, with every option of every field taken at least once.
fn commands() -> [(&'static str, Command); 14] {
    let reservation_id = ReservationId { sequence: 70_000, nonce: u64::MAX };
    let items = vec![Item { sku: sku(), qty: 2 }];
    let reserve = Reserve {
        nonce: 9,
        cart_id: "cart".into(),
        customer_id: Some("ann".into()),
        items: items.clone(),
        ttl_ms: 300_000,
        wait: true,
    };
    let commit = Commit {
        reservation_id,
        payment_token: Some("pay".into()),
        fencing_token: Some(7),
        if_expired: IfExpired::Reacquire,
        items: Some(items.clone()),
    };
    let put = PutSku {
        sku: sku(),
        on_hand: 10,
        safety_stock: Some(1),
        max_per_customer: Setting::Set(4),
        on_shortfall: OnShortfall::RevokeNewest,
        precondition: Precondition::Versions(vec![7, 9]),
    };
    let adjust = AdjustSku {
        sku: sku(),
        delta: -3,
        reason: Some("theft".into()),
        reference: Some("no-1".into()),
        on_shortfall: OnShortfall::Refuse,
        precondition: Precondition::Exists,
    };
    let plain_commit = Commit {
        payment_token: None,
        fencing_token: None,
        if_expired: IfExpired::Fail,
        items: None,
        ..commit.clone()
    };
    let plain_put = PutSku {
        safety_stock: None,
        max_per_customer: Setting::Keep,
        on_shortfall: OnShortfall::Refuse,
        precondition: Precondition::Absent,
        ..put.clone()
    };
    let unlimited = PutSku { max_per_customer: Setting::Clear, ..plain_put.clone() };
    [
        ("tick", Command::Tick),
        ("reserve", Command::Reserve(reserve.clone())),
        (
            "reserve without a customer",
            Command::Reserve(Reserve { customer_id: None, wait: false, ..reserve }),
        ),
        ("commit", Command::Commit(commit)),
        ("commit of all", Command::Commit(plain_commit)),
        ("release", Command::Release(Release { reservation_id, items: Some(items.clone()) })),
        ("extend", Command::Extend(Extend { reservation_id, ttl_ms: 60_000 })),
        ("return", Command::Return(Return { reservation_id, items: None })),
        ("put", Command::PutSku(put)),
        ("put of on_hand", Command::PutSku(plain_put)),
        ("put without a limit", Command::PutSku(unlimited)),
        ("adjust", Command::AdjustSku(adjust)),
        ("delete", Command::DeleteSku(DeleteSku { sku: sku(), precondition: Precondition::None })),
        ("raise of the level", Command::RaiseLevel(1)),
    ]
}

type Entry = <TypeConfig as openraft::RaftTypeConfig>::Entry;

/// One of each kind.
fn entries() -> Vec<Entry> {
    let payloads =
        [EntryPayload::Blank, EntryPayload::Normal(batch(&[])), EntryPayload::Membership(membership())];
    let entry = |(index, payload)| Entry { log_id: log_id(position(index)), payload };
    (7..).zip(payloads).map(entry).collect()
}

fn append(entries: Vec<Entry>) -> AppendEntriesRequest<TypeConfig> {
    let (prev_log_id, leader_commit) = (Some(log_id(position(6))), Some(log_id(position(5))));
    AppendEntriesRequest { vote: vote(), prev_log_id, entries, leader_commit }
}

fn calls() -> Vec<(&'static str, Call)> {
    let asked = VoteRequest::new(Vote::new(4, 2), Some(log_id(position(9))));
    let one = Requests::One(request(Command::Tick));
    let many = Requests::Many(vec![request(Command::Tick)]);
    let units = vec![
        Forwarded { requests: one, caller: None, counted: false },
        Forwarded { requests: many, caller: Some("shop".into()), counted: true },
    ];
    vec![
        ("vote", Call::Vote(asked.clone())),
        ("pre-vote", Call::PreVote(asked)),
        ("heartbeat", Call::Heartbeat(append(Vec::new()))),
        (
            "transfer leader",
            Call::TransferLeader(TransferLeaderRequest::new(vote(), 2, Some(log_id(position(9))))),
        ),
        ("read index", Call::ReadIndex),
        ("forward", Call::Forward(units)),
        ("probe", Call::Probe),
        ("join", Call::Join { cluster_id: 9, applied: Some(position(7)) }),
        ("has room", Call::HasRoom),
        ("gate index", Call::GateIndex),
    ]
}

fn replies() -> Vec<(&'static str, Reply)> {
    let shortage = Shortage { sku: sku(), requested: 3, available: 1, held: 2, sold_out: false };
    let applied = |result| Applied { sequence: 8, replayed: true, result };
    let refused = Rejection::InsufficientStock { shortages: vec![shortage] };
    let answers = vec![
        Ok(Answer::Applied(applied(Ok(Outcome::Ticked)))),
        Ok(Answer::Gated(applied(Err(refused)))),
        Err(ProposeError::OutcomeUnknown),
        Err(ProposeError::RateLimited { limit: Limit::Caller, wait_ms: 250 }),
    ];
    vec![
        ("vote", Reply::Vote(VoteResponse::new(vote(), None, true))),
        ("heartbeat", Reply::Heartbeat(AppendEntriesResponse::Success)),
        ("read index", Reply::ReadIndex(Ok(9))),
        ("no read index", Reply::ReadIndex(Err(ReadError::NoQuorum))),
        ("forward", Reply::Forward(answers)),
        ("probe", Reply::Probe { store_id: 8, cluster_id: Some(9), has_log: true, knows_caller: false }),
        ("joined", Reply::Joined),
        ("failed", Reply::Failed("why".into())),
        ("has room", Reply::HasRoom(true)),
    ]
}

const PROMISED: Promised = Promised { term: 3, node: 1, entries: 70_000 };

fn introduction() -> Introduction {
    let incarnation = Incarnation { store_id: 1 << 100, generation: 5, nonce: 77 };
    Introduction { incarnation, has: PROMISED }
}

fn about() -> About {
    About::of(&Build { version: "1.2.3".into(), levels: 1..=700 })
}

fn hello() -> Hello {
    Hello {
        group: 0,
        cluster_name: "shop".into(),
        cluster_id: Some(9),
        from: 1,
        to: 2,
        introduction: introduction(),
        member_since: Some(position(7)),
        channel: Channel::Appends,
        about: about(),
    }
}

fn welcome() -> Greeting {
    let (cluster_id, member_since, names_you_since) = (None, Some(position(7)), None);
    let introduction = introduction();
    Greeting::Welcome { introduction, cluster_id, member_since, names_you_since, about: about() }
}

fn greetings() -> Vec<(&'static str, Greeting)> {
    vec![
        ("welcome", welcome()),
        ("refused", Greeting::Refused("why".into())),
        ("store lost", Greeting::StoreLost(position(7))),
        ("not a member", Greeting::NotMember(position(7))),
        ("other cluster", Greeting::OtherCluster(9)),
        ("in use", Greeting::InUse),
        ("level", Greeting::Level(700)),
        ("superseded", Greeting::Reverted(Reverted::Superseded)),
        ("copied", Greeting::Reverted(Reverted::Copied)),
        ("forgotten", Greeting::Reverted(Reverted::Forgotten(PROMISED))),
    ]
}

fn snapshot_begin() -> SnapshotBegin {
    let last_membership = StoredMembership::new(Some(log_id(position(0))), membership());
    let meta = SnapshotMeta { last_log_id: Some(log_id(position(9))), last_membership };
    SnapshotBegin { vote: vote(), meta, length: 70_000 }
}
