//! Pages of lists.

use axum::http::StatusCode;
use axum::response::Response;
use raft::Read;
use serde::Serialize;
use storage::inventory::ids::{ReservationId, Sku};
use storage::inventory::outcome::{ReservationView, StockView};
use storage::inventory::query::Page;

use super::{Fresh, json, moment};
use crate::http::cursor::{self, Key};
use crate::http::record;
use crate::http::store::Consistency;

/// SKUs.
pub(crate) fn stocks(read: &Read<Page<StockView, Sku>>, consistency: Consistency) -> Response {
    page(read, consistency, record::Stock::from)
}

/// Reservations.
pub(crate) fn reservations(
    mut read: Read<Page<ReservationView, ReservationId>>,
    consistency: Consistency,
) -> Response {
    for view in &mut read.value.rows {
        // As of a single reservation that is read: what is left is counted from the read's own time.
        view.now_ms = view.now_ms.max(read.now_ms);
    }
    page(&read, consistency, record::Reservation::from)
}

/// See [`client::api::Page`].
#[derive(Serialize)]
struct PageRecord<R> {
    data: Vec<R>,
    next_cursor: Option<String>,
}

fn page<'a, V, K: Key, R: Serialize>(
    read: &'a Read<Page<V, K>>,
    consistency: Consistency,
    record: impl Fn(&'a V) -> R,
) -> Response {
    let data = read.value.rows.iter().map(record).collect();
    let page = PageRecord { data, next_cursor: read.value.next.as_ref().map(cursor::encode) };
    let mut response = json(StatusCode::OK, &Fresh::new(page, read, consistency));
    moment(response.headers_mut(), read, consistency);
    response
}
