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

use storage::Position;
use tokio::time::timeout;

use super::about::{About, Build};
use super::judge::Verdict;
use super::memory::NotMet;
use super::message::{Channel, Greeting, Hello, Introduction};
use super::roster::Standing;
use super::{GROUP, Local, Remote, refusals};
use crate::simulated::blocking;

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
        member_since: local.roster.member_since(),
        channel,
        about: About::own(),
    }
}

/// What this node says last: from then on nothing of this start is heard where that was noted.
pub(crate) fn farewell(local: &Local, to: u64) -> Hello {
    Hello { about: About::farewell(), ..hello(local, to, Channel::Calls) }
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
    let level = local.level();
    if level > *hello.about.build().levels.end() {
        return Greeting::Level(level);
    }
    let store_id = hello.introduction.incarnation.store_id;
    match local.roster.of_dialler(hello.from, store_id, hello.member_since) {
        Standing::Known => {}
        Standing::StoreLost(entry) => return Greeting::StoreLost(entry),
        Standing::NotMember(entry) => return Greeting::NotMember(entry),
    }
    match meet(local, hello.from, hello.introduction).await {
        Ok(Verdict::Same | Verdict::Next) => welcome(local, hello.from, store_id),
        Ok(Verdict::InUse) => Greeting::InUse,
        Ok(Verdict::Reverted(how)) => Greeting::Reverted(how),
        Err(why) => Greeting::Refused(format!("it cannot be noted here: {why}")),
    }
}

fn welcome(local: &Local, to: u64, store_id: u128) -> Greeting {
    Greeting::Welcome {
        introduction: local.introduction(),
        cluster_id: local.cluster_id(),
        member_since: local.roster.member_since(),
        names_you_since: local.roster.names_since(to, store_id),
        about: About::own(),
    }
}

/// What the dialler makes of the answer: the node it has reached, and its build.
pub(crate) async fn check(local: &Arc<Local>, to: u64, greeting: Greeting) -> io::Result<(Remote, Build)> {
    match greeting {
        Greeting::Welcome { introduction, cluster_id, member_since, names_you_since, about } => {
            local.refusals.forget(to);
            local.refusals.note_membership(names_you_since);
            let build = about.build();
            check_level(local, to, &build)?;
            check_welcome(local, to, introduction, cluster_id, member_since).await?;
            Ok((Remote { id: to, incarnation: introduction.incarnation, member_since }, build))
        }
        refused => Err(refusals::take(local, to, refused).await),
    }
}

/// Nothing is sent to who does not support the level in force here.
fn check_level(local: &Local, to: u64, build: &Build) -> io::Result<()> {
    let (level, version, highest) = (local.level(), &build.version, build.levels.end());
    if level > *highest {
        return Err(io::Error::other(format!(
            "feature level {level} is in force, and node {to}, of version {version}, supports no more than {highest}"
        )));
    }
    Ok(())
}

/// The dialler checks the answerer as the answerer checked the dialler.
async fn check_welcome(
    local: &Arc<Local>,
    to: u64,
    introduction: Introduction,
    cluster_id: Option<u128>,
    member_since: Option<Position>,
) -> io::Result<()> {
    if let (Some(ours), Some(theirs)) = (local.cluster_id(), cluster_id)
        && ours != theirs
    {
        return Err(io::Error::other(format!("node {to} belongs to another cluster of the same name")));
    }
    match local.roster.of_answerer(to, introduction.incarnation.store_id, member_since) {
        Standing::Known => {}
        Standing::StoreLost(_) => {
            return Err(io::Error::other(format!(
                "node {to} answers from another data directory than the one it joined with"
            )));
        }
        Standing::NotMember(_) => return Err(io::Error::other(format!("node {to} is not a member here"))),
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
    let met = blocking(move || {
        let _turn = turn;
        noting.memory.meet(id, &introduction)
    });
    match met.await? {
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
    None
}
