//! One connection: a call at a time, each written at once and read into the same buffer.
//!
//! ```text
//!   call -> still open? -> write -> read until the head is whole -> read until the body is
//!             no: dial       `--------------- broken off: nobody knows ---------------'
//! ```
//!
//! Nothing is sent twice. A call that is broken off has an unknown outcome, and its connection is not used again, so
//! that no answer can be taken for that of another call.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::head::Head;

/// How long an answer is waited for: twice as long as a node waits for an outcome.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a connection may take to open.
const DIAL_TIME_MAX: Duration = Duration::from_secs(5);

/// Room for an answer from the start, in bytes.
const ANSWER_BYTES: usize = 16 << 10;

/// A connection to one node, opened again whenever it broke.
#[derive(Debug)]
pub(super) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    received: Vec<u8>,
    /// One timer for all calls: it is set anew only when it rings, which a call is hardly ever there for.
    alarm: Pin<Box<Sleep>>,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    /// Its status.
    pub(super) status: u16,
    /// Its body.
    pub(super) body: &'a [u8],
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The call was not sent.
    NotSent(String),
    /// It was sent, and the connection broke or brought nothing in time.
    Unanswered(String),
    /// What was answered is none of the answers there are.
    Nonsense(String),
}

impl Connection {
    /// Opens one.
    pub(super) async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = Some(dial(address).await?);
        let alarm = Box::pin(sleep(ANSWER_TIME_MAX));
        Ok(Connection { address, stream, received: Vec::with_capacity(ANSWER_BYTES), alarm })
    }

    /// Makes a call.
    pub(super) async fn call(&mut self, request: &[u8]) -> Result<Answer<'_>, Lost> {
        let mut stream = match self.stream.take().filter(is_open) {
            Some(stream) => stream,
            None => dial(self.address).await.map_err(|why| Lost::NotSent(why.to_string()))?,
        };
        self.received.clear();
        let overdue = Instant::now() + ANSWER_TIME_MAX;
        let head = tokio::select! {
            biased;
            head = exchange(&mut stream, request, &mut self.received) => head?,
            () = wait_until(self.alarm.as_mut(), overdue) => {
                return Err(Lost::Unanswered(format!("no answer after {} s", ANSWER_TIME_MAX.as_secs())));
            }
        };
        if head.keeps {
            self.stream = Some(stream);
        }
        Ok(Answer { status: head.status, body: &self.received[head.head_bytes..head.whole_bytes()] })
    }
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(DIAL_TIME_MAX, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whether the node has not closed it while it was idle. Costs a look at the system only where something came.
fn is_open(stream: &TcpStream) -> bool {
    stream.try_read(&mut [0]).is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock)
}

async fn exchange(stream: &mut TcpStream, request: &[u8], received: &mut Vec<u8>) -> Result<Head, Lost> {
    stream.write_all(request).await.map_err(unanswered)?;
    let head = loop {
        read_more(stream, received).await?;
        if let Some(head) = Head::parse(received).map_err(Lost::Nonsense)? {
            break head;
        }
    };
    received.reserve(head.whole_bytes().saturating_sub(received.len()));
    while received.len() < head.whole_bytes() {
        read_more(stream, received).await?;
    }
    match received.len() == head.whole_bytes() {
        true => Ok(head),
        false => Err(Lost::Nonsense("more than one answer to one call".to_owned())),
    }
}

async fn read_more(stream: &mut TcpStream, received: &mut Vec<u8>) -> Result<(), Lost> {
    match stream.read_buf(received).await.map_err(unanswered)? {
        0 => Err(Lost::Unanswered("the node closed the connection".to_owned())),
        _ => Ok(()),
    }
}

fn unanswered(why: io::Error) -> Lost {
    Lost::Unanswered(why.to_string())
}

async fn wait_until(mut alarm: Pin<&mut Sleep>, moment: Instant) {
    loop {
        alarm.as_mut().await;
        if Instant::now() >= moment {
            return;
        }
        alarm.as_mut().reset(moment);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n";

    /// A node that gives each connection these parts, one after the other, each once it was asked, and closes it.
    async fn node(answers: Vec<Vec<&'static str>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for connection in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                for answer in connection {
                    stream.read_exact(&mut [0; REQUEST.len()]).await.unwrap();
                    for part in answer.split('|') {
                        stream.write_all(part.as_bytes()).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn an_answer_that_comes_in_parts_is_read_whole_and_the_next_one_by_itself() {
        let first = "HTTP/1.1 201 Created\r\nconte|nt-length: 6\r\n|\r\nab|cdef";
        let second = "HTTP/1.1 409 Conflict\r\ncontent-length: 1\r\n\r\nx";
        let mut connection = Connection::open(node(vec![vec![first, second]]).await).await.unwrap();
        assert_eq!(connection.call(REQUEST).await, Ok(Answer { status: 201, body: b"abcdef" }));
        assert_eq!(connection.call(REQUEST).await, Ok(Answer { status: 409, body: b"x" }));
    }

    #[tokio::test]
    async fn a_call_that_breaks_is_unknown_and_the_next_one_has_a_new_connection() {
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nab";
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let mut connection = Connection::open(node(vec![vec![cut], vec![whole]]).await).await.unwrap();
        assert!(matches!(connection.call(REQUEST).await, Err(Lost::Unanswered(_))));
        assert_eq!(connection.call(REQUEST).await, Ok(Answer { status: 200, body: b"ok" }));
        // Nobody listens any more. A call that is faster than the end of the last connection meets that first.
        while !matches!(connection.call(REQUEST).await, Err(Lost::NotSent(_))) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told() {
        let two = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab";
        let mut connection = Connection::open(node(vec![vec![two]]).await).await.unwrap();
        assert!(matches!(connection.call(REQUEST).await, Err(Lost::Nonsense(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn the_alarm_rings_for_the_call_that_is_late_and_no_other() {
        let mut alarm = Box::pin(sleep(ANSWER_TIME_MAX));
        for _ in 0..3 {
            tokio::time::sleep(ANSWER_TIME_MAX / 2).await;
            let due = Instant::now() + ANSWER_TIME_MAX;
            wait_until(alarm.as_mut(), due).await;
            assert!(Instant::now() >= due && Instant::now() < due + Duration::from_millis(2));
        }
    }
}
