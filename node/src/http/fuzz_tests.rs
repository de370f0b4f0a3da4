//! Bytes that nobody meant to send: refused or understood, never a panic.

use std::fmt::Debug;

use bolero::check;
use client::api::{
    AddMemberRequest, AdjustRequest, CommitRequest, ExtendRequest, LeadRequest, PutSkuRequest,
    ReleaseRequest, ReplaceMemberRequest, ReserveRequest, ReturnRequest,
};
use serde::Serialize;

use super::body::{JsonBody, parse};
use super::problem::Problem;
use super::{batch, commands};

/// What bodies are made of: each byte of the dice's is one of these, or itself.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    " ",
    "\n",
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1e6",
    "1000001",
    "3.5",
    "18446744073709551616",
    "\"\"",
    "\"a\"",
    "\"A-1\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"res_0\"",
    "[]",
    "{}",
    "\"cart_id\":",
    "\"items\":",
    "\"sku\":",
    "\"qty\":",
    "\"customer_id\":",
    "\"ttl_seconds\":",
    "\"wait\":",
    "\"reservation_id\":",
    "\"payment_token\":",
    "\"fencing_token\":",
    "\"if_expired\":",
    "\"reacquire\"",
    "\"on_hand\":",
    "\"safety_stock\":",
    "\"max_per_customer\":",
    "\"on_shortfall\":",
    "\"revoke_newest\"",
    "\"delta\":",
    "\"reason\":",
    "\"reference\":",
    "\"operations\":",
    "\"op\":",
    "\"idempotency_key\":",
    "\"reserve\"",
    "\"commit\"",
    "\"node\":",
    "\"id\":",
    "\"http\":",
    "\"raft\":",
    "\"127.0.0.1:1\"",
    "{\"cart_id\":\"a\",\"items\":[{\"sku\":\"A-1\",\"qty\":1}]}",
    "{\"reservation_id\":\"res_0\"}",
    "{\"operations\":[{\"op\":\"reserve\",\"cart_id\":\"a\",\"items\":[{\"sku\":\"A-1\",\"qty\":1}]},",
];

/// The longest hold, in seconds, as in a cluster file that names none.
const TTL_SECONDS_MAX: u64 = 3_600;

#[test]
fn bodies() {
    check!().for_each(|bytes: &[u8]| {
        let Some((call, body)) = bytes.split_first() else { return };
        match call % 10 {
            0 => understood::<ReserveRequest, _>(body, |body| commands::reserve(body, TTL_SECONDS_MAX)),
            1 => understood::<CommitRequest, _>(body, commands::commit),
            2 => understood::<ReleaseRequest, _>(body, commands::release),
            3 => understood::<ExtendRequest, _>(body, |body| commands::extend(body, TTL_SECONDS_MAX)),
            4 => understood::<ReturnRequest, _>(body, commands::take_back),
            5 => understood::<PutSkuRequest, _>(body, Ok),
            6 => understood::<AdjustRequest, _>(body, Ok),
            7 => understood::<AddMemberRequest, _>(body, Ok),
            8 => understood::<ReplaceMemberRequest, _>(body, Ok),
            _ => understood::<LeadRequest, _>(body, Ok),
        }
    });
}

#[test]
fn batches() {
    check!().for_each(|bytes: &[u8]| {
        for operation in batch::parse_all(&spelled(bytes), TTL_SECONDS_MAX).into_iter().flatten() {
            let _ = operation;
        }
    });
}

/// A body that is understood says the same when it is written again.
fn understood<T: JsonBody + Serialize + PartialEq + Debug, C>(
    bytes: &[u8],
    command: impl FnOnce(T) -> Result<C, Problem>,
) {
    let Ok(body) = parse::<T>(&spelled(bytes)) else { return };
    let again = serde_json::to_vec(&body).unwrap();
    assert_eq!(parse::<T>(&again).unwrap(), body);
    let _ = command(body);
}

fn spelled(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in bytes {
        match WORDS.get(usize::from(*byte)) {
            Some(word) => text.extend_from_slice(word.as_bytes()),
            None => text.push(*byte),
        }
    }
    text
}
