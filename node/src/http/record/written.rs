//! A reservation's JSON by hand, for the answers that come by the hundred thousand a second.
//!
//! Serde asks of each letter of each name whether it needs escaping, and appends a field in six steps. Names and states
//! are known to need none. What a client chose, and numbers, are still written by serde's own writer. A test holds the
//! two together.

use std::io::Write;

use serde::Serialize;

use super::{Items, Reservation, Time, with_time};
use crate::http::reply::write_json;

impl Reservation<'_> {
    /// Appends the JSON that serde would write.
    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        // Writing into memory cannot fail.
        let _ = write!(into, "{{\"reservation_id\":\"{}\"", self.reservation_id);
        text(into, b",\"state\":\"", self.state);
        field(into, b",\"cart_id\":", Some(self.cart_id));
        field(into, b",\"customer_id\":", self.customer_id);
        items(into, b",\"items\":[", &self.items);
        field(into, b",\"expires_in\":", self.expires_in);
        time(into, b",\"expires_at\":\"", self.expires_at);
        time(into, b",\"created_at\":\"", Some(self.created_at));
        field(into, b",\"fencing_token\":", self.fencing_token);
        field(into, b",\"position\":", self.position);
        time(into, b",\"committed_at\":\"", self.committed_at);
        field(into, b",\"payment_token\":", self.payment_token);
        if !self.returned.is_empty() {
            items(into, b",\"returned\":[", &self.returned);
        }
        into.push(b'}');
    }
}

fn field(into: &mut Vec<u8>, name: &[u8], value: Option<impl Serialize>) {
    if let Some(value) = value {
        into.extend_from_slice(name);
        write_json(into, &value);
    }
}

/// Text that needs no escaping. The name ends with its first quote.
fn text(into: &mut Vec<u8>, name: &[u8], value: &str) {
    into.extend_from_slice(name);
    into.extend_from_slice(value.as_bytes());
    into.push(b'"');
}

fn time(into: &mut Vec<u8>, name: &[u8], value: Option<Time>) {
    if let Some(Time(ms)) = value {
        with_time(ms, |value| text(into, name, value));
    }
}

fn items(into: &mut Vec<u8>, name: &[u8], items: &Items<'_>) {
    into.extend_from_slice(name);
    for (place, item) in items.0.iter().enumerate() {
        // A SKU's name is of letters, digits and four signs that JSON takes as they are.
        text(into, if place > 0 { b",{\"sku\":\"" } else { b"{\"sku\":\"" }, item.sku.as_str());
        field(into, b",\"qty\":", Some(item.qty));
        into.push(b'}');
    }
    into.push(b']');
}
