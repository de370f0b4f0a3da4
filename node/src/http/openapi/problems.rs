//! Every problem code: what it means for the caller, what it tells besides, and what it looks like.

use std::collections::BTreeMap;

use client::code;
use serde_json::{Map, Value, json};

use super::parameters::header_references;
use super::schemas::reference;
use crate::http::problem::{KINDS, Kind};

/// What a problem of one code is about, beyond its kind.
pub(super) struct About {
    /// What happened, and what the caller does about it.
    pub(super) meaning: &'static str,
    /// The `detail` of the example.
    detail: &'static str,
    /// What the example tells besides.
    besides: Value,
    /// Seconds of its `Retry-After`, where it has one.
    pub(super) retry_after: Option<u64>,
}

/// What the codes tell besides what every problem has: names and schemas.
pub(super) fn members() -> Vec<(&'static str, Value)> {
    let number = |about: &str| json!({ "type": "integer", "minimum": 0, "description": about });
    let text = |about: &str| json!({ "type": "string", "description": about });
    let or_null = |kind: &str, about: &str| json!({ "type": [kind, "null"], "description": about });
    vec![
        ("reservation_id", text("`cart_already_reserved`: the cart's live reservation.")),
        ("sku", text("`sku_not_found`, `customer_limit`: which SKU.")),
        (
            "limited_by",
            text(
                "`customer_limit`, `hold_limit`: which limit of the whole cluster; absent where it is that of the SKU, or \
                 of how long a hold may last.",
            ),
        ),
        (
            "limit",
            number(
                "`customer_limit`: the most that one customer may have; `hold_limit`: how often a hold may be extended.",
            ),
        ),
        ("has", number("`customer_limit`, where `limited_by` is told: what the customer has of it.")),
        ("requested", number("`customer_limit`: what the cart asks.")),
        ("sold", number("`customer_limit`: what the customer has bought and not returned.")),
        (
            "held",
            number(
                "`customer_limit`: what the customer holds; `stock_below_held`, `sku_has_holds`: what is held.",
            ),
        ),
        ("on_hand", number("`stock_below_held`: what is on hand.")),
        ("waiting", number("`sku_has_holds`: how many reservations wait.")),
        ("fencing_token", number("`fencing_token_stale`: the token that the hold has.")),
        ("latest_expires_at", text("`hold_limit`: the latest `expires_at` that an extend can reach.")),
        (
            "version",
            or_null(
                "integer",
                "`precondition_failed`: the record's version; `null` where there is no such SKU.",
            ),
        ),
        (
            "oldest",
            or_null(
                "string",
                "`events_expired`: the `id` of the oldest event that is kept; `null` where none is.",
            ),
        ),
        (
            "resume_after",
            text("`events_expired`: the `after` that reads on from the oldest event that is kept."),
        ),
        (
            "applied_index",
            or_null("integer", "Of a stale read: the last log entry that this node had applied."),
        ),
    ]
}

/// The kind of a code.
pub(super) fn kind(code: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.code == code)
}

/// What a problem of that code looks like.
pub(super) fn example(code: &str) -> Value {
    let Some(kind) = kind(code) else {
        return Value::Null;
    };
    let About { detail, besides, .. } = about(code);
    let mut example = json!(kind.problem(detail).body());
    if let (Value::Object(example), Value::Object(besides)) = (&mut example, besides) {
        example.extend(besides);
    }
    example
}

