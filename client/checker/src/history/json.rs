//! A JSON value as it went over the wire.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON value, kept as its text: a tenth of the memory of a tree, and read as what it should be where it is needed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// `null`: there was no body.
    pub fn null() -> Json {
        Json(RawValue::NULL.to_owned())
    }

    /// A value as JSON.
    ///
    /// # Errors
    ///
    /// The value has no JSON form, such as a map whose keys are no text.
    pub fn of(value: &impl Serialize) -> Result<Json, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Json)
    }

    /// The text of a body, empty for none.
    ///
    /// # Errors
    ///
    /// The text is no JSON.
    pub fn parse(text: &str) -> Result<Json, serde_json::Error> {
        if text.trim().is_empty() {
            return Ok(Json::null());
        }
        // Kept in one line, because a record is one.
        let value: &RawValue = serde_json::from_str(text)?;
        if value.get().contains(['\n', '\r']) {
            return Json::of(&serde_json::from_str::<serde_json::Value>(value.get())?);
        }
        Ok(Json(value.to_owned()))
    }

    /// The value as what it should be.
    ///
    /// # Errors
    ///
    /// It is not that.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0.get())
    }

    /// Its text.
    pub fn text(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Json) -> bool {
        self.text() == other.text()
    }
}
