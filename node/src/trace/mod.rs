//! Traces: the caller's trace context taken up, and spans told to a collector, where one is configured.
//!
//! ```text
//!   traceparent: 00-4bf9...-00f0...-01 --> context: a span of our own in the caller's trace
//!                                             |--> log line   trace_id, span_id       (lastunit::calls=debug)
//!                                             |--> answer     traceresponse: 00-4bf9...-<our span>-01
//!                                             '--> export     a span, where it is sampled, to --otlp
//! ```
//!
//! One that is malformed counts as none, as the W3C's recommendation asks (Trace Context, section 3.2.2). The context
//! is not passed on between nodes: a command shares its log entry, and its way to the leader, with those of others.
//!
//! Invariants:
//! - Without a `traceparent` and a collector a call costs two looks here, and nothing else.
//! - No call waits for the collector. What there is no room for is dropped, and counted.
//! - A span has no name of a cart, customer or SKU, no token and no body: a route, a status and times.
//!
//! What is absent: sampling by anything but the caller's flag and a ratio, and `tracestate`, which is for who forwards.

mod args;
mod context;
mod export;
mod span;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use self::args::TraceArgs;
pub(crate) use self::context::Context;

use self::export::Exporter;
use self::span::{Kind, Span};
use crate::clock::{Stopwatch, wall_ns};

/// What begins and ends traces. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tracer {
    exporter: Option<Exporter>,
    /// Of the calls that are in no trace yet, the part that begins one; 0 to 1.
    ratio: f64,
}

/// A call that is in a trace. A clone is the same one.
#[derive(Debug, Clone)]
pub(crate) struct Trace(Arc<Call>);

#[derive(Debug)]
struct Call {
    context: Context,
    /// The caller's span, where there is one.
    parent: Option<u64>,
    /// When it began: nanoseconds since 1970, and a watch that goes since.
    began_ns: u64,
    watch: Stopwatch,
    /// Whether its spans are exported.
    exported: bool,
    /// When its command went to the group, and when it came back: nanoseconds on the watch; 0 until then.
    submitted_ns: AtomicU64,
    answered_ns: AtomicU64,
}

impl Tracer {
    /// Exports to that collector, and begins a trace for so many of the calls that are in none.
    fn to(exporter: Exporter, ratio: f64) -> Tracer {
        Tracer { exporter: Some(exporter), ratio }
    }

    /// The trace of a call that came with this `traceparent`, or with none; `None`: it is in no trace.
    pub(crate) fn begin(&self, traceparent: Option<&[u8]>) -> Option<Trace> {
        if traceparent.is_none() && self.exporter.is_none() {
            return None;
        }
        let given = traceparent.and_then(Context::parse);
        let context = match given {
            Some(given) => given.child(),
            None => self.sample()?,
        };
        Some(Trace(Arc::new(Call {
            context,
            parent: given.map(|given| given.span_id),
            began_ns: wall_ns(),
            watch: Stopwatch::start(),
            exported: context.sampled && self.exporter.is_some(),
            submitted_ns: AtomicU64::new(0),
            answered_ns: AtomicU64::new(0),
        })))
    }

    /// A trace of its own, for some of the calls that came in none.
    fn sample(&self) -> Option<Context> {
        let is_chosen = self.exporter.is_some() && rand::random::<f64>() < self.ratio;
        is_chosen.then(Context::root)
    }

    /// Tells of a call that was answered.
    pub(crate) fn end(&self, trace: &Trace, (method, route): (&'static str, &'static str), status: u16) {
        let call = &*trace.0;
        let took = call.watch.elapsed();
        tracing::debug!(
            target: "lastunit::calls",
            trace_id = %call.context.trace_id_text(),
            span_id = %call.context.span_id_text(),
            method,
            route,
            status,
            duration_us = took.as_micros() as u64,
            "answered"
        );
        if let Some(exporter) = self.exporter.as_ref().filter(|_| call.exported) {
            exporter.export(call.span(Kind::Call { method, route, status }, Duration::ZERO, took));
            if let Some((from, to)) = call.submitted() {
                exporter.export(call.span(Kind::Submit, from, to));
            }
        }
    }

    /// How many spans the collector took, and how many were dropped.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.exporter.as_ref().map(Exporter::counts).unwrap_or_default()
    }

    /// Sends what there is, where that does not take long.
    pub(crate) async fn flush(&self) {
        if let Some(exporter) = &self.exporter {
            exporter.flush().await;
        }
    }
}

impl Trace {
    /// This call in its trace, as its answer tells it.
    pub(crate) fn context(&self) -> Context {
        self.0.context
    }
}

/// Waits for what the group makes of a call's command, and notes from when to when in its trace.
pub(crate) async fn submitting<T>(trace: Option<&Trace>, answer: impl Future<Output = T>) -> T {
    let Some(Trace(call)) = trace.filter(|trace| trace.0.exported) else { return answer.await };
    let now_ns = || call.watch.elapsed().as_nanos() as u64;
    call.submitted_ns.store(now_ns(), Ordering::Relaxed);
    let answer = answer.await;
    call.answered_ns.store(now_ns(), Ordering::Relaxed);
    answer
}

impl Call {
    /// Between when and when on the watch its command was with the group.
    fn submitted(&self) -> Option<(Duration, Duration)> {
        let [from, to] = [&self.submitted_ns, &self.answered_ns]
            .map(|moment| Duration::from_nanos(moment.load(Ordering::Relaxed)));
        (!to.is_zero()).then_some((from, to))
    }

    fn span(&self, kind: Kind, from: Duration, to: Duration) -> Span {
        let at_ns = |moment: Duration| self.began_ns.saturating_add(moment.as_nanos() as u64);
        let (context, parent) = match kind {
            Kind::Call { .. } => (self.context, self.parent),
            Kind::Submit => (self.context.child(), Some(self.context.span_id)),
        };
        Span { context, parent, kind, start_ns: at_ns(from), end_ns: at_ns(to) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn without_a_collector_only_what_the_caller_traces_is_traced() {
        let tracer = Tracer::default();
        assert!(tracer.begin(None).is_none());
        assert!(tracer.begin(Some(b"00-0-0-01")).is_none());
        let trace = tracer.begin(Some(GIVEN)).unwrap();
        let (given, own) = (Context::parse(GIVEN).unwrap(), trace.context());
        assert_eq!((own.trace_id, own.sampled, trace.0.parent), (given.trace_id, true, Some(given.span_id)));
        assert!(own.span_id != given.span_id && !trace.0.exported);
    }
}
