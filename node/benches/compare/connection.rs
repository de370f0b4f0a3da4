//! One connection to a Redis server: commands are gathered, sent in one write, and their replies read in order.

use std::net::TcpStream as Socket;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::resp::{self, Reply};

/// How much is read at once, in bytes: many replies of a script, and a part of what `INFO` tells.
const READ_BYTES: usize = 4096;

/// A connection. Its buffers are used again for each call.
pub(crate) struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
    /// How much of the input has been answered to the caller.
    read: usize,
}

impl Connection {
    /// Of an open socket, within the runtime that it is then used in.
    pub(crate) fn new(socket: Socket) -> Connection {
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(socket).unwrap();
        Connection { stream, out: Vec::new(), input: Vec::with_capacity(READ_BYTES), read: 0 }
    }

    /// Adds a command to those that [`Connection::send`] sends.
    pub(crate) fn push(&mut self, words: &[&[u8]]) {
        resp::push(&mut self.out, words);
    }

    /// Sends all that was added, in one write where the socket takes it.
    pub(crate) async fn send(&mut self) {
        self.stream.write_all(&self.out).await.expect("the server takes commands");
        self.out.clear();
    }

    /// The next reply.
    pub(crate) async fn reply(&mut self) -> Reply<'_> {
        let length = loop {
            match resp::length(&self.input[self.read..]).expect("the server speaks RESP2") {
                Some(length) => break length,
                None => self.fill().await,
            }
        };
        let start = self.read;
        self.read += length;
        resp::parse(&self.input[start..self.read]).expect("it was measured")
    }

    /// Sends one command and answers its reply.
    pub(crate) async fn call(&mut self, words: &[&[u8]]) -> Reply<'_> {
        self.push(words);
        self.send().await;
        self.reply().await
    }

    /// Sends one command and answers the text of its reply.
    pub(crate) async fn text(&mut self, words: &[&[u8]]) -> String {
        match self.call(words).await {
            Reply::Bulk(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
            Reply::Status(text) => text.to_owned(),
            // While it loads its file a server refuses most commands.
            Reply::Error(text) if text.starts_with("LOADING") => String::new(),
            other => panic!("{other:?} is no text"),
        }
    }

    /// Reads more behind what is not answered yet.
    async fn fill(&mut self) {
        self.input.drain(..self.read);
        self.read = 0;
        self.input.reserve(READ_BYTES);
        let count = self.stream.read_buf(&mut self.input).await.expect("the server answers");
        assert_ne!(count, 0, "the server has closed the connection");
    }
}
