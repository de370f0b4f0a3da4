//! A collector of spans: takes OTLP over HTTP in JSON, and keeps what came.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A collector, which ends with its test.
pub(crate) struct Collector {
    /// Where it listens, as a node is told.
    pub(crate) url: String,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    /// Listens on a free port of the loopback.
    pub(crate) async fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bodies = Arc::<Mutex<Vec<Value>>>::default();
        let kept = Arc::clone(&bodies);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Collector { url, bodies }
    }

    /// The spans of a trace that came by now.
    pub(crate) fn spans(&self, trace_id: &str) -> Vec<Value> {
        let bodies = self.bodies.lock().unwrap();
        let spans = bodies.iter().flat_map(|body| {
            let of_scope = &body["resourceSpans"][0]["scopeSpans"][0];
            of_scope["spans"].as_array().expect("spans").clone()
        });
        spans.filter(|span| span["traceId"] == trace_id).collect()
    }

    /// All that came, as text.
    pub(crate) fn text(&self) -> String {
        self.bodies.lock().unwrap().iter().map(Value::to_string).collect()
    }
}

async fn serve(stream: TcpStream, bodies: Arc<Mutex<Vec<Value>>>) {
    let mut stream = BufReader::new(stream);
    while let Some(body) = request(&mut stream).await {
        bodies.lock().unwrap().push(serde_json::from_slice(&body).expect("JSON"));
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// The body of the next request; `None` at the end of the connection.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}
