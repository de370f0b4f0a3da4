//! A call as text: who asked what of whom, and what came.

use std::fmt::Write;

use super::markup::Markup;
use super::words::{Moment, Span};
use crate::history::{Call, Came, Condition, Outcome, Try};

/// How many characters of a body are shown.
const BODY_MAX: usize = 400;

/// How many tries of a call.
const TRIES_MAX: usize = 6;

/// Writes a call as an item of a list.
pub(super) fn write(page: &mut Markup, call: &Call) {
    page.within("li", &[], |page| {
        let took = Span(call.ended_us.saturating_sub(call.started_us));
        let when = Moment(call.started_us);
        page.text(format_args!("call {} of client {}, at {when} for {took}: ", call.id, call.client));
        page.words("code", &[], asked(call));
        page.text(" \u{2192} ");
        page.words("code", &[], came(call));
        page.words("span", &[("class", &"quiet")], format_args!(" ({})", tries(&call.tries)));
    });
}

fn asked(call: &Call) -> String {
    let mut text = call.op.to_string();
    let target = call.target.as_deref().map(|target| format!(" {target}"));
    let query = (!call.query.is_empty()).then(|| format!(" {:?}", call.query));
    let body = Some(cut(call.request.text())).filter(|body| body != "null").map(|body| format!(" {body}"));
    let condition = call.condition.map(|condition| match condition {
        Condition::Version(version) => format!(", if it has version {version}"),
        Condition::Absent => ", if there is none".to_owned(),
        Condition::Present => ", if there is one".to_owned(),
    });
    let key = call.key.as_deref().map(|key| format!(", key {key}"));
    let stale = call.stale.then(|| ", stale".to_owned());
    text.extend([target, query, body, condition, key, stale].into_iter().flatten());
    text
}

fn came(call: &Call) -> String {
    let answer = match &call.outcome {
        Outcome::NotExecuted { why } => return format!("not executed: {why}"),
        Outcome::Unknown { why } => return format!("unknown: {why}"),
        Outcome::Answer(answer) => answer,
    };
    let sequence = answer.sequence.map(|sequence| format!(", sequence {sequence}")).unwrap_or_default();
    let index = answer.applied_index.map(|index| format!(", applied index {index}")).unwrap_or_default();
    let replayed = if answer.replayed { ", replayed" } else { "" };
    format!("{}{sequence}{index}{replayed} {}", answer.status, cut(answer.body.text()))
}

fn tries(tries: &[Try]) -> String {
    let mut text = String::new();
    for (place, attempt) in tries.iter().take(TRIES_MAX).enumerate() {
        let before = if place == 0 { "" } else { "; " };
        let _ = match &attempt.came {
            Came::Answer { status, code: Some(code) } => {
                write!(text, "{before}node {}: {status} {code}", attempt.node)
            }
            Came::Answer { status, code: None } => write!(text, "{before}node {}: {status}", attempt.node),
            Came::NotSent(why) => write!(text, "{before}node {}: not sent, {why}", attempt.node),
            Came::Lost(why) => write!(text, "{before}node {}: no answer, {why}", attempt.node),
        };
    }
    if let Some(more @ 1..) = tries.len().checked_sub(TRIES_MAX) {
        let _ = write!(text, "; and {more} more tries");
    }
    if text.is_empty() { "no try".to_owned() } else { text }
}

fn cut(body: &str) -> String {
    match body.char_indices().nth(BODY_MAX) {
        Some((end, _)) => format!("{} ...", &body[..end]),
        None => body.to_owned(),
    }
}
