//! Server-sent events, as far as the change feed needs them.
//!
//! ```text
//!   id: 17.3                          fields of one message, a line each
//!   event: lastunit.stock.changed
//!   data: {"specversion":"1.0",...}
//!                                     an empty line ends it
//!   : still here                      a comment
//! ```
//!
//! The rules are those of the HTML standard, 9.2.6 "Interpreting an event stream": lines end with LF, CR or both,
//! one space after the colon is dropped, several data lines are joined by LF, and a message without data only moves
//! the last event id. Absent: `retry`, because the client has its own back-off.

use std::collections::VecDeque;

/// The longest message that is read; the longest that a node sends is a reservation of 100 items.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// What came between two empty lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Message {
    /// The last event id, where the message had one.
    pub(super) id: Option<String>,
    /// Its type; empty where it named none.
    pub(super) event: String,
    /// Its data; empty where there was none.
    pub(super) data: String,
}

/// Bytes in, messages out.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    message: Message,
    /// Bytes of the message so far.
    taken_bytes: usize,
    ready: VecDeque<Message>,
}

/// A message is longer than any that a node sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

impl Parser {
    /// Takes the next bytes of the stream, wherever they are cut.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        for &byte in bytes {
            let ends_crlf = self.after_cr && byte == b'\n';
            self.after_cr = byte == b'\r';
            match byte {
                _ if ends_crlf => (),
                b'\n' | b'\r' => self.end_line(),
                _ => self.line.push(byte),
            }
            if self.taken_bytes + self.line.len() > MESSAGE_BYTES_MAX {
                return Err(TooLong);
            }
        }
        Ok(())
    }

    /// The next message that has ended.
    pub(super) fn pop(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.taken_bytes += line.len();
        let text = String::from_utf8_lossy(&line);
        match text.split_once(':') {
            _ if text.is_empty() => self.end_message(),
            Some((name, value)) => self.field(name, value.strip_prefix(' ').unwrap_or(value)),
            None => self.field(&text, ""),
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        match name {
            "id" if !value.contains('\0') => self.message.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.message.event),
            "data" => {
                self.message.data.push_str(value);
                self.message.data.push('\n');
            }
            // A comment has an empty name; what is not known is skipped.
            _ => (),
        }
    }

    fn end_message(&mut self) {
        self.taken_bytes = 0;
        let mut message = std::mem::take(&mut self.message);
        if message.data.ends_with('\n') {
            message.data.pop();
        }
        if message.id.is_some() || !message.data.is_empty() {
            self.ready.push_back(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(chunks: &[&[u8]]) -> Vec<Message> {
        let mut parser = Parser::default();
        chunks.iter().for_each(|chunk| parser.feed(chunk).unwrap());
        std::iter::from_fn(|| parser.pop()).collect()
    }

    fn message(id: Option<&str>, event: &str, data: &str) -> Message {
        Message { id: id.map(str::to_owned), event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn what_each_stream_says() {
        let table = [
            ("id: 1.0\nevent: a\ndata: x\n\n", vec![message(Some("1.0"), "a", "x")]),
            ("id:1.0\r\nevent:a\r\ndata:x\r\n\r\n", vec![message(Some("1.0"), "a", "x")]),
            ("id: 1.0\revent: a\rdata: x\r\r", vec![message(Some("1.0"), "a", "x")]),
            ("data: x\ndata: y\n\n", vec![message(None, "", "x\ny")]),
            ("data:  x\n\n", vec![message(None, "", " x")]),
            (": still here\n\n: and here\n\n", vec![]),
            ("id: 9.0\n\n", vec![message(Some("9.0"), "", "")]),
            ("retry: 7\nwhat: 8\nbare\ndata: x\n\n", vec![message(None, "", "x")]),
            ("event: a\n\ndata: x\n\n", vec![message(None, "", "x")]),
            ("data: no empty line after it\n", vec![]),
        ];
        for (text, messages) in table {
            assert_eq!(parse(&[text.as_bytes()]), messages, "{text:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(parse(&bytes), messages, "{text:?}, byte by byte");
        }
    }

    #[test]
    fn a_message_without_an_end_does_not_fill_the_memory() {
        for piece in [&[b'x'; 4096][..], b"data: xxxxxxxxxxxxxxxx\n", b": xxxxxxxxx\n"] {
            let mut parser = Parser::default();
            let fed = (0..=MESSAGE_BYTES_MAX).find(|_| parser.feed(piece).is_err());
            assert!(fed.is_some_and(|times| times <= MESSAGE_BYTES_MAX), "{piece:?}");
        }
    }
}
