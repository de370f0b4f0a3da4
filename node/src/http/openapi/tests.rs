//! The document holds what it says: against itself, against the router, and against the node's parsers.

use std::collections::BTreeSet;

use std::sync::Arc;

use jsonschema::{Draft, Validator};
use raft::Answer;
use storage::inventory::Inventory;
use storage::inventory::command::Command;
use storage::inventory::ids::ReservationId;
use storage::inventory::outcome::{Applied, Rejection, Shortage, Total};

use super::call::Call;
use super::*;
use crate::http::testing::{Fake, ask, call as request, json_of, put, router, sku, stock_view};
use crate::http::{reply, routes};

const TTL_SECONDS_MAX: u64 = 1800;

fn calls() -> Vec<Call> {
    calls::groups().into_iter().flat_map(|group| group.calls).collect()
}

/// A validator of one schema of the document, with the components that it refers to.
fn validator(schema: &Value, document: &Value) -> Validator {
    let root = json!({ "allOf": [schema], "components": document["components"] });
    jsonschema::options().with_draft(Draft::Draft202012).build(&root).unwrap()
}

fn check(what: &str, value: &Value, schema: &Value, document: &Value) {
    let validator = validator(schema, document);
    let faults: Vec<String> = validator.iter_errors(value).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{what}: {faults:#?} in {value}");
}

/// Every pair of a schema and its examples, wherever the two stand beside each other.
fn with_examples(value: &Value, path: &str, found: &mut Vec<(String, Value, Value)>) {
    if let (Some(schema), Some(examples)) = (value.get("schema"), value["examples"].as_object()) {
        for (name, example) in examples {
            found.push((format!("{path}/{name}"), schema.clone(), example.clone()));
        }
    }
    if let (Some(schema), Some(example)) = (value.get("schema"), value.get("example")) {
        found.push((path.to_owned(), schema.clone(), json!({ "value": example })));
    }
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, inner)| (name.clone(), inner)).collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(place, inner)| (place.to_string(), inner)).collect()
        }
        _ => Vec::new(),
    };
    children.into_iter().for_each(|(name, inner)| with_examples(inner, &format!("{path}/{name}"), found));
}

#[test]
fn every_example_passes_its_schema() {
    let document = document(TTL_SECONDS_MAX);
    let mut found = Vec::new();
    with_examples(&document["paths"], "", &mut found);
    with_examples(&document["components"]["headers"], "headers", &mut found);
    assert!(found.len() > 100, "only {} examples", found.len());
    for (path, schema, example) in found {
        let value = match example["$ref"].as_str() {
            Some(target) => &document.pointer(target.trim_start_matches('#')).unwrap()["value"],
            None => &example["value"],
        };
        check(&path, value, &schema, &document);
    }
}

/// What is left of an example when a word of it is changed must not pass: the validator looks.
#[test]
fn a_broken_example_does_not_pass() {
    let document = document(TTL_SECONDS_MAX);
    let schema = schemas::reference("ReserveRequest");
    let validator = validator(&schema, &document);
    for broken in [
        json!({ "cart_id": "cart-1" }),
        json!({ "cart_id": "", "items": [{ "sku": "PS5", "qty": 1 }] }),
        json!({ "cart_id": "cart-1", "items": [] }),
        json!({ "cart_id": "cart-1", "items": [{ "sku": "PS5", "qty": 0 }] }),
        json!({ "cart_id": "cart-1", "items": [{ "sku": "P S", "qty": 1 }] }),
        json!({ "cart_id": "cart-1", "items": [{ "sku": "PS5", "qty": 1 }], "ttl_seconds": 1801 }),
        json!({ "cart_id": "cart-1", "items": [{ "sku": "PS5", "qty": 1 }], "customer_id": null }),
        json!({ "cart_id": "cart-1", "items": [{ "sku": "PS5", "qty": 1 }], "extra": 1 }),
    ] {
        assert!(!validator.is_valid(&broken), "{broken}");
    }
}

#[test]
fn every_code_is_in_the_document_and_no_other() {
    let of_calls: BTreeSet<&str> = calls().iter().flat_map(|call| call.codes.clone()).collect();
    // These are of the paths and methods that no call has.
    let of_none = BTreeSet::from(["not_found", "method_not_allowed"]);
    let told: BTreeSet<&str> = of_calls.union(&of_none).copied().collect();
    assert_eq!(told, client::code::ALL.iter().copied().collect());
    let document = document(TTL_SECONDS_MAX);
    for code in client::code::ALL {
        let example = &document["components"]["examples"][code];
        assert_eq!(example["value"]["code"], *code);
        assert!(!problems::about(code).meaning.is_empty(), "{code}");
        assert!(!example["value"]["detail"].as_str().unwrap().is_empty(), "{code}");
    }
}

