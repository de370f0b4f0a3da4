//! The audit of a running cluster: every node's digest at one entry, and every sum recomputed from each node's records.
//!
//! ```text
//!   any node                                   every node, itself included
//!   --------                                   ---------------------------
//!   ReadIndex: entry i
//!   audit(i)               ----------------->  digest at i, out of its ring
//!                                              saves what changed; the keeper's thread streams its image through the
//!                                              audit, while apply goes on in memory
//!   what each has found    <-----------------  the digest at i, the image's figures and findings
//! ```
//!
//! The image is of a moment of its own on each node, at i or later: its digest is held against the one that the state
//! in memory had at that very moment. A node asks for one audit at a time, and makes one at a time: whoever comes
//! meanwhile is told that it is busy. An asker that goes away ends its own node's part; the others end theirs as soon
//! as the connection to them does, or when it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use storage::checkpoint::{Checkpoint, decode_row};
use storage::inventory::{Audited, RecordsAudit};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::ReadError;
use crate::digests::{DigestAt, digest_at};
use crate::read::Confirmer;
use crate::state_machine::StateMachine;
use crate::transport::message::{Call, Reply};
use crate::transport::{CallError, Caller, Callers, Local};

/// How long one node may take: a million SKUs and as many holds take seconds.
const NODE_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a node that is behind may take to apply what was committed when the audit began.
const APPLY_TIME_MAX: Duration = Duration::from_secs(10);

/// Rows of an image between two looks whether anybody still waits for the audit.
const LOOK_ROWS: usize = 256;

/// What an audit of all nodes has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The entry at which digests are compared.
    pub index: u64,
    /// What each node has found in itself, or why it did not tell.
    pub nodes: BTreeMap<u64, Result<NodeAudit, String>>,
}

/// What a node has found in itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAudit {
    /// Its digest at the entry that all are compared at.
    pub digest: u64,
    /// Its image.
    pub image: ImageAudit,
}

/// What a node has found in its image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageAudit {
    /// The last entry that it reflects.
    pub applied_index: Option<u64>,
    /// What its records add up to.
    pub audited: Audited,
}

/// What follows from an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All nodes agree, and nothing was found in any.
    Sound,
    /// Nothing was found, but not all nodes told.
    Incomplete,
    /// Digests differ, or a sum is not what it must be.
    Broken,
}

/// Why there is no audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// This node is asking for one already.
    #[error("an audit is under way already")]
    Busy,
    /// No quorum says up to where commands must be reflected.
    #[error(transparent)]
    NotRead(#[from] ReadError),
}

impl Audit {
    /// Whether all nodes that told have one digest at the entry.
    pub fn agree(&self) -> bool {
        let digests: BTreeSet<u64> = self.told().map(|node| node.digest).collect();
        digests.len() <= 1
    }

    /// What follows from it.
    pub fn verdict(&self) -> Verdict {
        let found = self.told().any(|node| node.image.audited.findings_total > 0);
        match found || !self.agree() {
            true => Verdict::Broken,
            false if self.nodes.values().all(Result::is_ok) => Verdict::Sound,
            false => Verdict::Incomplete,
        }
    }

    fn told(&self) -> impl Iterator<Item = &NodeAudit> {
        self.nodes.values().flatten()
    }
}

/// Asks for audits, and makes this node's part of them.
pub(crate) struct Auditor {
    local: Arc<Local>,
    machine: StateMachine,
    confirmer: Confirmer,
    callers: Callers,
    /// Taken while this node asks all.
    asking: Semaphore,
    /// Taken while this node looks at itself.
    looking: Semaphore,
}

impl Auditor {
    pub(crate) fn new(local: Arc<Local>, machine: StateMachine, confirmer: Confirmer) -> Auditor {
        let callers = Callers::new(local.clone());
        let (asking, looking) = (Semaphore::new(1), Semaphore::new(1));
        Auditor { local, machine, confirmer, callers, asking, looking }
    }

    /// Audits all nodes.
    pub(crate) async fn audit(&self) -> Result<Audit, AuditError> {
        let _asking = self.asking.try_acquire().map_err(|_| AuditError::Busy)?;
        let index = self.confirmer.confirm().await?;
        let others = self.callers.all();
        let others = join_all(others.iter().map(async |(id, caller)| (*id, ask(caller, index).await)));
        let (others, own) = tokio::join!(others, self.audit_here(index));
        let nodes = others.into_iter().chain([(self.local.options.node_id, own)]).collect();
        Ok(Audit { index, nodes })
    }

