//! The cluster's view, its audit, health, metrics, and this document.

use client::code;
use serde_json::json;

use super::read;
use crate::http::openapi::call::{Answer, Call, Content};
use crate::http::openapi::examples::{self, example};

/// Its calls.
pub(super) fn calls() -> Vec<Call> {
    let operators = vec![cluster(), audit(), backup(), readyz(), livez(), metrics(), openapi(), docs()];
    operators.into_iter().chain(super::members::calls()).collect()
}

fn get(path: &'static str, id: &'static str, about: &'static str, content: Content) -> Call {
    let headers: &[&str] = if path.starts_with("/api/") { &["Cache-Control"] } else { &[] };
    Call {
        method: "GET",
        path,
        id,
        title: "",
        about: "",
        parameters: Vec::new(),
        request: None,
        answers: vec![Answer { status: 200, about, headers, content: vec![content], links: &[] }],
        codes: Vec::new(),
    }
}

fn cluster() -> Call {
    let content = Content::json("ClusterView", vec![example("cluster", "All is well.", examples::cluster())]);
    Call {
        title: "The cluster as this node sees it",
        about: "Members, leader, and how far this node is. Nodes at one `applied_index` have one `state_digest`.",
        codes: vec![code::INVALID_REQUEST, code::OVERLOADED],
        ..get("/api/cluster", "getCluster", "The cluster.", content)
    }
}

fn audit() -> Call {
    let examples = vec![
        example("sound", "All is well.", examples::audit()),
        example(
            "broken",
            "A figure of one node is not what its records add up to; another one is down.",
            examples::audit_with_findings(),
        ),
    ];
    Call {
        title: "Audit all nodes",
        about: "Compares all nodes' digests at one log entry that reflects every command answered before, and recomputes \
                on each node every sum and the digest from its records, while it serves. A node that cannot be \
                reached, or does not answer in time, has an `error`. It may take a minute; a node asks for one audit \
                at a time, and answers `overloaded` to the next.",
        codes: read(&[]),
        ..get("/api/audit", "audit", "What was found.", Content::json("AuditView", examples))
    }
}

fn backup() -> Call {
    let schema = json!({ "type": "string", "contentMediaType": "application/octet-stream" });
    let content = Content { media_type: "application/octet-stream", schema, examples: Vec::new() };
    Call {
        title: "Take a backup",
        about: "The whole state at one log entry that reflects every command answered before, as one file; \
                `lastunit backup` writes and verifies it, `lastunit restore` makes a new cluster of it. The node goes \
                on meanwhile. It may take minutes until it begins; its length is told then, and what is shorter is no \
                backup. A node makes one at a time, and answers `overloaded` to the next.",
        codes: read(&[]),
        answers: vec![Answer {
            status: 200,
            about: "The backup.",
            headers: &["Lastunit-Applied-Index", "Lastunit-Sequence", "Cache-Control"],
            content: vec![content],
            links: &[],
        }],
        ..get("/api/cluster/backup", "backup", "", Content::text("application/octet-stream", Vec::new()))
    }
}

fn health(word: &'static str) -> Content {
    let schema = json!({
        "type": "object",
        "properties": { "status": { "type": "string", "const": word } },
        "required": ["status"],
    });
    let examples = vec![example(word, "It is.", json!({ "status": word }))];
    Content { media_type: "application/json", schema, examples }
}

fn readyz() -> Call {
    Call {
        title: "Whether this node serves",
        about: "200 only while this node knows a leader, has applied what was committed when it started, and a \
                linearizable read through it works.",
        codes: vec![code::NO_LEADER, code::NO_QUORUM],
        ..get("/readyz", "readyz", "It serves.", health("ready"))
    }
}

fn livez() -> Call {
    Call {
        title: "Whether this process answers",
        about: "Says nothing about the cluster.",
        ..get("/livez", "livez", "It does.", health("live"))
    }
}

fn metrics() -> Call {
    let text = "# HELP lastunit_raft_term Raft's current term.\n# TYPE lastunit_raft_term gauge\n\
                lastunit_raft_term 3\n";
    let content = Content::text("text/plain", vec![example("metrics", "A few of its lines.", text)]);
    Call {
        title: "Metrics",
        about: "Counters and gauges in the text format of Prometheus.",
        ..get("/metrics", "metrics", "The metrics.", content)
    }
}

fn openapi() -> Call {
    let schema = json!({ "type": "object", "required": ["openapi", "info", "paths"] });
    let short =
        json!({ "openapi": "3.1.0", "info": { "title": "lastunit", "version": "0.1.0" }, "paths": {} });
    let examples = vec![example("document", "Its beginning.", short)];
    Call {
        title: "This document",
        about: "OpenAPI 3.1, with this cluster's limits.",
        codes: vec![code::OVERLOADED],
        ..get(
            "/openapi.json",
            "openapi",
            "The document.",
            Content { media_type: "application/json", schema, examples },
        )
    }
}

fn docs() -> Call {
    let content = Content::text("text/html", vec![example("page", "Its beginning.", "<!doctype html>")]);
    Call {
        title: "This document, for people",
        about: "One page, without a script, that needs no other host.",
        codes: vec![code::OVERLOADED],
        answers: vec![Answer {
            status: 200,
            about: "The page.",
            headers: &["Content-Security-Policy"],
            content: vec![content],
            links: &[],
        }],
        ..get("/docs", "docs", "The page.", Content::text("text/html", Vec::new()))
    }
}
