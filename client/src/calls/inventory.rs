//! SKUs: put, adjust, delete, read, list.

use hyper::Method;

use crate::api::{AdjustRequest, InventoryRecord, PutSkuRequest};
use crate::builder::Client;
use crate::call::{Call, nothing};
use crate::list::List;
use crate::message::{Escaped, Message};

impl Client {
    /// Makes a SKU, or sets its figures.
    ///
    /// Refusals: `stock_below_held`, `precondition_failed`.
    ///
    /// ```no_run
    /// # async fn example(client: client::Client) -> Result<(), client::Error> {
    /// use client::api::PutSkuRequest;
    ///
    /// let request = PutSkuRequest { on_hand: 100, max_per_customer: Some(Some(2)), ..Default::default() };
    /// client.put_sku("PS5", &request).if_absent().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn put_sku(&self, sku: &str, request: &PutSkuRequest) -> Call<InventoryRecord> {
        self.write(Method::PUT, sku_path(sku), request).conditional()
    }

    /// Adds to a SKU's on_hand, or takes from it.
    ///
    /// Refusals: `stock_below_held`, `precondition_failed`, `sku_not_found`.
    pub fn adjust(&self, sku: &str, request: &AdjustRequest) -> Call<InventoryRecord> {
        self.write(Method::POST, format!("{}/adjust", sku_path(sku)), request).conditional()
    }

    /// Deletes a SKU.
    ///
    /// Refusals: `sku_has_holds`, `precondition_failed`, `sku_not_found`.
    pub fn delete_sku(&self, sku: &str) -> Call<()> {
        Call::new(self, Message::delete(sku_path(sku)), nothing).conditional()
    }

    /// A SKU's figures. Linearizable, unless [`Call::stale`].
    ///
    /// Refusals: `sku_not_found`.
    pub fn sku(&self, sku: &str) -> Call<InventoryRecord> {
        self.get(sku_path(sku))
    }

    /// The SKUs in the order of their names.
    ///
    /// ```no_run
    /// # async fn example(client: client::Client) -> Result<(), client::Error> {
    /// let mut rows = client.skus().prefix("PS").rows();
    /// while let Some(record) = rows.next().await? {
    ///     println!("{} {}", record.sku, record.available);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn skus(&self) -> List<InventoryRecord> {
        List::new(self, "/api/inventory")
    }
}

fn sku_path(sku: &str) -> String {
    format!("/api/inventory/{}", Escaped(sku))
}
