//! Lists: as pages, or row by row over all pages.
//!
//! ```text
//!   client.skus().prefix("PS") -> List -- page(cursor) --> Call<Page>           one page
//!                                     `-- rows() --------> Rows: next().await   all pages, one in memory
//! ```
//!
//! A list is no snapshot: each page is as of its own moment. Whatever is there from the first page to the last is
//! listed once.

use std::collections::VecDeque;
use std::marker::PhantomData;

use futures_util::Stream;
use futures_util::stream::try_unfold;
use serde::de::DeserializeOwned;

use crate::api::{InventoryRecord, Page, Reservation, ReservationState};
use crate::builder::Client;
use crate::call::Call;
use crate::error::Error;
use crate::message::add_query;

/// A list that is ready to be read.
#[derive(Debug, Clone)]
pub struct List<T> {
    client: Client,
    path: String,
    stale: bool,
    row: PhantomData<fn() -> T>,
}

/// The rows of a list, page by page.
#[derive(Debug)]
pub struct Rows<T> {
    list: List<T>,
    page: VecDeque<T>,
    next: Next,
}

/// Which page comes next.
#[derive(Debug)]
enum Next {
    First,
    At(String),
    None,
}

impl<T: DeserializeOwned + Send + 'static> List<T> {
    pub(crate) fn new(client: &Client, path: &str) -> List<T> {
        List { client: client.clone(), path: path.to_owned(), stale: false, row: PhantomData }
    }

    /// Rows in a page, 1 to 1,000; 100 unless set.
    pub fn page_size(self, rows: u32) -> List<T> {
        self.filter("limit", rows)
    }

    /// Reads what the asked node has applied, which may be behind: see [`Call::stale`].
    pub fn stale(mut self) -> List<T> {
        self.stale = true;
        self
    }

    /// The first page, or the one at that `next_cursor`. A page may be short, or empty, and still have a next one.
    pub fn page(&self, cursor: Option<&str>) -> Call<Page<T>> {
        let mut path = self.path.clone();
        if let Some(cursor) = cursor {
            add_query(&mut path, "cursor", cursor);
        }
        let call = self.client.get(path);
        if self.stale { call.stale() } else { call }
    }

    /// All rows, page by page.
    pub fn rows(self) -> Rows<T> {
        Rows { list: self, page: VecDeque::new(), next: Next::First }
    }

    fn filter(mut self, name: &str, value: impl std::fmt::Display) -> List<T> {
        add_query(&mut self.path, name, value);
        self
    }
}

impl List<InventoryRecord> {
    /// Only SKUs whose names begin so.
    pub fn prefix(self, prefix: &str) -> List<InventoryRecord> {
        self.filter("prefix", prefix)
    }
}

impl List<Reservation> {
    /// Only those of that cart.
    pub fn cart(self, cart_id: &str) -> List<Reservation> {
        self.filter("cart_id", cart_id)
    }

    /// Only those of that customer.
    pub fn customer(self, customer_id: &str) -> List<Reservation> {
        self.filter("customer_id", customer_id)
    }

    /// Only those that name that SKU.
    pub fn sku(self, sku: &str) -> List<Reservation> {
        self.filter("sku", sku)
    }

    /// Only those in that state.
    pub fn state(self, state: ReservationState) -> List<Reservation> {
        self.filter("state", state.as_str())
    }
}

impl<T: DeserializeOwned + Send + 'static> Rows<T> {
    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// As of any read. The same page is asked for again by the next call.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        loop {
            if let Some(row) = self.page.pop_front() {
                return Ok(Some(row));
            }
            let call = match &self.next {
                Next::First => self.list.page(None),
                Next::At(cursor) => self.list.page(Some(cursor)),
                Next::None => return Ok(None),
            };
            let page = call.await?.value;
            self.page = page.data.into();
            self.next = page.next_cursor.map_or(Next::None, Next::At);
        }
    }

    /// The rows as a stream, which ends after the first error.
    ///
    /// ```no_run
    /// # async fn example(client: client::Client) -> Result<(), client::Error> {
    /// use futures_util::TryStreamExt;
    ///
    /// let all: Vec<_> = client.skus().rows().into_stream().try_collect().await?;
    /// println!("{} SKUs", all.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = Result<T, Error>> + Send {
        try_unfold(self, async |mut rows| Ok(rows.next().await?.map(|row| (row, rows))))
    }
}
