//! `ETag`, `If-Match` and `If-None-Match` (RFC 9110, sections 8.8.3, 13.1.1 and 13.1.2).
//!
//! A SKU's tag is its version in quotes. A change carries what it demands to the state machine, which looks at the
//! record as it is in that very command; a read is compared with what was read. A tag that no record can have is
//! no mistake: it matches nothing.

use std::num::NonZeroU64;

use axum::http::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use storage::inventory::command::Precondition;
use storage::inventory::ids::VERSIONS_MAX;

use super::problem::{Problem, invalid};

/// The tag of a record of that version.
pub(crate) fn etag(version: u64) -> HeaderValue {
    // Digits in quotes are a header's value, always.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// What a put demands: `If-Match`, or `If-None-Match: *`.
pub(crate) fn of_put(headers: &HeaderMap) -> Result<Precondition, Problem> {
    match (Tags::of(headers, &IF_MATCH)?, Tags::of(headers, &IF_NONE_MATCH)?) {
        (None, None) => Ok(Precondition::None),
        (Some(tags), None) => demand(tags),
        (None, Some(Tags::Any)) => Ok(Precondition::Absent),
        (None, Some(Tags::Listed(_))) => Err(refuse(&IF_NONE_MATCH, "Must be * on a PUT, or left out.")),
        (Some(_), Some(_)) => Err(refuse(&IF_NONE_MATCH, "Cannot be given together with If-Match.")),
    }
}

/// What an adjust or a delete demands: `If-Match`.
pub(crate) fn of_change(headers: &HeaderMap) -> Result<Precondition, Problem> {
    if headers.contains_key(IF_NONE_MATCH) {
        return Err(refuse(&IF_NONE_MATCH, "This call takes If-Match alone."));
    }
    Tags::of(headers, &IF_MATCH)?.map_or(Ok(Precondition::None), demand)
}

fn demand(tags: Tags) -> Result<Precondition, Problem> {
    let listed = match tags {
        Tags::Any => return Ok(Precondition::Exists),
        Tags::Listed(listed) => listed,
    };
    // Compared strongly, so that a weak tag matches nothing.
    let strong = listed.into_iter().filter(|tag| !tag.weak).filter_map(|tag| tag.version);
    let mut versions: Vec<u64> = strong.map(NonZeroU64::get).collect();
    versions.sort_unstable();
    versions.dedup();
    match versions.len() <= VERSIONS_MAX {
        true => Ok(Precondition::Versions(versions)),
        false => Err(refuse(&IF_MATCH, format!("Must have at most {VERSIONS_MAX} tags."))),
    }
}

/// What a read demands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ReadConditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

/// What becomes of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is answered.
    Answer,
    /// The client has it already.
    NotModified,
    /// It is not what the client wants to read.
    Failed,
}

impl ReadConditions {
    /// What the headers of a read demand.
    pub(crate) fn of(headers: &HeaderMap) -> Result<ReadConditions, Problem> {
        let if_match = Tags::of(headers, &IF_MATCH)?;
        let if_none_match = Tags::of(headers, &IF_NONE_MATCH)?;
        Ok(ReadConditions { if_match, if_none_match })
    }

    /// What becomes of a read that found this version; in the order of RFC 9110, section 13.2.2.
    pub(crate) fn verdict(&self, version: u64) -> Verdict {
        if self.if_match.as_ref().is_some_and(|tags| !tags.match_strongly(version)) {
            return Verdict::Failed;
        }
        match self.if_none_match.as_ref().is_some_and(|tags| tags.match_weakly(version)) {
            true => Verdict::NotModified,
            false => Verdict::Answer,
        }
    }
}

/// The value of one of the two headers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    /// `*`.
    Any,
    /// `"7", W/"9"`.
    Listed(Vec<Tag>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// `None`: no record has such a tag.
    version: Option<NonZeroU64>,
}

impl Tags {
    /// The value of that header, all its lines taken together.
    fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
        let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let parsed = Tags::parse(&lines.join(&b','));
        parsed.map(Some).ok_or_else(|| refuse(name, "Must be * or a list of tags such as \"7\", \"9\"."))
    }

    fn parse(value: &[u8]) -> Option<Tags> {
        if value.trim_ascii() == b"*" {
            return Some(Tags::Any);
        }
        let (mut listed, mut rest) = (Vec::new(), value);
        loop {
            rest = rest.trim_ascii_start();
            match rest.split_first() {
                None => break,
                // An empty element of a list counts for nothing (RFC 9110, section 5.6.1).
                Some((b',', more)) => rest = more,
                Some(_) => {
                    let (tag, more) = Tag::parse(rest)?;
                    listed.push(tag);
                    rest = after_comma(more)?;
                }
            }
        }
        (!listed.is_empty()).then_some(Tags::Listed(listed))
    }

    fn match_strongly(&self, version: u64) -> bool {
        self.matches(version, |tag| !tag.weak)
    }

    fn match_weakly(&self, version: u64) -> bool {
        self.matches(version, |_| true)
    }

    fn matches(&self, version: u64, counts: impl Fn(&Tag) -> bool) -> bool {
        match self {
            Tags::Any => true,
            Tags::Listed(listed) => {
                listed.iter().any(|tag| counts(tag) && tag.version.map(NonZeroU64::get) == Some(version))
            }
        }
    }
}

impl Tag {
    /// The tag that the text begins with, and what follows it.
    fn parse(text: &[u8]) -> Option<(Tag, &[u8])> {
        let (weak, text) = match text.strip_prefix(b"W/") {
            Some(text) => (true, text),
            None => (false, text),
        };
        let text = text.strip_prefix(b"\"")?;
        let end = text.iter().position(|&byte| byte == b'"')?;
        let opaque = &text[..end];
        // RFC 9110, section 8.8.3: any visible character but the quote, and what is not ASCII.
        let legal = opaque.iter().all(|&byte| byte > b' ' && byte != 0x7f);
        legal.then(|| (Tag { weak, version: version(opaque) }, &text[end + 1..]))
    }
}

/// The version that a tag stands for: as [`etag`] writes it, and no other way.
fn version(opaque: &[u8]) -> Option<NonZeroU64> {
    let plain = opaque.iter().all(u8::is_ascii_digit) && opaque.first() != Some(&b'0');
    plain.then(|| std::str::from_utf8(opaque).ok()?.parse().ok()).flatten()
}

/// What follows the comma after an element, or the end.
fn after_comma(text: &[u8]) -> Option<&[u8]> {
    match text.trim_ascii_start().split_first() {
        None => Some(&[]),
        Some((b',', more)) => Some(more),
        Some(_) => None,
    }
}

fn refuse(name: &HeaderName, detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    let field = if name == IF_MATCH { "If-Match" } else { "If-None-Match" };
    invalid(field, detail)
}

#[cfg(test)]
mod tests;
