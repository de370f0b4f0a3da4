//! Changes of the membership, as an operator makes them while clients go on: the cluster grows, another node leads, the
//! cluster shrinks again.
//!
//! ```text
//!   three nodes   1 2 3 --add--> 1 2 3 (4) --promote--> 1 2 3 4, 4 leads .... --remove--> 1 2 3
//!   five nodes    1 2 3 4 5 --add--> .. (6) --6 for 5--> 1 2 3 4 6, 6 leads
//!                     ... 5 begins anew, its directory is empty --add--> .. (5) --5 for 6--> 1 2 3 4 5
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

/// Changes the members, has the new one lead for so long, and changes them back. Answers whether all of it was done;
/// what was not is a finding, but for the lead: others may have thought the new one behind. A victim's place is needed
/// where the cluster can grow no more.
pub(super) async fn change(cluster: &Cluster, victim: u64, lasts: Duration) -> bool {
    let done = match cluster.nodes.len() < *NODES.end() {
        true => grow_and_shrink(cluster, lasts).await,
        false => replace_and_return(cluster, victim, lasts).await,
    };
    done.unwrap_or_else(|why| {
        cluster.find(format!("the members cannot be changed: {why}"));
        false
    })
}

/// Answers whether the new one led.
async fn grow_and_shrink(cluster: &Cluster, lasts: Duration) -> Result<bool, String> {
    let spare = cluster.spare.id;
    join(cluster, spare).await?;
    step(cluster, "promote", |client| client.promote_member(spare)).await?;
    let led = lead(cluster, spare, lasts).await;
    cluster.doom(spare);
    step(cluster, "remove", |client| client.remove_member(spare)).await?;
    throw_away(cluster, spare).await;
    Ok(led)
}

/// Answers whether the new one led.
async fn replace_and_return(cluster: &Cluster, victim: u64, lasts: Duration) -> Result<bool, String> {
    let spare = cluster.spare.id;
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

/// Starts a node with an empty directory and adds it.
async fn join(cluster: &Cluster, id: u64) -> Result<(), String> {
    cluster.start(id).await?;
    let (http, raft) = cluster.place(id);
    let request = AddMemberRequest { id, raft, http };
    step(cluster, "add", |client| client.add_member(&request)).await
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

/// Makes one change, again and again until it is made: each may be, and says so where it was made before.
async fn step(
    cluster: &Cluster,
    name: &str,
    call: impl Fn(&Client) -> Call<MembershipView>,
) -> Result<(), String> {
    let deadline = Instant::now() + STEP_TIME_MAX;
    loop {
        match call(&cluster.client).await {
            Ok(_) => return Ok(()),
            // A removal whose answer was lost.
            Err(Error::Refused(refusal))
                if name == "remove" && refusal.problem.code == code::MEMBER_NOT_FOUND =>
            {
                return Ok(());
            }
            Err(why) if Instant::now() > deadline => return Err(format!("{name}: {why}")),
            Err(_) => sleep(AGAIN).await,
        }
    }
}
