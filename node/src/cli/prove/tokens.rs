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

/// Whether every node still refuses what was revoked. Who takes it once has broken it, whatever it says later.
pub(super) async fn stay_revoked(cluster: &Cluster, old: &Tokens) -> Result<(), String> {
    let shown = shown(cluster, old)?;
    try_join_all(shown.iter().map(Shown::stays_refused)).await.map(drop)
}

/// Waits until every node takes these tokens, or refuses them.
async fn all(cluster: &Cluster, tokens: &Tokens, are_taken: bool) -> Result<(), String> {
    let shown = shown(cluster, tokens)?;
    try_join_all(shown.iter().map(|one| one.settle(are_taken))).await.map(drop)
}

/// Each of these tokens, at each node.
fn shown(cluster: &Cluster, tokens: &Tokens) -> Result<Vec<Shown>, String> {
    let ca = cluster.wire.keys().ca.clone();
    let urls = cluster.urls();
    let all = urls.iter().flat_map(|url| tokens.values().map(move |token| (url, token)));
    all.map(|(url, token)| Shown::new(url, ca.as_deref(), token)).collect()
}

/// A token that is shown to a node.
struct Shown {
    client: Client,
    /// Which token, and to whom.
    what: String,
}

impl Shown {
    fn new(url: &str, ca: Option<&str>, token: &Token) -> Result<Shown, String> {
        let client = keys::client(&[url.to_owned()], ca, Some(token)).map_err(|why| why.to_string())?;
        Ok(Shown { client, what: format!("the token {token:?} at {url}") })
    }

    /// Waits until the node takes it, or refuses it.
    async fn settle(&self, is_taken: bool) -> Result<(), String> {
        let deadline = Instant::now() + NOTICE_TIME_MAX;
        while self.look().await != Some(is_taken) {
            if Instant::now() > deadline {
                let is = if is_taken { "is new and not taken" } else { "is revoked and not refused" };
                return Err(format!("{} {is} after {} s", self.what, NOTICE_TIME_MAX.as_secs()));
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    async fn stays_refused(&self) -> Result<(), String> {
        match told(async || self.look().await).await {
            Some(false) => Ok(()),
            Some(true) => Err(format!("{} was revoked and refused, and is taken again", self.what)),
            None => Err(format!("{}: no answer within {} s", self.what, NOTICE_TIME_MAX.as_secs())),
        }
    }

    /// Whether the node takes it; `None` where it cannot be told. What is asked for, every role may.
    async fn look(&self) -> Option<bool> {
        let asked = self.client.sku("sku-0").stale().tries_max(1).deadline(LOOK_TIME_MAX).await;
        match asked {
            Ok(_) => Some(true),
            Err(Error::Refused(refusal)) => Some(refusal.problem.code != code::UNAUTHENTICATED),
            Err(_) => None,
        }
    }
}

/// The first thing that can be told.
async fn told(look: impl AsyncFn() -> Option<bool>) -> Option<bool> {
    let deadline = Instant::now() + NOTICE_TIME_MAX;
    loop {
        let told = look().await;
        if told.is_some() || Instant::now() > deadline {
            return told;
        }
        sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_revoked_token_that_is_taken_once_is_not_looked_at_until_it_is_refused() {
        for (looks, first) in [
            (vec![Some(false), Some(true), None], Some(true)),
            (vec![Some(true), Some(false), None, None], Some(false)),
        ] {
            let left = Mutex::new(looks);
            assert_eq!(told(async || left.lock().unwrap().pop().unwrap()).await, first);
        }
    }
}
