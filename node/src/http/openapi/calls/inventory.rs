//! `/api/inventory`.

use client::code;

use super::{command, read};
use crate::http::openapi::call::{Answer, Body, Call, Content, Link, Takes};
use crate::http::openapi::examples::{self, example};
use crate::http::openapi::parameters;

const CURSOR: &str = "AQFQUzU";

/// Its calls.
pub(super) fn calls() -> Vec<Call> {
    vec![put(), adjust(), get(), list(), delete()]
}

fn record(status: u16, about: &'static str, content: Vec<Content>) -> Answer {
    let headers = &["Lastunit-Sequence", "Idempotency-Replayed", "ETag"];
    Answer { status, about, headers, content, links: LINKS }
}

/// The call of that id goes on with this answer's SKU.
const fn with_sku(call: &'static str) -> Link {
    Link { call, takes: Takes::Parameter("sku"), from: "sku" }
}

const LINKS: &[Link] = &[with_sku("getSku"), with_sku("adjustSku"), with_sku("deleteSku")];

fn put() -> Call {
    Call {
        method: "PUT",
        path: "/api/inventory/{sku}",
        id: "putSku",
        title: "Make or set a SKU",
        about: "Makes the SKU, or sets its figures; what is not given stays as it is. Stock is never set below what is \
                held, unless `on_shortfall` says to take the newest holds away.",
        parameters: vec![
            parameters::sku(),
            parameters::idempotency_key(),
            parameters::if_match(),
            parameters::if_none_match_any(),
        ],
        request: Some(Body { schema: "PutSkuRequest", examples: examples::put_sku() }),
        answers: vec![
            record(
                200,
                "The SKU is set.",
                vec![Content::json(
                    "InventoryRecord",
                    vec![example("set", "As it is now.", examples::stock())],
                )],
            ),
            record(
                201,
                "The SKU is made.",
                vec![Content::json(
                    "InventoryRecord",
                    vec![example("made", "A new one.", examples::new_stock())],
                )],
            ),
        ],
        codes: command(&[code::STOCK_BELOW_HELD, code::PRECONDITION_FAILED]),
    }
}

fn adjust() -> Call {
    Call {
        method: "POST",
        path: "/api/inventory/{sku}/adjust",
        id: "adjustSku",
        title: "Adjust a SKU",
        about: "Adds to what is on hand, or takes from it. `reason` and `reference` go into the change feed.",
        parameters: vec![parameters::sku(), parameters::idempotency_key(), parameters::if_match()],
        request: Some(Body { schema: "AdjustRequest", examples: examples::adjust() }),
        answers: vec![record(
            200,
            "The SKU as it is now.",
            vec![Content::json(
                "InventoryRecord",
                vec![example("adjusted", "As it is now.", examples::stock())],
            )],
        )],
        codes: command(&[code::SKU_NOT_FOUND, code::STOCK_BELOW_HELD, code::PRECONDITION_FAILED]),
    }
}

fn get() -> Call {
    Call {
        method: "GET",
        path: "/api/inventory/{sku}",
        id: "getSku",
        title: "Read a SKU",
        about: "The SKU's figures. Its `ETag` is its `version`, which grows with every change.",
        parameters: vec![
            parameters::sku(),
            parameters::if_match(),
            parameters::if_none_match(),
            parameters::consistency(),
        ],
        request: None,
        answers: vec![
            Answer {
                status: 200,
                about: "The SKU's figures.",
                headers: &["Lastunit-Sequence", "ETag", "Lastunit-Applied-Index", "Cache-Control"],
                links: &[],
                content: vec![
                    Content::json(
                        "InventoryRecord",
                        vec![
                            example("stock", "One unit is held.", examples::stock()),
                            example(
                                "stale",
                                "As this node last knew it.",
                                examples::as_stale(examples::stock()),
                            ),
                        ],
                    )
                    .or_stale(),
                ],
            },
            Answer {
                status: 304,
                about: "The client knows this version already.",
                headers: &["Lastunit-Sequence", "ETag", "Lastunit-Applied-Index", "Cache-Control"],
                content: Vec::new(),
                links: &[],
            },
        ],
        codes: read(&[code::SKU_NOT_FOUND, code::PRECONDITION_FAILED]),
    }
}

fn list() -> Call {
    Call {
        method: "GET",
        path: "/api/inventory",
        id: "listSkus",
        title: "List SKUs",
        about: "SKUs by name. A page may be short, or empty, and still have a `next_cursor`: the list ends where that \
                is `null`.",
        parameters: vec![
            parameters::prefix(),
            parameters::limit(),
            parameters::cursor(CURSOR),
            parameters::consistency(),
        ],
        request: None,
        answers: vec![Answer {
            status: 200,
            about: "A page.",
            headers: &["Lastunit-Sequence", "Lastunit-Applied-Index", "Cache-Control"],
            links: &[],
            content: vec![
                Content::json(
                    "InventoryRecordPage",
                    vec![example("page", "The last page.", examples::stocks())],
                )
                .or_stale(),
            ],
        }],
        codes: read(&[]),
    }
}

fn delete() -> Call {
    Call {
        method: "DELETE",
        path: "/api/inventory/{sku}",
        id: "deleteSku",
        title: "Remove a SKU",
        about: "Removes a SKU that nobody holds or waits for. What was sold of it cannot be returned any more.",
        parameters: vec![parameters::sku(), parameters::idempotency_key(), parameters::if_match()],
        request: None,
        answers: vec![Answer {
            status: 204,
            about: "It is gone.",
            headers: &["Lastunit-Sequence", "Idempotency-Replayed"],
            content: Vec::new(),
            links: &[],
        }],
        codes: vec![
            code::INVALID_REQUEST,
            code::SKU_NOT_FOUND,
            code::SKU_HAS_HOLDS,
            code::PRECONDITION_FAILED,
            code::IDEMPOTENCY_KEY_REUSED,
            code::RATE_LIMITED,
            code::NO_LEADER,
            code::NO_QUORUM,
            code::OVERLOADED,
            code::OUTCOME_UNKNOWN,
        ],
    }
}
