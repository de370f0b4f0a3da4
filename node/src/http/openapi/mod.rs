//! `/openapi.json` and `/docs`: the interface described, for programs and for people.
//!
//! ```text
//!   client::api types -- schemas --\
//!   limits of the parsers ---------/--> components \
//!   calls: the table of all calls -----> paths       >--> document --> /openapi.json
//!   problem::KINDS -- problems --------> responses  /         \-- page --> /docs
//! ```
//!
//! Both are made once, when the node starts, with the limits of its cluster.
//!
//! Invariants, which `tests` holds:
//! - The document names the very paths and methods that the router answers, and every code of the contract.
//! - Every example passes its own schema, and every example of a request the node's own parser.
//!
//! What is absent: a script, an image or a font on the page, and anything from another host.

mod call;
mod calls;
mod examples;
mod page;
mod parameters;
mod problems;
mod schemas;

use axum::body::Bytes;
use axum::http::HeaderName;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::routing::{MethodRouter, get};
use serde_json::{Map, Value, json};

use self::calls::Group;

/// Where the document is.
pub(super) const DOCUMENT_PATH: &str = "/openapi.json";

/// Where the page is.
pub(super) const PAGE_PATH: &str = "/docs";

/// Nothing but the style that stands in the page itself: no script, no image, no frame, no other host.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The routes of the document and of the page.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(
    ttl_seconds_max: u64,
) -> [(&'static str, MethodRouter<S>); 2] {
    let document = document(ttl_seconds_max);
    let page = page::render(&calls::groups(), &document);
    let json = fixed([(CONTENT_TYPE, "application/json")], document.to_string());
    let html = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    [(DOCUMENT_PATH, json), (PAGE_PATH, fixed(html, page))]
}

/// Answers every GET with that body.
fn fixed<S: Clone + Send + Sync + 'static, const N: usize>(
    headers: [(HeaderName, &'static str); N],
    body: String,
) -> MethodRouter<S> {
    let body = Bytes::from(body);
    get(move || {
        let answer = (headers.clone(), body.clone());
        async { answer }
    })
}

/// The OpenAPI document of a cluster with that limit.
fn document(ttl_seconds_max: u64) -> Value {
    let groups = calls::groups();
    let tags: Vec<Value> =
        groups.iter().map(|group| json!({ "name": group.name, "description": group.about })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "lastunit",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "An inventory store that sells the last unit once.",
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This node; every node answers every call." }],
        // Without tokens configured nothing is asked for.
        "security": [{}, { "token": [] }],
        "tags": tags,
        "paths": paths(&groups),
        "components": {
            "schemas": schemas::schemas(ttl_seconds_max),
            "headers": parameters::headers(),
            "examples": problems::examples(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": TOKENS } },
        },
    })
}

/// What all calls have in common.
const ABOUT: &str = "\
Every node answers every call; one that does not lead passes it on. JSON in and out, times in RFC 3339, \
UTC, with milliseconds.\n\n\
A refusal is a problem document of RFC 9457: `code` is stable for ever, `retryable` says whether the \
very same call may succeed later by itself, `executed` whether it may have been done all the same: `no`, \
or `unknown` (504). A path that no call has answers 404 `not_found`, a method that it does not have 405 \
`method_not_allowed` with `Allow`.\n\n\
Give each call that changes something an `Idempotency-Key` of its own, and after a time-out, a lost \
connection or a 504 send it again with the same key and body, to any node: it is done once.\n\n\
`Lastunit-Sequence` numbers all commands of the history; sorted by it, the answers of all clients are \
one history.\n\n\
A cluster with tokens answers those who show one, `Authorization: Bearer lu_...`; without, it serves its own \
machine alone. 401 `unauthenticated`: no token, or none any more. 403 `forbidden`: not for this token's roles, \
or not for the carts that it is bound to.";

/// What a token is.
const TOKENS: &str = "Made by `lastunit token new` with the roles `read`, `checkout`, `stock` or `admin`.";

fn paths(groups: &[Group]) -> Map<String, Value> {
    let mut paths = Map::new();
    for group in groups {
        for call in &group.calls {
            let path = paths.entry(call.path).or_insert_with(|| json!({}));
            path[call.method.to_lowercase()] = call.document(group.name);
        }
    }
    paths
}

#[cfg(test)]
mod tests;
