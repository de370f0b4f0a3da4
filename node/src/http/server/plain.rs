//! Recognises a plain request: one of the checkout calls, whole, and written the way nearly every client writes it.
//!
//! ```text
//!   POST /api/checkout/reserve HTTP/1.1        one of five lines, to the byte
//!   host: shop                                 once
//!   content-type: application/json             once
//!   content-length: 48                         once, digits
//!   idempotency-key: k-1                       at most once
//!   authorization: Bearer lu_...               at most once
//!   traceparent: 00-4bf9...-00f0...-01         at most once
//!   (any header that changes neither how the message is read nor what it means)
//!
//!   {"cart_id":"c-1", ...                      all of it is there
//! ```
//!
//! What is not plain is not wrong: hyper reads it. So nothing is refused here, and what would be a matter of taste,
//! such as a length that is given twice, is left to hyper.

use client::api;
use httparse::{EMPTY_HEADER, Header, Request, Status};

use crate::http::body::is_json;
use crate::http::checkout::Call;
use crate::http::limits::LANE_BYTES_MAX;

/// The most headers of a plain request.
const HEADERS_MAX: usize = 32;

/// Headers that say how to read a message, or that the connection is more than a row of calls.
const NOT_PLAIN: [&str; 4] = ["transfer-encoding", "content-encoding", "expect", "upgrade"];

/// A plain request.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct Plain<'a> {
    /// Which call.
    pub(in crate::http) call: Call,
    /// Its `Idempotency-Key`, as it came.
    pub(in crate::http) idempotency_key: Option<&'a [u8]>,
    /// Its `Authorization`, as it came.
    pub(in crate::http) authorization: Option<&'a [u8]>,
    /// Its `traceparent`, as it came.
    pub(in crate::http) traceparent: Option<&'a [u8]>,
    /// Its body.
    pub(in crate::http) body: &'a [u8],
    /// The bytes that it takes, head and body.
    pub(super) length: usize,
}

/// What some input begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A plain request.
    Plain(Plain<'a>),
    /// What may become the head of one.
    PartOfHead,
    /// The whole head of one, and not the whole body.
    PartOfBody,
    /// Something else.
    Other,
}

/// Looks at the input of a connection, which begins where a request does.
pub(super) fn find(input: &[u8]) -> Found<'_> {
    let Some(call) = first_line(input) else {
        return if may_become_first_line(input) { Found::PartOfHead } else { Found::Other };
    };
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    let head = match request.parse(input) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Found::PartOfHead,
        Err(_) => return Found::Other,
    };
    let Some(Told { body, idempotency_key, authorization, traceparent }) = told(request.headers) else {
        return Found::Other;
    };
    let length = head.saturating_add(body);
    match input.get(head..length) {
        Some(body) => Found::Plain(Plain { call, idempotency_key, authorization, traceparent, body, length }),
        None if length <= LANE_BYTES_MAX => Found::PartOfBody,
        None => Found::Other,
    }
}

/// The call whose line the input begins with.
fn first_line(input: &[u8]) -> Option<Call> {
    let rest = input.strip_prefix(METHOD)?;
    Call::ALL
        .into_iter()
        .find(|call| rest.strip_prefix(call.path().as_bytes()).is_some_and(|rest| rest.starts_with(VERSION)))
}

const METHOD: &[u8] = b"POST ";
const VERSION: &[u8] = b" HTTP/1.1\r\n";

fn may_become_first_line(input: &[u8]) -> bool {
    Call::ALL.into_iter().any(|call| {
        let line = METHOD.iter().chain(call.path().as_bytes()).chain(VERSION);
        input.len() < METHOD.len() + call.path().len() + VERSION.len() && line.zip(input).all(|(a, b)| a == b)
    })
}

/// What the headers of a plain request say.
struct Told<'a> {
    body: usize,
    idempotency_key: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    traceparent: Option<&'a [u8]>,
}

/// `None` where the request is not plain.
fn told<'a>(headers: &[Header<'a>]) -> Option<Told<'a>> {
    let (mut host, mut media_type, mut length) = (None, None, None);
    let (mut idempotency_key, mut authorization, mut traceparent) = (None, None, None);
    for Header { name, value } in headers {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let place = match name.len() {
            4 if is("host") => &mut host,
            11 if is("traceparent") => &mut traceparent,
            12 if is("content-type") => &mut media_type,
            13 if is("authorization") => &mut authorization,
            14 if is("content-length") => &mut length,
            15 if is(api::IDEMPOTENCY_KEY) => &mut idempotency_key,
            10 if is("connection") && !value.eq_ignore_ascii_case(b"keep-alive") => return None,
            _ if NOT_PLAIN.into_iter().any(is) => return None,
            _ => continue,
        };
        if place.replace(*value).is_some() {
            return None;
        }
    }
    host?;
    let media_type = std::str::from_utf8(media_type?).ok().filter(|it| it.is_ascii())?;
    let body = digits(length?)?;
    is_json(media_type).then_some(Told { body, idempotency_key, authorization, traceparent })
}