/// A field of a request that has no range would be one that a schema takes and the node refuses.
#[test]
fn every_field_of_a_request_has_a_range() {
    let document = document(TTL_SECONDS_MAX);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let requests = schemas.iter().filter(|(_, schema)| schema["additionalProperties"] == json!(false));
    let bounds = ["pattern", "maxLength", "maximum", "maxItems", "const", "$ref"];
    let mut seen = 0;
    for (name, schema) in requests {
        for (field, property) in schema["properties"].as_object().unwrap() {
            let bounded = bounds.iter().any(|bound| property.get(bound).is_some());
            assert!(bounded || property["type"] == "boolean", "{name}.{field}: {property}");
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} fields");
}

#[test]
fn every_operation_of_a_batch_is_the_body_of_its_call() {
    let document = document(TTL_SECONDS_MAX);
    let schemas = &document["components"]["schemas"];
    for (operation, request) in [
        ("ReserveOperation", "ReserveRequest"),
        ("CommitOperation", "CommitRequest"),
        ("ReleaseOperation", "ReleaseRequest"),
        ("ExtendOperation", "ExtendRequest"),
        ("ReturnOperation", "ReturnRequest"),
        ("AdjustOperation", "AdjustRequest"),
    ] {
        let fields = &schemas[operation]["properties"];
        for (name, field) in schemas[request]["properties"].as_object().unwrap() {
            assert_eq!(&fields[name], field, "{operation}.{name}");
        }
    }
    assert_eq!(schemas["Operation"]["oneOf"].as_array().unwrap().len(), 6);
}

#[test]
fn links_lead_to_calls() {
    let calls = calls();
    for link in calls.iter().flat_map(|call| &call.answers).flat_map(|answer| answer.links) {
        assert!(calls.iter().any(|call| call.id == link.call), "{}", link.call);
    }
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let page = page::render(&calls::groups(), &document(TTL_SECONDS_MAX));
    for foreign in ["<script", "<link", "<img", "<iframe", "url(", "@import", "src=", "https://"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let targets: Vec<&str> =
        page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(targets.len() > 100, "only {} links", targets.len());
    for target in targets {
        let found = match target.strip_prefix('#') {
            Some(id) => page.contains(&format!(" id=\"{id}\"")),
            None => target == DOCUMENT_PATH,
        };
        assert!(found, "nothing is at {target}");
    }
}

#[test]
fn the_page_shows_every_call_and_every_code() {
    let page = page::render(&calls::groups(), &document(TTL_SECONDS_MAX));
    for call in calls() {
        assert!(page.contains(&format!("<article id=\"{}\">", call.id)), "{}", call.id);
    }
    for code in client::code::ALL {
        assert!(page.contains(&format!("<article id=\"code-{code}\"")), "{code}");
    }
}

#[tokio::test]
async fn the_document_names_the_very_calls_that_the_router_answers() {
    let routed: BTreeSet<&str> =
        routes::<Arc<Fake>>(TTL_SECONDS_MAX).into_iter().map(|(path, _)| path).collect();
    let document = document(TTL_SECONDS_MAX);
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.keys().map(String::as_str).collect::<BTreeSet<_>>(), routed);
    let router = router(&Arc::new(Fake::of(Inventory::default())));
    for (path, methods) in paths {
        let address = path.replace("{sku}", "PS5").replace("{id}", examples::RESERVATION_ID);
        let refused = ask(&router, request("BREW", &address, "")).await;
        assert_eq!(refused.status(), 405, "{path}");
        let allowed = refused.headers()["allow"].to_str().unwrap().to_lowercase();
        // The router lets GET answer HEAD, which nobody needs to be told.
        let allowed: BTreeSet<&str> = allowed.split(',').filter(|method| *method != "head").collect();
        assert_eq!(methods.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), allowed);
    }
}

/// Whatever a call answers to its own examples is in the document, and is not that they cannot be read.
#[tokio::test]
async fn every_example_of_a_request_is_one_that_the_node_understands() {
    let document = document(TTL_SECONDS_MAX);
    for call in calls() {
        for example in call.request.iter().flat_map(|body| &body.examples) {
            let what = format!("{} {}", call.id, example.name);
            let router = router(&Arc::new(in_stock()));
            let address = call.path.replace("{sku}", examples::SKU).replace("{id}", "3");
            let answer = ask(&router, request(call.method, &address, example.value.to_string())).await;
            let status = answer.status().as_u16();
            assert!(![400, 413, 415].contains(&status), "{what}: {}", json_of(answer).await);
            let path = call.method.to_lowercase();
            let told = &document["paths"][call.path][path]["responses"][status.to_string()]["content"];
            let media_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
            let schema = &told[&media_type]["schema"];
            assert!(schema.is_object(), "{what}: {status} {media_type} is not in the document");
            check(&what, &json_of(answer).await, schema, &document);
        }
    }
}

