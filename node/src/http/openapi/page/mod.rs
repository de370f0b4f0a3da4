//! The page for people: the document as plain HTML, with a style of its own and nothing else.
//!
//! ```text
//!   head        what there is to know of all calls
//!   contents    a list of links
//!   calls       by group: what it does, parameters, body, a line to paste, answers, refusals
//!   refusals    every code: what it means, what to do, what it looks like
//!   bodies      every schema as a table
//! ```
//!
//! It reads well on a phone, in the dark, on paper and without its style.

mod fields;
mod text;

use client::code;
use serde_json::Value;

use self::fields::{fields, kind_of};
use self::text::{anchor, escape, prose, rich};
use super::call::{Answer, Body, Call, Content};
use super::calls::Group;
use super::examples::Example;
use super::parameters::Parameter;
use super::problems;

const STYLE: &str = include_str!("style.css");

/// The page.
pub(super) fn render(groups: &[Group], document: &Value) -> String {
    let schemas = &document["components"]["schemas"];
    let about = document["info"]["description"].as_str().unwrap_or_default();
    let version = document["info"]["version"].as_str().unwrap_or_default();
    let calls: String = groups.iter().map(|group| section(group, schemas)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>lastunit: the HTTP interface</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header id=\"top\"><h1>lastunit <small>{version}</small></h1>\n\
         <p class=\"lead\">{summary}</p>\n{about}\n{paste}</header>\n\
         {contents}\n{calls}\n{refusals}\n{bodies}\n</main>\n</body>\n</html>\n",
        contents = contents(groups),
        version = escape(version),
        summary = rich(document["info"]["summary"].as_str().unwrap_or_default()),
        about = prose(about),
        paste = PASTE,
        refusals = refusals(),
        bodies = bodies(schemas),
    )
}

const PASTE: &str = "<p>The lines to paste want the address of a node, any of them, and the document for programs is \
                     at <a href=\"/openapi.json\">/openapi.json</a>:</p>\n\
                     <pre>NODE=http://127.0.0.1:8101</pre>\n";

fn contents(groups: &[Group]) -> String {
    let link = |call: &Call| {
        format!(
            "<li><a href=\"#{}\">{} <code>{}</code></a></li>\n",
            call.id,
            badge(call.method),
            escape(short(call.path))
        )
    };
    let group = |group: &Group| {
        let links: String = group.calls.iter().map(link).collect();
        format!("<b>{}</b>\n<ul>\n{links}</ul>\n", escape(group.name))
    };
    let groups: String = groups.iter().map(group).collect();
    format!(
        "<nav aria-label=\"Contents\">\n<a class=\"home\" href=\"#top\">lastunit</a>\n\
         {groups}<ul class=\"more\">\n<li><a href=\"#refusals\">Refusals</a></li>\n\
         <li><a href=\"#bodies\">Bodies</a></li>\n</ul>\n</nav>"
    )
}

/// A path as the narrow list of contents shows it.
fn short(path: &str) -> &str {
    path.strip_prefix("/api").unwrap_or(path)
}

fn badge(method: &str) -> String {
    format!("<span class=\"method {}\">{method}</span>", method.to_lowercase())
}

fn section(group: &Group, schemas: &Value) -> String {
    let calls: String = group.calls.iter().map(|call| article(call, schemas)).collect();
    let (id, name) = (anchor(group.name), escape(group.name));
    format!("<section id=\"{id}\">\n<h2>{name}</h2>\n<p>{}</p>\n{calls}</section>\n", rich(group.about))
}

fn article(call: &Call, schemas: &Value) -> String {
    let Call { id, method, path, title, about, .. } = call;
    let body = call.request.as_ref().map(|body| request(body, schemas)).unwrap_or_default();
    let answers: String = call.answers.iter().map(answer).collect();
    format!(
        "<article id=\"{id}\">\n<h3><a href=\"#{id}\">{title}</a></h3>\n\
         <p class=\"path\">{} <code>{}</code></p>\n{}\n{}{body}<h4>Try</h4>\n<pre>{}</pre>\n\
         <h4>Answers</h4>\n{answers}{}</article>\n",
        badge(method),
        escape(path),
        prose(about),
        parameters(&call.parameters),
        escape(&curl(call)),
        codes(&call.codes),
    )
}

fn parameters(parameters: &[Parameter]) -> String {
    if parameters.is_empty() {
        return String::new();
    }
    let row = |parameter: &Parameter| {
        format!(
            "<tr><td><code>{}</code><br><small>{}</small></td><td>{}<br><small>{}</small></td></tr>\n",
            escape(parameter.name),
            parameter.place,
            rich(parameter.about),
            kind_of(&parameter.schema),
        )
    };
    let rows: String = parameters.iter().map(row).collect();
    format!("<h4>Parameters</h4>\n<table>\n{rows}</table>\n")
}