fn digits(text: &[u8]) -> Option<usize> {
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"reservation_id":"res_0"}"#;

    fn text(line: &str, headers: &str) -> String {
        format!(
            "{line}\r\nHost: a\r\ncontent-type: application/json\r\ncontent-length: 26\r\n{headers}\r\n{BODY}"
        )
    }

    #[test]
    fn every_checkout_call_is_found_with_its_key_and_its_body() {
        for call in Call::ALL {
            let line = format!("POST {} HTTP/1.1", call.path());
            let headers =
                "Idempotency-Key: k-1\r\nuser-agent: x\r\nAuthorization: Bearer t\r\nTraceparent: 00-1\r\n";
            let request = text(&line, &format!("{headers}Connection: keep-alive\r\n"));
            let followed = format!("{request}GET /");
            let (idempotency_key, authorization) = (Some(&b"k-1"[..]), Some(&b"Bearer t"[..]));
            let (body, length) = (BODY.as_bytes(), request.len());
            let traceparent = Some(&b"00-1"[..]);
            let found = Plain { call, idempotency_key, authorization, traceparent, body, length };
            assert_eq!(find(followed.as_bytes()), Found::Plain(found));
        }
    }

    #[test]
    fn each_part_of_a_plain_request_is_waited_for() {
        let request = text("POST /api/checkout/commit HTTP/1.1", "");
        let body = request.len() - BODY.len();
        for length in 0..request.len() {
            let part = if length < body { Found::PartOfHead } else { Found::PartOfBody };
            assert_eq!(find(&request.as_bytes()[..length]), part, "{length}");
        }
    }

    /// Whatever comes, what is found lies in it, and is found again in what follows.
    #[test]
    fn any_bytes_and_patched_requests() {
        let sound = text("POST /api/checkout/commit HTTP/1.1", "Idempotency-Key: k-1\r\n");
        bolero::check!().with_type::<(Vec<(u16, u8)>, Vec<u8>)>().for_each(|(patches, behind)| {
            let mut bytes = sound.clone().into_bytes();
            for (place, byte) in patches {
                let at = usize::from(*place) % bytes.len();
                bytes[at] = *byte;
            }
            bytes.extend_from_slice(behind);
            if let Found::Plain(plain) = find(&bytes) {
                assert!(plain.length <= bytes.len() && plain.body.len() < plain.length);
                assert_eq!(find(&bytes[..plain.length]), Found::Plain(plain));
            }
            let _ = find(behind);
        });
    }

    #[test]
    fn what_is_not_plain_is_left_alone() {
        for line in [
            "GET /api/checkout/commit HTTP/1.1",
            "post /api/checkout/commit HTTP/1.1",
            "POST /api/checkout/commit HTTP/1.0",
            "POST /api/checkout/commit  HTTP/1.1",
            "POST /api/checkout/commit? HTTP/1.1",
            "POST /api/checkout/commits HTTP/1.1",
            "POST http://a/api/checkout/commit HTTP/1.1",
            "POST /api/batch HTTP/1.1",
            "\r\nPOST /api/checkout/commit HTTP/1.1",
        ] {
            assert_eq!(find(text(line, "").as_bytes()), Found::Other, "{line}");
        }
        for header in [
            "Transfer-Encoding: chunked",
            "content-encoding: gzip",
            "Connection: close",
            "Expect: 100-continue",
            "upgrade: h2c",
            "host: b",
            "content-length: 26",
            "Content-Type: application/json",
            "no colon",
            "idempotency-key: a\r\nidempotency-key: b",
            "authorization: a\r\nauthorization: a",
            "traceparent: 00-1\r\ntraceparent: 00-1",
        ] {
            let request = text("POST /api/checkout/commit HTTP/1.1", &format!("{header}\r\n"));
            assert_eq!(find(request.as_bytes()), Found::Other, "{header}");
        }
        let plain = text("POST /api/checkout/commit HTTP/1.1", "");
        for (given, other) in [
            ("Host: a\r\n", ""),
            ("content-length: 26\r\n", ""),
            (": 26", ": +26"),
            (": 26", ": 16384"),
            (": 26", ": 18446744073709551615"),
            (": 26", ": 184467440737095516150"),
            ("content-type: application/json\r\n", ""),
            ("application/json", "text/plain"),
            ("application/json", "application/json; charset=latin1"),
        ] {
            assert_eq!(find(plain.replacen(given, other, 1).as_bytes()), Found::Other, "{given} {other}");
        }
    }
}