/// Codes by their status.
pub(super) fn by_status(codes: &[&'static str]) -> BTreeMap<u16, Vec<&'static str>> {
    let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for kind in codes.iter().filter_map(|code| kind(code)) {
        by_status.entry(kind.status.as_u16()).or_default().push(kind.code);
    }
    by_status
}

/// The answer of that status with one of these codes.
pub(super) fn response(status: u16, codes: &[&str]) -> Value {
    let list: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let example =
        |code: &&str| ((*code).to_owned(), json!({ "$ref": format!("#/components/examples/{code}") }));
    let mut response = json!({
        "description": format!("Refused: {}.", list.join(", ")),
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [
                        reference("Problem"),
                        { "properties": { "status": { "const": status }, "code": { "enum": codes } } },
                    ],
                },
                "examples": codes.iter().map(example).collect::<Map<_, _>>(),
            },
        },
    });
    if codes.iter().any(|code| about(code).retry_after.is_some()) {
        response["headers"] = header_references(&["Retry-After"]);
    }
    if codes.iter().any(|code| [code::UNAUTHENTICATED, code::FORBIDDEN].contains(code)) {
        response["headers"] = header_references(&["WWW-Authenticate"]);
    }
    response
}

/// The examples of all codes, as OpenAPI writes them.
pub(super) fn examples() -> Map<String, Value> {
    let example =
        |code: &&str| ((*code).to_owned(), json!({ "summary": about(code).meaning, "value": example(code) }));
    code::ALL.iter().map(example).collect()
}

fn shortage(available: u64, held: u64, sold_out: bool) -> Value {
    let short = json!({
        "sku": "PS5", "requested": 1, "available": available, "held": held, "sold_out": sold_out,
    });
    json!({ "shortages": [short] })
}

/// What there is to say about a code.
pub(super) fn about(code: &str) -> About {
    let plain = |meaning, detail| About { meaning, detail, besides: json!({}), retry_after: None };
    let with = |meaning, detail, besides| About { meaning, detail, besides, retry_after: None };
    match code {
        code::INVALID_REQUEST => with(
            "A field is missing, unknown, of the wrong type or out of range. `field` names it: a path such as \
             `items[0].qty`, a header, a parameter, or `body`. Mend the call.",
            "Must be 1 to 1000000.",
            json!({ "field": "items[0].qty" }),
        ),
        code::UNAUTHENTICATED => plain(
            "The cluster asks for a token, and none was shown, or one that is none (any more). `WWW-Authenticate` says \
             which.",
            "Show a token: Authorization: Bearer lu_...",
        ),
        code::FORBIDDEN => plain(
            "The token's roles do not include this call or operation, or it is bound to other carts or customers.",
            "This token's roles do not include this call.",
        ),
        code::NOT_FOUND => plain("No call has this path. Mend the address.", "No call has this path."),
        code::METHOD_NOT_ALLOWED => plain(
            "The path answers other methods, which `Allow` lists.",
            "This path does not answer PATCH; see Allow.",
        ),
        code::BODY_TOO_LARGE => plain(
            "The body is over the limit: 1 MiB, or 32 MiB of a batch.",
            "A body has at most 1048576 bytes.",
        ),
        code::UNSUPPORTED_MEDIA_TYPE => plain(
            "The body must be JSON, in UTF-8, and say so: `Content-Type: application/json`.",
            "The body must have one Content-Type: application/json, in UTF-8.",
        ),
        code::IDEMPOTENCY_KEY_REUSED => plain(
            "The idempotency key was used with another call or body. A new call needs a new key.",
            "This Idempotency-Key was used with another call or body; choose a new key for a new call.",
        ),
        code::HELD_BY_OTHERS => About {
            retry_after: Some(27),
            ..with(
                "The cart does not fit now, and would if live holds lapsed. Ask again after `Retry-After`, or wait in \
                 the line.",
                "The cart would fit if holds of others lapsed.",
                shortage(0, 1, false),
            )
        },
        code::INSUFFICIENT_STOCK => with(
            "The cart would not fit even if every live hold lapsed. Tell the buyer.",
            "The cart would not fit even if every hold lapsed.",
            shortage(0, 0, true),
        ),
        _ => about_state(code),
    }
}

