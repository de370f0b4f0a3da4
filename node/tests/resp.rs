//! The Redis protocol as the comparison with Redis reads it. A bench runs no tests, so its parser's run here.

#[path = "../benches/compare/resp.rs"]
mod resp;

use resp::{Broken, DEPTH_MAX, Reply, length, parse, push};

/// Replies as bytes, and what they mean.
fn whole() -> Vec<(&'static [u8], Reply<'static>)> {
    vec![
        (b"+OK\r\n", Reply::Status("OK")),
        (b"-ERR no such key\r\n", Reply::Error("ERR no such key")),
        (b":42\r\n", Reply::Integer(42)),
        (b":-7\r\n", Reply::Integer(-7)),
        (b"$5\r\nhello\r\n", Reply::Bulk(b"hello")),
        (b"$2\r\n\r\n\r\n", Reply::Bulk(b"\r\n")),
        (b"$0\r\n\r\n", Reply::Bulk(b"")),
        (b"$-1\r\n", Reply::Nil),
        (b"*-1\r\n", Reply::Nil),
        (b"*0\r\n", Reply::Array(Vec::new())),
        (b"*2\r\n$6\r\ncart-1\r\n:9\r\n", Reply::Array(vec![Reply::Bulk(b"cart-1"), Reply::Integer(9)])),
        (b"*1\r\n*1\r\n+in\r\n", Reply::Array(vec![Reply::Array(vec![Reply::Status("in")])])),
    ]
}

#[test]
fn whole_replies_are_read() {
    for (bytes, reply) in whole() {
        assert_eq!(length(bytes), Ok(Some(bytes.len())), "{reply:?}");
        assert_eq!(parse(bytes), Ok(reply));
    }
}

#[test]
fn a_reply_that_is_cut_anywhere_is_waited_for() {
    for (bytes, reply) in whole() {
        for cut in 0..bytes.len() {
            assert_eq!(length(&bytes[..cut]), Ok(None), "{reply:?} at {cut}");
            assert!(parse(&bytes[..cut]).is_err(), "{reply:?} at {cut}");
        }
    }
}

#[test]
fn what_follows_a_reply_is_left() {
    for (bytes, reply) in whole() {
        let followed = [bytes, b":2\r\n$"].concat();
        assert_eq!(length(&followed), Ok(Some(bytes.len())), "{reply:?}");
        assert_eq!(parse(&followed), Ok(reply));
    }
}

#[test]
fn what_is_no_reply_is_told_from_one_that_is_not_whole() {
    let deep = b"*1\r\n".repeat(DEPTH_MAX + 2);
    let broken: [(&[u8], &str); 9] = [
        (b"\r\n", "a reply without a kind"),
        (b"?1\r\n", "a reply of a kind that there is not"),
        (b"+O\rK\r\n", "a line with a lone carriage return"),
        (b":one\r\n", "a number that is none"),
        (b"$-2\r\n", "a length below nothing"),
        (b"*-2\r\n", "a length below nothing"),
        (b"$2\r\nabc\r\n", "a bulk string without its end"),
        (b"*2\r\n:1\r\n?", "a reply of a kind that there is not"),
        (&deep, "arrays too deep in each other"),
    ];
    for (bytes, why) in broken {
        let whole = [bytes, b"\r\n"].concat();
        assert_eq!(length(&whole), Err(Broken(why)), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_command_is_an_array_of_bulk_strings() {
    let mut out = Vec::new();
    push(&mut out, &[b"HGET", b"", b"a\r\nb"]);
    assert_eq!(out, b"*3\r\n$4\r\nHGET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n");
}
