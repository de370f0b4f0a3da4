//! The schemas of bodies: derived from the types that the node itself reads and writes, and bounded by the very
//! constants that its parsers bound with.
//!
//! ```text
//!   client::api types --schemars--> schemas --bound--> schemas with ranges --> components.schemas
//!                                              ^
//!                              limits, ids: by the field's name
//! ```
//!
//! Invariants:
//! - A request is closed (`additionalProperties: false`), an answer is open, as in [`client::api`].
//! - A field's name means one thing, whatever body it stands in: one table bounds them all.

use client::api::{
    AddMemberRequest, AdjustRequest, AuditView, BatchRequest, BatchResponse, ClusterView, CommitRequest,
    Event, ExtendRequest, InventoryRecord, LeadRequest, MembershipView, Page, Problem, PutSkuRequest,
    ReleaseRequest, ReplaceMemberRequest, Reservation, ReserveRequest, ReturnRequest,
};
use client::code;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use storage::inventory::ids::UNITS_MAX;

use super::problems;
use crate::http::limits::{
    ADDRESS_CHARS_MAX, ITEMS_MAX, KEY_BYTES_MAX, NAME_CHARS_MAX, OPERATIONS_MAX, QTY_MAX, TEXT_CHARS_MAX,
};

/// What a SKU looks like.
pub(super) const SKU_PATTERN: &str = "^[A-Za-z0-9._:-]{1,128}$";

/// What a reservation's id looks like.
pub(super) const RESERVATION_ID_PATTERN: &str = "^res_[0-7][0-9A-HJKMNP-TV-Z]{25}$";

/// What an address looks like: a host's name, an IPv4 address, or an IPv6 address in full or `[::1]`; and a port. Other
/// forms of IPv6 addresses are taken as well, but no pattern is worth them.
const ADDRESS_PATTERN: &str = concat!(
    "^([A-Za-z0-9._-]*[A-Za-z][A-Za-z0-9._-]*",
    r"|(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}",
    r"|\[([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){7}|::1)\])",
    ":([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$",
);

/// Every schema by its name.
pub(super) fn schemas(ttl_seconds_max: u64) -> Map<String, Value> {
    let mut schemas = requests();
    for schema in schemas.values_mut() {
        never_null_where_left_out(schema);
        bound_fields(schema, ttl_seconds_max);
    }
    split_operations(&mut schemas);
    for (name, mut schema) in answers() {
        never_null_where_left_out(&mut schema);
        // What is both asked and answered with is described as what is asked.
        schemas.entry(name).or_insert(schema);
    }
    describe_problem(&mut schemas);
    schemas.insert("Stale".to_owned(), stale());
    schemas.values_mut().for_each(|schema| walk(schema, &mut tidy));
    schemas
}

/// Refers to a schema by its name.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn requests() -> Map<String, Value> {
    let mut generator = settings(SchemaSettings::draft2020_12());
    generator.subschema_for::<ReserveRequest>();
    generator.subschema_for::<CommitRequest>();
    generator.subschema_for::<ReleaseRequest>();
    generator.subschema_for::<ExtendRequest>();
    generator.subschema_for::<ReturnRequest>();
    generator.subschema_for::<PutSkuRequest>();
    generator.subschema_for::<AdjustRequest>();
    generator.subschema_for::<BatchRequest>();
    generator.subschema_for::<AddMemberRequest>();
    generator.subschema_for::<ReplaceMemberRequest>();
    generator.subschema_for::<LeadRequest>();
    generator.take_definitions(false)
}

fn answers() -> Map<String, Value> {
    let mut generator = settings(SchemaSettings::draft2020_12().for_serialize());
    generator.subschema_for::<Reservation>();
    generator.subschema_for::<Page<Reservation>>();
    generator.subschema_for::<InventoryRecord>();
    generator.subschema_for::<Page<InventoryRecord>>();
    generator.subschema_for::<BatchResponse>();
    generator.subschema_for::<Page<Event>>();
    generator.subschema_for::<ClusterView>();
    generator.subschema_for::<AuditView>();
    generator.subschema_for::<MembershipView>();
    generator.subschema_for::<Problem>();
    generator.take_definitions(false)
}

fn settings(mut settings: SchemaSettings) -> SchemaGenerator {
    settings.definitions_path = "/components/schemas".into();
    settings.into_generator()
}

/// Calls `change` with a schema and every schema within it.
fn walk(schema: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match schema {
        Value::Object(fields) => {
            change(fields);
            fields.values_mut().for_each(|inner| walk(inner, change));
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| walk(inner, change)),
        _ => {}
    }
}

/// Gives each property its range, wherever it stands.
fn bound_fields(schema: &mut Value, ttl_seconds_max: u64) {
    walk(schema, &mut |fields| {
        let Some(Value::Object(properties)) = fields.get_mut("properties") else {
            return;
        };
        for (name, property) in properties {
            if let (Value::Object(property), Value::Object(range)) = (property, range(name, ttl_seconds_max))
            {
                property.extend(range);
            }
        }
    });
}

