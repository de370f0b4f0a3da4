//! What a token is bound to, each operation of a batch, and that a new route is closed. Every route by every role is
//! asked of a real server: `node/tests/tokens.rs`.

use std::path::PathBuf;

use axum::Router;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::auth::{Kept, Secret, Token, TokensFile};
use crate::http::testing::{Fake, ask, call, get, json_of, put};

/// The interface to a store with stock, and tokens for it.
struct Guarded {
    router: Router,
    secrets: Vec<Secret>,
    path: PathBuf,
    _scratch: TempDir,
}

/// A token for each of these.
fn guarded(tokens: &[(&[Role], Bounds)]) -> Guarded {
    let fake = Arc::new(Fake::of(Inventory::default()));
    fake.apply(0, Command::PutSku(put("PS5", 100)));
    let (scratch, secrets) =
        (tempfile::tempdir().unwrap(), tokens.iter().map(|_| Secret::new()).collect::<Vec<_>>());
    let token = |((roles, bounds), secret): (&(&[Role], Bounds), &Secret)| Token {
        id: secret.id.clone(),
        name: "n".to_owned(),
        roles: roles.to_vec(),
        sha256: secret.hash(),
        created_at: "t".to_owned(),
        bounds: bounds.clone(),
    };
    let path = scratch.path().join("tokens.toml");
    TokensFile { tokens: tokens.iter().zip(&secrets).map(token).collect() }.save(&path).unwrap();
    let access = Access::Tokens(Arc::new(Kept::open(&path).unwrap()));
    let api = Api::new(fake, "shop".to_owned(), 1, 1800).guarded_by(access);
    Guarded { router: api.service().router, secrets, path, _scratch: scratch }
}

impl Guarded {
    fn bearer(&self, token: usize) -> HeaderValue {
        format!("Bearer {}", self.secrets[token].reveal()).parse().unwrap()
    }

    /// The status and the answer of a call with that token; without a body it is a read.
    async fn told(&self, token: usize, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = body.map_or_else(|| get(path), |body| call("POST", path, body.to_string()));
        request.headers_mut().insert(AUTHORIZATION, self.bearer(token));
        let response = ask(&self.router, request).await;
        (response.status().as_u16(), json_of(response).await)
    }

    async fn reserve(&self, token: usize, cart: &str, customer: Option<&str>) -> (u16, Value) {
        self.told(token, "/api/checkout/reserve", Some(reserve(cart, customer))).await
    }
}

fn reserve(cart: &str, customer: Option<&str>) -> Value {
    let mut body = json!({ "cart_id": cart, "items": [{ "sku": "PS5", "qty": 1 }] });
    if let Some(customer) = customer {
        body["customer_id"] = json!(customer);
    }
    body
}

fn bound(cart: Option<&str>, customer: Option<&str>) -> Bounds {
    Bounds { cart_prefix: cart.map(str::to_owned), customer_prefix: customer.map(str::to_owned) }
}

#[test]
fn a_route_that_nobody_has_opened_is_for_operators_alone() {
    for (method, path, closed) in [
        (Method::GET, "/api/audit", true),
        (Method::POST, "/api/cluster/members", true),
        (Method::GET, "/api/cluster", false),
        (Method::HEAD, "/api/cluster", false),
        (Method::POST, "/api/cluster", true),
        (Method::DELETE, "/api/events", true),
        (Method::POST, "/api/inventory/{sku}/adjust", false),
    ] {
        assert_eq!(roles(&method, path) == [Role::Admin], closed, "{method} {path}");
    }
}

#[test]
fn two_authorizations_are_none() {
    let guarded = guarded(&[(&[Role::Admin], Bounds::default())]);
    let access = Access::Tokens(Arc::new(Kept::open(&guarded.path).unwrap()));
    let mut headers = HeaderMap::new();
    headers.append(AUTHORIZATION, guarded.bearer(0));
    assert!(admit(&access, &Method::GET, Some("/api/cluster"), &headers).is_ok());
    headers.append(AUTHORIZATION, guarded.bearer(0));
    let refused = admit(&access, &Method::GET, Some("/api/cluster"), &headers).unwrap_err();
    assert_eq!(refused.status_code(), 401);
}

