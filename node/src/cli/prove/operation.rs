//! What an operator does to a cluster that is well: each of it goes on while clients do, and nothing of it may be felt.
//!
//! ```text
//!   restart, certs          SIGTERM and a new start, node after node; the latter with certificates that are new
//!   membership, replace, grow    member
//!   transfer                another node leads, as the answer says
//!   backup, tokens          a file that is whole; what is revoked is refused
//! ```
//!
//! What cannot be done is a finding, but for what other faults may stand in the way of: leadership goes to nobody who
//! is behind, and a backup needs a quorum.

use std::time::Duration;

use client::{Error, code};
use rustix::process::Signal;
use tokio::time::sleep;

use super::cluster::Cluster;
use super::kind::Kind;
use super::recorder::Recorder;
use super::{backup, certs, member, tokens};

/// How long a node may take to end in order.
const ENDS_TIME_MAX: Duration = Duration::from_secs(60);

/// What the client says of a node's failure that no node of ours explains, such as a status 500.
pub(super) const NO_DOCUMENT: &str = "without a problem document";
/// Why a transfer may be refused while links are cut or slow.
const NOT_NOW: [&str; 4] =
    [code::LEADER_NOT_TRANSFERRED, code::MEMBER_BEHIND, code::MEMBER_UNREACHABLE, code::MEMBERSHIP_CHANGING];
/// Why it may not be executed for a while.
const NOBODY: [&str; 3] = [code::NO_LEADER, code::NO_QUORUM, code::OVERLOADED];

/// An operation that is to be done.
pub(super) struct Operation<'a> {
    /// To whom.
    pub(super) cluster: &'a Cluster,
    /// What clients know.
    pub(super) recorder: &'a Recorder,
    /// Those nodes that it is about; none where it is about others that come and go.
    pub(super) nodes: &'a [u64],
    /// How long it stays so before it is undone, or at its end.
    pub(super) lasts: Duration,
}

impl Operation<'_> {
    /// Does it. Answers whether there is evidence of it.
    pub(super) async fn run(&self, kind: Kind) -> bool {
        let done = match kind {
            Kind::Restart => Ok(self.roll().await),
            Kind::Membership => member::change(self.cluster, self.nodes, self.lasts).await,
            Kind::Replace => member::replace_dead(self.cluster, self.nodes, self.lasts).await,
            Kind::Grow => member::resize(self.cluster, self.nodes, self.lasts).await,
            Kind::Transfer => self.transfer().await,
            Kind::Backup => self.back_up().await,
            Kind::Certs => self.change_certificates().await,
            Kind::Tokens => self.change_tokens().await,
            _ => Ok(false),
        };
        done.unwrap_or_else(|why| {
            self.cluster.find(format!("{kind}: {why}"));
            false
        })
    }

    /// One node after the other ends in order and comes back.
    async fn roll(&self) -> bool {
        let mut are_in_order = true;
        for id in self.nodes {
            are_in_order &= self.end(*id).await;
            if let Err(why) = self.cluster.start(*id).await {
                self.cluster.find(why);
            }
            self.cluster.wait_serving(*id).await;
        }
        are_in_order
    }

    async fn end(&self, id: u64) -> bool {
        self.cluster.doom(id);
        self.cluster.signal(id, Signal::TERM).await;
        let end = self.cluster.wait_ended(id, ENDS_TIME_MAX).await;
        let is_in_order = end.is_some_and(|status| status.success());
        if !is_in_order {
            self.cluster.find(format!("node {id} did not end in order: {end:?}"));
            self.cluster.kill(id).await;
        }
        is_in_order
    }

    /// Answers whether somebody leads who did not before.
    async fn transfer(&self) -> Result<bool, String> {
        let before = self.cluster.leader();
        let others = self.cluster.nodes.iter().map(|(id, _)| *id).filter(|id| !self.nodes.contains(id));
        let to = others.into_iter().find(|id| before.is_none_or(|(leader, _)| leader != *id));
        let led = self.cluster.wire.operator()?.transfer_leader(to).await;
        sleep(self.lasts).await;
        match led {
            Ok(led) => Ok(led.value.changed && led.value.leader_id == to),
            Err(why) if is_not_now(&why) => Ok(false),
            Err(why) => Err(why.to_string()),
        }
    }

    async fn back_up(&self) -> Result<bool, String> {
        let mut taken = true;
        for node in self.nodes {
            taken &= backup::take(self.cluster, self.recorder, *node).await?;
        }
        Ok(taken)
    }

    async fn change_certificates(&self) -> Result<bool, String> {
        certs::rotate(self.cluster).await?;
        Ok(self.roll().await)
    }

    async fn change_tokens(&self) -> Result<bool, String> {
        let old = tokens::rotate(self.cluster).await?;
        sleep(self.lasts).await;
        tokens::stay_revoked(self.cluster, &old).await?;
        Ok(true)
    }
}

/// Whether a transfer may end so in a cluster that is well but for what other faults do to its links.
fn is_not_now(why: &Error) -> bool {
    match why {
        Error::Refused(refusal) => NOT_NOW.contains(&&*refusal.problem.code),
        Error::NotExecuted(it) => match &it.problem {
            Some(problem) => NOBODY.contains(&&*problem.code),
            None => !it.why.contains(NO_DOCUMENT),
        },
        Error::Unknown(it) => !it.why.contains(NO_DOCUMENT),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use client::api::Problem;
    use client::{NotExecuted, Refusal, Tries, Unknown};

    use super::*;

    fn problem(code: &str) -> Problem {
        serde_json::from_value(serde_json::json!({
            "type": "about:blank", "title": "t", "status": 409, "detail": "d", "code": code, "retryable": true,
            "executed": "no",
        }))
        .unwrap()
    }

    fn refused(code: &str) -> Error {
        let (sequence, retry_after_seconds, tries) = (None, None, Tries::default());
        Error::Refused(Box::new(Refusal { problem: problem(code), sequence, retry_after_seconds, tries }))
    }

    fn not_executed(why: &str, code: Option<&str>) -> Error {
        let (why, problem, tries) = (why.to_owned(), code.map(problem), Tries::default());
        Error::NotExecuted(Box::new(NotExecuted { why, problem, tries }))
    }

    fn unknown(why: &str) -> Error {
        let (why, idempotency_key, tries) = (why.to_owned(), None, Tries::default());
        Error::Unknown(Box::new(Unknown { why, idempotency_key, tries }))
    }

    #[test]
    fn a_transfer_that_is_refused_for_what_no_cut_link_does_is_a_finding() {
        for (error, is_not_now) in [
            (refused(code::LEADER_NOT_TRANSFERRED), true),
            (refused(code::MEMBER_BEHIND), true),
            (refused(code::FORBIDDEN), false),
            (refused(code::UNAUTHENTICATED), false),
            (refused(code::MEMBER_NOT_FOUND), false),
            (not_executed("", Some(code::NO_QUORUM)), true),
            (not_executed("", Some(code::FEATURE_NOT_ACTIVE)), false),
            (not_executed("no connection", None), true),
            (not_executed("status 500 without a problem document", None), false),
            (unknown("504 outcome_unknown: d"), true),
            (unknown("status 500 without a problem document"), false),
            (Error::Usage("u".to_owned()), false),
        ] {
            assert_eq!(super::is_not_now(&error), is_not_now, "{error}");
        }
    }
}
