//! Chance that follows from a seed, in streams of their own: what one part draws does not change what another one does.

use std::ops::RangeInclusive;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

/// One stream.
pub(crate) struct Chance(StdRng);

impl Chance {
    /// The stream of a part of the simulation.
    pub(crate) fn of(seed: u64, part: &str) -> Chance {
        let part = u64::from(crc32fast::hash(part.as_bytes()));
        Chance(StdRng::seed_from_u64(seed.rotate_left(17) ^ part))
    }

    /// A number of a range, its ends included.
    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.random_range(range)
    }

    /// Whether one of so many came.
    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.within(1..=count) == 1
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0.random()
    }

    /// One of several; none of none.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.choose(&mut self.0).copied()
    }

    /// They in another order.
    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        all.shuffle(&mut self.0);
    }
}
