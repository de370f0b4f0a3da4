//! `/api/cluster/members` and `/api/cluster/leader`.

use client::code;

use super::Call;
use crate::http::openapi::call::{Answer, Body, Content};
use crate::http::openapi::examples::{self, example};
use crate::http::openapi::parameters;

/// Its calls.
pub(super) fn calls() -> Vec<Call> {
    vec![add(), promote(), replace(), remove(), lead()]
}

fn answer(status: u16, about: &'static str, learner: Option<u64>) -> Answer {
    let content =
        Content::json("MembershipView", vec![example("members", about, examples::membership(learner))]);
    Answer { status, about, headers: &[], content: vec![content], links: &[] }
}

/// What every change may answer, and these. One with a body may also answer that it is too large, or not JSON.
fn codes(own: &[&'static str], has_body: bool) -> Vec<&'static str> {
    let all = [
        code::INVALID_REQUEST,
        code::MEMBERSHIP_CHANGING,
        code::NO_LEADER,
        code::NO_QUORUM,
        code::OVERLOADED,
        code::OUTCOME_UNKNOWN,
    ];
    let of_body: &[&'static str] =
        if has_body { &[code::BODY_TOO_LARGE, code::UNSUPPORTED_MEDIA_TYPE] } else { &[] };
    [own, &all, of_body].concat()
}

fn add() -> Call {
    Call {
        method: "POST",
        path: "/api/cluster/members",
        id: "addMember",
        title: "Add a member",
        about: "A new node, which runs and whose directory is new, follows from now on without a vote: a learner. \
                Made again it answers 200. Answered once the change is committed, as all of these calls; none of \
                them takes an `Idempotency-Key`, and each may be made again.",
        parameters: Vec::new(),
        request: Some(Body { schema: "AddMemberRequest", examples: examples::add_member() }),
        answers: vec![
            answer(200, "It was a member with these addresses before.", Some(4)),
            answer(201, "It is a learner.", Some(4)),
        ],
        codes: codes(
            &[
                code::MEMBER_EXISTS,
                code::MEMBER_UNREACHABLE,
                code::MEMBER_NOT_NEW,
                code::MEMBERS_OUT_OF_RANGE,
            ],
            true,
        ),
    }
}

fn promote() -> Call {
    Call {
        method: "POST",
        path: "/api/cluster/members/{id}/promote",
        id: "promoteMember",
        title: "Promote a learner",
        about: "A learner that has caught up votes from now on.",
        parameters: vec![parameters::node()],
        request: None,
        answers: vec![answer(200, "It votes.", None)],
        codes: codes(
            &[
                code::MEMBER_NOT_FOUND,
                code::MEMBER_UNREACHABLE,
                code::MEMBER_BEHIND,
                code::MEMBERS_OUT_OF_RANGE,
                code::QUORUM_WOULD_BE_LOST,
            ],
            false,
        ),
    }
}

fn replace() -> Call {
    Call {
        method: "POST",
        path: "/api/cluster/members/{id}/replace",
        id: "replaceMember",
        title: "Replace a member",
        about: "A learner that has caught up votes in the member's place, which is none any more: in one step, so that \
                there are never fewer voters. A leader that is replaced hands over first.",
        parameters: vec![parameters::node()],
        request: Some(Body { schema: "ReplaceMemberRequest", examples: examples::replace_member() }),
        answers: vec![answer(200, "It votes in that place.", None)],
        codes: codes(
            &[
                code::MEMBER_EXISTS,
                code::MEMBER_NOT_FOUND,
                code::MEMBER_UNREACHABLE,
                code::MEMBER_BEHIND,
                code::MEMBER_IS_LEARNER,
                code::QUORUM_WOULD_BE_LOST,
                code::LEADER_NOT_TRANSFERRED,
            ],
            true,
        ),
    }
}

fn remove() -> Call {
    Call {
        method: "DELETE",
        path: "/api/cluster/members/{id}",
        id: "removeMember",
        title: "Remove a member",
        about: "Refused where the voters that are left would be too few, or no quorum that answers and has caught up. A \
                leader that is removed hands over first. The removed node ends with exit code 2, and its directory is \
                not used again.",
        parameters: vec![parameters::node(), parameters::to_replace()],
        request: None,
        answers: vec![answer(200, "It is no member any more.", None)],
        codes: codes(
            &[
                code::MEMBER_NOT_FOUND,
                code::MEMBERS_OUT_OF_RANGE,
                code::QUORUM_WOULD_BE_LOST,
                code::LEADER_NOT_TRANSFERRED,
            ],
            false,
        ),
    }
}

fn lead() -> Call {
    Call {
        method: "POST",
        path: "/api/cluster/leader",
        id: "transferLeader",
        title: "Have another node lead",
        about: "The voter that is named leads, or whichever has most of the log. Commands that are under way are \
                answered.",
        parameters: Vec::new(),
        request: Some(Body { schema: "LeadRequest", examples: examples::lead() }),
        answers: vec![answer(200, "Who leads is in `leader_id`.", None)],
        codes: codes(
            &[
                code::MEMBER_NOT_FOUND,
                code::MEMBER_UNREACHABLE,
                code::MEMBER_BEHIND,
                code::MEMBER_IS_LEARNER,
                code::LEADER_NOT_TRANSFERRED,
            ],
            true,
        ),
    }
}
