//! The table of all calls. A test holds it against the router.

mod checkout;
mod events;
mod inventory;
mod members;
mod operators;
mod reservations;

use client::code;

use super::call::Call;
use crate::http::guard;

/// Calls that belong together.
pub(super) struct Group {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
    /// Its calls.
    pub(super) calls: Vec<Call>,
}

/// Every call, in the order in which a newcomer meets them.
pub(super) fn groups() -> Vec<Group> {
    let mut groups = all();
    // Who is asked for a token may lack it, or one for this.
    let guarded = |call: &&mut Call| !guard::is_open(call.path);
    for call in groups.iter_mut().flat_map(|group| &mut group.calls).filter(guarded) {
        call.codes.extend([code::UNAUTHENTICATED, code::FORBIDDEN]);
    }
    groups
}

fn all() -> Vec<Group> {
    vec![
        Group {
            name: "Checkout",
            about: "A cart takes its units, keeps them while its buyer pays, and buys them or gives them back.",
            calls: checkout::calls(),
        },
        Group {
            name: "Reservations",
            about: "What became of carts: one by one, waited for, or listed.",
            calls: reservations::calls(),
        },
        Group {
            name: "Inventory",
            about: "What there is to sell: set, adjusted, read and removed.",
            calls: inventory::calls(),
        },
        Group {
            name: "Change feed",
            about: "Every change of every reservation and SKU, once and in order.",
            calls: events::calls(),
        },
        Group {
            name: "Operation",
            about: "For those who run the cluster, and their tools.",
            calls: operators::calls(),
        },
    ]
}

/// What every call may answer that becomes a command, and these.
fn command(own: &[&'static str]) -> Vec<&'static str> {
    let all = [
        code::INVALID_REQUEST,
        code::BODY_TOO_LARGE,
        code::UNSUPPORTED_MEDIA_TYPE,
        code::IDEMPOTENCY_KEY_REUSED,
        code::RATE_LIMITED,
        code::NO_LEADER,
        code::NO_QUORUM,
        code::OVERLOADED,
        code::FEATURE_NOT_ACTIVE,
        code::OUTCOME_UNKNOWN,
    ];
    [own, &all].concat()
}

/// What every read of the state may answer, and these.
fn read(own: &[&'static str]) -> Vec<&'static str> {
    let all = [code::INVALID_REQUEST, code::RATE_LIMITED, code::NO_LEADER, code::NO_QUORUM, code::OVERLOADED];
    [own, &all].concat()
}
