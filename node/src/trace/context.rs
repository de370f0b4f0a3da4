//! `traceparent`, as the W3C's Trace Context says it is written (version 00, section 3.2).
//!
//! ```text
//!   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!   |  trace: 16 bytes, not all 0       |                '- flags: 1 is sampled
//!   '- version: ff is none; a later one may go on behind the flags    span: 8 bytes, not all 0
//! ```

use std::fmt;

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context {
    /// Which trace.
    pub(crate) trace_id: u128,
    /// Which span of it.
    pub(crate) span_id: u64,
    /// Whether who began the trace wants it recorded.
    pub(crate) sampled: bool,
}

/// How long a `traceparent` of version 00 is.
const LENGTH: usize = 55;

impl Context {
    /// What a `traceparent` says; `None` where it is malformed.
    pub(crate) fn parse(given: &[u8]) -> Option<Context> {
        let (head, rest) = given.split_at_checked(LENGTH)?;
        let head = std::str::from_utf8(head).ok()?;
        let [version, trace_id, span_id, flags] = parts(head)?;
        let (version, flags) = (hex(version, 2)?, hex(flags, 2)?);
        let ends = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        let (trace_id, span_id) = (hex(trace_id, 32)?, u64::try_from(hex(span_id, 16)?).ok()?);
        let is_one = ends && trace_id != 0 && span_id != 0;
        is_one.then_some(Context { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// A new trace, which is to be recorded.
    pub(crate) fn root() -> Context {
        Context { trace_id: rand::random_range(1..=u128::MAX), span_id: 0, sampled: true }.child()
    }

    /// A new span in the same trace.
    pub(crate) fn child(self) -> Context {
        Context { span_id: rand::random_range(1..=u64::MAX), ..self }
    }

    /// The trace in hexadecimal digits.
    pub(crate) fn trace_id_text(self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span in hexadecimal digits.
    pub(crate) fn span_id_text(self) -> String {
        format!("{:016x}", self.span_id)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

fn parts(head: &str) -> Option<[&str; 4]> {
    let parts: Vec<_> = head.split('-').collect();
    parts.try_into().ok()
}

/// So many digits, in lower case.
fn hex(digits: &str, length: usize) -> Option<u128> {
    let is_hex = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && digits.len() == length).then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_read_and_written() {
        let context = Context::parse(GIVEN.as_bytes()).unwrap();
        assert_eq!(
            (context.trace_id >> 120, context.span_id, context.sampled),
            (0x4b, 0x00f0_67aa_0ba9_02b7, true)
        );
        assert_eq!(context.to_string(), GIVEN);
        let unsampled = Context::parse(GIVEN.replace("-01", "-00").as_bytes()).unwrap();
        assert!(!unsampled.sampled && unsampled.trace_id == context.trace_id);
        // Other flags are of later versions.
        assert!(Context::parse(GIVEN.replace("-01", "-03").as_bytes()).unwrap().sampled);
        assert!(Context::parse(format!("{}-more", GIVEN.replacen("00", "cc", 1)).as_bytes()).is_some());
    }

    #[test]
    fn what_is_malformed_is_none() {
        let zeros = |count: usize| "0".repeat(count);
        for malformed in [
            "",
            "00",
            &GIVEN[..54],
            &format!("{GIVEN}-more"),
            &format!("{GIVEN} "),
            &format!("{}x", GIVEN.replacen("00", "cc", 1)),
            &GIVEN.replacen("00", "ff", 1),
            &GIVEN.replace("4bf9", "4BF9"),
            &GIVEN.replace("4bf9", "+bf9"),
            &GIVEN.replace("4bf92f3577b34da6a3ce929d0e0e4736", &zeros(32)),
            &GIVEN.replace("00f067aa0ba902b7", &zeros(16)),
            &GIVEN.replace('-', "_"),
            &GIVEN.replace("-01", "-0x"),
            "00-4bf92f3577b34da6a3ce929d0e0e47360-0f067aa0ba902b7-01",
        ] {
            assert_eq!(Context::parse(malformed.as_bytes()), None, "{malformed:?}");
        }
        assert_eq!(Context::parse(&[0xff; 55]), None);
    }

    #[test]
    fn a_new_trace_has_a_name_and_so_has_a_new_span() {
        let root = Context::root();
        assert!(root.trace_id != 0 && root.span_id != 0 && root.sampled);
        let child = root.child();
        assert!(child.trace_id == root.trace_id && child.span_id != root.span_id);
        assert_eq!(Context::parse(root.to_string().as_bytes()), Some(root));
    }
}
