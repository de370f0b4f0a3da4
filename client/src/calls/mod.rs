//! The contract's calls, one method each.
//!
//! ```text
//!   checkout       reserve, commit, release, extend, return
//!   inventory      put, adjust, delete, read and list SKUs
//!   reservations   read and list reservations
//!   batch          many commands in one call
//!   cluster        who leads, who serves, whether all agree, what the API is
//!   members        who belongs to the cluster, and who is to lead it
//! ```

pub(crate) mod batch;
mod checkout;
mod cluster;
pub(crate) mod inventory;
mod members;
mod reservations;

use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::Client;
use crate::call::{Call, json};
use crate::message::Message;

impl Client {
    fn write<T: DeserializeOwned + 'static>(
        &self,
        method: Method,
        path: String,
        request: &impl Serialize,
    ) -> Call<T> {
        Call::new(self, Message::write(method, path, request), json)
    }

    /// A read of JSON.
    pub(crate) fn get<T: DeserializeOwned + 'static>(&self, path: String) -> Call<T> {
        Call::new(self, Ok(Message::read(path)), json)
    }
}
