//! Spans as OTLP writes them in JSON (opentelemetry-proto, `trace/v1`; ids in hexadecimal, as its JSON mapping wants).

use serde_json::{Value, json};

use super::context::Context;

/// OTLP's numbers for kinds and states.
const KIND_INTERNAL: u32 = 1;
const KIND_SERVER: u32 = 2;
const STATUS_ERROR: u32 = 2;

/// A step of a call, from when to when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) context: Context,
    pub(super) parent: Option<u64>,
    pub(super) kind: Kind,
    /// Nanoseconds since 1970.
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
}

/// Which step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// The call as a whole.
    Call { method: &'static str, route: &'static str, status: u16 },
    /// Its command on the way through the group: queue, log, replication, apply.
    Submit,
}

impl Span {
    fn json(&self) -> Value {
        let mut span = json!({
            "traceId": self.context.trace_id_text(),
            "spanId": self.context.span_id_text(),
            "flags": u32::from(self.context.sampled),
            "startTimeUnixNano": self.start_ns.to_string(),
            "endTimeUnixNano": self.end_ns.to_string(),
        });
        if let Some(parent) = self.parent {
            span["parentSpanId"] = format!("{parent:016x}").into();
        }
        match self.kind {
            Kind::Call { method, route, status } => {
                span["name"] = format!("{method} {route}").into();
                span["kind"] = KIND_SERVER.into();
                span["attributes"] = json!([
                    text("http.request.method", method),
                    text("http.route", route),
                    json!({ "key": "http.response.status_code", "value": { "intValue": status.to_string() } }),
                ]);
                if status >= 500 {
                    span["status"] = json!({ "code": STATUS_ERROR });
                }
            }
            Kind::Submit => {
                span["name"] = "submit".into();
                span["kind"] = KIND_INTERNAL.into();
            }
        }
        span
    }
}

/// Who tells the spans.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    pub(super) cluster: String,
    pub(super) node_id: u64,
}

impl Resource {
    /// The body that carries these spans.
    pub(super) fn body(&self, spans: &[Span]) -> Vec<u8> {
        let attributes = json!([
            text("service.name", "lastunit"),
            text("service.namespace", &self.cluster),
            text("service.instance.id", &self.node_id.to_string()),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ]);
        let spans: Vec<_> = spans.iter().map(Span::json).collect();
        let of_scope = json!({ "scope": { "name": "lastunit" }, "spans": spans });
        let of_resource = json!({ "resource": { "attributes": attributes }, "scopeSpans": [of_scope] });
        json!({ "resourceSpans": [of_resource] }).to_string().into_bytes()
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_as_otlp_wants_it() {
        let context = Context { trace_id: 0xab, span_id: 0xcd, sampled: true };
        let kind = Kind::Call { method: "POST", route: "/api/batch", status: 503 };
        let span = Span { context, parent: Some(1), kind, start_ns: 1_700_000_000_000_000_001, end_ns: 2 };
        let resource = Resource { cluster: "shop".to_owned(), node_id: 3 };
        let body: Value = serde_json::from_slice(&resource.body(&[span])).unwrap();
        let told = &body["resourceSpans"][0];
        assert_eq!(told["resource"]["attributes"][2], text("service.instance.id", "3"));
        let expected = json!({
            "traceId": "000000000000000000000000000000ab",
            "spanId": "00000000000000cd",
            "parentSpanId": "0000000000000001",
            "flags": 1,
            "name": "POST /api/batch",
            "kind": 2,
            "startTimeUnixNano": "1700000000000000001",
            "endTimeUnixNano": "2",
            "attributes": [
                text("http.request.method", "POST"),
                text("http.route", "/api/batch"),
                { "key": "http.response.status_code", "value": { "intValue": "503" } },
            ],
            "status": { "code": 2 },
        });
        assert_eq!(told["scopeSpans"][0]["spans"], json!([expected]));
    }
}