fn request(body: &Body, schemas: &Value) -> String {
    let examples: String = body.examples.iter().map(example).collect();
    format!("<h4>Body</h4>\n{}{examples}", fields(&schemas[body.schema]))
}

fn answer(answer: &Answer) -> String {
    let headers: Vec<String> = answer.headers.iter().map(|name| format!("<code>{name}</code>")).collect();
    let headers = match headers.is_empty() {
        true => String::new(),
        false => format!(" <small>with {}</small>", headers.join(", ")),
    };
    let contents: String = answer.content.iter().map(content).collect();
    format!("<p><b class=\"ok\">{}</b> {}{headers}</p>\n{contents}", answer.status, rich(answer.about))
}

fn content(content: &Content) -> String {
    let kind = kind_of(&content.schema);
    let examples: String = content.examples.iter().map(example).collect();
    format!("<p class=\"kind\"><small><code>{}</code>: {kind}</small></p>\n{examples}", content.media_type)
}

fn example(example: &Example) -> String {
    let text = match &example.value {
        Value::String(text) => text.clone(),
        value => pretty(value),
    };
    format!("<details><summary>{}</summary>\n<pre>{}</pre></details>\n", rich(example.summary), escape(&text))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn codes(codes: &[&'static str]) -> String {
    let row = |(status, codes): (u16, Vec<&'static str>)| {
        let links: Vec<String> =
            codes.iter().map(|code| format!("<a href=\"#code-{code}\"><code>{code}</code></a>")).collect();
        format!("<tr><td><b class=\"no\">{status}</b></td><td>{}</td></tr>\n", links.join(" "))
    };
    let rows: String = problems::by_status(codes).into_iter().map(row).collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!("<h4>Refusals</h4>\n<table class=\"statuses\">\n{rows}</table>\n"),
    }
}

fn refusals() -> String {
    let rows: String = code::ALL.iter().map(|code| refusal(code)).collect();
    format!(
        "<section id=\"refusals\">\n<h2>Refusals</h2>\n<p>Every one is a problem document, \
         <code>application/problem+json</code>, and each code stands for ever.</p>\n{rows}</section>\n"
    )
}

fn refusal(code: &str) -> String {
    let about = problems::about(code);
    let Some(kind) = problems::kind(code) else {
        return String::new();
    };
    let retryable = if kind.retryable { "retryable" } else { "not retryable" };
    let retry_after = match about.retry_after {
        Some(seconds) => format!(", <code>Retry-After: {seconds}</code>"),
        None => String::new(),
    };
    format!(
        "<article id=\"code-{code}\" class=\"code\">\n<h3><a href=\"#code-{code}\"><code>{code}</code></a> \
         <b class=\"no\">{}</b> <small>{retryable}{retry_after}</small></h3>\n<p>{}</p>\n\
         <details><summary>Example</summary>\n<pre>{}</pre></details>\n</article>\n",
        kind.status.as_u16(),
        rich(about.meaning),
        escape(&pretty(&problems::example(code))),
    )
}

fn bodies(schemas: &Value) -> String {
    let body = |(name, schema): (&String, &Value)| {
        format!(
            "<article id=\"schema-{name}\">\n<h3><a href=\"#schema-{name}\">{name}</a></h3>\n{}{}</article>\n",
            prose(schema["description"].as_str().unwrap_or_default()),
            fields(schema),
        )
    };
    let bodies: String = schemas.as_object().into_iter().flatten().map(body).collect();
    format!("<section id=\"bodies\">\n<h2>Bodies</h2>\n{bodies}</section>\n")
}

/// A line that a terminal takes.
fn curl(call: &Call) -> String {
    let mut line = match call.method {
        "GET" => "curl -i".to_owned(),
        "POST" if call.request.is_some() => "curl -i".to_owned(),
        method => format!("curl -i -X {method}"),
    };
    line.push_str(&format!(" \"$NODE{}\"", address(call)));
    let own = call.parameters.iter().filter(|parameter| parameter.name == "Idempotency-Key");
    for parameter in own {
        line.push_str(&format!(" \\\n  -H '{}: {}'", parameter.name, plain(&parameter.example)));
    }
    if let Some(example) = call.request.as_ref().and_then(|body| body.examples.first()) {
        line.push_str(&format!(" \\\n  -H 'Content-Type: application/json' \\\n  -d '{}'", example.value));
    }
    line
}

fn address(call: &Call) -> String {
    let parameters = call.parameters.iter().filter(|parameter| parameter.place == "path");
    parameters.fold(call.path.to_owned(), |path, parameter| {
        path.replace(&format!("{{{}}}", parameter.name), &plain(&parameter.example))
    })
}

/// A value as an address or a header has it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