/// The codes that speak of a cart, a reservation or a SKU as they are.
fn about_state(code: &str) -> About {
    let plain = |meaning, detail| About { meaning, detail, besides: json!({}), retry_after: None };
    let with = |meaning, detail, besides| About { meaning, detail, besides, retry_after: None };
    match code {
        code::CART_ALREADY_RESERVED => with(
            "The cart has a live reservation of other items, whose id is told. Release it first.",
            "The cart has a live reservation of other items; release it first.",
            json!({ "reservation_id": super::examples::RESERVATION_ID }),
        ),
        code::CUSTOMER_LIMIT => with(
            "The customer would have more units of the SKU than one customer may; or more live reservations, or more \
             units under them, than the cluster lets one customer have. Retryable only where it would fit if the \
             customer's own holds lapsed.",
            "One customer may have 2 units of PS5.",
            json!({ "sku": "PS5", "limit": 2, "held": 0, "sold": 2, "requested": 1 }),
        ),
        code::SKU_NOT_FOUND => {
            with("There is no such SKU.", "No SKU has the name PS6.", json!({ "sku": "PS6" }))
        }
        code::RESERVATION_NOT_FOUND => plain(
            "There is no such reservation, or none any more: what has ended is forgotten after 24 hours (configurable).",
            "No reservation has this id, or none has it any more.",
        ),
        code::FENCING_TOKEN_STALE => plain(
            "The hold has another fencing token: it is not the one that the caller thinks it is.",
            "The hold's fencing token is 43; another one was given.",
        ),
        code::RESERVATION_EXPIRED => plain(
            "The hold's time is over; with `if_expired: reacquire`, its units are gone as well. Reserve again.",
            "The reservation's time is over; reserve again.",
        ),
        code::RESERVATION_WAITING => plain(
            "The reservation stands in the line and holds nothing yet. Wait until it is `held`.",
            "The reservation still waits; it holds nothing that could be sold.",
        ),
        code::RESERVATION_RELEASED => plain(
            "The hold was released, or revoked when stock fell. Reserve again.",
            "The reservation was released before this call.",
        ),
        code::ALREADY_COMMITTED => plain(
            "The reservation is committed, with another payment token. To give units back, return them.",
            "The reservation is committed; what it held is sold.",
        ),
        code::HOLD_LIMIT => with(
            "The deadline would be more than `max_hold` (30 minutes unless configured) after the grant; or the hold was \
             extended as often as the cluster lets a hold be.",
            "A hold lasts until 2026-11-27T09:30:00.000Z at most.",
            json!({ "latest_expires_at": "2026-11-27T09:30:00.000Z" }),
        ),
        code::NOT_COMMITTED => {
            plain("Nothing was sold that could be returned.", "Only what was committed can be returned.")
        }
        code::RETURN_EXCEEDS_SALE => plain(
            "More would be returned than was sold and not returned yet.",
            "All units of the reservation were returned before this call.",
        ),
        _ => about_stock(code),
    }
}

