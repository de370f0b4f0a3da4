//! `/api/checkout` and `/api/batch`.

use client::code;

use super::command;
use crate::http::openapi::call::{Answer, Body, Call, Content, Link, Takes};
use crate::http::openapi::examples::{self, Example, example};
use crate::http::openapi::parameters;

/// Its calls.
pub(super) fn calls() -> Vec<Call> {
    vec![reserve(), commit(), release(), extend(), take_back(), batch()]
}

/// A call of this group: a command with a body.
fn post(path: &'static str, id: &'static str, schema: &'static str, examples: Vec<Example>) -> Call {
    Call {
        method: "POST",
        path,
        id,
        title: "",
        about: "",
        parameters: vec![parameters::idempotency_key()],
        request: Some(Body { schema, examples }),
        answers: Vec::new(),
        codes: Vec::new(),
    }
}

fn reservation(status: u16, about: &'static str, examples: Vec<Example>) -> Answer {
    let headers = &["Lastunit-Sequence", "Idempotency-Replayed"];
    Answer { status, about, headers, content: vec![Content::json("Reservation", examples)], links: &[] }
}

/// The call of that id goes on with this answer's reservation.
const fn with_reservation(call: &'static str) -> Link {
    Link { call, takes: Takes::Field, from: "reservation_id" }
}

const READ: Link = Link { call: "getReservation", takes: Takes::Parameter("id"), from: "reservation_id" };

/// What is done with a reservation that is held, or waits.
const LIVE: &[Link] =
    &[with_reservation("commit"), with_reservation("extend"), with_reservation("release"), READ];

/// What is done with one that is sold.
const SOLD: &[Link] = &[with_reservation("returnUnits"), READ];

/// A reservation that something may be done with.
fn live(status: u16, about: &'static str, examples: Vec<Example>) -> Answer {
    Answer { links: LIVE, ..reservation(status, about, examples) }
}

fn reserve() -> Call {
    Call {
        title: "Reserve a cart",
        about: "Takes a hold for all items of a cart together, until `expires_at`, or takes nothing. A cart has one \
                live reservation: asked again with the same items, it is answered as it is. With `wait`, a cart of \
                one SKU joins that SKU's line where it does not fit, and gets its hold, with a fresh time to live, \
                when its turn comes: strictly first come, first served.",
        answers: vec![
            live(
                200,
                "The cart's live reservation, which was there already, with the same items.",
                vec![example("held", "The same hold as before.", examples::held())],
            ),
            live(201, "A new hold.", vec![example("held", "Held for five minutes.", examples::held())]),
            live(
                202,
                "The cart waits in the line, now or since earlier.",
                vec![example("waiting", "One cart is before it.", examples::waiting())],
            ),
        ],
        codes: command(&[
            code::SKU_NOT_FOUND,
            code::HELD_BY_OTHERS,
            code::INSUFFICIENT_STOCK,
            code::CART_ALREADY_RESERVED,
            code::CUSTOMER_LIMIT,
        ]),
        ..post("/api/checkout/reserve", "reserve", "ReserveRequest", examples::reserve())
    }
}

fn commit() -> Call {
    Call {
        title: "Commit a reservation",
        about: "Sells what a hold holds, or the named part of it: the rest is released. Committed again with the same \
                `payment_token`, it is answered as it is. With `if_expired: reacquire`, a hold that has expired is \
                sold all the same where its units are still there and nobody waits for them.",
        answers: vec![Answer {
            links: SOLD,
            ..reservation(
                200,
                "The units are sold: now, or earlier with the same payment token.",
                vec![example("committed", "Sold.", examples::committed())],
            )
        }],
        codes: command(&[
            code::RESERVATION_NOT_FOUND,
            code::RESERVATION_WAITING,
            code::RESERVATION_RELEASED,
            code::ALREADY_COMMITTED,
            code::RESERVATION_EXPIRED,
            code::FENCING_TOKEN_STALE,
        ]),
        ..post("/api/checkout/commit", "commit", "CommitRequest", examples::commit())
    }
}

fn release() -> Call {
    Call {
        title: "Release a reservation",
        about: "Gives the units of a hold back to sale, all or the named part of them, or leaves the line. Released \
                again, or when it has ended by itself, it is answered as it is.",
        answers: vec![reservation(
            200,
            "The state that it is in now.",
            vec![
                example("released", "Its units are for sale again.", examples::released()),
                example("expired", "It had expired before.", examples::expired()),
            ],
        )],
        codes: command(&[code::RESERVATION_NOT_FOUND, code::ALREADY_COMMITTED]),
        ..post("/api/checkout/release", "release", "ReleaseRequest", examples::release())
    }
}

fn extend() -> Call {
    Call {
        title: "Extend a hold",
        about: "Moves a hold's end to `ttl_seconds` from now, unless it is later already.",
        answers: vec![reservation(
            200,
            "The hold with its end as it is now.",
            vec![example("extended", "Five minutes from now.", examples::extended())],
        )],
        codes: command(&[
            code::RESERVATION_NOT_FOUND,
            code::RESERVATION_WAITING,
            code::RESERVATION_RELEASED,
            code::ALREADY_COMMITTED,
            code::RESERVATION_EXPIRED,
            code::HOLD_LIMIT,
        ]),
        ..post("/api/checkout/extend", "extend", "ExtendRequest", examples::extend())
    }
}

fn take_back() -> Call {
    Call {
        title: "Return sold units",
        about: "Takes units of a committed reservation back into stock: all that are not returned yet, or the named \
                ones.",
        answers: vec![reservation(
            200,
            "The units are on hand again.",
            vec![example("returned", "One unit came back.", examples::returned())],
        )],
        codes: command(&[
            code::RESERVATION_NOT_FOUND,
            code::SKU_NOT_FOUND,
            code::NOT_COMMITTED,
            code::RETURN_EXCEEDS_SALE,
        ]),
        ..post("/api/checkout/return", "returnUnits", "ReturnRequest", examples::take_back())
    }
}

fn batch() -> Call {
    Call {
        title: "Many operations in one call",
        about: "Up to 10,000 operations, executed in their order, each a command of its own with its own result and, \
                if it has one, its own `idempotency_key` (the header of that name is refused). An operation that is \
                refused or cannot be read fails alone. Each body is that of the call of its name, with `op` beside \
                it; an adjust names its `sku`. The whole body has at most 32 MiB.",
        parameters: Vec::new(),
        answers: vec![Answer {
            status: 200,
            about: "One result for each operation, in their order; each has the status and the body that its call \
                    would have had.",
            headers: &[],
            links: &[],
            content: vec![Content::json(
                "BatchResponse",
                vec![example("delivery", "One cart asked for what does not exist.", examples::results())],
            )],
        }],
        codes: vec![
            code::INVALID_REQUEST,
            code::BODY_TOO_LARGE,
            code::UNSUPPORTED_MEDIA_TYPE,
            code::OVERLOADED,
        ],
        ..post("/api/batch", "batch", "BatchRequest", examples::batch())
    }
}
