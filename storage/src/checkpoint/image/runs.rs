//! Runs: how records lie in an image that change in no order.
//!
//! ```text
//!   run 1   [ A B C D ... ][ ... Z ]     each run: packs of records in the order of their keys
//!   run 7   [ B' K' ]                    a later one holds
//!   run 8   [ D gone, K" ]
//!
//!   a save  [ C' K"' ] and, now and then, what of runs 7 and 8 it does not replace -----> run 9
//! ```
//!
//! Which SKUs a save carries depends on what is bought. With a row for each of them sled copies a page for each; in
//! packs of neighbours 64 would be written for each. So each save writes what changed as a run of its own, and reading
//! takes of all runs the newest record of each key. Runs are put together before there are many ([`RUNS_MAX`]), and
//! all of them once the later ones are as long as the first: so no more than half of what lies there is out of date,
//! and a record is written some four times, at a quarter of its length. Both are put off where there is little room
//! left on disk: while runs are put together their bytes are there twice, and once more where packs are moved for it.
//!
//! Changes that all come behind the newest run's last record go on with that run: SKUs that are made in the order of
//! their names, and an image that is built, are written once.
//!
//! Invariant: no two records of one run have one key; a record that is gone is in no run that is the first.

use super::super::codec::{CodecError, malformed};
use super::super::packs::Place;

/// As many runs of one tag are there at most, where there is room: a reader goes through all of them at once.
pub(super) const RUNS_MAX: usize = 16;

/// Later runs that are shorter than this, all together, in bytes, are no reason to write the first one anew.
const LATER_BYTES_MIN: u64 = 1 << 20;

/// Bytes of a pack's key: tag, run, and place in the run.
const KEY_BYTES: usize = 13;

/// The runs of one tag, oldest first.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Run>);

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) number: u64,
    /// How many packs it has.
    packs: u32,
    /// How long they are, all together.
    bytes: u64,
    /// The key of its last record, where this process has written that.
    last: Vec<u8>,
}

impl Runs {
    /// Counts a pack that is there, in the order of their keys.
    pub(super) fn count(&mut self, key: &[u8], place: Place) -> Result<(), CodecError> {
        let (number, pack) = decode_key(key)?;
        if self.0.last().is_none_or(|run| run.number < number) {
            self.0.push(Run { number, ..Run::default() });
        }
        let run = self.0.last_mut().filter(|run| (run.number, run.packs) == (number, pack));
        run.ok_or_else(|| malformed("a run without one of its packs"))?.grow(place);
        Ok(())
    }

    /// Their numbers, oldest first.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.0.iter().map(|run| run.number).collect()
    }

    /// Takes the newest run out, where records from this key on can go on with it.
    pub(super) fn take_open(&mut self, first: &[u8]) -> Option<Run> {
        self.0.pop_if(|run| !run.last.is_empty() && *run.last < *first)
    }

    /// Begins a run, and takes those out that become a part of it, for which there are so many bytes of room: see
    /// [`merged_from`].
    pub(super) fn begin(&mut self, room_bytes: u64) -> (Run, Vec<Run>) {
        let number = self.0.last().map_or(1, |run| run.number + 1);
        let lengths: Vec<u64> = self.0.iter().map(|run| run.bytes).collect();
        (Run { number, ..Run::default() }, self.0.split_off(merged_from(&lengths, room_bytes)))
    }

    /// Whether there is none: what is gone need not be told in the first one.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the newest run.
    pub(super) fn push(&mut self, run: Run) {
        if run.packs > 0 {
            self.0.push(run);
        }
    }
}

impl Run {
    /// The keys of its packs.
    pub(super) fn keys(&self, tag: u8) -> impl Iterator<Item = [u8; KEY_BYTES]> {
        let number = self.number;
        (0..self.packs).map(move |pack| encode_key(tag, number, pack))
    }

    /// The key of its next pack.
    pub(super) fn next_key(&self, tag: u8) -> [u8; KEY_BYTES] {
        encode_key(tag, self.number, self.packs)
    }

    /// It has one more pack.
    pub(super) fn grow(&mut self, place: Place) {
        self.packs += 1;
        self.bytes += place.bytes();
    }

    /// Its last record has this key.
    pub(super) fn ends_with(self, last: Vec<u8>) -> Run {
        Run { last, ..self }
    }
}

/// From which run on they are put together with what is saved, by their lengths, oldest first: no more than there is
/// room for.
fn merged_from(lengths: &[u64], room_bytes: u64) -> usize {
    let later = |from: usize| lengths[from + 1..].iter().sum::<u64>();
    let has_room = |from: usize| room_bytes >= 2 * (lengths[from] + later(from));
    let is_half_out_of_date = lengths.len() > 1 && later(0) >= lengths[0].max(LATER_BYTES_MIN);
    if is_half_out_of_date && has_room(0) {
        return 0;
    }
    if lengths.len() < RUNS_MAX {
        return lengths.len();
    }
    // The longest row of runs whose first one is not much longer than the others; of ever shorter ones, a half.
    let of_a_length = |&from: &usize| 2 * lengths[from] <= later(from);
    let from = (0..lengths.len()).find(of_a_length).unwrap_or(RUNS_MAX / 2).min(RUNS_MAX / 2);
    (from..lengths.len()).find(|&from| has_room(from)).unwrap_or(lengths.len())
}

