//! The life of a reservation: reserve, commit, release, extend, return.

use hyper::Method;
use serde::Serialize;

use crate::api::{CommitRequest, ExtendRequest, ReleaseRequest, Reservation, ReserveRequest, ReturnRequest};
use crate::builder::Client;
use crate::call::Call;

impl Client {
    /// Takes a hold for a whole cart, or nothing; with `wait`, joins the line where the cart's one SKU does not fit.
    ///
    /// Refusals: `held_by_others`, `insufficient_stock`, `cart_already_reserved`, `customer_limit`, `sku_not_found`.
    ///
    /// ```no_run
    /// # async fn example(client: client::Client) -> Result<(), client::Error> {
    /// use client::api::{ReservationState, ReserveRequest};
    ///
    /// let cart = ReserveRequest { wait: Some(true), ..ReserveRequest::one("cart-1", "PS5", 1) };
    /// let place = client.reserve(&cart).await?.value;
    /// if place.state == ReservationState::Waiting {
    ///     println!("place {:?} in the line", place.position);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn reserve(&self, request: &ReserveRequest) -> Call<Reservation> {
        self.post("/api/checkout/reserve", request)
    }

    /// Sells what a hold holds, or the part that `items` names; the rest is released.
    ///
    /// Refusals: `fencing_token_stale`, `reservation_not_found`, `reservation_expired`, `reservation_released`,
    /// `reservation_waiting`, `already_committed`.
    ///
    /// ```no_run
    /// # async fn example(client: client::Client, reservation_id: String) -> Result<(), client::Error> {
    /// use client::api::{CommitRequest, IfExpired, Item};
    ///
    /// // The payment came late, and for one of two: take it all the same where the unit is still there.
    /// let request = CommitRequest {
    ///     reservation_id,
    ///     payment_token: Some("pay-1".to_owned()),
    ///     items: Some(vec![Item::new("PS5", 1)]),
    ///     if_expired: Some(IfExpired::Reacquire),
    ///     ..Default::default()
    /// };
    /// client.commit(&request).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn commit(&self, request: &CommitRequest) -> Call<Reservation> {
        self.post("/api/checkout/commit", request)
    }

    /// Gives a hold's units back to sale, or a place in the line: all of it where only an id is given.
    ///
    /// Refusals: `already_committed`, `reservation_not_found`.
    ///
    /// ```no_run
    /// # async fn example(client: client::Client, id: &str) -> Result<(), client::Error> {
    /// use client::api::{Item, ReleaseRequest};
    ///
    /// let part = Some(vec![Item::new("PS5", 1)]);
    /// client.release(ReleaseRequest { reservation_id: id.to_owned(), items: part }).await?;
    /// client.release(id).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn release(&self, request: impl Into<ReleaseRequest>) -> Call<Reservation> {
        self.post("/api/checkout/release", &request.into())
    }

    /// Moves a hold's deadline, never to an earlier time.
    ///
    /// Refusals: `hold_limit`, `reservation_not_found`, `reservation_expired`, `reservation_released`,
    /// `reservation_waiting`, `already_committed`.
    pub fn extend(&self, request: &ExtendRequest) -> Call<Reservation> {
        self.post("/api/checkout/extend", request)
    }

    /// Takes sold units back into stock: all that are not back yet where only an id is given.
    ///
    /// Refusals: `not_committed`, `return_exceeds_sale`, `reservation_not_found`, `sku_not_found`.
    pub fn return_(&self, request: impl Into<ReturnRequest>) -> Call<Reservation> {
        self.post("/api/checkout/return", &request.into())
    }

    fn post(&self, path: &str, request: &impl Serialize) -> Call<Reservation> {
        self.write(Method::POST, path.to_owned(), request)
    }
}

/// A request that needs no more than a reservation's id.
macro_rules! from_id {
    ($request:ident) => {
        impl From<String> for $request {
            fn from(reservation_id: String) -> $request {
                $request { reservation_id, items: None }
            }
        }

        impl From<&String> for $request {
            fn from(reservation_id: &String) -> $request {
                reservation_id.clone().into()
            }
        }

        impl From<&str> for $request {
            fn from(reservation_id: &str) -> $request {
                reservation_id.to_owned().into()
            }
        }
    };
}

from_id!(ReleaseRequest);
from_id!(ReturnRequest);
