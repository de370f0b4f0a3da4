//! Planted bugs: mistakes that somebody could make, at the places where he would make them, to see that a test notices.
//!
//! ```text
//!   every release      planted!("...")  is  false, and the mistake is not even compiled into it
//!   planted-bugs       planted!("...")  is  whether LASTUNIT_PLANTED names that bug, looked up once in each process
//! ```
//!
//! One build holds all of them, since building each by itself would take longer than the tests do. `.ci/planted` runs
//! the tests with one bug after the other; docs/guarantees.md lists them, and who catches which.
//!
//! Invariants:
//! * A bug is one `if` at each of its places, and the code around it is what it would be without it.
//! * A name that is not in `NAMES` does not compile; one that is not found there is no choice either.
//! * Nothing chooses a bug but the environment of the process, and no configuration or message of a peer.

/// Whether a bug is planted: never, in this build.
#[cfg(not(feature = "planted-bugs"))]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}

/// Whether a bug is planted: whether the environment names it.
#[cfg(feature = "planted-bugs")]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {{
        const { assert!($crate::planted::is_known($name), "no bug has this name") }
        $crate::planted::is_chosen($name)
    }};
}

#[cfg(feature = "planted-bugs")]
pub use chosen::{NAMES, VARIABLE, choice, is_chosen, is_known};

#[cfg(feature = "planted-bugs")]
mod chosen {
    use std::sync::OnceLock;

    /// The environment variable that names the bug.
    pub const VARIABLE: &str = "LASTUNIT_PLANTED";

    /// All bugs.
    pub const NAMES: &[&str] = &[
        "acknowledged-before-fsync",
        "vote-not-persisted",
        "truncation-not-synced",
        "group-checksum-ignored",
        "record-checksum-ignored",
        "torn-tail-cut-in-the-middle",
        "purged-one-too-far",
        "purged-before-the-snapshot-was-read-back",
        "snapshot-without-its-end-checked",
        "snapshot-name-not-synced",
        "answers-not-in-images",
        "checkpoint-claims-one-entry-more",
        "position-apart-from-its-entry",
        "clock-read-in-apply",
        "hold-ends-too-early",
        "hold-ends-only-when-touched",
        "no-tick-when-due",
        "leader-stamps-by-its-own-clock",
        "silent-clock-counts",
        "fingerprint-not-compared",
        "line-overtaken",
        "part-of-a-cart-taken",
        "part-released-gives-back-all",
        "committed-twice-sells-twice",
        "returned-more-than-sold",
        "reacquired-without-stock",
        "fencing-token-used-twice",
        "limit-counts-lapsed-holds",
        "limit-forgets-what-was-bought",
        "digest-misses-a-change",
        "sequence-skipped-at-a-refusal",
        "event-lost-at-revoke",
        "gate-forgets-kept-answers",
        "gate-without-confirmation",
        "gate-on-stale-state",
        "read-without-confirmation",
        "read-confirmed-by-openrafts-clock",
        "frame-checksum-ignored",
        "forwarded-twice",
        "stale-read-not-labelled",
    ];

    /// Whether there is a bug of that name. For the compiler, which cannot compare texts by itself.
    pub const fn is_known(name: &str) -> bool {
        let mut at = 0;
        while at < NAMES.len() {
            if is_same(NAMES[at].as_bytes(), name.as_bytes()) {
                return true;
            }
            at += 1;
        }
        false
    }

    const fn is_same(one: &[u8], other: &[u8]) -> bool {
        let mut at = 0;
        while at < one.len() && at < other.len() && one[at] == other[at] {
            at += 1;
        }
        at == one.len() && at == other.len()
    }

    /// The bug that the environment names, if it names one.
    ///
    /// # Errors
    /// It names what is no bug; that is in the error.
    pub fn choice() -> Result<Option<&'static str>, String> {
        let Some(asked) = std::env::var_os(VARIABLE).filter(|asked| !asked.is_empty()) else {
            return Ok(None);
        };
        match NAMES.iter().find(|name| asked == **name) {
            Some(name) => Ok(Some(name)),
            None => Err(asked.to_string_lossy().into_owned()),
        }
    }

    /// Whether this process has that bug.
    pub fn is_chosen(name: &str) -> bool {
        static CHOSEN: OnceLock<Option<&str>> = OnceLock::new();
        *CHOSEN.get_or_init(|| choice().unwrap_or(None)) == Some(name)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_bug_has_one_name_and_no_other_name_is_one() {
            let mut names = NAMES.to_vec();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), NAMES.len());
            assert!(NAMES.iter().all(|name| is_known(name)));
            assert!(!is_known("") && !is_known("vote") && !is_known("vote-not-persisted-"));
        }
    }
}
