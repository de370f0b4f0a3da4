//! Spans on their way to a collector: OTLP over HTTP, in JSON.
//!
//! ```text
//!   calls --try_send--> queue, bounded --> one task: a batch each second, or when one is full --> POST /v1/traces
//!            \ full: dropped                                                   \ not taken: dropped, said once
//! ```
//!
//! A hundred lines of our own: the opentelemetry crates would bring prost and tonic's types into the build, and keep
//! spans behind locks on the way of each call.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::span::{Resource, Span};

/// Spans that may wait.
const QUEUE: usize = 8_192;

/// Spans of one request.
const BATCH: usize = 512;

/// How long a span waits for others to be sent with.
const GATHER: Duration = Duration::from_secs(1);

/// How long the collector may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long the last spans of a node that stops may take.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);

/// The longest answer of a collector that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The way to a collector. A cheap handle.
#[derive(Debug, Clone)]
pub(super) struct Exporter {
    queue: mpsc::Sender<Item>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Item {
    Span(Span),
    /// Whom to tell once all before it was sent or dropped.
    Flush(oneshot::Sender<()>),
}

impl Exporter {
    /// Begins to export to that address, from a task of its own.
    pub(super) fn start(collector: Uri, resource: Resource) -> Exporter {
        let (queue, queued) = mpsc::channel(QUEUE);
        let counts = Arc::<Counts>::default();
        let pool = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let worker = Worker { pool, collector, resource, counts: Arc::clone(&counts), is_away: false };
        tokio::spawn(worker.run(queued));
        Exporter { queue, counts }
    }

    /// Hands a span over, or drops it.
    pub(super) fn export(&self, span: Span) {
        if self.queue.try_send(Item::Span(span)).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were sent, and how many dropped.
    pub(super) fn counts(&self) -> (u64, u64) {
        let Counts { sent, dropped } = &*self.counts;
        (sent.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed))
    }

    /// Waits until what was handed over is sent or dropped, and not for long.
    pub(super) async fn flush(&self) {
        let flushing = async {
            let (done, flushed) = oneshot::channel();
            if self.queue.send(Item::Flush(done)).await.is_ok() {
                // The task lives as long as its queue.
                let _ = flushed.await;
            }
        };
        // What is left then is lost with the process.
        let _ = timeout(FLUSH_TIME_MAX, flushing).await;
    }
}

struct Worker {
    pool: Client<HttpConnector, Full<Bytes>>,
    collector: Uri,
    resource: Resource,
    counts: Arc<Counts>,
    /// Whether the last batch was not taken.
    is_away: bool,
}

/// What goes together.
#[derive(Default)]
struct Batch {
    spans: Vec<Span>,
    flushed: Vec<oneshot::Sender<()>>,
}

impl Worker {
    async fn run(mut self, mut queued: mpsc::Receiver<Item>) {
        while let Some(first) = queued.recv().await {
            let batch = gather(first, &mut queued).await;
            if !batch.spans.is_empty() {
                self.send(&batch.spans).await;
            }
            for done in batch.flushed {
                // Whoever asked may have given up.
                let _ = done.send(());
            }
        }
    }

    async fn send(&mut self, spans: &[Span]) {
        let sent = timeout(DEADLINE, self.post(spans)).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("no answer within {} s", DEADLINE.as_secs())));
        let count = match &sent {
            Ok(()) => &self.counts.sent,
            Err(_) => &self.counts.dropped,
        };
        count.fetch_add(spans.len() as u64, Ordering::Relaxed);
        self.tell(sent);
    }

    async fn post(&self, spans: &[Span]) -> Result<(), String> {
        let body = Full::new(Bytes::from(self.resource.body(spans)));
        let request = Request::builder().method(Method::POST).uri(&self.collector);
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let request = request.map_err(|error| error.to_string())?;
        let answer = self.pool.request(request).await.map_err(|error| causes(&error))?;
        let status = answer.status();
        // Read to its end, so that the connection can be used again; what it says is not asked for.
        let _ = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        if status.is_success() { Ok(()) } else { Err(format!("it answers {status}")) }
    }

    /// Says once that the collector does not take spans, and once that it does again.
    fn tell(&mut self, sent: Result<(), String>) {
        let was_away = std::mem::replace(&mut self.is_away, sent.is_err());
        match (sent, was_away) {
            (Err(why), false) => {
                tracing::warn!(collector = %self.collector, "the collector takes no spans; they are dropped: {why}");
            }
            (Ok(()), true) => tracing::info!(collector = %self.collector, "the collector takes spans again"),
            _ => {}
        }
    }
}

/// The first and those that come soon.
async fn gather(first: Item, queued: &mut mpsc::Receiver<Item>) -> Batch {
    let mut batch = Batch::default();
    let mut time = std::pin::pin!(sleep(GATHER));
    let mut next = Some(first);
    loop {
        match next {
            Some(Item::Span(span)) => batch.spans.push(span),
            Some(Item::Flush(done)) => batch.flushed.push(done),
            None => return batch,
        }
        if batch.spans.len() >= BATCH || !batch.flushed.is_empty() {
            return batch;
        }
        next = tokio::select! {
            item = queued.recv() => item,
            () = &mut time => return batch,
        };
    }
}

/// An error with its causes, which hyper's own text leaves out.
fn causes(error: &(dyn Error + 'static)) -> String {
    let all = std::iter::successors(Some(error), |cause| (**cause).source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::super::context::Context;
    use super::super::span::Kind;
    use super::*;

    fn span() -> Span {
        let context = Context { trace_id: 1, span_id: 2, sampled: true };
        Span { context, parent: None, kind: Kind::Submit, start_ns: 1, end_ns: 2 }
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_is_dropped_and_nobody_waits() {
        let (queue, mut queued) = mpsc::channel(2);
        let exporter = Exporter { queue, counts: Arc::default() };
        (0..5).for_each(|_| exporter.export(span()));
        assert_eq!(exporter.counts(), (0, 3));
        assert!(queued.try_recv().is_ok());
        exporter.export(span());
        assert_eq!(exporter.counts(), (0, 3));
    }

    #[tokio::test]
    async fn where_nobody_listens_spans_are_dropped_and_a_flush_ends() {
        // A port that was free a moment ago, and that nobody listens at.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let collector = format!("http://{address}/v1/traces").parse().unwrap();
        let resource = Resource { cluster: "shop".to_owned(), node_id: 1 };
        let exporter = Exporter::start(collector, resource);
        exporter.export(span());
        let (done, flushed) = oneshot::channel();
        exporter.queue.send(Item::Flush(done)).await.unwrap();
        flushed.await.unwrap();
        assert_eq!(exporter.counts(), (0, 1));
    }
}
