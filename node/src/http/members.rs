//! `/api/cluster/members` and `/api/cluster/leader`: who belongs to the cluster, and who leads it.
//!
//! These are no commands of the inventory: they have no sequence and no idempotency key. Each may be made again.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use client::api::{
    AddMemberRequest, IDEMPOTENCY_KEY, LeadRequest, MembershipMember, MembershipView, ReplaceMemberRequest,
};
use raft::{Change, ChangeError, Changed, Member, ProposeError, Refusal, RefusalKind};
use tokio::time::timeout;

use super::body;
use super::limits::{ADDRESS_CHARS_MAX, CHANGE_TIME_MAX};
use super::problem::{self, Problem, invalid};
use super::query::Query;
use super::{Api, Shared, Store, reply};
use crate::address::is_address;

/// Whoever waits until a node may be promoted goes by the same number.
const _: () = assert!(raft::ENTRIES_BEHIND_MAX == client::api::ENTRIES_BEHIND_MAX);

/// A part of the path, as far as it could be read.
type Part = Result<Path<String>, PathRejection>;

/// `POST /api/cluster/members`: a new node follows without a vote.
pub(crate) async fn add<S: Store>(State(api): Shared<S>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    Query::of(&head.uri, &[])?;
    refuse_key(&head.headers)?;
    let AddMemberRequest { id, raft, http } = body::read(&head.headers, body).await?;
    let (id, raft, http) = (node_id("id", id)?, address("raft", raft)?, address("http", http)?);
    let added = change(&api, Change::Add(Member { id, http, raft })).await?;
    let status = if added.changed { StatusCode::CREATED } else { StatusCode::OK };
    Ok(reply::json(status, &view(added)))
}

/// `POST /api/cluster/members/{id}/promote`: a learner votes.
pub(crate) async fn promote<S: Store>(
    State(api): Shared<S>,
    id: Part,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::of(&uri, &[])?;
    refuse_key(&headers)?;
    run(&api, Change::Promote(part(id)?)).await
}

/// `POST /api/cluster/members/{id}/replace`: a learner votes in a member's place.
pub(crate) async fn replace<S: Store>(
    State(api): Shared<S>,
    id: Part,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    Query::of(&head.uri, &[])?;
    refuse_key(&head.headers)?;
    let ReplaceMemberRequest { by } = body::read(&head.headers, body).await?;
    run(&api, Change::Swap { old: part(id)?, new: node_id("by", by)? }).await
}

/// `DELETE /api/cluster/members/{id}`: a member is none any more.
pub(crate) async fn remove<S: Store>(
    State(api): Shared<S>,
    id: Part,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    refuse_key(&headers)?;
    let to_replace = match Query::of(&uri, &["to_replace"])?.get("to_replace") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(invalid("to_replace", "Must be true or false.")),
    };
    run(&api, Change::Remove { id: part(id)?, to_replace }).await
}

/// `POST /api/cluster/leader`: another voter leads.
pub(crate) async fn lead<S: Store>(State(api): Shared<S>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    Query::of(&head.uri, &[])?;
    refuse_key(&head.headers)?;
    let LeadRequest { to } = body::read(&head.headers, body).await?;
    run(&api, Change::Lead(to.map(|id| node_id("to", id)).transpose()?)).await
}

/// A key would promise that the call is done once and answered alike: who sends one must not believe that it is kept.
fn refuse_key(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.contains_key(IDEMPOTENCY_KEY) {
        true => {
            Err(invalid("Idempotency-Key", "Changes of the members have no key: each may be made again."))
        }
        false => Ok(()),
    }
}

async fn run<S: Store>(api: &Api<S>, asked: Change) -> Result<Response, Problem> {
    Ok(reply::json(StatusCode::OK, &view(change(api, asked).await?)))
}

/// It takes nobody's room while it waits. A store that does not answer in time leaves the outcome unknown.
async fn change<S: Store>(api: &Api<S>, asked: Change) -> Result<Changed, Problem> {
    let _outside = api.step_outside();
    let changed = timeout(CHANGE_TIME_MAX, api.store.change(&asked)).await;
    changed.unwrap_or(Err(ChangeError::OutcomeUnknown)).map_err(not_changed)
}

fn not_changed(why: ChangeError) -> Problem {
    match why {
        ChangeError::NoLeader => reply::not_proposed(ProposeError::NoLeader),
        ChangeError::NoQuorum => reply::not_proposed(ProposeError::NoQuorum),
        ChangeError::OutcomeUnknown => problem::OUTCOME_UNKNOWN.problem(
            "The change may have been made or not: the cluster's members tell, and it may be made again.",
        ),
        ChangeError::Refused(Refusal { kind, why }) => kind_of(kind).problem(why),
    }
}

fn kind_of(kind: RefusalKind) -> problem::Kind {
    match kind {
        RefusalKind::Changing => problem::MEMBERSHIP_CHANGING,
        RefusalKind::Exists => problem::MEMBER_EXISTS,
        RefusalKind::NotFound => problem::MEMBER_NOT_FOUND,
        RefusalKind::Unreachable => problem::MEMBER_UNREACHABLE,
        RefusalKind::NotNew => problem::MEMBER_NOT_NEW,
        RefusalKind::Behind => problem::MEMBER_BEHIND,
        RefusalKind::Learner => problem::MEMBER_IS_LEARNER,
        RefusalKind::OutOfRange => problem::MEMBERS_OUT_OF_RANGE,
        RefusalKind::QuorumLost => problem::QUORUM_WOULD_BE_LOST,
        RefusalKind::NotTransferred => problem::LEADER_NOT_TRANSFERRED,
    }
}

fn view(changed: Changed) -> MembershipView {
    let Changed { changed, leader_id, term, membership_index, members } = changed;
    let member = |(Member { id, http, raft }, votes)| MembershipMember { id, votes, http, raft };
    let members = members.into_iter().map(member).collect();
    MembershipView { changed, leader_id, term, membership_index, members }
}

fn part(part: Part) -> Result<u64, Problem> {
    let text = part.map(|Path(text)| text).unwrap_or_default();
    // Signs are no digits, though Rust's own parser takes a plus.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(id) if digits => node_id("id", id),
        _ => Err(invalid("id", NODE_ID)),
    }
}

const NODE_ID: &str = "Must be a node's id: a whole number of 1 or more, below 2^64.";

fn node_id(field: &str, id: u64) -> Result<u64, Problem> {
    if id == 0 { Err(invalid(field, NODE_ID)) } else { Ok(id) }
}

fn address(field: &str, text: String) -> Result<String, Problem> {
    match text.chars().count() <= ADDRESS_CHARS_MAX && is_address(&text) {
        true => Ok(text),
        false => Err(invalid(field, "Must be a host and a port, such as 127.0.0.1:9104.")),
    }
}
