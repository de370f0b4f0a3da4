//! The parameters in a request's address: known by name, given once, in UTF-8.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use axum::http::Uri;
use percent_encoding::percent_decode_str;

use super::cursor::{self, Key};
use super::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use super::problem::{Problem, invalid};
use super::store::Consistency;

/// The parameters of one request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// The parameters of an address, which takes those of these names.
    pub(crate) fn of(uri: &'a Uri, known: &[&str]) -> Result<Query<'a>, Problem> {
        let mut pairs: Vec<(Cow<str>, Cow<str>)> = Vec::new();
        for part in uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decoded(name).ok_or_else(|| invalid("query", NOT_UTF_8))?;
            if !known.contains(&&*name) {
                return Err(invalid(name, "Is not a parameter of this call."));
            }
            if pairs.iter().any(|(earlier, _)| *earlier == name) {
                return Err(invalid(name, "Must be given once."));
            }
            let value = decoded(value).ok_or_else(|| invalid(name.clone(), NOT_UTF_8))?;
            pairs.push((name, value));
        }
        Ok(Query(pairs))
    }

    /// A parameter's value, where it is given.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| &**value)
    }

    /// A parameter that is a whole number in this range.
    pub(crate) fn number(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        // Signs are no digits, though Rust's own parser takes a plus.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && range.contains(&number) => Ok(Some(number)),
            _ => {
                let (least, most) = range.into_inner();
                Err(invalid(name, format!("Must be a whole number, {least} to {most}.")))
            }
        }
    }

    /// How many rows a page of a list may have: `limit`.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.number("limit", 1..=PAGE_ROWS_MAX)?.unwrap_or(PAGE_ROWS_DEFAULT);
        Ok(limit as usize)
    }

    /// After what a page of a list begins: `cursor`.
    pub(crate) fn cursor<K: Key>(&self) -> Result<Option<K>, Problem> {
        let Some(text) = self.get("cursor") else {
            return Ok(None);
        };
        match cursor::decode(text) {
            Some(key) => Ok(Some(key)),
            None => Err(invalid("cursor", "Must be the next_cursor of an earlier page of this list.")),
        }
    }

    /// How fresh the answer is to be: `consistency`.
    pub(crate) fn consistency(&self) -> Result<Consistency, Problem> {
        match self.get("consistency") {
            None => Ok(Consistency::Linearizable),
            Some("stale") => Ok(Consistency::Stale),
            Some(_) => Err(invalid("consistency", "Must be stale, or left out for a linearizable read.")),
        }
    }
}

const NOT_UTF_8: &str = "Is not UTF-8 once its percent signs are decoded.";

/// A name or a value as forms write them (a plus is a blank), or `None` where it is not UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8().ok();
    }
    let blanks = text.replace('+', " ");
    percent_decode_str(&blanks).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()))
}

#[cfg(test)]
mod tests;
