//! When a connection is kept, and when it is given up: calls to a peer that is nothing but its answers.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt, stream};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use tokio::io::{BufReader, DuplexStream, duplex, split};
use tokio::time::{Instant, sleep, timeout};

use super::about::About;
use super::frame::{self, Kind};
use super::message::{Appended, Call, Greeting, Reply};
use super::tests::{Bench, PEER};
use super::wire::{Carried, Listening, ReadEnd, WriteEnd};
use super::*;
use crate::types::{PeerNode, Vote};

/// A peer that welcomes every dialler and answers every call.
#[derive(Clone, Default)]
struct Answering {
    /// How often it was dialled.
    dials: Arc<AtomicU64>,
    /// Nothing comes back on so many of the first connections, and nobody is told.
    cut: Arc<AtomicU64>,
}

impl Wire for Answering {
    fn listen<'a>(&'a self, _: &'a str) -> Carried<'a, Box<dyn Listening>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn dial<'a>(&'a self, _: &'a str) -> Carried<'a, (ReadEnd, WriteEnd)> {
        let (here, there) = duplex(1 << 16);
        let number = self.dials.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(self.clone().serve(number, there));
        let (reader, writer) = split(here);
        Box::pin(async { Ok((Box::new(reader) as ReadEnd, Box::new(writer) as WriteEnd)) })
    }
}

impl Answering {
    fn dials(&self) -> u64 {
        self.dials.load(Ordering::Relaxed)
    }

    /// All connections that there are are half open from now on.
    fn cut(&self) {
        self.cut.store(self.dials(), Ordering::Relaxed);
    }

    async fn serve(self, number: u64, stream: DuplexStream) {
        let (reader, mut writer) = split(stream);
        let mut reader = BufReader::new(reader);
        while let Ok(Some(frame)) = frame::read(&mut reader).await {
            if number >= self.cut.load(Ordering::Relaxed) {
                frame::write(&mut writer, &answer(&frame)).await.unwrap();
            }
        }
    }
}

fn answer(frame: &Frame) -> Vec<u8> {
    let sender = Sender { wall_ms: 1_790_000_000_000, promised: Promised::default() };
    let sealed = match frame.kind {
        Kind::Hello => frame::seal_message(Kind::Greeting, frame.id, sender, &welcome()),
        Kind::Call => frame::seal_message(Kind::Reply, frame.id, sender, &reply(frame)),
        Kind::Append => frame::seal_message(Kind::Appended, frame.id, sender, &Appended::Ok(Ok(None))),
        other => panic!("a {other:?} frame"),
    };
    sealed.unwrap()
}

fn reply(frame: &Frame) -> Reply {
    match frame.message(Kind::Call).unwrap() {
        Call::Heartbeat(_) => Reply::Heartbeat(AppendEntriesResponse::Success),
        _ => Reply::HasRoom(true),
    }
}

fn welcome() -> Greeting {
    let incarnation = Incarnation { store_id: 20, generation: 1, nonce: 7 };
    Greeting::Welcome {
        introduction: Introduction { incarnation, has: Promised::default() },
        cluster_id: None,
        member_since: None,
        names_you_since: None,
        about: About::own(),
    }
}

/// A dead connection stayed for as long as each call on it was given up by its caller and not by its own deadline.
#[tokio::test(start_paused = true)]
async fn a_call_that_its_caller_gives_up_leaves_no_dead_connection_to_the_next_one() {
    let peer = Answering::default();
    let bench = Bench::over(Arc::new(peer.clone()));
    let caller = Caller::new(bench.local.clone(), PEER);
    let deadline = Duration::from_secs(5);
    caller.call(&Call::HasRoom, deadline).await.unwrap();
    peer.cut();
    sleep(Duration::from_secs(1)).await;
    let given_up = timeout(Duration::from_millis(10), caller.call(&Call::HasRoom, deadline)).await;
    assert!(given_up.is_err(), "it was answered: {given_up:?}");
    let since = Instant::now();
    caller.call(&Call::HasRoom, deadline).await.unwrap();
    assert_eq!(peer.dials(), 2);
    assert!(since.elapsed() < Duration::from_secs(1), "it waited on the dead one: {:?}", since.elapsed());
}

const BEAT: Duration = Duration::from_millis(100);

/// A heartbeat, as openraft sends it. Answers whether it was answered.
async fn beat(client: &mut network::Peer) -> bool {
    let vote = Vote::new_committed(1, 1);
    let request = AppendEntriesRequest { vote, prev_log_id: None, entries: Vec::new(), leader_commit: None };
    let sending = async {
        let mut answers = client.stream_append(stream::iter([request]), RPCOption::new(BEAT)).await.ok()?;
        answers.next().await?.ok()
    };
    matches!(timeout(BEAT, sending).await, Ok(Some(Ok(_))))
}

/// Each heartbeat, and so each confirmation of a read, was a connection of its own: with a handshake that had to fit
/// into its 100 ms, and for its peer with a node that came back.
#[tokio::test(start_paused = true)]
async fn a_stream_of_one_heartbeat_is_a_call_over_the_connection_that_there_is() {
    let peer = Answering::default();
    let bench = Bench::over(Arc::new(peer.clone()));
    let mut client = Network::new(bench.local.clone()).new_heartbeat_client(PEER, &PeerNode::default()).await;
    for number in 0..30 {
        assert!(beat(&mut client).await, "heartbeat {number}");
        sleep(BEAT).await;
    }
    assert_eq!((peer.dials(), bench.local.meetings()), (1, BTreeMap::from([(PEER, 1)])));
}

/// A follower campaigns after 750 ms: by then a leader must have found out that its connection is dead.
#[tokio::test(start_paused = true)]
async fn heartbeats_on_a_half_open_connection_time_out_and_go_over_a_new_one_before_anybody_campaigns() {
    let peer = Answering::default();
    let bench = Bench::over(Arc::new(peer.clone()));
    let mut client = Network::new(bench.local.clone()).new_heartbeat_client(PEER, &PeerNode::default()).await;
    assert!(beat(&mut client).await);
    peer.cut();
    let since = Instant::now();
    while !beat(&mut client).await {
        assert!(since.elapsed() < Duration::from_secs(60), "it is never dialled anew");
    }
    assert!(since.elapsed() <= Duration::from_millis(400), "after {:?}", since.elapsed());
    assert_eq!(peer.dials(), 2);
}
