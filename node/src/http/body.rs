//! From bytes to a typed request body, or to a problem that names the field.
//!
//! ```text
//!   content type -> length -> bytes -> serde -> shape -> T
//!       415         413, 400             \--------\-> 400 invalid_request with `field`
//! ```
//!
//! The bytes are parsed once. Only what does not parse is parsed again, by a slower reader that keeps track of
//! the path to the mistake.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use client::api::{
    AdjustRequest, CommitRequest, ExtendRequest, PutSkuRequest, ReleaseRequest, ReserveRequest, ReturnRequest,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use tokio::time::timeout;

use super::limits::{BODY_BYTES_MAX, BODY_TIME_MAX};
use super::problem::{self, Problem, invalid};

/// A request body, and what its JSON looks like.
pub(crate) trait JsonBody: DeserializeOwned {
    /// How many arrays and objects its JSON has.
    ///
    /// Serde's derived types also read an array as an object, field by field, and an object as the name of a
    /// variant. The contract does not, and the counts give such a body away.
    fn containers(&self) -> Containers {
        Containers { arrays: 0, objects: 1 }
    }
}

impl JsonBody for ReserveRequest {
    fn containers(&self) -> Containers {
        Containers { arrays: 1, objects: 1 + self.items.len() }
    }
}
impl JsonBody for CommitRequest {}
impl JsonBody for ReleaseRequest {}
impl JsonBody for ExtendRequest {}
impl JsonBody for ReturnRequest {}
impl JsonBody for PutSkuRequest {}
impl JsonBody for AdjustRequest {}

/// How many arrays and objects a JSON text has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Containers {
    arrays: usize,
    objects: usize,
}

/// Reads and parses a request's body.
pub(crate) async fn read<T: JsonBody>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    check_content_type(headers)?;
    check_length(headers)?;
    parse(&bytes(body).await?)
}

/// Parses a body.
pub(crate) fn parse<T: JsonBody>(bytes: &[u8]) -> Result<T, Problem> {
    match serde_json::from_slice::<T>(bytes) {
        Ok(parsed) if parsed.containers() == containers(bytes) => Ok(parsed),
        Ok(_) => Err(invalid("body", "An object was given as an array, or text as an object.")),
        Err(error) => Err(misread::<T>(bytes, &error)),
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let (first, second) = (given.next(), given.next());
    match first.and_then(|value| value.to_str().ok()) {
        Some(media_type) if second.is_none() && is_json(media_type) => Ok(()),
        _ => Err(problem::UNSUPPORTED_MEDIA_TYPE
            .problem("The body must have one Content-Type: application/json, in UTF-8.")),
    }
}

/// `application/json`, with no parameter but `charset=utf-8`; case and blanks do not matter (RFC 9110, 8.3.1).
fn is_json(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    let utf_8 = |parameter: &str| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("charset")
                && value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    };
    named && parts.all(utf_8)
}

/// Refuses a body that says itself that it is too long, before any of it is read.
fn check_length(headers: &HeaderMap) -> Result<(), Problem> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > BODY_BYTES_MAX as u64 => Err(too_large()),
        _ => Ok(()),
    }
}

async fn bytes(body: Body) -> Result<Bytes, Problem> {
    let whole = Limited::new(body, BODY_BYTES_MAX).collect();
    match timeout(BODY_TIME_MAX, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(invalid("body", "The body broke off.")),
        Err(_) => {
            let detail = format!("The body did not arrive within {} seconds.", BODY_TIME_MAX.as_secs());
            Err(invalid("body", detail))
        }
    }
}

fn too_large() -> Problem {
    problem::BODY_TOO_LARGE.problem(format!("A body has at most {BODY_BYTES_MAX} bytes."))
}

/// Counts the brackets and braces that open outside of text. The JSON is known to be well-formed.
fn containers(json: &[u8]) -> Containers {
    let mut count = Containers::default();
    let mut bytes = json.iter();
    let mut in_text = false;
    while let Some(byte) = bytes.next() {
        match (in_text, byte) {
            (true, b'\\') => {
                // Whatever is escaped does not end the text.
                bytes.next();
            }
            (_, b'"') => in_text = !in_text,
            (false, b'[') => count.arrays += 1,
            (false, b'{') => count.objects += 1,
            _ => {}
        }
    }
    count
}

/// What is wrong with a body that did not parse, and where.
fn misread<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    let path = path_to_mistake::<T>(bytes);
    // Serde tells of a missing or repeated field at the object that it should be in, by name in the message.
    let field = match (path.as_str(), named_field(&message)) {
        ("", None) => "body".to_owned(),
        ("", Some(name)) => name.to_owned(),
        (_, None) => path,
        (_, Some(name)) => format!("{path}.{name}"),
    };
    invalid(field, format!("The body is not what this call takes: {message}."))
}

/// The path to what did not parse; empty where it is the body as a whole.
fn path_to_mistake<T: DeserializeOwned>(bytes: &[u8]) -> String {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Ok(_) => String::new(),
        Err(error) => plain(error.path()),
    }
}

/// A path as clients read it: `items[0].qty`. What ends within an object, before a key was read, is that object.
fn plain(path: &Path) -> String {
    let text = path.to_string();
    let ends_unknown = matches!(path.iter().next_back(), None | Some(Segment::Unknown));
    let text = if ends_unknown { text.trim_end_matches(['.', '?']) } else { &text };
    match text.starts_with('[') {
        true => format!("body{text}"),
        false => text.to_owned(),
    }
}

fn named_field(message: &str) -> Option<&str> {
    let after =
        ["missing field `", "duplicate field `"].iter().find_map(|start| message.strip_prefix(start))?;
    after.split_once('`').map(|(name, _)| name)
}

#[cfg(test)]
mod tests;
