//! Changes of the membership, as an operator makes them while clients go on.
//!
//! ```text
//!   membership, three   1 2 3 --add--> 1 2 3 (4) --promote--> 1 2 3 4, 4 leads .... --remove--> 1 2 3
//!   membership, five    1 2 3 4 5 --add--> .. (6) --6 for 5--> 1 2 3 4 6, 6 leads
//!                           ... 5 begins anew, its directory is empty --add--> .. (5) --5 for 6--> 1 2 3 4 5
//!   replace             2 dies, directory and all --add--> (4) --4 for 2--> 1 4 3 .... 4 dies ... --2 for 4--> 1 2 3
//!   grow, three         1 2 3 --add, promote, twice--> 1 2 3 4 5 .... --remove, twice--> 1 2 3
//!   grow, five          1 2 3 4 5 --remove, twice--> 1 2 3 .... --add, promote, twice--> 1 2 3 4 5
//! ```
//!
//! A node that was removed is none any more: its directory is thrown away, for a directory never joins twice.

use std::time::Duration;

use client::api::{AddMemberRequest, MembershipView};
use client::{Call, Client, Error, code};
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use crate::config::NODES;

/// How long one step may take: a node must catch up, and other faults may be under way.
const STEP_TIME_MAX: Duration = Duration::from_secs(120);
/// How long until a step is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Changes the members, has the new one lead for so long, and changes them back. Answers whether it was given the
/// lead: others may have thought it behind. The first victim's place is needed where the cluster can grow no more.
pub(super) async fn change(cluster: &Cluster, victims: &[u64], lasts: Duration) -> Result<bool, String> {
    let spare = first_spare(cluster)?;
    match cluster.nodes.len() < *NODES.end() {
        true => grow_and_shrink(cluster, spare, lasts).await,
        false => replace_and_return(cluster, first(victims)?, spare, lasts).await,
    }
}

/// The first victim dies with its directory, and another node takes its place; after a while that one dies, too, and
/// the place is taken by a new node of the victim's id. Answers whether both were dead when they were replaced.
pub(super) async fn replace_dead(
    cluster: &Cluster,
    victims: &[u64],
    lasts: Duration,
) -> Result<bool, String> {
    let (victim, spare) = (first(victims)?, first_spare(cluster)?);
    let was_dead = take_place(cluster, victim, spare).await?;
    sleep(lasts).await;
    Ok(was_dead & take_place(cluster, spare, victim).await?)
}

/// From three voters to five for so long and back, or from five to as many as there are without the victims. Answers
/// whether there were that many.
pub(super) async fn resize(cluster: &Cluster, victims: &[u64], lasts: Duration) -> Result<bool, String> {
    let is_small = cluster.nodes.len() < *NODES.end();
    let spares: Vec<u64> = cluster.spares.iter().map(|node| node.id).collect();
    let extra = if is_small { spares.as_slice() } else { victims };
    let many = match is_small {
        true => come(cluster, extra).await?,
        false => go(cluster, extra).await?,
    };
    sleep(lasts).await;
    match is_small {
        true => go(cluster, extra).await?,
        false => come(cluster, extra).await?,
    };
    let wanted = if is_small { cluster.nodes.len() + extra.len() } else { cluster.nodes.len() - extra.len() };
    Ok(many == Some(wanted))
}

async fn grow_and_shrink(cluster: &Cluster, spare: u64, lasts: Duration) -> Result<bool, String> {
    come(cluster, &[spare]).await?;
    let led = lead(cluster, spare, lasts).await;
    go(cluster, &[spare]).await?;
    Ok(led)
}

async fn replace_and_return(
    cluster: &Cluster,
    victim: u64,
    spare: u64,
    lasts: Duration,
) -> Result<bool, String> {
    join(cluster, spare).await?;
    cluster.doom(victim);
    step(cluster, "replace", |client| client.replace_member(victim, spare)).await?;
    throw_away(cluster, victim).await;
    let led = lead(cluster, spare, lasts).await;
    join(cluster, victim).await?;
    cluster.doom(spare);
    step(cluster, "replace", |client| client.replace_member(spare, victim)).await?;
    throw_away(cluster, spare).await;
    Ok(led)
}

