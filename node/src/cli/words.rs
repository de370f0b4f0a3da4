//! Words of the command line that several commands take.

use client::Call;
use client::api::{Item, OnShortfall, ReservationState};
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};

/// `PS5=2`: so many units of that SKU; `PS5` is one.
pub(super) fn item(text: &str) -> Result<Item, String> {
    let (sku, qty) = text.split_once('=').unwrap_or((text, "1"));
    let qty =
        qty.parse().map_err(|_| format!("{qty:?} is no number of units; write SKU=QTY, such as PS5=2"))?;
    Ok(Item::new(sku, qty))
}

/// The state of a reservation, as the API writes it.
pub(super) fn state(text: &str) -> Result<ReservationState, String> {
    let word = StrDeserializer::<Error>::new(text);
    ReservationState::deserialize(word).map_err(|cause| cause.to_string())
}

/// The items, where any are named; none means all.
pub(super) fn part(items: Vec<Item>) -> Option<Vec<Item>> {
    (!items.is_empty()).then_some(items)
}

/// What to do where on_hand would fall below what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shortfall {
    /// Refuse with stock_below_held.
    Refuse,
    /// Take the newest holds away, whole, until the rest fits.
    #[value(name = "revoke_newest")]
    RevokeNewest,
}

impl From<Shortfall> for OnShortfall {
    fn from(shortfall: Shortfall) -> OnShortfall {
        match shortfall {
            Shortfall::Refuse => OnShortfall::Refuse,
            Shortfall::RevokeNewest => OnShortfall::RevokeNewest,
        }
    }
}

/// On what the change of a SKU's record depends.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Condition {
    /// Only where the record has this version; else precondition_failed.
    #[arg(long, value_name = "VERSION", env = "LASTUNIT_IF_VERSION")]
    if_version: Option<u64>,
}

impl Condition {
    /// The call under this condition.
    pub(super) fn on<T>(&self, call: Call<T>) -> Call<T> {
        match self.if_version {
            Some(version) => call.if_version(version),
            None => call,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_a_word_of_the_api() {
        assert_eq!(state("waiting"), Ok(ReservationState::Waiting));
        assert!(state("Waiting").unwrap_err().contains("`waiting`, `held`, `committed`"));
    }

    #[test]
    fn an_item_is_a_sku_and_how_many() {
        assert_eq!(item("PS5=2"), Ok(Item::new("PS5", 2)));
        assert_eq!(item("a:b.c-d_e"), Ok(Item::new("a:b.c-d_e", 1)));
        for bad in ["PS5=", "PS5=x", "PS5=-1", "PS5=1=2", "PS5=1.5"] {
            assert!(item(bad).is_err(), "{bad}");
        }
    }
}
