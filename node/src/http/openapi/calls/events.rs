//! `/api/events`.

use client::code;

use super::read;
use crate::http::openapi::call::{Answer, Call, Content};
use crate::http::openapi::examples::{self, example};
use crate::http::openapi::parameters;

/// Its calls.
pub(super) fn calls() -> Vec<Call> {
    vec![events()]
}

fn events() -> Call {
    Call {
        method: "GET",
        path: "/api/events",
        id: "listEvents",
        title: "Read the change feed",
        about: "Every change of a reservation and of a SKU's figures, once, in order and without a gap, the same \
                from every node: as pages, or, where the client accepts `text/event-stream`, as server-sent events \
                that go on until it leaves. A page's `next_cursor` says how far the feed was looked through; pass it \
                as `after`, also when the page is empty. `limit` and `consistency` are of pages alone. Events are \
                kept for a day unless configured. A stream whose reader falls behind that ends with an event \
                `lastunit.events_expired`, whose data is the problem.",
        parameters: vec![
            parameters::after(),
            parameters::by_sku("Only events of this SKU, and of reservations that name it."),
            parameters::types(),
            parameters::limit(),
            parameters::consistency(),
            parameters::last_event_id(),
        ],
        request: None,
        answers: vec![Answer {
            status: 200,
            about: "A page of the feed, or the feed itself. Of a stale read a page names its `applied_index`.",
            headers: &["Lastunit-Sequence", "Lastunit-Applied-Index", "Cache-Control", "Vary"],
            links: &[],
            content: vec![
                Content::json(
                    "EventPage",
                    vec![example("reserve", "What one reserve did.", examples::events())],
                )
                .or_stale(),
                Content::text(
                    "text/event-stream",
                    vec![example("reserve", "The same as a stream.", examples::stream())],
                ),
            ],
        }],
        codes: read(&[code::EVENTS_EXPIRED]),
    }
}