/// A store with 100 units of the SKUs of the examples.
fn in_stock() -> Fake {
    let fake = Fake::of(Inventory::default());
    for name in [examples::SKU, "PS5-PAD"] {
        assert!(fake.apply(0, Command::PutSku(put(name, 100))).result.is_ok());
    }
    fake
}

#[tokio::test]
async fn every_example_of_an_address_is_one_that_the_node_understands() {
    let router = router(&Arc::new(in_stock()));
    for call in calls().into_iter().filter(|call| call.method == "GET") {
        for parameter in call.parameters.iter().filter(|parameter| parameter.place == "query") {
            let address = call.path.replace("{sku}", "PS5").replace("{id}", examples::RESERVATION_ID);
            let value = parameter.example.to_string().replace('"', "");
            let answer =
                ask(&router, request("GET", &format!("{address}?{}={value}", parameter.name), "")).await;
            assert_ne!(answer.status(), 400, "{} {}", call.id, parameter.name);
        }
        for parameter in call.parameters.iter().filter(|parameter| parameter.place == "header") {
            let address = call.path.replace("{sku}", "PS5").replace("{id}", examples::RESERVATION_ID);
            let mut asked = request("GET", &address, "");
            let name = HeaderName::from_bytes(parameter.name.as_bytes()).unwrap();
            asked.headers_mut().insert(name, parameter.example.as_str().unwrap().parse().unwrap());
            assert_ne!(ask(&router, asked).await.status(), 400, "{} {}", call.id, parameter.name);
        }
    }
    assert!(examples::RESERVATION_ID.parse::<ReservationId>().is_ok());
}

/// The example of each code that a rejection becomes has the very members that the rejection is told with. A limit of
/// the whole cluster shares its code with another limit, which has the example: of its members each is described.
#[tokio::test]
async fn every_rejection_is_told_as_its_example_shows() {
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let mut described = names(&problems::example("not_found"));
    described.extend(problems::members().into_iter().map(|(name, _)| name.to_owned()));
    for rejection in rejections() {
        let applied = Applied { sequence: 7, replayed: false, result: Err(rejection) };
        let answer = reply::command(Ok(Answer::Applied(applied)), "on_hand");
        let retry_after = answer.headers().contains_key("retry-after");
        let told = json_of(answer).await;
        let code = told["code"].as_str().unwrap();
        let example = problems::example(code);
        match told.get("limited_by") {
            Some(_) => assert!(names(&told).is_subset(&described), "{code}: {told}"),
            None => assert_eq!(names(&told), names(&example), "{code}"),
        }
        assert_eq!(retry_after, problems::about(code).retry_after.is_some(), "{code}");
    }
}

fn rejections() -> Vec<Rejection> {
    let stock = || stock_view("PS5");
    vec![
        Rejection::Invalid { field: "items".into() },
        Rejection::IdempotencyKeyReused,
        Rejection::PreconditionFailed { current: Some(8) },
        Rejection::ReservationNotFound,
        Rejection::FencingTokenStale { current: 43 },
        Rejection::AlreadyCommitted,
        Rejection::ReservationReleased,
        Rejection::ReservationExpired,
        Rejection::ReservationWaiting,
        Rejection::NotCommitted,
        Rejection::ReturnExceedsSale,
        Rejection::HoldLimit { latest_deadline_ms: 1_000 },
        Rejection::CartAlreadyReserved { reservation_id: ReservationId { sequence: 1, nonce: 2 } },
        Rejection::SkuNotFound { sku: sku("PS6") },
        Rejection::CustomerLimit { sku: sku("PS5"), limit: 2, held: 0, sold: 2, requested: 1 },
        Rejection::InsufficientStock { shortages: shortages() },
        Rejection::HeldByOthers { shortages: shortages(), earliest_ms: 2_000, now_ms: 1_000 },
        Rejection::SkuHasHolds { stock: stock() },
        Rejection::StockBelowHeld { stock: stock() },
        Rejection::CustomerTotal { of: Total::Units, limit: 4, has: 3, requested: 2 },
        Rejection::ExtensionLimit { limit: 4 },
    ]
}

fn shortages() -> Vec<Shortage> {
    let short = Shortage { sku: sku("PS5"), requested: 1, available: 0, held: 1, sold_out: false };
    vec![short]
}
