//! The handshake: the first frame of each side, and what each refuses.
//!
//! ```text
//!   dialler                                                                   answerer
//!     Hello: cluster, who dials whom, introduction  ------------------------> greet: is it who it says? judge
//!                                                                             the next start: on disk, before
//!     check_welcome: likewise of the answerer <------- Welcome: introduction  the answer
//!     or refusals::take: may end this node    <------- or why not
//! ```
//!
//! Nothing else is sent before it, on any connection. So what a leader sends never reaches a directory that has gone
//! back: openraft would find that entries which it counted as replicated are gone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use storage::peers::Incarnation;
use tokio::time::timeout;

use super::judge::Verdict;
use super::memory::NotMet;
use super::message::{Channel, Greeting, Hello, Introduction};
use super::{GROUP, Local, Remote, refusals};

/// How long a dial waits while another one of the same node has that noted. While a disk hangs no more than one thread
/// waits for it on behalf of each node, however often that dials.
const TURN_TIME_MAX: Duration = Duration::from_millis(200);

/// What this node says first.
pub(crate) fn hello(local: &Local, to: u64, channel: Channel) -> Hello {
    Hello {
        group: GROUP,
        cluster_name: local.options.cluster_name.clone(),
        cluster_id: local.cluster_id(),
        from: local.options.node_id,
        to,
        introduction: local.introduction(),
        channel,
    }
}

/// The answer to a dialler.
pub(crate) async fn greet(local: &Arc<Local>, hello: &Hello) -> Greeting {
    if let Some(why) = mismatch(local, hello) {
        return Greeting::Refused(why);
    }
    if let (Some(theirs), Some(ours)) = (hello.cluster_id, local.cluster_id())
        && theirs != ours
    {
        return Greeting::OtherCluster(ours);
    }
    if !is_known_store(local, hello.from, &hello.introduction.incarnation) {
        return Greeting::StoreLost;
    }
    match meet(local, hello.from, hello.introduction).await {
        Ok(Verdict::Same | Verdict::Next) => {
            Greeting::Welcome { introduction: local.introduction(), cluster_id: local.cluster_id() }
        }
        Ok(Verdict::InUse) => Greeting::InUse,
        Ok(Verdict::Reverted(how)) => Greeting::Reverted(how),
        Err(why) => Greeting::Refused(format!("it cannot be noted here: {why}")),
    }
}

/// What the dialler makes of the answer: the node it has reached.
pub(crate) async fn check(local: &Arc<Local>, to: u64, greeting: Greeting) -> io::Result<Remote> {
    match greeting {
        Greeting::Welcome { introduction, cluster_id } => {
            local.refusals.forget(to);
            check_welcome(local, to, introduction, cluster_id).await?;
            Ok(Remote { id: to, incarnation: introduction.incarnation })
        }
        refused => Err(refusals::take(local, to, refused).await),
    }
}

/// The dialler checks the answerer as the answerer checked the dialler.
async fn check_welcome(
    local: &Arc<Local>,
    to: u64,
    introduction: Introduction,
    cluster_id: Option<u128>,
) -> io::Result<()> {
    if let (Some(ours), Some(theirs)) = (local.cluster_id(), cluster_id)
        && ours != theirs
    {
        return Err(io::Error::other(format!("node {to} belongs to another cluster of the same name")));
    }
    if !is_known_store(local, to, &introduction.incarnation) {
        return Err(io::Error::other(format!(
            "node {to} answers from another data directory than the one it joined with"
        )));
    }
    match meet(local, to, introduction).await? {
        Verdict::Same | Verdict::Next => Ok(()),
        Verdict::InUse => Err(io::Error::other(format!("node {to} was just heard from elsewhere"))),
        Verdict::Reverted(how) => {
            tracing::warn!(peer = to, "it answers from a directory that is not its newest: {how:?}");
            Err(io::Error::other(format!("node {to} answers from a directory that is not its newest")))
        }
    }
}

/// Whether a node's directory is the one that the membership knows it by, once there is a membership.
fn is_known_store(local: &Local, id: u64, incarnation: &Incarnation) -> bool {
    local.known_store(id).is_none_or(|known| known == incarnation.store_id)
}

/// Judges the node, and notes it where it is the next start. A failed write ends this node; without room it is only
/// for now that the node cannot be noted.
async fn meet(local: &Arc<Local>, id: u64, introduction: Introduction) -> io::Result<Verdict> {
    if local.memory.is_current(id, &introduction.incarnation) {
        return Ok(Verdict::Same);
    }
    let turn = timeout(TURN_TIME_MAX, local.memory.turn(id).lock_owned()).await;
    let turn = turn.map_err(|_| io::Error::other("it is being noted"))?;
    let noting = local.clone();
    // A thread of its own, which goes on when whoever waits for it gives up.
    let met = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        noting.memory.meet(id, &introduction)
    });
    match met.await.map_err(io::Error::other)? {
        Ok(verdict) => Ok(verdict),
        Err(why) => {
            if let NotMet::Failed(failed) = &why
                && !failed.is_out_of_space()
            {
                local.fatal.report(failed);
            }
            Err(io::Error::other(why))
        }
    }
}

/// What a dialler takes this node, or itself, wrongly for.
fn mismatch(local: &Local, hello: &Hello) -> Option<String> {
    let options = &local.options;
    if hello.cluster_name != options.cluster_name {
        return Some(format!(
            "it is of cluster {:?}, this one is {:?}",
            hello.cluster_name, options.cluster_name
        ));
    }
    if hello.group != GROUP {
        return Some(format!("it is of group {}, this one is {GROUP}", hello.group));
    }
    if hello.to != options.node_id {
        return Some(format!("it looks for node {}, this is node {}", hello.to, options.node_id));
    }
    if hello.from == options.node_id {
        return Some(format!("it says it is node {}, as this one is", hello.from));
    }
    if local.member(hello.from).is_none() {
        return Some(format!("it says it is node {}, which is not in the cluster file here", hello.from));
    }
    None
}
