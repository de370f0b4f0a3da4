//! Addresses, and the parameter that is named for what is wrong with them.

use axum::response::IntoResponse;
use storage::inventory::ids::{ReservationId, Sku};

use super::*;
use crate::http::testing::json_of;

const KNOWN: [&str; 5] = ["prefix", "limit", "cursor", "consistency", "wait_seconds"];

fn uri(query: &str) -> Uri {
    format!("/a?{query}").parse().unwrap()
}

async fn field_of<T: std::fmt::Debug>(refused: Result<T, Problem>) -> String {
    let response = refused.expect_err("a refusal").into_response();
    assert_eq!(response.status(), 400);
    json_of(response).await["field"].as_str().unwrap().to_owned()
}

#[test]
fn parameters_are_read_as_forms_write_them() {
    for (query, value) in [
        ("", None),
        ("&&", None),
        ("prefix", Some("")),
        ("prefix=", Some("")),
        ("prefix=a=b", Some("a=b")),
        ("&prefix=%41%3ab&", Some("A:b")),
        ("pre%66ix=x", Some("x")),
        ("prefix=a+b%2B", Some("a b+")),
        ("prefix=%C3%A9", Some("\u{e9}")),
        ("prefix=%zz%4", Some("%zz%4")),
    ] {
        assert_eq!(Query::of(&uri(query), &KNOWN).unwrap().get("prefix"), value, "{query}");
    }
    assert!(Query::of(&Uri::from_static("/a"), &[]).is_ok());
}

#[tokio::test]
async fn unknown_repeated_and_unreadable_parameters_are_refused() {
    for (query, field) in [
        ("fresh=1", "fresh"),
        ("prefix=a&fresh", "fresh"),
        ("Prefix=a", "Prefix"),
        ("prefix=a&prefix=a", "prefix"),
        ("prefix=%ff", "prefix"),
        ("prefix=a+%ff", "prefix"),
        ("%ff=a", "query"),
        ("=a", ""),
    ] {
        assert_eq!(field_of(Query::of(&uri(query), &KNOWN)).await, field, "{query}");
    }
}

#[tokio::test]
async fn a_page_has_1_to_1000_rows_and_100_unless_given() {
    for (query, limit) in [("", 100), ("limit=1", 1), ("limit=1000", 1000), ("limit=007", 7)] {
        assert_eq!(Query::of(&uri(query), &KNOWN).unwrap().limit().unwrap(), limit, "{query}");
    }
    for bad in ["", "0", "1001", "-1", "+1", "%2B1", "1.0", "1e1", "ten", "99999999999999999999", " 1"] {
        let uri = uri(&format!("limit={}", bad.replace(' ', "%20")));
        assert_eq!(field_of(Query::of(&uri, &KNOWN).unwrap().limit()).await, "limit", "{bad}");
    }
}

#[tokio::test]
async fn a_cursor_is_that_of_the_list_that_it_is_given_to() {
    let sku = Sku::new("PS5").unwrap();
    let of_skus = uri(&format!("cursor={}", cursor::encode(&sku)));
    let query = Query::of(&of_skus, &KNOWN).unwrap();
    assert_eq!(query.cursor().unwrap(), Some(sku));
    assert_eq!(field_of(query.cursor::<ReservationId>()).await, "cursor");
    assert_eq!(Query::default().cursor::<Sku>().unwrap(), None);
    for bad in ["", "x", "AQFQUzU%3D"] {
        let uri = uri(&format!("cursor={bad}"));
        assert_eq!(field_of(Query::of(&uri, &KNOWN).unwrap().cursor::<Sku>()).await, "cursor", "{bad}");
    }
}

#[tokio::test]
async fn a_read_is_linearizable_or_stale() {
    let consistency = |query: &str| Query::of(&uri(query), &KNOWN).unwrap().consistency();
    assert_eq!(consistency("").unwrap(), Consistency::Linearizable);
    assert_eq!(consistency("consistency=stale").unwrap(), Consistency::Stale);
    for bad in ["consistency", "consistency=Stale", "consistency=linearizable"] {
        assert_eq!(field_of(consistency(bad)).await, "consistency", "{bad}");
    }
}
