//! What every try of a call sends: method, path, headers, body.

use std::fmt::{Display, Write};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request};
use serde::Serialize;

use crate::api::IDEMPOTENCY_KEY;
use crate::error::Error;

/// What every try of a call sends.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    method: Method,
    path: String,
    /// Empty where the call has none.
    body: Bytes,
    /// The idempotency key of a write, as text and as header.
    key: Option<(String, HeaderValue)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Message {
    /// A read.
    pub(crate) fn read(path: String) -> Message {
        Message { method: Method::GET, path, body: Bytes::new(), key: None, headers: Vec::new() }
    }

    /// A write without a body, and without a key.
    pub(crate) fn bodiless(method: Method, path: String) -> Message {
        Message { method, ..Message::read(path) }
    }

    /// A delete under a random key.
    pub(crate) fn delete(path: String) -> Result<Message, Error> {
        Ok(Message { method: Method::DELETE, key: Some(header(random_key())?), ..Message::read(path) })
    }

    /// A write without a key of its own.
    pub(crate) fn keyless(method: Method, path: String, body: &impl Serialize) -> Result<Message, Error> {
        let body = serde_json::to_vec(body).map_err(|cause| Error::Usage(format!("not JSON: {cause}")))?;
        Ok(Message { method, body: Bytes::from(body), ..Message::read(path) })
    }

    /// A write under a random key.
    pub(crate) fn write(method: Method, path: String, body: &impl Serialize) -> Result<Message, Error> {
        let message = Message::keyless(method, path, body)?;
        Ok(Message { key: Some(header(random_key())?), ..message })
    }

    /// The same message with that key, where it has one at all.
    pub(crate) fn keyed(mut self, key: String) -> Result<Message, Error> {
        if self.key.is_some() {
            self.key = Some(header(key)?);
        }
        Ok(self)
    }

    /// The same message with one more header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: &str) -> Result<Message, Error> {
        let value = HeaderValue::from_str(value).map_err(|cause| Error::Usage(format!("{name}: {cause}")))?;
        self.headers.push((name, value));
        Ok(self)
    }

    /// The same message with one more pair in its query.
    pub(crate) fn with_query(mut self, name: &str, value: impl Display) -> Message {
        add_query(&mut self.path, name, value);
        self
    }

    /// Whether it changes anything.
    pub(crate) fn writes(&self) -> bool {
        self.method != Method::GET
    }

    /// The idempotency key.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_ref().map(|(key, _)| key.as_str())
    }

    /// The message as a request; where to is still to be said.
    pub(crate) fn request(&self) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = Request::builder().method(self.method.clone()).uri(self.path.as_str());
        if !self.body.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some((_, header)) = &self.key {
            request = request.header(IDEMPOTENCY_KEY, header.clone());
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone()))
    }
}

/// A key that no other call has.
pub(crate) fn random_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Adds a pair to a path's query.
pub(crate) fn add_query(path: &mut String, name: &str, value: impl Display) {
    let before = if path.contains('?') { '&' } else { '?' };
    // Writing to a string cannot fail.
    let _ = write!(path, "{before}{name}={}", Escaped(&value.to_string()));
}

/// A text as one segment of a path, or one value of a query: what could end or change it is written as `%XX`.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.bytes().try_for_each(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b':' | b'~' | b'-' => {
                f.write_char(char::from(b))
            }
            _ => write!(f, "%{b:02X}"),
        })
    }
}

fn header(key: String) -> Result<(String, HeaderValue), Error> {
    let fits = (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    match HeaderValue::from_str(&key) {
        Ok(value) if fits => Ok((key, value)),
        _ => {
            Err(Error::Usage(format!("an idempotency key is 1 to 255 visible ASCII characters, not {key:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_one_segment() {
        let table = [("PS5", "PS5"), ("a.b_c:d-e", "a.b_c:d-e"), ("a/../b?c#d%", "a%2F..%2Fb%3Fc%23d%25")];
        for (text, segment) in table {
            assert_eq!(Escaped(text).to_string(), segment);
        }
        assert_eq!(Escaped("\u{e9} ").to_string(), "%C3%A9%20");
    }

    #[test]
    fn a_value_stays_one_value() {
        let mut path = "/api/events".to_owned();
        add_query(&mut path, "sku", "a&b=c");
        add_query(&mut path, "limit", 7);
        assert_eq!(path, "/api/events?sku=a%26b%3Dc&limit=7");
    }
}