/// The range of the request field of that name; empty where its type says all.
fn range(name: &str, ttl_seconds_max: u64) -> Value {
    match name {
        "sku" => json!({ "pattern": SKU_PATTERN }),
        "reservation_id" => json!({ "pattern": RESERVATION_ID_PATTERN }),
        "cart_id" | "customer_id" => json!({ "minLength": 1, "maxLength": NAME_CHARS_MAX }),
        "payment_token" | "reason" | "reference" => json!({ "minLength": 1, "maxLength": TEXT_CHARS_MAX }),
        "idempotency_key" => json!({ "pattern": format!("^[!-~]{{1,{KEY_BYTES_MAX}}}$") }),
        "items" => json!({ "minItems": 1, "maxItems": ITEMS_MAX }),
        "operations" => json!({ "minItems": 1, "maxItems": OPERATIONS_MAX }),
        "qty" => json!({ "minimum": 1, "maximum": QTY_MAX }),
        "ttl_seconds" => json!({ "minimum": 1, "maximum": ttl_seconds_max }),
        "fencing_token" => json!({ "minimum": 0, "maximum": u64::MAX }),
        "on_hand" | "safety_stock" => json!({ "minimum": 0, "maximum": UNITS_MAX }),
        "max_per_customer" => json!({ "minimum": 1, "maximum": UNITS_MAX }),
        "delta" => delta_range(),
        "id" | "by" | "to" => json!({ "minimum": 1, "maximum": u64::MAX }),
        "raft" | "http" => json!({ "pattern": ADDRESS_PATTERN, "maxLength": ADDRESS_CHARS_MAX }),
        _ => json!({}),
    }
}

fn delta_range() -> Value {
    let most = i64::try_from(UNITS_MAX).unwrap_or(i64::MAX);
    json!({ "minimum": -most, "maximum": most, "not": { "const": 0 } })
}

/// Makes each operation of a batch a closed schema of its own, told apart by `op`.
fn split_operations(schemas: &mut Map<String, Value>) {
    let operation = schemas.remove("Operation").unwrap_or_default();
    let adjust = schemas.remove("AdjustOperation").unwrap_or_default();
    let mut mapping = Map::new();
    let mut names = Vec::new();
    for alternative in operation["oneOf"].as_array().into_iter().flatten() {
        let op = alternative["properties"]["op"]["const"].as_str().unwrap_or_default().to_owned();
        let name = format!("{}Operation", capitalised(&op));
        let body = if alternative.get("$ref").is_some() { &adjust } else { alternative };
        schemas.insert(name.clone(), one_operation(&op, &operation, alternative, body));
        mapping.insert(op, reference(&name)["$ref"].clone());
        names.push(reference(&name));
    }
    let whole = json!({
        "description": operation["description"],
        "oneOf": names,
        "discriminator": { "propertyName": "op", "mapping": mapping },
    });
    schemas.insert("Operation".to_owned(), whole);
}

fn one_operation(op: &str, operation: &Value, alternative: &Value, body: &Value) -> Value {
    let mut properties = Map::new();
    properties.insert("op".to_owned(), json!({ "type": "string", "const": op }));
    for of in [operation, body] {
        let fields = of["properties"].as_object().into_iter().flatten();
        fields.filter(|(name, _)| *name != "op").for_each(|(name, field)| {
            properties.insert(name.clone(), field.clone());
        });
    }
    let required = body["required"].as_array().into_iter().flatten().filter(|name| **name != json!("op"));
    let required: Vec<Value> = std::iter::once(json!("op")).chain(required.cloned()).collect();
    json!({
        "type": "object",
        "description": alternative["description"],
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn capitalised(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_uppercase() + rest
}

/// What does not apply is left out, and never `null`, where it may be left out: of an answer, since the node does so,
/// and of a request, since it refuses the rest. A customer's limit is the exception: its `null` takes it away.
fn never_null_where_left_out(schema: &mut Value) {
    walk(schema, &mut |fields| {
        let required = fields.get("required").cloned().unwrap_or_default();
        let is_required = |name: &str| required.as_array().is_some_and(|names| names.contains(&json!(name)));
        let Some(Value::Object(properties)) = fields.get_mut("properties") else {
            return;
        };
        let optional =
            properties.iter_mut().filter(|(name, _)| !is_required(name) && *name != "max_per_customer");
        optional.for_each(|(_, property)| without_null(property));
    });
}

fn without_null(property: &mut Value) {
    if let Some(Value::Array(types)) = property.get("type") {
        property["type"] = types.first().cloned().unwrap_or_default();
    }
    let target = property["anyOf"][0]["$ref"].clone();
    if let (Value::Object(fields), Value::String(target)) = (property, target) {
        fields.remove("anyOf");
        fields.insert("$ref".to_owned(), Value::String(target));
    }
}

/// Adds what schemars cannot know of a problem: its codes, and what some of them tell besides.
fn describe_problem(schemas: &mut Map<String, Value>) {
    if let Some(problem) = schemas.get_mut("Problem") {
        problem["properties"]["code"]["enum"] = json!(code::ALL);
        for (name, schema) in problems::members() {
            problem["properties"][name] = schema;
        }
    }
}

/// What a stale read has besides.
fn stale() -> Value {
    json!({
        "type": "object",
        "description": "What an answer with `consistency=stale` has besides.",
        "properties": {
            "applied_index": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "The last log entry that this node had applied; `null` before the first.",
            },
        },
    })
}

/// Rust's documentation as plain text: no links, one line for each paragraph.
fn tidy(fields: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = fields.get_mut("description") {
        let paragraph = |text: &str| text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
        let paragraphs: Vec<String> = text.split("\n\n").map(paragraph).collect();
        *text = without_links(&paragraphs.join("\n\n"));
    }
}

/// ``[`name`](target)`` and ``[`name`]`` become `name` in backticks.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((name, after)) = link.split_once("`]") else {
            break;
        };
        plain.extend([before, "`", name, "`"]);
        rest = match after.strip_prefix('(').and_then(|target| target.split_once(')')) {
            Some((_, behind)) => behind,
            None => after,
        };
    }
    plain + rest
}
