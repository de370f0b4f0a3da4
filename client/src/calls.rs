//! The contract's calls, one method each.

use std::fmt::Write;

use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{
    AdjustRequest, ClusterView, CommitRequest, ExtendRequest, InventoryRecord, PutSkuRequest, ReleaseRequest,
    Reservation, ReserveRequest, ReturnRequest,
};
use crate::builder::Client;
use crate::call::{Call, json, nothing};
use crate::transport::Message;

impl Client {
    /// Takes a hold for a whole cart, or nothing.
    ///
    /// Refusals: `held_by_others`, `insufficient_stock`, `cart_already_reserved`, `sku_not_found`.
    pub fn reserve(&self, request: &ReserveRequest) -> Call<Reservation> {
        self.post("/api/checkout/reserve", request)
    }

    /// Sells what a hold holds.
    ///
    /// Refusals: `fencing_token_stale`, `reservation_not_found`, `reservation_expired`, `reservation_released`,
    /// `already_committed`.
    pub fn commit(&self, request: &CommitRequest) -> Call<Reservation> {
        self.post("/api/checkout/commit", request)
    }

    /// Gives a hold's units back to sale.
    ///
    /// Refusals: `already_committed`, `reservation_not_found`.
    pub fn release(&self, reservation_id: impl Into<String>) -> Call<Reservation> {
        self.post(
            "/api/checkout/release",
            &ReleaseRequest { reservation_id: reservation_id.into(), items: None },
        )
    }

    /// Moves a hold's deadline.
    ///
    /// Refusals: `hold_limit`, `reservation_not_found`, `reservation_expired`, `reservation_released`,
    /// `already_committed`.
    pub fn extend(&self, request: &ExtendRequest) -> Call<Reservation> {
        self.post("/api/checkout/extend", request)
    }

    /// Takes sold units back into stock.
    ///
    /// Refusals: `not_committed`, `return_exceeds_sale`, `reservation_not_found`.
    pub fn return_(&self, reservation_id: impl Into<String>) -> Call<Reservation> {
        self.post(
            "/api/checkout/return",
            &ReturnRequest { reservation_id: reservation_id.into(), items: None },
        )
    }

    /// A reservation. Linearizable.
    ///
    /// Refusals: `reservation_not_found`.
    pub fn reservation(&self, reservation_id: &str) -> Call<Reservation> {
        self.get(format!("/api/reservations/{}", Segment(reservation_id)))
    }

    /// Makes a SKU, or sets its figures.
    ///
    /// Refusals: `stock_below_held`.
    pub fn put_sku(&self, sku: &str, request: &PutSkuRequest) -> Call<InventoryRecord> {
        self.write(Method::PUT, sku_path(sku), request)
    }

    /// Adds to a SKU's on_hand, or takes from it.
    ///
    /// Refusals: `stock_below_held`, `sku_not_found`.
    pub fn adjust(&self, sku: &str, request: &AdjustRequest) -> Call<InventoryRecord> {
        self.write(Method::POST, format!("{}/adjust", sku_path(sku)), request)
    }

    /// A SKU's figures. Linearizable.
    ///
    /// Refusals: `sku_not_found`.
    pub fn sku(&self, sku: &str) -> Call<InventoryRecord> {
        self.get(sku_path(sku))
    }

    /// The cluster, as the node that answers sees it.
    pub fn cluster(&self) -> Call<ClusterView> {
        self.get("/api/cluster".to_owned())
    }

    /// Whether a node serves: it knows a leader, has caught up, and reads through it work. Tried once.
    pub fn ready(&self) -> Call<()> {
        self.probe("/readyz")
    }

    /// Whether a node lives. Tried once.
    pub fn live(&self) -> Call<()> {
        self.probe("/livez")
    }

    fn post(&self, path: &str, request: &impl Serialize) -> Call<Reservation> {
        self.write(Method::POST, path.to_owned(), request)
    }

    fn write<T: DeserializeOwned>(&self, method: Method, path: String, request: &impl Serialize) -> Call<T> {
        let message = Message::write(method, path, request);
        Call::new(self.transport.clone(), self.route, self.policy.clone(), message, json)
    }

    fn get<T: DeserializeOwned>(&self, path: String) -> Call<T> {
        Call::new(self.transport.clone(), self.route, self.policy.clone(), Message::read(path), json)
    }

    fn probe(&self, path: &str) -> Call<()> {
        let message = Message::read(path.to_owned());
        Call::new(self.transport.clone(), self.route, self.policy.clone(), message, nothing).tries_max(1)
    }
}

fn sku_path(sku: &str) -> String {
    format!("/api/inventory/{}", Segment(sku))
}

/// A text as one segment of a path: what could end or change the segment is written as `%XX`.
struct Segment<'a>(&'a str);

impl std::fmt::Display for Segment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.bytes().try_for_each(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b':' | b'~' | b'-' => {
                f.write_char(char::from(b))
            }
            _ => write!(f, "%{b:02X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_one_segment() {
        let table = [("PS5", "PS5"), ("a.b_c:d-e", "a.b_c:d-e"), ("a/../b?c#d%", "a%2F..%2Fb%3Fc%23d%25")];
        for (text, segment) in table {
            assert_eq!(Segment(text).to_string(), segment);
        }
        assert_eq!(Segment("\u{e9} ").to_string(), "%C3%A9%20");
    }
}
