//! Calls, gathered into equal slices of time: how many came to what end, and how long they took.
//!
//! A call counts in the slice in which it ended, with all its tries: that is when its client knew.

use std::ops::Range;

use crate::call_end::CallEnd;
use crate::verdict::percentile;

/// How a call ended, as far as the drawings care.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    /// When, in microseconds since the run's start.
    pub(super) at_us: u64,
    /// How long after its first try began.
    pub(super) took_us: u64,
    /// With what.
    pub(super) end: CallEnd,
}

/// One slice of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket {
    /// Calls by how they ended, in the order of [`CallEnd::ALL`].
    pub(super) ends: [u64; CallEnd::ALL.len()],
    /// Half of the answers came at least as fast as this. `None` where there was no answer.
    pub(super) p50_us: Option<u64>,
    /// 99 in 100 answers came at least as fast as this.
    pub(super) p99_us: Option<u64>,
}

/// Slices that cover a length of time without a gap; the last one may reach beyond its end.
pub(super) struct Buckets {
    /// Where the first slice begins, in microseconds since the run's start.
    pub(super) from_us: u64,
    /// How long each is.
    pub(super) width_us: u64,
    /// In order of time.
    pub(super) list: Vec<Bucket>,
}

impl Buckets {
    /// The calls that ended within a length of time, in at most `most` slices of a round width.
    pub(super) fn of(calls: impl Iterator<Item = Ended>, time_us: &Range<u64>, most: u64) -> Self {
        let width_us = width_us(time_us.end - time_us.start, most);
        let count = (time_us.end - time_us.start).div_ceil(width_us).max(1) as usize;
        let mut list = vec![Bucket::default(); count];
        let mut took_us = vec![Vec::new(); count];
        for call in calls.filter(|call| time_us.contains(&call.at_us)) {
            let slice = ((call.at_us - time_us.start) / width_us) as usize;
            list[slice].ends[call.end as usize] += 1;
            if call.end.is_answer() {
                took_us[slice].push(call.took_us);
            }
        }
        for (bucket, took_us) in list.iter_mut().zip(&mut took_us) {
            took_us.sort_unstable();
            bucket.p50_us = percentile(took_us, 50);
            bucket.p99_us = percentile(took_us, 99);
        }
        Self { from_us: time_us.start, width_us, list }
    }

    /// The time of one slice.
    pub(super) fn time_us(&self, slice: usize) -> Range<u64> {
        let start = self.from_us.saturating_add((slice as u64).saturating_mul(self.width_us));
        start..start.saturating_add(self.width_us)
    }

    /// A count of a slice as a rate.
    pub(super) fn per_second(&self, count: u64) -> f64 {
        count as f64 * 1e6 / self.width_us as f64
    }
}

/// The least round width with which `most` slices suffice: half a second at least, as a percentile of a few calls
/// says nothing.
fn width_us(length_us: u64, most: u64) -> u64 {
    let powers = (5..18).map(|power| 10_u64.pow(power));
    let mut round = powers.flat_map(|power| [5 * power, 10 * power, 20 * power]);
    round.find(|width| length_us.div_ceil(*width) <= most).unwrap_or(length_us.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_round_and_the_slices_few() {
        assert_eq!([width_us(60_000_000, 300), width_us(600_000_000, 300)], [500_000, 2_000_000]);
        assert_eq!([width_us(0, 300), width_us(300_000_001, 300)], [500_000, 2_000_000]);
        assert_eq!(width_us(u64::MAX, 300), 100_000_000_000_000_000);
    }

    #[test]
    fn a_call_counts_where_it_ended() {
        let at = |at_us, took_us, end| Ended { at_us, took_us, end };
        let calls = [
            at(5, 9, CallEnd::Succeeded),
            at(500_000, 4, CallEnd::Unknown),
            at(1_000_000, 1, CallEnd::Succeeded),
        ];
        let buckets = Buckets::of(calls.into_iter(), &(0..1_000_000), 10);
        assert_eq!([buckets.width_us, buckets.list.len() as u64], [500_000, 2]);
        assert_eq!(buckets.list[0].ends[CallEnd::Succeeded as usize], 1);
        assert_eq!([buckets.list[0].p99_us, buckets.list[1].p99_us], [Some(9), None]);
        assert_eq!(buckets.list[1].ends[CallEnd::Unknown as usize], 1);
        assert_eq!(buckets.time_us(1), 500_000..1_000_000);
    }
}
