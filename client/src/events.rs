//! The change feed: as pages, or as a stream that follows it.
//!
//! ```text
//!   client.events().sku("PS5").after("17.3") -> Events -- page() ----> Call<Page<Event>>   what there is
//!                                                     `-- follow() --> Follow              and what will be
//! ```

use crate::api::{Event, Page};
use crate::builder::Client;
use crate::call::Call;
use crate::follow::Follow;
use crate::message::add_query;

/// The change feed, ready to be read.
///
/// The cursor of a page is how far the feed was looked through: keep it beside what was made of the events, and read
/// on `after` it, be it after a crash, through another node, or next week. What is older than the feed is kept for is
/// refused with `events_expired` where a cursor was given; [`Refusal::resume_after`](crate::Refusal::resume_after) then
/// says where to go on, and what was missed must be read from the lists.
#[derive(Debug, Clone)]
pub struct Events {
    client: Client,
    /// The filter, as a path with its query.
    path: String,
    after: Option<String>,
    page_size: Option<u32>,
    stale: bool,
}

impl Client {
    /// The change feed, from the oldest event that is kept, whatever was there before it; from a place of the caller's
    /// with [`Events::after`].
    ///
    /// ```no_run
    /// # async fn example(client: client::Client) -> Result<(), client::Error> {
    /// let page = client.events().sku("PS5").types(["stock"]).page().await?.value;
    /// for event in &page.data {
    ///     println!("{} {} {}", event.id, event.kind, event.subject);
    /// }
    /// let mut feed = client.events().sku("PS5").types(["stock"]);
    /// if let Some(cursor) = page.next_cursor {
    ///     feed = feed.after(cursor);
    /// }
    /// let mut follow = feed.follow();
    /// loop {
    ///     let event = follow.next().await?;
    ///     println!("{} {} {}", event.id, event.kind, event.subject);
    /// }
    /// # }
    /// ```
    pub fn events(&self) -> Events {
        let path = "/api/events".to_owned();
        Events { client: self.clone(), path, after: None, page_size: None, stale: false }
    }
}

impl Events {
    /// Only those after that place: `17.3`, an event's id, or `17`, all that command 17 did.
    ///
    /// [`Answer::sequence`](crate::Answer::sequence) of a write is such a place: what comes after it is news.
    pub fn after(mut self, cursor: impl ToString) -> Events {
        self.after = Some(cursor.to_string());
        self
    }

    /// Only those of that SKU, and of reservations that name it.
    pub fn sku(mut self, sku: &str) -> Events {
        add_query(&mut self.path, "sku", sku);
        self
    }

    /// Only those of these types, such as `lastunit.reservation.held`; `reservation` and `stock` are all of a kind.
    pub fn types<S: AsRef<str>>(mut self, types: impl IntoIterator<Item = S>) -> Events {
        let types: Vec<_> = types.into_iter().map(|one| one.as_ref().to_owned()).collect();
        add_query(&mut self.path, "types", types.join(","));
        self
    }

    /// Events in a page, 1 to 1,000; 100 unless set. Following has no pages.
    pub fn page_size(mut self, events: u32) -> Events {
        self.page_size = Some(events);
        self
    }

    /// Pages of what the asked node has applied, which may be behind: see [`Call::stale`].
    pub fn stale(mut self) -> Events {
        self.stale = true;
        self
    }

    /// The next page. Its cursor is never `None`: with nothing new it is the one that was given.
    ///
    /// Refusals: `events_expired`, after a cursor that is too old.
    pub fn page(&self) -> Call<Page<Event>> {
        let mut path = self.path.clone();
        if let Some(after) = &self.after {
            add_query(&mut path, "after", after);
        }
        if let Some(page_size) = self.page_size {
            add_query(&mut path, "limit", page_size);
        }
        let call = self.client.get(path);
        let call = if self.after.is_none() { call.or_from_oldest() } else { call };
        if self.stale { call.stale() } else { call }
    }

    /// Every event from there on, as it happens.
    pub fn follow(self) -> Follow {
        Follow::new(self.client, self.path, self.after)
    }
}
