//! Parameters of calls, and headers of answers: those that several calls share.

use serde_json::{Map, Value, json};
use storage::inventory::ids::VERSIONS_MAX;

use super::examples::{RESERVATION_ID, SKU};
use super::schemas::{RESERVATION_ID_PATTERN, SKU_PATTERN, reference};
use crate::http::limits::{
    KEY_BYTES_MAX, NAME_CHARS_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, WAIT_SECONDS_MAX,
};

/// One parameter of a call.
pub(super) struct Parameter {
    /// Its name.
    pub(super) name: &'static str,
    /// `path`, `query` or `header`.
    pub(super) place: &'static str,
    /// What it does.
    pub(super) about: &'static str,
    /// Its schema.
    pub(super) schema: Value,
    /// What it looks like.
    pub(super) example: Value,
}

impl Parameter {
    /// As OpenAPI writes it.
    pub(super) fn document(&self) -> Value {
        let mut document = json!({
            "name": self.name,
            "in": self.place,
            "description": self.about,
            "schema": self.schema,
            "example": self.example,
        });
        if self.place == "path" {
            document["required"] = json!(true);
        }
        document
    }
}

/// The SKU in the path.
pub(super) fn sku() -> Parameter {
    let schema = json!({ "type": "string", "pattern": SKU_PATTERN });
    Parameter { name: "sku", place: "path", about: "Which SKU.", schema, example: json!(SKU) }
}

/// The reservation in the path.
pub(super) fn reservation() -> Parameter {
    Parameter {
        name: "id",
        place: "path",
        about: "The `reservation_id` of a reserve's answer.",
        schema: json!({ "type": "string", "pattern": RESERVATION_ID_PATTERN }),
        example: json!(RESERVATION_ID),
    }
}

/// The node in the path.
pub(super) fn node() -> Parameter {
    Parameter {
        name: "id",
        place: "path",
        about: "The member's id.",
        schema: json!({ "type": "integer", "minimum": 1, "maximum": u64::MAX }),
        example: json!(3),
    }
}

/// `to_replace`.
pub(super) fn to_replace() -> Parameter {
    Parameter {
        name: "to_replace",
        place: "query",
        about: "`true` where the member does not answer, and will be added again under its id with a new directory: of \
                three voters two may be left meanwhile.",
        schema: json!({ "type": "boolean", "default": false }),
        example: json!(true),
    }
}

/// `Idempotency-Key`.
pub(super) fn idempotency_key() -> Parameter {
    Parameter {
        name: "Idempotency-Key",
        place: "header",
        about: "Names this call, so that all its tries are executed once: the first answer of 2xx is kept for 24 \
                hours (configurable) and given again, with `Idempotency-Replayed: true`. A refusal leaves the key \
                unused.",
        schema: json!({ "type": "string", "pattern": format!("^[!-~]{{1,{KEY_BYTES_MAX}}}$") }),
        example: json!("5e0c1f3a-7d2b"),
    }
}

/// `traceparent`, which every call takes.
pub(super) fn traceparent() -> Parameter {
    Parameter {
        name: "traceparent",
        place: "header",
        about: "Where in a trace the call stands, as the W3C's Trace Context writes it. What is malformed counts as none. \
                Where the call is in a trace, its answer says in `traceresponse` where.",
        // No pattern: no call is refused for what does not match one.
        schema: json!({ "type": "string" }),
        example: json!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    }
}

/// `If-Match`.
pub(super) fn if_match() -> Parameter {
    Parameter {
        name: "If-Match",
        place: "header",
        about: "Only where the record's version is one of these, or for `*` where there is a record; else 412.",
        schema: tags(),
        example: json!("\"7\""),
    }
}

/// `If-None-Match` of a put.
pub(super) fn if_none_match_any() -> Parameter {
    Parameter {
        name: "If-None-Match",
        place: "header",
        about: "`*`: only where there is no such SKU yet; else 412.",
        schema: json!({ "type": "string", "const": "*" }),
        example: json!("*"),
    }
}

/// `If-None-Match` of a read.
pub(super) fn if_none_match() -> Parameter {
    Parameter {
        name: "If-None-Match",
        place: "header",
        about: "The `ETag`s that the client knows already: 304 without a body where the record still has one of them.",
        schema: tags(),
        example: json!("\"7\""),
    }
}

/// `*`, or as many tags as a precondition may name.
fn tags() -> Value {
    let one = "(W/)?\"[!#-~]*\"";
    let more = VERSIONS_MAX - 1;
    json!({ "type": "string", "pattern": format!("^(\\*|{one}( *, *{one}){{0,{more}}})$") })
}

/// `consistency`.
pub(super) fn consistency() -> Parameter {
    query(
        "consistency",
        "`stale` answers from this node's own applied state, however old, and names its `applied_index`; \
         linearizable unless given.",
        json!({ "type": "string", "const": "stale" }),
        json!("stale"),
    )
}

/// `wait_seconds`.
pub(super) fn wait_seconds() -> Parameter {
    query(
        "wait_seconds",
        "Answers at the next change of the reservation's state after the call arrived, or after so many seconds \
         with the state as it is then; at once where it cannot change any more.",
        json!({ "type": "integer", "minimum": 1, "maximum": WAIT_SECONDS_MAX }),
        json!(30),
    )
}

/// `while`.
pub(super) fn while_in() -> Parameter {
    query(
        "while",
        "With `wait_seconds`, and nothing without it: the state that the client believes it is in. In any other one it is answered at once, \
         so that a change before the call is not missed.",
        json!({ "$ref": "#/components/schemas/ReservationState" }),
        json!("waiting"),
    )
}