#[tokio::test]
async fn a_bound_token_reserves_for_its_own_carts_and_customers() {
    let (of_carts, of_customers) = (bound(Some("web-"), None), bound(None, Some("eu-")));
    let guarded = guarded(&[(&[Role::Checkout], of_carts), (&[Role::Checkout], of_customers)]);
    assert_eq!(guarded.reserve(0, "web-1", None).await.0, 201);
    assert_eq!(guarded.reserve(0, "app-1", None).await.1["code"], "forbidden");
    assert_eq!(guarded.reserve(1, "c-1", Some("eu-1")).await.0, 201);
    assert_eq!(guarded.reserve(1, "c-2", Some("us-1")).await.0, 403);
    assert_eq!(guarded.reserve(1, "c-3", None).await.0, 403);
}

#[tokio::test]
async fn a_bound_token_goes_on_with_its_own_reservations_and_no_others() {
    let bounds = [bound(None, None), bound(Some("web-"), None)];
    let guarded = guarded(&bounds.map(|bounds| (&[Role::Checkout][..], bounds)));
    let theirs = guarded.reserve(0, "app-1", None).await.1["reservation_id"].clone();
    let own = guarded.reserve(1, "web-1", None).await.1["reservation_id"].clone();
    for call in ["extend", "commit", "return"] {
        let path = format!("/api/checkout/{call}");
        let (status, told) = guarded.told(1, &path, Some(json!({ "reservation_id": theirs }))).await;
        assert_eq!((status, &told["code"]), (403, &json!("forbidden")), "{call}");
        assert_eq!(guarded.told(1, &path, Some(json!({ "reservation_id": own }))).await.0, 200, "{call}");
    }
    let path = |id: &Value| format!("/api/reservations/{}", id.as_str().unwrap());
    assert_eq!(guarded.told(1, &path(&theirs), None).await.0, 403);
    assert_eq!(guarded.told(1, &path(&own), None).await.0, 200);
    let none = json!({ "reservation_id": "res_00000000000000000000000000" });
    assert_eq!(guarded.told(1, "/api/checkout/release", Some(none)).await.1["code"], "reservation_not_found");
}

#[tokio::test]
async fn each_operation_of_a_batch_is_asked_about_by_itself() {
    let tokens: [(&[Role], Bounds); 3] = [
        (&[Role::Checkout], bound(Some("web-"), None)),
        (&[Role::Stock], Bounds::default()),
        (&[Role::Stock, Role::Checkout], Bounds::default()),
    ];
    let guarded = guarded(&tokens);
    let theirs = guarded.reserve(2, "app-1", None).await.1["reservation_id"].clone();
    let operation = |op: &str, mut body: Value| {
        body["op"] = json!(op);
        body
    };
    let operations = json!({ "operations": [
        operation("reserve", reserve("web-1", None)),
        operation("reserve", reserve("app-2", None)),
        operation("release", json!({ "reservation_id": theirs })),
        operation("adjust", json!({ "sku": "PS5", "delta": 1 })),
    ]});
    for (token, expected) in [(0, [201, 403, 403, 403]), (1, [403, 403, 403, 200]), (2, [200, 201, 200, 200])]
    {
        let (status, told) = guarded.told(token, "/api/batch", Some(operations.clone())).await;
        let statuses: Vec<_> =
            told["results"].as_array().unwrap().iter().map(|it| it["status"].clone()).collect();
        assert_eq!((status, json!(statuses)), (200, json!(expected)), "{token}");
    }
}

/// A token bound to customers names any cart: what it is told of must still be its own customers'.
#[tokio::test]
async fn nothing_is_told_of_a_cart_that_another_customer_has() {
    let guarded =
        guarded(&[(&[Role::Checkout], Bounds::default()), (&[Role::Checkout], bound(None, Some("eu-")))]);
    assert_eq!(guarded.reserve(0, "c-1", None).await.0, 201);
    assert_eq!(guarded.reserve(0, "c-2", Some("eu-1")).await.0, 201);
    let other = json!({ "cart_id": "c-1", "customer_id": "eu-1", "items": [{ "sku": "PS5", "qty": 2 }] });
    for body in [reserve("c-1", Some("eu-1")), other] {
        let (status, told) = guarded.told(1, "/api/checkout/reserve", Some(body.clone())).await;
        assert_eq!((status, &told["code"]), (403, &json!("forbidden")), "{body}");
        assert_eq!(told.get("reservation_id"), None);
        let mut operation = body;
        operation["op"] = json!("reserve");
        let (_, told) = guarded.told(1, "/api/batch", Some(json!({ "operations": [operation] }))).await;
        assert_eq!(told["results"][0]["status"], 403, "{told}");
    }
    assert_eq!(guarded.reserve(1, "c-2", Some("eu-1")).await.0, 200);
}
