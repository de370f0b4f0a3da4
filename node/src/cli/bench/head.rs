//! The head of an answer: its status, and where its body ends.

use httparse::{EMPTY_HEADER, Response, Status};

/// How many headers an answer may have.
const HEADERS_MAX: usize = 64;

/// How long a body may be that it says: far longer than any answer to what is asked here.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What the head of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The status.
    pub(super) status: u16,
    /// How long the head is, in bytes.
    pub(super) head_bytes: usize,
    /// How long the body is, in bytes.
    pub(super) body_bytes: usize,
    /// Whether the connection takes another call.
    pub(super) keeps: bool,
}

impl Head {
    /// Reads the head; `None` where there is more to come.
    ///
    /// # Errors
    /// Where it is no head of HTTP/1, or does not say how long the body is.
    pub(super) fn parse(received: &[u8]) -> Result<Option<Head>, String> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = Response::new(&mut headers);
        let head_bytes = match response.parse(received).map_err(|why| format!("no HTTP answer: {why}"))? {
            Status::Complete(bytes) => bytes,
            Status::Partial => return Ok(None),
        };
        let status = response.code.unwrap_or_default();
        let mut head = Head { status, head_bytes, body_bytes: 0, keeps: response.version == Some(1) };
        let mut bounded = status == 204;
        for header in response.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") {
                head.body_bytes = length(header.value)?;
                bounded = true;
            } else if header.name.eq_ignore_ascii_case("connection") {
                head.keeps &= !header.value.eq_ignore_ascii_case(b"close");
            }
        }
        match bounded {
            true => Ok(Some(head)),
            false => Err(format!("status {status} without a content-length")),
        }
    }

    /// How long the whole answer is, in bytes.
    pub(super) fn whole_bytes(&self) -> usize {
        self.head_bytes + self.body_bytes
    }
}

fn length(value: &[u8]) -> Result<usize, String> {
    let text = std::str::from_utf8(value).ok();
    let bytes = text.and_then(|text| text.trim().parse().ok()).filter(|bytes| *bytes <= BODY_BYTES_MAX);
    bytes.ok_or_else(|| format!("content-length: {}", String::from_utf8_lossy(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str =
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n";

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        for end in 0..ANSWER.len() {
            assert_eq!(Head::parse(&ANSWER.as_bytes()[..end]), Ok(None), "{end} bytes");
        }
        let head = Head { status: 201, head_bytes: ANSWER.len(), body_bytes: 12, keeps: true };
        assert_eq!(Head::parse(ANSWER.as_bytes()), Ok(Some(head)));
        let more = format!("{ANSWER}{{\"a\":\"bcde\"}}");
        assert_eq!(Head::parse(more.as_bytes()), Ok(Some(head)));
        assert_eq!(head.whole_bytes(), more.len());
    }

    #[test]
    fn a_connection_is_kept_unless_it_is_said_to_close() {
        for (head, keeps) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nConnection: Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", false),
            ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ] {
            assert_eq!(Head::parse(head.as_bytes()).unwrap().unwrap().keeps, keeps, "{head}");
        }
    }

    #[test]
    fn what_is_no_answer_or_has_no_end_is_refused() {
        for head in [
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: twelve\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        ] {
            assert!(Head::parse(head.as_bytes()).is_err(), "{head}");
        }
    }
}
