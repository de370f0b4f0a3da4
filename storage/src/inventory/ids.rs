//! Names and numbers that clients and records share.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

/// The most units that one quantity may hold: 10^15. Below 2^53, so that no JSON reader rounds it, and far
/// enough below 2^64 that sums of two never wrap.
pub const UNITS_MAX: u64 = 1_000_000_000_000_000;

/// The most items that a cart may have.
pub const ITEMS_MAX: usize = 100;

/// The most versions that a precondition may name.
pub const VERSIONS_MAX: usize = 16;

/// The latest moment that the cluster clock can show: the end of the year 9999, the last that RFC 3339 can write.
pub const CLOCK_MS_MAX: u64 = 253_402_300_799_999;

/// A stock-keeping unit: `[A-Za-z0-9._:-]{1,128}`, also where it was decoded. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Sku(Arc<str>);

impl Sku {
    /// The SKU of that name, or `None` where the name is not one.
    pub fn new(name: &str) -> Option<Sku> {
        let fits = (1..=128).contains(&name.len());
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b));
        (fits && plain).then(|| Sku(Arc::from(name)))
    }

    /// The name, shared.
    pub(super) fn shared(&self) -> &Arc<str> {
        &self.0
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A SKU sorts as its name does.
impl Borrow<str> for Sku {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sku {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sku, D::Error> {
        // A newtype around a text, as the derived Serialize writes it, in one allocation.
        deserializer.deserialize_newtype_struct("Sku", SkuVisitor)
    }
}

struct SkuVisitor;

impl<'de> Visitor<'de> for SkuVisitor {
    type Value = Sku;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SKU: 1 to 128 of A-Z, a-z, 0-9 and . _ : -")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Sku, D::Error> {
        deserializer.deserialize_str(self)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Sku, E> {
        Sku::new(name).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(name), &self))
    }
}

/// Which reservation: the sequence number of the command that made it, so that no two share one and later ones
/// sort after earlier ones, and a random nonce that the command brought, so that none can be guessed.
///
/// Written `res_` and 26 characters of Crockford's base 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReservationId {
    /// The sequence number of the reserve that made it.
    pub sequence: u64,
    /// Chosen at random by the node that received the call.
    pub nonce: u64,
}

const PREFIX: &str = "res_";
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const DIGITS: usize = 26;

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from(self.sequence) << 64 | u128::from(self.nonce);
        let mut text = *b"res_00000000000000000000000000";
        for (place, slot) in text[PREFIX.len()..].iter_mut().rev().enumerate() {
            *slot = ALPHABET[(number >> (5 * place)) as usize & 31];
        }
        // Written at once: letter by letter it would be a third of the time that an answer takes.
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for ReservationId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix(PREFIX).ok_or(())?.as_bytes();
        // 26 digits are 130 bits: the first one carries only three.
        if digits.len() != DIGITS || digits[0] > b'7' {
            return Err(());
        }
        let mut number = 0u128;
        for digit in digits {
            let value = ALPHABET.iter().position(|c| c == digit).ok_or(())?;
            number = number << 5 | value as u128;
        }
        Ok(ReservationId { sequence: (number >> 64) as u64, nonce: number as u64 })
    }
}

/// A SKU and how many units of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Which SKU.
    pub sku: Sku,
    /// How many units; at least 1.
    pub qty: u64,
}
