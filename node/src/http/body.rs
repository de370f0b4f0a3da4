//! From bytes to a typed request body, or to a problem that names the field.
//!
//! ```text
//!   content type -> length -> bytes -> serde -> shape -> T
//!       415         413, 400             \--------\-> 400 invalid_request with `field`
//! ```
//!
//! The bytes are parsed once. Only what does not parse is parsed again, by a slower reader that keeps track of
//! the path to the mistake.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use client::api::{
    AddMemberRequest, AdjustRequest, CommitRequest, ExtendRequest, Item, LeadRequest, PutSkuRequest,
    ReleaseRequest, ReplaceMemberRequest, ReserveRequest, ReturnRequest,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::limits::{BATCH_BYTES_MAX, BATCH_TIME_MAX, BODY_BYTES_MAX, BODY_TIME_MAX};
use super::problem::{self, Problem, invalid};
use super::reply;

/// A request body, and what its JSON looks like.
pub(crate) trait JsonBody: DeserializeOwned {
    /// Fields that may be `null`.
    const NULLABLE: &[&str] = &[];

    /// What its JSON consists of.
    ///
    /// Serde's derived types also read an array as an object, field by field, an object as the name of a variant,
    /// and `null` as a field that is not there. The contract does not, and the counts give such a body away.
    fn shape(&self) -> Shape {
        Shape { arrays: 0, objects: 1, nulls: 0 }
    }
}

impl JsonBody for ReserveRequest {
    fn shape(&self) -> Shape {
        Shape::with(Some(&self.items))
    }
}
impl JsonBody for CommitRequest {
    fn shape(&self) -> Shape {
        Shape::with(self.items.as_ref())
    }
}
impl JsonBody for ReleaseRequest {
    fn shape(&self) -> Shape {
        Shape::with(self.items.as_ref())
    }
}
impl JsonBody for ExtendRequest {}
impl JsonBody for ReturnRequest {
    fn shape(&self) -> Shape {
        Shape::with(self.items.as_ref())
    }
}
impl JsonBody for PutSkuRequest {
    const NULLABLE: &[&str] = &["max_per_customer"];

    fn shape(&self) -> Shape {
        let nulls = usize::from(self.max_per_customer == Some(None));
        Shape { arrays: 0, objects: 1, nulls }
    }
}
impl JsonBody for AdjustRequest {}
impl JsonBody for AddMemberRequest {}
impl JsonBody for ReplaceMemberRequest {}
impl JsonBody for LeadRequest {}

/// How many arrays, objects and nulls a JSON text has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shape {
    arrays: usize,
    objects: usize,
    nulls: usize,
}

impl Shape {
    /// That of an object with such a list of items.
    pub(crate) fn with(items: Option<&Vec<Item>>) -> Shape {
        let objects = 1 + items.map_or(0, Vec::len);
        Shape { arrays: usize::from(items.is_some()), objects, nulls: 0 }
    }
}

/// Reads and parses a request's body.
pub(crate) async fn read<T: JsonBody>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    check_content_type(headers)?;
    check_length(headers, BODY_BYTES_MAX)?;
    parse(&bytes(body).await?)
}

/// A body that may be larger than others, and the room that it takes: to be held until what was made of the body is
/// gone, too, and so is the answer to it.
pub(crate) struct BigBody {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// The room that it takes.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// Reads the body of a batch. What is over [`BODY_BYTES_MAX`] takes `room`, in permits of that many bytes each.
pub(crate) async fn read_big(
    headers: &HeaderMap,
    body: Body,
    room: &Arc<Semaphore>,
) -> Result<BigBody, Problem> {
    check_content_type(headers)?;
    let claimed = check_length(headers, BATCH_BYTES_MAX)?;
    let mut big = BigBody { bytes: Vec::new(), room: None };
    big.make_room(claimed, room)?;
    big.bytes.reserve_exact(claimed);
    match timeout(BATCH_TIME_MAX, big.fill(body, room)).await {
        Ok(filled) => filled.map(|()| big),
        Err(_) => Err(too_slow(BATCH_TIME_MAX)),
    }
}

impl BigBody {
    async fn fill(&mut self, mut body: Body, room: &Arc<Semaphore>) -> Result<(), Problem> {
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| broken_off())?.into_data() else {
                // Trailers say nothing that is asked for.
                continue;
            };
            let length = self.bytes.len() + data.len();
            if length > BATCH_BYTES_MAX {
                return Err(too_large(BATCH_BYTES_MAX));
            }
            self.make_room(length, room)?;
            self.bytes.extend_from_slice(&data);
        }
        Ok(())
    }

    /// Takes the room that a body of this length needs, or refuses at once: whoever waits would hold what is read.
    fn make_room(&mut self, length: usize, room: &Arc<Semaphore>) -> Result<(), Problem> {
        let needed = length.saturating_sub(1) / BODY_BYTES_MAX;
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(missing) = needed.checked_sub(held).filter(|&missing| missing > 0) else {
            return Ok(());
        };
        let more = Arc::clone(room).try_acquire_many_owned(missing as u32);
        let more = more.map_err(|_| reply::overloaded())?;
        match &mut self.room {
            Some(room) => room.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

/// Parses a body.
pub(crate) fn parse<T: JsonBody>(bytes: &[u8]) -> Result<T, Problem> {
    match serde_json::from_slice::<T>(bytes) {
        Ok(parsed) if parsed.shape() == shape(bytes) => Ok(parsed),
        Ok(parsed) => Err(misshapen(&parsed, bytes)),
        Err(error) => Err(misread::<T>(bytes, &error)),
    }
}

/// JSON by its content type, and not compressed.
fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    check_content_encoding(headers)?;
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let (first, second) = (given.next(), given.next());
    match first.and_then(|value| value.to_str().ok()) {
        Some(media_type) if second.is_none() && is_json(media_type) => Ok(()),
        _ => Err(problem::UNSUPPORTED_MEDIA_TYPE
            .problem("The body must have one Content-Type: application/json, in UTF-8.")),
    }
}

/// `application/json`, with no parameter but `charset=utf-8`; case and blanks do not matter (RFC 9110, 8.3.1).
pub(super) fn is_json(media_type: &str) -> bool {
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

/// Refuses a compressed body: what it would grow to is known only when it has grown.
fn check_content_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    match headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        true => Ok(()),
        false => Err(problem::UNSUPPORTED_MEDIA_TYPE
            .problem("The body must come as it is, without a Content-Encoding.")
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))),
    }
}