/// The codes of inventory calls, of the feed, and of a cluster that cannot serve.
fn about_stock(code: &str) -> About {
    let plain = |meaning, detail| About { meaning, detail, besides: json!({}), retry_after: None };
    let with = |meaning, detail, besides| About { meaning, detail, besides, retry_after: None };
    let later = |meaning, detail| About { meaning, detail, besides: json!({}), retry_after: Some(1) };
    match code {
        code::PRECONDITION_FAILED => with(
            "The record is not what `If-Match` or `If-None-Match` demands. Read it again, and decide again.",
            "The record has version 8.",
            json!({ "version": 8 }),
        ),
        code::SKU_HAS_HOLDS => with(
            "Live holds or reservations that wait name the SKU. Delete it once they have ended.",
            "1 units of PS5 are held, and 0 reservations wait for it.",
            json!({ "held": 1, "waiting": 0 }),
        ),
        code::EVENTS_EXPIRED => with(
            "Events before the oldest one that is kept were asked for. Read the whole state anew, then read on with \
             `resume_after`.",
            "The oldest event that is kept is 1041.0.",
            json!({ "oldest": "1041.0", "resume_after": "1040" }),
        ),
        code::STOCK_BELOW_HELD => with(
            "On_hand would fall below what is held. Wait, or take holds away with `on_shortfall: revoke_newest`.",
            "3 units of PS5 are held and 5 on hand; on_hand stays at 3 or more.",
            json!({ "on_hand": 5, "held": 3 }),
        ),
        code::RATE_LIMITED => later(
            "Not executed: more calls name one customer, or come with one token, than the cluster allows. Ask again \
             after `Retry-After`, which differs from call to call.",
            "Not executed: more calls name this customer than the cluster allows one.",
        ),
        code::NO_LEADER => later(
            "Not executed: no leader is known, for a second or so after one failed. Ask again, any node.",
            "Not executed: the nodes are choosing a leader, or this one cannot reach it.",
        ),
        code::NO_QUORUM => later(
            "Not executed: the leader cannot reach a majority of the nodes. Ask again later.",
            "Not executed: the leader cannot reach a majority of the nodes.",
        ),
        code::MEMBERSHIP_CHANGING => plain(
            "Members are changed one at a time. Ask again when the other change is done.",
            "Another change of the membership is under way.",
        ),
        code::MEMBER_EXISTS => plain(
            "The id, or an address, belongs to a member. Choose another, or remove that member first.",
            "Node 3 is a member already, at 127.0.0.1:9103 and 127.0.0.1:8103.",
        ),
        code::MEMBER_NOT_FOUND => plain("There is no member of that id.", "Node 9 is not a member."),
        code::MEMBER_UNREACHABLE => plain(
            "The leader cannot reach the node. Start it, or mend its address, and ask again.",
            "Node 4 does not answer at 127.0.0.1:9104: not sent: Connection refused (os error 111).",
        ),
        code::MEMBER_NOT_NEW => plain(
            "The node's directory was part of a cluster before, and has promised things. Give it an empty one.",
            "Node 4 was part of a cluster before: give it an empty directory.",
        ),
        code::MEMBER_BEHIND => plain(
            "The node is still taking what it lacks. Ask again later.",
            "Node 4 lacks 51200 log entries; 1000 are the most it may lack.",
        ),
        code::MEMBER_IS_LEARNER => plain(
            "The node follows without a vote. Promote it first; or, to be rid of it, remove it.",
            "Node 4 has no vote: promote it first.",
        ),
        code::MEMBERS_OUT_OF_RANGE => plain(
            "A cluster has 3 to 5 voters, and at most 7 members. Replace a member, or remove another one first.",
            "A cluster has at least 3 voters: replace node 3 by another one instead.",
        ),
        code::QUORUM_WOULD_BE_LOST => plain(
            "Too few of the voters that would be left answer and have caught up: the cluster would stand still. Mend \
             those first.",
            "Of the 4 voters that there would be, only 2 answer and have caught up; 3 are needed.",
        ),
        code::LEADER_NOT_TRANSFERRED => plain(
            "The voter that was to lead did not take over in time: the leader leads on, or another voter leads. Ask \
             again.",
            "No voter that was to take over did so in time: see who leads now.",
        ),
        code::OVERLOADED => later(
            "Not executed: too many calls are waiting. Ask again after `Retry-After`.",
            "Not executed: this node has as many calls waiting as it takes.",
        ),
        code::FEATURE_NOT_ACTIVE => later(
            "Not executed: the call is newer than some node of the cluster. Ask again when every node is upgraded.",
            "Not executed: this call takes a feature level that is not in force until every node is upgraded.",
        ),
        code::OUTCOME_UNKNOWN => plain(
            "The command was handed to the log, and its fate could not be learned in time. Ask again with the same \
             `Idempotency-Key` and body: it is done once.",
            "The call may have been executed or not; send it again with the same Idempotency-Key.",
        ),
        _ => plain("", ""),
    }
}
