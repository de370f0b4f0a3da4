//! Lists of tags as RFC 9110 writes them, and as nobody should.

use axum::response::IntoResponse;

use super::*;
use crate::http::testing::json_of;

fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

async fn field_of<T: std::fmt::Debug>(refused: Result<T, Problem>) -> String {
    let response = refused.expect_err("a refusal").into_response();
    assert_eq!(response.status(), 400);
    json_of(response).await["field"].as_str().unwrap().to_owned()
}

#[test]
fn a_tag_is_the_version_in_quotes() {
    assert_eq!(etag(7), "\"7\"");
    assert_eq!(etag(u64::MAX), "\"18446744073709551615\"");
}

#[test]
fn a_change_names_the_versions_that_it_is_for() {
    let versions = |versions: &[u64]| Precondition::Versions(versions.to_vec());
    for (value, demanded) in [
        (&b"*"[..], Precondition::Exists),
        (b" * ", Precondition::Exists),
        (b"\"7\"", versions(&[7])),
        (b"\"7\", \"9\"", versions(&[7, 9])),
        (b"\"9\",\"7\" ,\t\"9\"", versions(&[7, 9])),
        (b",\"7\",,", versions(&[7])),
        (b"W/\"7\"", versions(&[])),
        (b"W/\"7\", \"9\"", versions(&[9])),
        (b"\"07\", \"\", \"0\", \"x,y\", \"-1\", \"\xff\", \"7\"", versions(&[7])),
        (b"\"18446744073709551615\"", versions(&[u64::MAX])),
        (b"\"18446744073709551616\"", versions(&[])),
    ] {
        let headers = headers(&[("if-match", value)]);
        let shown = String::from_utf8_lossy(value);
        assert_eq!(of_put(&headers).unwrap(), demanded, "{shown}");
        assert_eq!(of_change(&headers).unwrap(), demanded, "{shown}");
    }
    let lines = headers(&[("if-match", b"\"9\""), ("if-match", b"\"7\"")]);
    assert_eq!(of_put(&lines).unwrap(), versions(&[7, 9]));
    assert_eq!(of_put(&HeaderMap::new()).unwrap(), Precondition::None);
    assert_eq!(of_put(&headers(&[("if-none-match", b"*")])).unwrap(), Precondition::Absent);
}

#[tokio::test]
async fn what_is_no_list_of_tags_is_refused() {
    for value in [
        &b""[..],
        b",",
        b"7",
        b"\"7",
        b"7\"",
        b"\"7\" \"9\"",
        b"*, \"7\"",
        b"\"7\", *",
        b"w/\"7\"",
        b"W/ \"7\"",
        b"\"a b\"",
        b"\"a\tb\"",
    ] {
        let shown = String::from_utf8_lossy(value);
        let headers_match = headers(&[("if-match", value)]);
        assert_eq!(field_of(of_put(&headers_match)).await, "If-Match", "{shown}");
        assert_eq!(field_of(of_change(&headers_match)).await, "If-Match", "{shown}");
        let headers_none = headers(&[("if-none-match", value)]);
        assert_eq!(field_of(ReadConditions::of(&headers_none)).await, "If-None-Match", "{shown}");
    }
    let tags: Vec<_> = (1..=17).map(|version| format!("\"{version}\"")).collect();
    assert!(of_put(&headers(&[("if-match", tags[..16].join(",").as_bytes())])).is_ok());
    assert_eq!(field_of(of_put(&headers(&[("if-match", tags.join(",").as_bytes())]))).await, "If-Match");
}

#[tokio::test]
async fn what_a_change_does_not_take_is_refused_rather_than_left_out() {
    let none_match = headers(&[("if-none-match", b"*")]);
    assert_eq!(field_of(of_change(&none_match)).await, "If-None-Match");
    let listed = headers(&[("if-none-match", b"\"7\"")]);
    assert_eq!(field_of(of_put(&listed)).await, "If-None-Match");
    let both = headers(&[("if-none-match", b"*"), ("if-match", b"*")]);
    assert_eq!(field_of(of_put(&both)).await, "If-None-Match");
}

#[test]
fn a_read_is_compared_weakly_for_what_the_client_has_and_strongly_for_what_it_wants() {
    for (name, value, verdict) in [
        ("if-none-match", &b"*"[..], Verdict::NotModified),
        ("if-none-match", b"\"8\", W/\"9\"", Verdict::NotModified),
        ("if-none-match", b"\"8\"", Verdict::Answer),
        ("if-match", b"*", Verdict::Answer),
        ("if-match", b"\"9\"", Verdict::Answer),
        ("if-match", b"W/\"9\"", Verdict::Failed),
        ("if-match", b"\"8\"", Verdict::Failed),
    ] {
        let conditions = ReadConditions::of(&headers(&[(name, value)])).unwrap();
        assert_eq!(conditions.verdict(9), verdict, "{name}: {}", String::from_utf8_lossy(value));
    }
    let both = headers(&[("if-match", b"\"8\""), ("if-none-match", b"\"9\"")]);
    assert_eq!(ReadConditions::of(&both).unwrap().verdict(9), Verdict::Failed);
    assert_eq!(ReadConditions::default().verdict(9), Verdict::Answer);
}
