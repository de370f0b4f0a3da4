//! The text of a token, and the hash that is kept of it.
//!
//! ```text
//!   lu_1a2b3c4d_Zm9vYmFy...           43 characters of base64url: 256 random bits
//!      |------| id, 32 random bits    in the file as it is, to find the hash by
//!   |--------------------| the text whose SHA-256 is kept
//! ```

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What every token begins with, so that scanners for secrets can find one that went astray.
const MARK: &str = "lu_";

/// A token's text, for the moment in which it is made. It is not printed by accident.
pub(crate) struct Secret {
    /// Its public half.
    pub(crate) id: String,
    text: String,
}

impl Secret {
    /// A new one, of the system's randomness.
    pub(crate) fn new() -> Secret {
        let id = format!("{:08x}", rand::random::<u32>());
        let secret = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        Secret { text: format!("{MARK}{id}_{secret}"), id }
    }

    /// The text, to be told to the one who asked for it.
    pub(crate) fn reveal(&self) -> &str {
        &self.text
    }

    /// What is kept of it.
    pub(crate) fn hash(&self) -> Hash {
        Hash::of(&self.text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}{}_...", self.id)
    }
}

/// The id of a token's text, where it looks like one.
pub(super) fn id(text: &str) -> Option<&str> {
    text.strip_prefix(MARK)?.split_once('_').map(|(id, _)| id)
}

/// The SHA-256 of a token's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash([u8; 32]);

impl Hash {
    pub(super) fn of(text: &str) -> Hash {
        Hash(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether it is that of the text. Takes as long wherever they differ.
    pub(super) fn is_of(&self, text: &str) -> bool {
        self.0.ct_eq(&Hash::of(text).0).into()
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let parsed = bytes(&digits).and_then(|bytes| bytes.try_into().ok());
        parsed.map(Hash).ok_or_else(|| serde::de::Error::custom("64 hexadecimal digits are needed"))
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    digits.map(|pair| u8::from_str_radix(pair.filter(|pair| pair.len() == 2)?, 16).ok()).collect()
}
