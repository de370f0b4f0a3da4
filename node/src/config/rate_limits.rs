//! `[rate_limits]`: how fast calls may come, in the whole cluster together.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use raft::Rate;

use super::{ConfigError, Section};

/// What a rate and a burst may be. More in a second than that the cluster does not do.
const RANGE: RangeInclusive<u64> = 1..=1_000_000;

/// What the table says; without one, nothing is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RateLimits {
    /// The commands that name one customer.
    pub(crate) customer: Option<Rate>,
    /// The commands that come with one token.
    pub(crate) token: Option<Rate>,
    /// The reads that come with one token.
    pub(crate) token_reads: Option<Rate>,
}

impl RateLimits {
    /// Those of commands, which the leader counts.
    pub(crate) fn of_commands(&self) -> raft::RateLimits {
        raft::RateLimits { customer: self.customer, caller: self.token }
    }

    /// A node's share of the reads, which each node counts by itself: at least one.
    pub(crate) fn share_of_reads(&self, nodes: usize) -> Option<Rate> {
        let nodes = u32::try_from(nodes).unwrap_or(1).max(1);
        let share = |whole: NonZeroU32| NonZeroU32::new(whole.get().div_ceil(nodes)).unwrap_or(whole);
        self.token_reads.map(|rate| Rate { per_second: share(rate.per_second), burst: share(rate.burst) })
    }
}

/// Reads the table.
pub(super) fn read(mut section: Section<'_>) -> Result<RateLimits, ConfigError> {
    let limits = RateLimits {
        customer: rate(&mut section, "customer_requests_per_second", "customer_burst")?,
        token: rate(&mut section, "token_requests_per_second", "token_burst")?,
        token_reads: rate(&mut section, "token_reads_per_second", "token_reads_burst")?,
    };
    section.finish()?;
    Ok(limits)
}

/// A rate and its burst: as much as one second brings, unless the file says otherwise.
fn rate(
    section: &mut Section<'_>,
    per_second: &'static str,
    burst: &'static str,
) -> Result<Option<Rate>, ConfigError> {
    match (number(section, per_second)?, number(section, burst)?) {
        (Some(per_second), given) => Ok(Some(Rate { per_second, burst: given.unwrap_or(per_second) })),
        (None, None) => Ok(None),
        (None, Some(_)) => {
            let mend = format!("add {per_second}, or remove this");
            Err(section.error(burst, Some(section.line), "has no rate that it belongs to", &mend))
        }
    }
}

fn number(section: &mut Section<'_>, key: &'static str) -> Result<Option<NonZeroU32>, ConfigError> {
    // Zero is out of range, so that it says: not given.
    let given = section.number(key, RANGE, 0)?;
    Ok(u32::try_from(given).ok().and_then(NonZeroU32::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterFile;

    fn parse(limits: &str) -> Result<ClusterFile, ConfigError> {
        let node = |id: u8| {
            format!("[[node]]\nid={id}\nhttp='127.0.0.1:1{id}'\nraft='127.0.0.1:2{id}'\ndata_dir='{id}'\n")
        };
        let nodes: String = (1..=3).map(node).collect();
        ClusterFile::parse(&format!("[cluster]\nname='shop'\n{limits}\n{nodes}"))
    }

    fn rate(per_second: u32, burst: u32) -> Option<Rate> {
        let number = |number| NonZeroU32::new(number).unwrap();
        Some(Rate { per_second: number(per_second), burst: number(burst) })
    }

    #[test]
    fn nothing_is_limited_unless_the_file_says_so() {
        for text in ["", "[rate_limits]"] {
            assert_eq!(parse(text).unwrap().rate_limits, RateLimits::default());
        }
        let text = "[rate_limits]\ncustomer_requests_per_second = 10\ncustomer_burst = 25\ntoken_reads_per_second = 100";
        let limits = parse(text).unwrap().rate_limits;
        let expected = RateLimits { customer: rate(10, 25), token: None, token_reads: rate(100, 100) };
        assert_eq!(limits, expected);
        assert_eq!(limits.share_of_reads(3), rate(34, 34));
    }

    #[test]
    fn a_mistake_is_told_with_its_key_and_its_mend() {
        for (text, told) in [
            (
                "customer_requests_per_second = 0",
                "key `rate_limits.customer_requests_per_second`: 0 is out of range; write 1 to 1000000",
            ),
            (
                "token_burst = 9",
                "key `rate_limits.token_burst`: has no rate that it belongs to; add token_requests_per_second, or remove this",
            ),
            ("customers_per_second = 9", "key `rate_limits.customers_per_second`: is not a key of this file"),
            ("token_burst = \"9\"", "key `rate_limits.token_burst`: is of type string"),
        ] {
            let mistake = parse(&format!("[rate_limits]\n{text}")).unwrap_err().to_string();
            assert!(mistake.contains(told), "{mistake}");
        }
        let mistake = parse("[rate_limit]\ntoken_burst = 9").unwrap_err().to_string();
        assert!(mistake.contains("write one of: cluster, rate_limits, node"), "{mistake}");
    }
}
