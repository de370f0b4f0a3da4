//! What each side of a handshake says of its build, in a form that versions may add to.
//!
//! ```text
//!   number   value                     a version that does not know a number passes over it;
//!   1        version, text             one that misses a number goes by what is said here of its absence
//!   2        lowest feature level that it can apply, 2 bytes, little-endian
//!   3        highest one, likewise
//!   4        empty; in a Hello: this start of the directory has ended, and says nothing more (`farewell`)
//! ```
//!
//! Hello and Welcome have the same layout for as long as the frame version is the same, and nodes of two frame versions
//! do not talk. So what a later version wants to be told goes in here under a new number. Other messages may have new
//! kinds behind the old ones; they are sent only to who says here that it is of a version, or a level, that knows them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use storage::inventory::LEVELS;

const VERSION: u16 = 1;
const LOWEST: u16 = 2;
const HIGHEST: u16 = 3;
const FAREWELL: u16 = 4;
/// Nothing that this version knows, as of one that comes after it: for the test of an upgrade.
#[cfg(feature = "next-version")]
const OF_THE_NEXT: u16 = 1_000;

/// No version is shown with more characters.
const VERSION_CHARS_MAX: usize = 64;

/// This binary's version. That of the test of an upgrade is another one.
pub const OWN_VERSION: &str = match cfg!(feature = "next-version") {
    true => concat!(env!("CARGO_PKG_VERSION"), "+next"),
    false => env!("CARGO_PKG_VERSION"),
};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About(BTreeMap<u16, Vec<u8>>);

/// A lastunit: its version, and the feature levels that it can apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Its version, as `--version` shows it.
    pub version: String,
    /// The feature levels.
    pub levels: RangeInclusive<u16>,
}

impl Build {
    /// This one.
    pub fn own() -> Build {
        Build { version: OWN_VERSION.to_owned(), levels: LEVELS }
    }
}

impl About {
    /// What this node says.
    pub(crate) fn own() -> About {
        About::of(&Build::own())
    }

    pub(crate) fn of(build: &Build) -> About {
        let level = |level: &u16| level.to_le_bytes().to_vec();
        let (lowest, highest) = (level(build.levels.start()), level(build.levels.end()));
        let values = [(VERSION, build.version.clone().into_bytes()), (LOWEST, lowest), (HIGHEST, highest)];
        let values = BTreeMap::from(values);
        #[cfg(feature = "next-version")]
        let values = values.into_iter().chain([(OF_THE_NEXT, b"more than it takes".to_vec())]).collect();
        About(values)
    }

    /// The same, and that it is this start's last word.
    pub(crate) fn farewell() -> About {
        let mut about = About::own();
        about.0.insert(FAREWELL, Vec::new());
        about
    }

    /// Whether it is the last word of a start.
    pub(crate) fn is_farewell(&self) -> bool {
        self.0.contains_key(&FAREWELL)
    }

    /// What a peer has said. Where it did not tell its levels, it is taken to support the first one alone.
    pub(crate) fn build(&self) -> Build {
        let level = |number| {
            let bytes = self.0.get(&number).and_then(|bytes| bytes.as_slice().try_into().ok());
            bytes.map_or(1, u16::from_le_bytes)
        };
        Build { version: self.version(), levels: level(LOWEST)..=level(HIGHEST) }
    }

    /// The version as it can be shown: a peer may say anything.
    fn version(&self) -> String {
        let told = self.0.get(&VERSION).map(|told| String::from_utf8_lossy(told)).unwrap_or_default();
        let shown: String = told.chars().filter(char::is_ascii_graphic).take(VERSION_CHARS_MAX).collect();
        if shown.is_empty() { "unknown".to_owned() } else { shown }
    }
}

/// What each peer has said of its build at the last handshake.
#[derive(Default)]
pub(crate) struct Builds(Mutex<BTreeMap<u64, Build>>);

impl Builds {
    pub(crate) fn note(&self, peer: u64, build: Build) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, build);
    }

    pub(crate) fn of(&self, peer: u64) -> Option<Build> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&peer).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn a_build_comes_back_as_it_was() {
        for build in [Build::own(), Build { version: "9.1.0".into(), levels: 3..=700 }] {
            let bytes = codec::encode(&About::of(&build)).unwrap();
            assert_eq!(codec::decode::<About>(&bytes).unwrap().build(), build);
        }
    }

    /// So nodes of the next version and of this one understand each other.
    #[test]
    fn what_a_later_version_adds_is_passed_over_and_what_it_leaves_out_is_told_from_it() {
        let mut about = About::of(&Build { version: "2.0.0".into(), levels: 1..=2 });
        about.0.insert(99, b"something new".to_vec());
        assert_eq!(about.build(), Build { version: "2.0.0".into(), levels: 1..=2 });
        about.0.clear();
        assert_eq!(about.build(), Build { version: "unknown".into(), levels: 1..=1 });
    }

    /// A version that knows of no farewells sees a handshake as any other.
    #[test]
    fn a_farewell_is_told_from_what_is_said_at_any_other_time() {
        let bytes = codec::encode(&About::farewell()).unwrap();
        let about = codec::decode::<About>(&bytes).unwrap();
        assert!(about.is_farewell() && !About::own().is_farewell());
        assert_eq!(about.build(), Build::own());
    }

    #[test]
    fn a_version_is_shown_as_one_short_word_whatever_a_peer_says() {
        for (said, shown) in [
            (&b"1.2.3"[..], "1.2.3".to_owned()),
            (b"", "unknown".to_owned()),
            (b"\xff\x00 \n", "unknown".to_owned()),
            (b"1.0\x1b[31m\nlevel=9", "1.0[31mlevel=9".to_owned()),
            (&[b'x'; 1_000], "x".repeat(64)),
        ] {
            let about = About(BTreeMap::from([(VERSION, said.to_vec())]));
            assert_eq!(about.build().version, shown);
        }
    }
}