/// What the keys of a run's packs begin with.
pub(super) fn prefix(tag: u8, number: u64) -> [u8; 9] {
    let mut key = [tag; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn encode_key(tag: u8, number: u64, pack: u32) -> [u8; KEY_BYTES] {
    let mut key = [tag; KEY_BYTES];
    key[..9].copy_from_slice(&prefix(tag, number));
    key[9..].copy_from_slice(&pack.to_be_bytes());
    key
}

fn decode_key(key: &[u8]) -> Result<(u64, u32), CodecError> {
    let decoded = key.split_first_chunk::<9>().and_then(|(run, pack)| {
        let (_, number) = run.split_last_chunk()?;
        Some((u64::from_be_bytes(*number), u32::from_be_bytes(pack.try_into().ok()?)))
    });
    decoded.ok_or_else(|| malformed("a key of a run's pack of a wrong length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_golden_bytes() {
        let key = encode_key(2, 0x0304, 0x0506);
        assert_eq!(key, [2, 0, 0, 0, 0, 0, 0, 3, 4, 0, 0, 5, 6]);
        assert_eq!(decode_key(&key), Ok((0x0304, 0x0506)));
        for len in (0..KEY_BYTES).chain([KEY_BYTES + 1]) {
            let key = [2; KEY_BYTES + 1];
            assert!(matches!(decode_key(&key[..len]), Err(CodecError::Malformed(_))), "{len} bytes");
        }
    }

    #[test]
    fn runs_are_put_together_when_they_are_many_or_as_long_as_the_first() {
        const M: u64 = 1 << 20;
        let many = |first, later: u64| [vec![first], vec![later; RUNS_MAX - 1]].concat();
        let falling: Vec<u64> = (0..RUNS_MAX as u32).rev().map(|power| 3_u64.pow(power)).collect();
        let cases: [(&str, Vec<u64>, usize); 8] = [
            ("none", vec![], 0),
            ("a small shop", vec![100], 1),
            ("a small shop that changed all over", vec![100, 1_000, 1_000], 3),
            ("a large one", vec![20 * M, 10 * M, 9 * M], 3),
            ("as much again", vec![20 * M, 10 * M, 10 * M], 0),
            ("one SKU that changes all the time", many(50, 50), 0),
            ("many short ones", many(20 * M, M), 1),
            ("ever shorter ones", falling, RUNS_MAX / 2),
        ];
        for (case, lengths, from) in cases {
            assert_eq!(merged_from(&lengths, u64::MAX), from, "{case}");
        }
    }

    #[test]
    fn no_more_runs_are_put_together_than_there_is_room_for() {
        const M: u64 = 1 << 20;
        let short = [vec![20 * M], vec![M; RUNS_MAX - 1]].concat();
        let long = [vec![20 * M], vec![2 * M; RUNS_MAX - 1]].concat();
        let more = [vec![20 * M], vec![2 * M; 3 * RUNS_MAX]].concat();
        let (shorts, longs) = (RUNS_MAX as u64 - 1, 2 * (RUNS_MAX as u64 - 1));
        let cases: [(&str, &[u64], u64, usize); 9] = [
            ("none, and no room", &[], 0, 0),
            ("as much again", &[20 * M, 20 * M], 80 * M, 0),
            ("not quite room for as much again", &[20 * M, 20 * M], 80 * M - 1, 2),
            ("many short ones", &short, 2 * shorts * M, 1),
            ("room for all short ones but one", &short, 2 * shorts * M - 1, 2),
            ("no room for a single one", &short, 2 * M - 1, RUNS_MAX),
            ("room for the later ones of a half", &long, 2 * longs * M, 1),
            ("more than there are to be, and no room", &more, 0, more.len()),
            ("more than there are to be, and room again", &more, u64::MAX, 0),
        ];
        for (case, lengths, room_bytes, from) in cases {
            assert_eq!(merged_from(lengths, room_bytes), from, "{case}");
        }
    }

    /// By the arithmetic of the module: a million SKUs of 22 bytes, and saves of 20,000 of them.
    #[test]
    fn a_record_is_written_some_four_times() {
        let (first, save) = (22_000_000, 440_000);
        let (mut lengths, mut written) = (vec![first], 0);
        for _ in 0..1_000 {
            let from = merged_from(&lengths, u64::MAX);
            let merged = lengths.split_off(from);
            let whole = if from == 0 { first } else { merged.iter().sum::<u64>() + save };
            lengths.push(whole);
            written += whole;
            assert!(lengths.len() <= RUNS_MAX);
        }
        let times = written as f64 / (1_000 * save) as f64;
        assert!((2.0..5.0).contains(&times), "{times}");
    }

    #[test]
    fn a_run_without_one_of_its_packs_is_damage() {
        let place = Place::decode(&[[3].as_slice(), &[1; 24]].concat()).unwrap();
        let mut runs = Runs::default();
        for (number, pack) in [(3, 0), (3, 1), (8, 0)] {
            runs.count(&encode_key(2, number, pack), place).unwrap();
        }
        assert_eq!(runs.numbers(), [3, 8]);
        for (number, pack) in [(8, 2), (8, 0), (9, 1), (7, 0)] {
            assert!(runs.count(&encode_key(2, number, pack), place).is_err(), "pack {pack} of run {number}");
        }
    }
}