/// Refuses a body that says itself that it is too long, before any of it is read. Answers the length that it claims.
fn check_length(headers: &HeaderMap, bytes_max: usize) -> Result<usize, Problem> {
    let claimed = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match claimed.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > bytes_max as u64 => Err(too_large(bytes_max)),
        claimed => Ok(claimed.unwrap_or_default() as usize),
    }
}

async fn bytes(body: Body) -> Result<Bytes, Problem> {
    let whole = Limited::new(body, BODY_BYTES_MAX).collect();
    match timeout(BODY_TIME_MAX, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(BODY_BYTES_MAX)),
        Ok(Err(_)) => Err(broken_off()),
        Err(_) => Err(too_slow(BODY_TIME_MAX)),
    }
}

fn too_large(bytes_max: usize) -> Problem {
    problem::BODY_TOO_LARGE.problem(format!("This call's body has at most {bytes_max} bytes."))
}

fn too_slow(time_max: Duration) -> Problem {
    invalid("body", format!("The body did not arrive within {} seconds.", time_max.as_secs()))
}

fn broken_off() -> Problem {
    invalid("body", "The body broke off, or its chunks cannot be read.")
}

/// Counts the brackets, braces and nulls outside of text. The JSON is known to be well-formed.
pub(crate) fn shape(json: &[u8]) -> Shape {
    let mut shape = Shape::default();
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_text(&mut bytes),
            b'[' => shape.arrays += 1,
            b'{' => shape.objects += 1,
            // Of all that may stand outside of text, only this word begins with an n.
            b'n' => shape.nulls += 1,
            _ => {}
        }
    }
    shape
}

/// Goes on behind the quote that ends a text.
fn skip_text(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            // Whatever is escaped does not end the text.
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

/// What is wrong with a body that serde takes and the contract does not.
fn misshapen<T: JsonBody>(parsed: &T, bytes: &[u8]) -> Problem {
    let (expected, found) = (parsed.shape(), shape(bytes));
    if (expected.arrays, expected.objects) != (found.arrays, found.objects) {
        return invalid("body", "An object was given as an array, or text as an object.");
    }
    let value = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let path = null_in(&value, T::NULLABLE).unwrap_or_else(|| "body".to_owned());
    invalid(path, "Is null; leave a field out where it does not apply.")
}

/// The path to the first null that does not stand for something.
fn null_in(value: &Value, nullable: &[&str]) -> Option<String> {
    match value {
        Value::Object(fields) => {
            let mut fields = fields.iter().filter(|(name, _)| !nullable.contains(&name.as_str()));
            fields.find_map(|(name, value)| null_below(name.clone(), value))
        }
        _ => None,
    }
}

fn null_below(path: String, value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(path),
        Value::Array(values) => {
            let mut values = values.iter().enumerate();
            values.find_map(|(place, value)| null_below(format!("{path}[{place}]"), value))
        }
        Value::Object(fields) => {
            fields.iter().find_map(|(name, value)| null_below(format!("{path}.{name}"), value))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// What is wrong with a body that did not parse, and where.
pub(crate) fn misread<'a, T: Deserialize<'a>>(bytes: &'a [u8], error: &serde_json::Error) -> Problem {
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
fn path_to_mistake<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> String {
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
