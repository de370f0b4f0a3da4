//! New certificates while the cluster runs, as docs/operations.md says: first of the same authority, then of another.
//!
//! ```text
//!   nodes trust     A                 A and B                       B         B, and all connections are new
//!   nodes show      A1 --renew--> A2           --> B1
//!   clients trust   A                 A and B                       B
//!                                                                         rolling restart
//! ```
//!
//! Each step waits until every node says that it has read its files. That they are in use is found out from outside:
//! who trusts B alone is served by every node, and who trusts A alone finds a certificate of somebody else. A node of A
//! that dials the others in the end is refused.

use std::time::Duration;

use client::{Client, Error};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::keys::{self, Keys};
use super::security::Security;
use crate::tls::authority::Pair;
use crate::tls::knock::Knock;

/// How long nodes may take to notice: they look once a second, on a machine that may be busy with other things.
const NOTICE_TIME_MAX: Duration = Duration::from_secs(120);
/// How long until the next look.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a look may take.
const LOOK_TIME_MAX: Duration = Duration::from_secs(10);

/// Changes certificates and authority; a rolling restart is to follow.
pub(super) async fn rotate(cluster: &Cluster) -> Result<(), String> {
    let security = cluster.security()?;
    let old = security.authorities()?;
    let before = counts(cluster);
    security.renew().await?;
    noticed(cluster, &before, "renewed certificates").await?;

    let new = security.new_authority().await?;
    let (both, left) = (format!("{old}{new}"), old_node(cluster, security)?);
    trusted(cluster, security, &both, "a second authority").await?;
    clients_trust(cluster, &both).await?;
    let before = counts(cluster);
    security.show_next()?;
    noticed(cluster, &before, "certificates of the new authority").await?;
    shows(cluster, &new, true).await?;
    clients_trust(cluster, &new).await?;
    trusted(cluster, security, &new, "that the old authority is gone").await?;
    shows(cluster, &old, false).await?;
    refuses(cluster, &Knock::new(&new, &left)?).await?;
    security.keep_next()
}

async fn trusted(
    cluster: &Cluster,
    security: &Security,
    authorities: &str,
    what: &str,
) -> Result<(), String> {
    let before = counts(cluster);
    security.trust(authorities)?;
    noticed(cluster, &before, what).await
}

async fn clients_trust(cluster: &Cluster, authorities: &str) -> Result<(), String> {
    let tokens = cluster.wire.keys().tokens.clone();
    let keys = Keys::new(&cluster.urls(), Some(authorities.to_owned()), tokens)?;
    cluster.wire.change(keys).await;
    Ok(())
}

/// How often each node has read certificates so far.
fn counts(cluster: &Cluster) -> Vec<(u64, u64)> {
    cluster.nodes.iter().map(|(id, _)| (*id, cluster.said.certificates_read(*id))).collect()
}

/// Waits until each node has read them once more.
async fn noticed(cluster: &Cluster, before: &[(u64, u64)], what: &str) -> Result<(), String> {
    let deadline = Instant::now() + NOTICE_TIME_MAX;
    for (id, count) in before {
        while cluster.said.certificates_read(*id) <= *count {
            if Instant::now() > deadline {
                let waited_s = NOTICE_TIME_MAX.as_secs();
                return Err(format!("node {id} does not notice {what} within {waited_s} s"));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
    Ok(())
}

/// What some node shows before it has a certificate of the new authority.
fn old_node(cluster: &Cluster, security: &Security) -> Result<Pair, String> {
    let (id, _) = cluster.nodes.first().ok_or("there is no node")?;
    security.pair(*id)
}

/// Waits until every node refuses who dials it so.
async fn refuses(cluster: &Cluster, knock: &Knock) -> Result<(), String> {
    let nodes = cluster.nodes.iter().map(|(id, _)| (*id, cluster.place(*id).1));
    let looks = nodes.map(|(id, raft)| async move {
        let deadline = Instant::now() + NOTICE_TIME_MAX;
        while !knock.is_refused(id, &raft).await {
            if Instant::now() > deadline {
                return Err(format!("node {id} does not refuse a node of the authority that is gone"));
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    });
    try_join_all(looks).await.map(drop)
}

/// Waits until whoever trusts these authorities alone is served by every node, or by none because of its certificate.
async fn shows(cluster: &Cluster, authorities: &str, is_trusted: bool) -> Result<(), String> {
    let urls = cluster.urls();
    let looks = urls.iter().map(|url| async move {
        // A client of its own for each look: what is wanted is a new connection.
        let deadline = Instant::now() + NOTICE_TIME_MAX;
        while look(url, authorities).await? != Some(is_trusted) {
            if Instant::now() > deadline {
                let whom = if is_trusted { "does not yet show" } else { "still shows" };
                return Err(format!("{url} {whom} a certificate of an authority that changed"));
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    });
    try_join_all(looks).await.map(drop)
}

/// Whether a node's certificate is trusted; `None` where it cannot be told.
async fn look(url: &str, authorities: &str) -> Result<Option<bool>, String> {
    let client: Client =
        keys::client(&[url.to_owned()], Some(authorities), None).map_err(|why| why.to_string())?;
    match client.live().tries_max(1).deadline(LOOK_TIME_MAX).await {
        Ok(_) => Ok(Some(true)),
        Err(Error::NotExecuted(why)) if why.why.contains("certificate") => Ok(Some(false)),
        Err(_) => Ok(None),
    }
}