    /// This node's part.
    ///
    /// # Errors
    /// Why it cannot tell, in words.
    pub(crate) async fn audit_here(&self, index: u64) -> Result<NodeAudit, String> {
        let audit = timeout(NODE_TIME_MAX, self.look(index)).await;
        audit.unwrap_or_else(|_| Err(format!("it took longer than {} s", NODE_TIME_MAX.as_secs())))
    }

    async fn look(&self, index: u64) -> Result<NodeAudit, String> {
        let _turn = self.looking.try_acquire().map_err(|_| "it makes another audit: ask again later")?;
        let digest = match digest_at(&self.local, index, APPLY_TIME_MAX).await {
            DigestAt::Known(digest) => digest,
            DigestAt::NotYet => return Err(format!("it has not applied entry {index} yet")),
            DigestAt::Gone => return Err(format!("its state came whole after entry {index}")),
        };
        let image = self.machine.audit().await.map_err(|e| e.to_string())?;
        Ok(NodeAudit { digest, image })
    }
}

async fn ask(caller: &Caller, index: u64) -> Result<NodeAudit, String> {
    match caller.call(&Call::Audit(index), NODE_TIME_MAX).await {
        Ok(Reply::Audit(audit)) => audit,
        Ok(Reply::Failed(why)) | Err(CallError::NotSent(why) | CallError::Lost(why)) => Err(why),
        Ok(other) => Err(format!("it answers something else: {other:?}")),
    }
}

/// Streams an image through the audit, as long as somebody wants to know. What cannot be read is a finding and no more:
/// the image is only a copy of the state, which goes on in memory.
pub(crate) fn of_image(checkpoint: &Checkpoint, is_wanted: impl Fn() -> bool) -> ImageAudit {
    let header = checkpoint.header().cloned().unwrap_or_default();
    let mut audit = RecordsAudit::default();
    let streamed = stream(checkpoint, is_wanted, &mut audit);
    let mut audited = audit.finish(header.digest);
    if let Err(why) = streamed {
        audited.find(format!("the image was not read to its end: {why}"));
    }
    ImageAudit { applied_index: header.applied.map(|position| position.index), audited }
}

fn stream(
    checkpoint: &Checkpoint,
    is_wanted: impl Fn() -> bool,
    audit: &mut RecordsAudit,
) -> Result<(), String> {
    for (place, row) in checkpoint.rows().enumerate() {
        if place % LOOK_ROWS == 0 && !is_wanted() {
            return Err("nobody waits for the audit any more".into());
        }
        let row = row.map_err(|e| e.to_string())?;
        for (key, record) in decode_row(row.key(), row.value()).map_err(|e| e.to_string())? {
            audit.add(key, &record);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(digest: u64, findings: &[&str]) -> Result<NodeAudit, String> {
        let mut audited = Audited { digest, ..Audited::default() };
        findings.iter().for_each(|finding| audited.find(*finding));
        Ok(NodeAudit { digest, image: ImageAudit { applied_index: Some(8), audited } })
    }

    #[test]
    fn it_is_sound_where_all_tell_the_same_and_nothing_is_found() {
        let silent = || Err("no answer".to_owned());
        let cases = [
            (vec![node(1, &[]), node(1, &[]), node(1, &[])], Verdict::Sound, true),
            (vec![node(1, &[]), node(1, &[]), silent()], Verdict::Incomplete, true),
            (vec![node(1, &[]), node(2, &[]), node(1, &[])], Verdict::Broken, false),
            (vec![node(1, &[]), node(1, &["held"]), node(1, &[])], Verdict::Broken, true),
            (vec![silent(), node(1, &["held"]), silent()], Verdict::Broken, true),
            (vec![silent(), node(1, &[]), node(2, &[])], Verdict::Broken, false),
            (vec![silent(), silent(), silent()], Verdict::Incomplete, true),
        ];
        for (nodes, verdict, agree) in cases {
            let audit = Audit { index: 7, nodes: (1..).zip(nodes).collect() };
            assert_eq!((audit.verdict(), audit.agree()), (verdict, agree), "{audit:?}");
        }
    }
}
