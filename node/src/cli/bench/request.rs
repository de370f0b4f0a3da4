//! Requests, written into a buffer that is used again for each.

use std::io::{self, Write};

use super::plan::Plan;

/// The bytes of one call.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// The value of its `Authorization`.
    authorization: Option<String>,
    body: Vec<u8>,
    bytes: Vec<u8>,
}

impl Request {
    /// Calls that show this.
    pub(super) fn showing(authorization: Option<String>) -> Request {
        Request { authorization, ..Request::default() }
    }

    /// What is to be sent.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A read of that path.
    pub(super) fn get(&mut self, host: &str, path: std::fmt::Arguments<'_>) {
        self.bytes.clear();
        infallible(write!(self.bytes, "GET {path} HTTP/1.1\r\nhost: {host}\r\n"));
        infallible(self.show());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A write with the body that `body` writes, under that key where there is one.
    pub(super) fn post(
        &mut self,
        host: &str,
        path: &str,
        key: Option<std::fmt::Arguments<'_>>,
        body: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) {
        self.body.clear();
        infallible(body(&mut self.body));
        self.bytes.clear();
        infallible(self.head(host, path, key));
        self.bytes.extend_from_slice(&self.body);
    }

    fn head(&mut self, host: &str, path: &str, key: Option<std::fmt::Arguments<'_>>) -> io::Result<()> {
        write!(self.bytes, "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n")?;
        self.show()?;
        let (out, length) = (&mut self.bytes, self.body.len());
        if let Some(key) = key {
            write!(out, "idempotency-key: {key}\r\n")?;
        }
        write!(out, "content-length: {length}\r\n\r\n")
    }

    fn show(&mut self) -> io::Result<()> {
        match &self.authorization {
            Some(authorization) => write!(self.bytes, "authorization: {authorization}\r\n"),
            None => Ok(()),
        }
    }
}

/// The fields of a reserve of one unit of each of these SKUs, without the brackets around them. No name of a run has
/// a character that JSON escapes.
pub(super) fn reserve(
    out: &mut Vec<u8>,
    plan: &Plan,
    cart: std::fmt::Arguments<'_>,
    skus: &[u32],
    customer: Option<u32>,
) -> io::Result<()> {
    write!(out, "\"cart_id\":\"{cart}\",\"items\":[")?;
    for (place, sku) in skus.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(out, "{comma}{{\"sku\":\"{}.{sku}\",\"qty\":1}}", plan.run)?;
    }
    write!(out, "],\"ttl_seconds\":{}", plan.ttl_seconds)?;
    match customer {
        Some(customer) => write!(out, ",\"customer_id\":\"{}.{customer}\"", plan.run),
        None => Ok(()),
    }
}

/// Writing to a vector cannot fail.
fn infallible(written: io::Result<()>) {
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_says_how_long_its_body_is_and_nothing_of_the_last_one_stays() {
        let mut request = Request::default();
        request.post("a:1", "/long", None, |body| body.write_all(b"{\"long\":\"body\"}"));
        request.post("a:1", "/x", Some(format_args!("k{}", 7)), |body| body.write_all(b"{}"));
        let expected = "POST /x HTTP/1.1\r\nhost: a:1\r\ncontent-type: application/json\r\n\
            idempotency-key: k7\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(std::str::from_utf8(request.bytes()).unwrap(), expected);
        request.get("a:1", format_args!("/y?z={}", 1));
        assert_eq!(request.bytes(), b"GET /y?z=1 HTTP/1.1\r\nhost: a:1\r\n\r\n");
    }
}