/// `limit`.
pub(super) fn limit() -> Parameter {
    let schema =
        json!({ "type": "integer", "minimum": 1, "maximum": PAGE_ROWS_MAX, "default": PAGE_ROWS_DEFAULT });
    query("limit", "The most rows that a page may have.", schema, json!(2))
}

/// `cursor`.
pub(super) fn cursor(example: &str) -> Parameter {
    let about = "Where the page begins: the `next_cursor` of the page before. Not to be made up.";
    query("cursor", about, json!({ "type": "string", "minLength": 1 }), json!(example))
}

/// A filter by the shop's own id of something.
pub(super) fn by_name(name: &'static str, about: &'static str, example: &str) -> Parameter {
    let schema = json!({ "type": "string", "minLength": 1, "maxLength": NAME_CHARS_MAX });
    query(name, about, schema, json!(example))
}

/// A filter by SKU.
pub(super) fn by_sku(about: &'static str) -> Parameter {
    query("sku", about, json!({ "type": "string", "pattern": SKU_PATTERN }), json!(SKU))
}

/// `state`.
pub(super) fn by_state() -> Parameter {
    query("state", "Only those in this state.", reference("ReservationState"), json!("held"))
}

/// `prefix`.
pub(super) fn prefix() -> Parameter {
    let schema = json!({ "type": "string", "pattern": "^[A-Za-z0-9._:-]{0,128}$" });
    query("prefix", "Only SKUs whose name begins with this.", schema, json!("PS"))
}

/// `after` of the change feed.
pub(super) fn after() -> Parameter {
    query(
        "after",
        "Where the page begins: the `next_cursor` of the page before, the `id` of the last event seen, or a \
         `Lastunit-Sequence`, which stands for all events of that command. From the beginning of the history \
         where it is `0` or left out.",
        json!({ "type": "string", "pattern": "^[0-9]{1,19}(\\.[0-9]{1,9})?$" }),
        json!("41.1"),
    )
}

/// `types` of the change feed.
pub(super) fn types() -> Parameter {
    query(
        "types",
        "Only events of these types, with commas between; `reservation` and `stock` stand for all of a kind.",
        json!({ "type": "string", "pattern": types_pattern() }),
        json!("reservation,lastunit.stock.deleted"),
    )
}

fn types_pattern() -> String {
    let one = "(reservation|stock|lastunit\\.reservation\\.(waiting|held|extended|reduced|committed|returned|released\
               |expired|revoked)|lastunit\\.stock\\.(created|changed|deleted))";
    format!("^{one}(,{one}){{0,11}}$")
}

/// `Last-Event-ID`.
pub(super) fn last_event_id() -> Parameter {
    Parameter {
        name: "Last-Event-ID",
        place: "header",
        about: "Of a stream alone: the `id` of the last event seen, which a browser sends by itself when it \
                connects again. Wins over `after`.",
        schema: json!({ "type": "string" }),
        example: json!("41.1"),
    }
}

fn query(name: &'static str, about: &'static str, schema: Value, example: Value) -> Parameter {
    Parameter { name, place: "query", about, schema, example }
}

/// The headers of answers, by their names.
pub(super) const HEADERS: [(&str, &str, &str, &str); 10] = [
    (
        "Lastunit-Sequence",
        "integer",
        "The place of this command in the whole history; of a read, that of the last command which it reflects.",
        "42",
    ),
    (
        "Idempotency-Replayed",
        "boolean",
        "`true` where this is the kept answer of an earlier call under the same key.",
        "true",
    ),
    ("ETag", "string", "The record's `version` in quotation marks; not of a stale read.", "\"7\""),
    (
        "Cache-Control",
        "string",
        "`no-cache` with an `ETag`: to be asked again each time; `no-store` without.",
        "no-store",
    ),
    ("Vary", "string", "The answer is another one to another `Accept`.", "Accept"),
    (
        "WWW-Authenticate",
        "string",
        "The challenge of RFC 6750: what is wrong with the token, or that one is asked for.",
        "Bearer realm=\"lastunit\"",
    ),
    ("Retry-After", "integer", "Whole seconds after which the call may be worth another try.", "27"),
    ("Allow", "string", "The methods that the path answers.", "GET,HEAD,PUT"),
    (
        "Lastunit-Applied-Index",
        "integer",
        "Of a stale read, and of a backup: the last log entry that this node had applied.",
        "97",
    ),
    (
        "Content-Security-Policy",
        "string",
        "Nothing of the page comes from anywhere else.",
        "default-src 'none'",
    ),
];

/// The headers as OpenAPI writes them.
pub(super) fn headers() -> Map<String, Value> {
    let header = |(name, kind, about, example): &(&str, &str, &str, &str)| {
        let example = match *kind {
            "string" => json!(example),
            _ => serde_json::from_str(example).unwrap_or_default(),
        };
        ((*name).to_owned(), json!({ "description": about, "schema": { "type": kind }, "example": example }))
    };
    HEADERS.iter().map(header).collect()
}

/// Refers to those headers.
pub(super) fn header_references(names: &[&str]) -> Value {
    let reference =
        |name: &&str| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    Value::Object(names.iter().map(reference).collect())
}

#[cfg(test)]
mod tests {
    use client::api;

    use super::*;

    #[test]
    fn headers_are_those_that_the_client_reads() {
        for name in [api::SEQUENCE, api::IDEMPOTENCY_REPLAYED] {
            assert!(HEADERS.iter().any(|(known, ..)| known.eq_ignore_ascii_case(name)), "{name}");
        }
        assert!(idempotency_key().name.eq_ignore_ascii_case(api::IDEMPOTENCY_KEY));
    }
}
