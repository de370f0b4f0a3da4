//! What a client of the tests asks for.

use checker::history::{Json, Op};
use client::api::{
    AdjustRequest, CommitRequest, ExtendRequest, PutSkuRequest, ReleaseRequest, ReserveRequest, ReturnRequest,
};

#[derive(Clone, Debug)]
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
    /// Its op, the SKU in its path, and its body.
    pub(crate) fn parts(&self) -> (Op, Option<String>, Json) {
        let json = |value: Result<Json, _>| value.unwrap();
        match self {
            Ask::Reserve(body) => (Op::Reserve, None, json(Json::of(body))),
            Ask::Commit(body) => (Op::Commit, None, json(Json::of(body))),
            Ask::Release(body) => (Op::Release, None, json(Json::of(body))),
            Ask::Extend(body) => (Op::Extend, None, json(Json::of(body))),
            Ask::Return(body) => (Op::Return, None, json(Json::of(body))),
            Ask::Put(sku, body) => (Op::Put, Some(sku.clone()), json(Json::of(body))),
            Ask::Adjust(sku, body) => (Op::Adjust, Some(sku.clone()), json(Json::of(body))),
            Ask::Delete(sku) => (Op::Delete, Some(sku.clone()), Json::null()),
        }
    }
}
