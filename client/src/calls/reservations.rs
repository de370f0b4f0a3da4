//! Reservations: read, list.

use crate::api::Reservation;
use crate::builder::Client;
use crate::call::Call;
use crate::list::List;
use crate::message::Escaped;

impl Client {
    /// A reservation. Linearizable, unless [`Call::stale`]; with [`Call::wait_seconds`], at its next change.
    ///
    /// Refusals: `reservation_not_found`.
    pub fn reservation(&self, reservation_id: &str) -> Call<Reservation> {
        self.get(format!("/api/reservations/{}", Escaped(reservation_id)))
    }

    /// The reservations in the order in which they were made, those included that ended within the retention.
    ///
    /// ```no_run
    /// # async fn example(client: client::Client) -> Result<(), client::Error> {
    /// use client::api::ReservationState;
    ///
    /// let page = client.reservations().sku("PS5").state(ReservationState::Held).page_size(10).page(None).await?;
    /// for hold in page.value.data {
    ///     println!("{} holds {:?}", hold.cart_id, hold.items);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn reservations(&self) -> List<Reservation> {
        List::new(self, "/api/reservations")
    }
}
