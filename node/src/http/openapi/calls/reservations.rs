//! `/api/reservations`.

use client::code;

use super::read;
use crate::http::openapi::call::{Answer, Call, Content};
use crate::http::openapi::examples::{self, example};
use crate::http::openapi::parameters;

const CURSOR: &str = "AQIAAAAAAAAAKpw_Wh3ie0CG";

/// Its calls.
pub(super) fn calls() -> Vec<Call> {
    vec![get(), list()]
}

fn get() -> Call {
    Call {
        method: "GET",
        path: "/api/reservations/{id}",
        id: "getReservation",
        title: "Read a reservation",
        about: "The reservation as it is now, or, with `wait_seconds`, as it is once its state has changed: so a cart \
                in the line learns of its hold at once, through any node.",
        parameters: vec![
            parameters::reservation(),
            parameters::wait_seconds(),
            parameters::while_in(),
            parameters::consistency(),
        ],
        request: None,
        answers: vec![Answer {
            status: 200,
            about: "The reservation.",
            headers: &["Lastunit-Sequence", "Lastunit-Applied-Index", "Cache-Control"],
            links: &[],
            content: vec![
                Content::json(
                    "Reservation",
                    vec![
                        example("held", "It is held.", examples::held()),
                        example("waiting", "It stands in the line.", examples::waiting()),
                        example("stale", "As this node last knew it.", examples::as_stale(examples::held())),
                    ],
                )
                .or_stale(),
            ],
        }],
        codes: read(&[code::RESERVATION_NOT_FOUND]),
    }
}

fn list() -> Call {
    Call {
        method: "GET",
        path: "/api/reservations",
        id: "listReservations",
        title: "List reservations",
        about: "Reservations in the order in which they were made; those that pass all the filters that are given. A \
                page may be short, or empty, and still have a `next_cursor`: the list ends where that is `null`.",
        parameters: vec![
            parameters::by_name("cart_id", "Only those of this cart.", "cart-1"),
            parameters::by_name("customer_id", "Only those of this customer.", "c-204"),
            parameters::by_sku("Only those that name this SKU."),
            parameters::by_state(),
            parameters::limit(),
            parameters::cursor(CURSOR),
            parameters::consistency(),
        ],
        request: None,
        answers: vec![Answer {
            status: 200,
            about: "A page.",
            headers: &["Lastunit-Sequence", "Lastunit-Applied-Index", "Cache-Control"],
            links: &[],
            content: vec![
                Content::json(
                    "ReservationPage",
                    vec![example("page", "There are more.", examples::reservations(CURSOR))],
                )
                .or_stale(),
            ],
        }],
        codes: read(&[]),
    }
}
