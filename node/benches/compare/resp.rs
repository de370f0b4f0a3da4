//! The Redis protocol, RESP2, as far as the comparison speaks it: commands to bytes, and bytes to replies.
//!
//! ```text
//!   *2\r\n $3\r\nGET\r\n $1\r\nk\r\n      a command: an array of bulk strings
//!   +OK\r\n   -ERR ...\r\n   :42\r\n      a status, an error, an integer
//!   $5\r\nhello\r\n   $-1\r\n             a bulk string, and none
//!   *2\r\n:1\r\n:2\r\n                    an array of replies
//! ```
//!
//! A reply arrives in any number of pieces. [`length`] says whether it is whole, and [`parse`] reads a whole one
//! without copying. Nothing here waits or knows of sockets.

use std::io::Write as _;
use std::str;

/// How deep arrays may lie in each other: deeper than any reply that is asked for here.
pub(crate) const DEPTH_MAX: usize = 8;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// A word such as `OK`.
    Status(&'a str),
    /// What the server refuses, and why.
    Error(&'a str),
    /// A whole number.
    Integer(i64),
    /// Bytes.
    Bulk(&'a [u8]),
    /// Nothing, such as the value of a key that does not exist.
    Nil,
    /// Several of them.
    Array(Vec<Reply<'a>>),
}

/// What was read is not RESP2: what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) &'static str);

/// Appends a command.
pub(crate) fn push(out: &mut Vec<u8>, words: &[&[u8]]) {
    head(out, b'*', words.len());
    for word in words {
        head(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// The length of the reply that the input begins with, in bytes; `None` while it is not whole.
///
/// # Errors
///
/// [`Broken`] where no more input would make a reply of it.
pub(crate) fn length(input: &[u8]) -> Result<Option<usize>, Broken> {
    Ok(reply(input, 0)?.map(|(_, rest)| input.len() - rest.len()))
}

/// The reply that the input begins with.
///
/// # Errors
///
/// [`Broken`] where it is none, or not whole.
pub(crate) fn parse(input: &[u8]) -> Result<Reply<'_>, Broken> {
    reply(input, 0)?.map(|(reply, _)| reply).ok_or(Broken("a reply that ends early"))
}

/// Something read, and what follows it; `None` where the input ends within it.
type Read<'a, T> = Result<Option<(T, &'a [u8])>, Broken>;

fn head(out: &mut Vec<u8>, kind: u8, count: usize) {
    out.push(kind);
    let written = write!(out, "{count}\r\n");
    debug_assert!(written.is_ok(), "a vector takes all");
}

fn reply(input: &[u8], depth: usize) -> Read<'_, Reply<'_>> {
    if depth > DEPTH_MAX {
        return Err(Broken("arrays too deep in each other"));
    }
    let Some((line, rest)) = line(input)? else {
        return Ok(None);
    };
    let (&kind, told) = line.split_first().ok_or(Broken("a reply without a kind"))?;
    let text = || str::from_utf8(told).map_err(|_| Broken("a line that is not UTF-8"));
    match kind {
        b'+' => Ok(Some((Reply::Status(text()?), rest))),
        b'-' => Ok(Some((Reply::Error(text()?), rest))),
        b':' => Ok(Some((Reply::Integer(number(told)?), rest))),
        b'$' => bulk(number(told)?, rest),
        b'*' => array(number(told)?, rest, depth),
        _ => Err(Broken("a reply of a kind that there is not")),
    }
}

/// A line without its end.
fn line(input: &[u8]) -> Read<'_, &[u8]> {
    let Some(end) = input.iter().position(|&byte| byte == b'\r') else {
        return Ok(None);
    };
    match input.get(end + 1) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((&input[..end], &input[end + 2..]))),
        Some(_) => Err(Broken("a line with a lone carriage return")),
    }
}

fn number(text: &[u8]) -> Result<i64, Broken> {
    let text = str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok()).ok_or(Broken("a number that is none"))
}

fn bulk(length: i64, rest: &[u8]) -> Read<'_, Reply<'_>> {
    if length == -1 {
        return Ok(Some((Reply::Nil, rest)));
    }
    let length = usize::try_from(length).map_err(|_| Broken("a length below nothing"))?;
    match rest.split_at_checked(length) {
        Some((bytes, [b'\r', b'\n', rest @ ..])) => Ok(Some((Reply::Bulk(bytes), rest))),
        Some((_, [] | [b'\r'])) | None => Ok(None),
        Some(_) => Err(Broken("a bulk string without its end")),
    }
}

fn array(count: i64, mut rest: &[u8], depth: usize) -> Read<'_, Reply<'_>> {
    if count == -1 {
        return Ok(Some((Reply::Nil, rest)));
    }
    let count = usize::try_from(count).map_err(|_| Broken("a length below nothing"))?;
    let mut replies = Vec::new();
    for _ in 0..count {
        let Some((one, after)) = reply(rest, depth + 1)? else {
            return Ok(None);
        };
        replies.push(one);
        rest = after;
    }
    Ok(Some((Reply::Array(replies), rest)))
}
