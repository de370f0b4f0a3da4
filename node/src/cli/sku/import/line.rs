//! One line of an import: what it asks for, or why it asks for nothing.
//!
//! Whatever the file's format, a line becomes a JSON object, and that becomes the request of the API. The ranges are
//! those that a node holds to. They are checked here as well, so that a dry run tells what a real one would.

use client::api::{AdjustRequest, OnShortfall, PutSkuRequest};
use serde_json::{Map, Value};

/// The most units that any figure may be.
const UNITS_MAX: u64 = 1_000_000_000_000_000;

/// The code of a line that no node was asked about.
const INVALID_LINE: &str = "invalid_line";

/// A line that can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number in the file, from 1 on.
    pub(super) number: u64,
    /// Which SKU.
    pub(super) sku: String,
    /// What is to become of it.
    pub(super) change: Change,
}

/// What is to become of a SKU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// These figures.
    Set(PutSkuRequest),
    /// More or fewer units.
    Adjust(AdjustRequest),
}

/// A line that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejected {
    /// Its number in the file, from 1 on.
    pub(super) number: u64,
    /// Which SKU, where that can be told.
    pub(super) sku: Option<String>,
    /// The code of the problem, or [`INVALID_LINE`].
    pub(super) code: String,
    /// What is wrong, for people.
    pub(super) reason: String,
}

impl Rejected {
    /// A line that no node was asked about.
    pub(super) fn line(number: u64, sku: Option<String>, reason: impl Into<String>) -> Rejected {
        Rejected { number, sku, code: INVALID_LINE.to_owned(), reason: reason.into() }
    }
}

/// What an import does with all its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Task {
    /// Whether it adds, instead of setting.
    pub(super) adjust: bool,
    /// What becomes of holds that the stock does not suffice for, where a line does not say.
    pub(super) on_shortfall: Option<OnShortfall>,
}

impl Task {
    /// The line with these fields.
    pub(super) fn line(self, number: u64, mut fields: Map<String, Value>) -> Result<Line, Rejected> {
        let sku = match fields.remove("sku") {
            Some(Value::String(sku)) => sku,
            Some(_) => return Err(Rejected::line(number, None, "sku: is not text")),
            None => return Err(Rejected::line(number, None, "sku: is missing")),
        };
        let change = match is_sku(&sku) {
            true => self.change(fields),
            false => Err("sku: is not 1 to 128 of A-Z a-z 0-9 . _ : -".to_owned()),
        };
        match change {
            Ok(change) => Ok(Line { number, sku, change }),
            Err(reason) => Err(Rejected::line(number, Some(sku), reason)),
        }
    }

    fn change(self, fields: Map<String, Value>) -> Result<Change, String> {
        let fields = Value::Object(fields);
        match self.adjust {
            true => {
                let mut adjust: AdjustRequest = serde_json::from_value(fields).map_err(told)?;
                adjust.on_shortfall = adjust.on_shortfall.or(self.on_shortfall);
                units("delta", adjust.delta.unsigned_abs(), 1)?;
                Ok(Change::Adjust(adjust))
            }
            false => {
                let mut put: PutSkuRequest = serde_json::from_value(fields).map_err(told)?;
                put.on_shortfall = put.on_shortfall.or(self.on_shortfall);
                units("on_hand", put.on_hand, 0)?;
                units("safety_stock", put.safety_stock.unwrap_or(0), 0)?;
                units("max_per_customer", put.max_per_customer.flatten().unwrap_or(1), 1)?;
                Ok(Change::Set(put))
            }
        }
    }
}

fn told(cause: serde_json::Error) -> String {
    cause.to_string()
}

fn is_sku(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(fits)
}

fn units(field: &str, given: u64, least: u64) -> Result<(), String> {
    match (least..=UNITS_MAX).contains(&given) {
        true => Ok(()),
        false => Err(format!("{field}: {given} is not {least} to {UNITS_MAX} units")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, adjust: bool) -> Result<Line, Rejected> {
        let Value::Object(fields) = serde_json::from_str(text).unwrap() else { panic!("an object") };
        Task { adjust, on_shortfall: Some(OnShortfall::RevokeNewest) }.line(7, fields)
    }

    #[test]
    fn a_line_sets_what_it_names_and_keeps_what_it_does_not() {
        let Line { number, sku, change } =
            line(r#"{"sku":"PS5","on_hand":5,"max_per_customer":null}"#, false).unwrap();
        let on_shortfall = Some(OnShortfall::RevokeNewest);
        let put =
            PutSkuRequest { on_hand: 5, safety_stock: None, max_per_customer: Some(None), on_shortfall };
        assert_eq!((number, sku.as_str(), change), (7, "PS5", Change::Set(put)));
    }

    #[test]
    fn what_cannot_be_done_says_why() {
        let long = format!(r#"{{"sku":"{}","on_hand":1}}"#, "x".repeat(129));
        let table = [
            (r#"{"on_hand":1}"#, false, "sku: is missing"),
            (r#"{"sku":7,"on_hand":1}"#, false, "sku: is not text"),
            (r#"{"sku":"","on_hand":1}"#, false, "sku: is not 1 to 128"),
            (r#"{"sku":"a b","on_hand":1}"#, false, "sku: is not 1 to 128"),
            (&long, false, "sku: is not 1 to 128"),
            (r#"{"sku":"A"}"#, false, "missing field `on_hand`"),
            (r#"{"sku":"A","on_hand":-1}"#, false, "invalid value: integer `-1`"),
            (r#"{"sku":"A","on_hand":1.5}"#, false, "invalid type: floating point"),
            (r#"{"sku":"A","on_hand":1000000000000001}"#, false, "on_hand: 1000000000000001 is not 0 to"),
            (r#"{"sku":"A","on_hand":1,"safety_stock":1000000000000001}"#, false, "safety_stock: "),
            (r#"{"sku":"A","on_hand":1,"max_per_customer":0}"#, false, "max_per_customer: 0 is not 1 to"),
            (r#"{"sku":"A","on_hand":1,"colour":"red"}"#, false, "unknown field `colour`"),
            (r#"{"sku":"A","on_hand":1}"#, true, "unknown field `on_hand`"),
            (r#"{"sku":"A","delta":0}"#, true, "delta: 0 is not 1 to"),
        ];
        for (text, adjust, reason) in table {
            let rejected = line(text, adjust).unwrap_err();
            assert!(rejected.reason.starts_with(reason), "{text}: {}", rejected.reason);
            assert_eq!((rejected.number, rejected.code.as_str()), (7, INVALID_LINE));
        }
    }
}
