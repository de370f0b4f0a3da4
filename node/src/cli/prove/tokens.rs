//! New tokens while the cluster runs, as docs/operations.md says: made, taken by every node, used, and the old revoked.
//!
//! ```text
//!   token new --> every node takes it --> clients change over --> token revoke --> every node refuses it for good
//! ```
//!
//! That no node refuses a token that holds, nor one that held until a moment ago, is seen by the clients: a call
//! that is refused for its token is in the record, and [`super::judge`] looks for it there.

use std::time::Duration;

use client::{Client, Error, code};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::keys::{self, Keys, Token, Tokens};

/// How long nodes may take to notice: they look once a second, on a machine that may be busy with other things.
const NOTICE_TIME_MAX: Duration = Duration::from_secs(120);
/// How long until the next look.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a look may take.
const LOOK_TIME_MAX: Duration = Duration::from_secs(10);

/// Changes all tokens. Answers the old ones.
pub(super) async fn rotate(cluster: &Cluster) -> Result<Tokens, String> {
    let security = cluster.security()?;
    let Keys { ca, tokens: old, .. } = (*cluster.wire.keys()).clone();
    let new = security.new_tokens().await?;
    all(cluster, &new, true).await?;
    cluster.wire.change(Keys::new(&cluster.urls(), ca, new)?).await;
    security.revoke(&old).await?;
    all(cluster, &old, false).await?;
    Ok(old)
}

/// Whether every node still refuses what was revoked.
pub(super) async fn stay_revoked(cluster: &Cluster, old: &Tokens) -> Result<(), String> {
    all(cluster, old, false).await
}

/// Waits until every node takes these tokens, or refuses them.
async fn all(cluster: &Cluster, tokens: &Tokens, are_taken: bool) -> Result<(), String> {
    let ca = cluster.wire.keys().ca.clone();
    let urls = cluster.urls();
    let looks = urls.iter().flat_map(|url| tokens.values().map(move |token| (url, token)));
    let looks = looks.map(|(url, token)| settle(url, ca.as_deref(), token, are_taken));
    try_join_all(looks).await.map(drop)
}

async fn settle(url: &str, ca: Option<&str>, token: &Token, is_taken: bool) -> Result<(), String> {
    let client = keys::client(&[url.to_owned()], ca, Some(token)).map_err(|why| why.to_string())?;
    let deadline = Instant::now() + NOTICE_TIME_MAX;
    while look(&client).await != Some(is_taken) {
        if Instant::now() > deadline {
            let does = if is_taken { "refuses the new token" } else { "takes the revoked token" };
            return Err(format!("{url} {does} {token:?} after {} s", NOTICE_TIME_MAX.as_secs()));
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// Whether a node takes what that client shows; `None` where it cannot be told. What is asked for, every role may.
async fn look(client: &Client) -> Option<bool> {
    let asked = client.sku("sku-0").stale().tries_max(1).deadline(LOOK_TIME_MAX).await;
    match asked {
        Ok(_) => Some(true),
        Err(Error::Refused(refusal)) => Some(refusal.problem.code != code::UNAUTHENTICATED),
        Err(_) => None,
    }
}