/// One dies for good, and a new one votes in its place. Answers whether it was dead.
async fn take_place(cluster: &Cluster, old: u64, new: u64) -> Result<bool, String> {
    let is_dead = cluster.kill(old).await;
    cluster.wipe(old);
    join(cluster, new).await?;
    step(cluster, "replace", |client| client.replace_member(old, new)).await?;
    Ok(is_dead)
}

/// These join and vote, one after the other. Answers how many voters there are then.
async fn come(cluster: &Cluster, ids: &[u64]) -> Result<Option<usize>, String> {
    let mut voters = None;
    for id in ids {
        join(cluster, *id).await?;
        voters = step(cluster, "promote", |client| client.promote_member(*id)).await?;
    }
    Ok(voters)
}

/// These are removed, one after the other. Answers how many voters there are then.
async fn go(cluster: &Cluster, ids: &[u64]) -> Result<Option<usize>, String> {
    let mut voters = None;
    for id in ids {
        cluster.doom(*id);
        voters = step(cluster, "remove", |client| client.remove_member(*id)).await?;
        throw_away(cluster, *id).await;
    }
    Ok(voters)
}

/// Starts a node with an empty directory and adds it.
async fn join(cluster: &Cluster, id: u64) -> Result<(), String> {
    cluster.start(id).await?;
    let (http, raft) = cluster.place(id);
    let request = AddMemberRequest { id, raft, http };
    step(cluster, "add", |client| client.add_member(&request)).await.map(drop)
}

/// Has it lead for so long. Answers whether it was given the lead.
async fn lead(cluster: &Cluster, id: u64, lasts: Duration) -> bool {
    let led = step(cluster, "transfer-leader", |client| client.transfer_leader(Some(id))).await;
    sleep(lasts).await;
    led.is_ok()
}

/// One that was removed ends by itself, with 2; then its directory is of no use to anybody.
async fn throw_away(cluster: &Cluster, id: u64) {
    let end = cluster.wait_ended(id, STEP_TIME_MAX).await;
    match end {
        Some(status) if status.code() == Some(2) => {}
        Some(status) => {
            cluster.find(format!("node {id} ended with {status} when it was removed, not with 2"))
        }
        None => cluster.find(format!("node {id} goes on after it was removed")),
    }
    cluster.kill(id).await;
    cluster.wipe(id);
}

/// Makes one change, again and again until it is made: each may be, and says so where it was made before. Answers how
/// many voters there are then, where that is told.
async fn step(
    cluster: &Cluster,
    name: &str,
    call: impl Fn(&Client) -> Call<MembershipView>,
) -> Result<Option<usize>, String> {
    let deadline = Instant::now() + STEP_TIME_MAX;
    let operator = cluster.wire.operator()?;
    loop {
        match call(&operator).await {
            Ok(answer) => return Ok(Some(answer.value.members.iter().filter(|it| it.votes).count())),
            // A removal whose answer was lost.
            Err(Error::Refused(refusal))
                if name == "remove" && refusal.problem.code == code::MEMBER_NOT_FOUND =>
            {
                return Ok(None);
            }
            Err(why) if Instant::now() > deadline => return Err(format!("{name}: {why}")),
            Err(_) => sleep(AGAIN).await,
        }
    }
}

fn first(victims: &[u64]) -> Result<u64, String> {
    victims.first().copied().ok_or_else(|| "nobody is to be changed".to_owned())
}

fn first_spare(cluster: &Cluster) -> Result<u64, String> {
    cluster.spares.first().map(|node| node.id).ok_or_else(|| "there is no node that may join".to_owned())
}
