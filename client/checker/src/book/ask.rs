//! What a command asks for.

use client::api::{
    AdjustRequest, CommitRequest, ExtendRequest, Item, OperationCall, PutSkuRequest, ReleaseRequest,
    ReserveRequest, ReturnRequest,
};
use serde::de::DeserializeOwned;

use crate::history::{Call, Op};

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    Reserve(ReserveRequest),
    Commit(CommitRequest),
    Release(ReleaseRequest),
    Extend(ExtendRequest),
    Return(ReturnRequest),
    Put(String, PutSkuRequest),
    Adjust(String, AdjustRequest),
    Delete(String),
}

impl Ask {
    /// What a call other than a batch or a read asks for.
    pub(crate) fn of(call: &Call) -> Result<Ask, String> {
        let target = || call.target.clone().ok_or_else(|| format!("{} without its SKU", call.op));
        Ok(match call.op {
            Op::Reserve => Ask::Reserve(in_order(body(call)?)),
            Op::Commit => Ask::Commit(body(call)?),
            Op::Release => Ask::Release(body(call)?),
            Op::Extend => Ask::Extend(body(call)?),
            Op::Return => Ask::Return(body(call)?),
            Op::Put => Ask::Put(target()?, body(call)?),
            Op::Adjust => Ask::Adjust(target()?, body(call)?),
            Op::Delete => Ask::Delete(target()?),
            op => return Err(format!("{op} is no command")),
        })
    }

    /// What an operation of a batch asks for.
    pub(crate) fn of_operation(operation: OperationCall) -> Ask {
        match operation {
            OperationCall::Reserve(reserve) => Ask::Reserve(in_order(reserve)),
            OperationCall::Commit(commit) => Ask::Commit(commit),
            OperationCall::Release(release) => Ask::Release(release),
            OperationCall::Extend(extend) => Ask::Extend(extend),
            OperationCall::Return(back) => Ask::Return(back),
            OperationCall::Adjust(adjust) => Ask::Adjust(adjust.sku, adjust.adjust),
        }
    }

    /// Of which kind it is.
    pub(crate) fn op(&self) -> Op {
        match self {
            Ask::Reserve(_) => Op::Reserve,
            Ask::Commit(_) => Op::Commit,
            Ask::Release(_) => Op::Release,
            Ask::Extend(_) => Op::Extend,
            Ask::Return(_) => Op::Return,
            Ask::Put(..) => Op::Put,
            Ask::Adjust(..) => Op::Adjust,
            Ask::Delete(_) => Op::Delete,
        }
    }

    /// The reservation that it names.
    pub(crate) fn reservation_id(&self) -> Option<&str> {
        match self {
            Ask::Commit(commit) => Some(&commit.reservation_id),
            Ask::Release(release) => Some(&release.reservation_id),
            Ask::Extend(extend) => Some(&extend.reservation_id),
            Ask::Return(back) => Some(&back.reservation_id),
            Ask::Reserve(_) | Ask::Put(..) | Ask::Adjust(..) | Ask::Delete(_) => None,
        }
    }

    /// The SKU whose record it changes as such.
    pub(crate) fn sku(&self) -> Option<&str> {
        match self {
            Ask::Put(sku, _) | Ask::Adjust(sku, _) | Ask::Delete(sku) => Some(sku),
            _ => None,
        }
    }
}

/// Items with each SKU once, by its name.
pub(crate) fn summed(items: &[Item]) -> Vec<Item> {
    let mut sums = std::collections::BTreeMap::<&str, u64>::new();
    for item in items {
        *sums.entry(&item.sku).or_default() += item.qty;
    }
    sums.into_iter().map(|(sku, qty)| Item::new(sku, qty)).collect()
}

fn in_order(mut reserve: ReserveRequest) -> ReserveRequest {
    reserve.items = summed(&reserve.items);
    reserve
}

fn body<T: DeserializeOwned>(call: &Call) -> Result<T, String> {
    call.request.read().map_err(|cause| format!("the request is not that of {}: {cause}", call.op))
}
