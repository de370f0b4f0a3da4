//! Who may do what: bearer tokens with roles, in a file that is taken notice of while the node runs.
//!
//! ```text
//!   lastunit token new --> lu_1a2b3c4d_<secret>           told once, and kept by nobody
//!            \--> tokens.toml: id, roles, SHA-256          one file for each node, or one that they share
//!                     |
//!                     | looked at once a second (kept)
//!                     v
//!   Authorization: Bearer ... --> Access::admit --> Grant  what http::guard asks whether it may
//! ```
//!
//! Invariants:
//! - A secret is in no file, log, metric or error: whoever reads the tokens file can not use it.
//! - Whether a secret is right is found out in a time that does not depend on where it differs.
//! - A file that cannot be read changes nothing: whoever could call still can, whoever could not still cannot.
//!
//! A secret has 256 random bits, so that one round of SHA-256 keeps it: what makes hashes of passwords slow guards what
//! people choose, and would be paid with every call.
//!
//! Absent on purpose: tokens that end by themselves, which would need one clock for all nodes; names of people.

mod file;
mod kept;
mod secret;
mod token;

use std::sync::Arc;

pub(crate) use self::file::{FileError, TokensFile};
pub(crate) use self::kept::Kept;
pub(crate) use self::secret::Secret;
pub(crate) use self::token::{Bounds, Role, Token};

/// What a node asks of those who call it.
#[derive(Debug, Clone, Default)]
pub(crate) enum Access {
    /// Nothing: no tokens are configured.
    #[default]
    Open,
    /// A token of this file.
    Tokens(Arc<Kept>),
}

/// What a caller has shown.
#[derive(Debug, Clone, Default)]
pub(crate) enum Grant {
    /// Nothing, where something is asked for.
    #[default]
    Nothing,
    /// Nothing, where nothing is asked for.
    All,
    /// A token.
    Token(Arc<Token>),
}

/// Why a caller is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// No token was shown.
    NoToken,
    /// A token was shown that is none, or is none any more.
    BadToken,
}

impl Access {
    /// What the value of an `Authorization` header grants.
    pub(crate) fn admit(&self, authorization: Option<&[u8]>) -> Result<Grant, Unknown> {
        let Access::Tokens(kept) = self else { return Ok(Grant::All) };
        let shown = authorization.ok_or(Unknown::NoToken)?;
        let token = bearer(shown).and_then(|shown| kept.find(shown));
        token.map(Grant::Token).ok_or(Unknown::BadToken)
    }

    /// Whether what was granted still is: a token may have been revoked, or replaced by one of the same id.
    pub(crate) fn still_grants(&self, grant: &Grant) -> bool {
        match (self, grant) {
            (Access::Open, Grant::All) => true,
            (Access::Tokens(kept), Grant::Token(token)) => kept.has(token),
            _ => false,
        }
    }

    /// Takes notice of changed tokens for as long as it is polled.
    pub(crate) async fn watch(self) {
        match self {
            Access::Open => {}
            Access::Tokens(kept) => kept.watch().await,
        }
    }
}

impl Grant {
    /// Whether it has one of these roles.
    pub(crate) fn has_any(&self, roles: &[Role]) -> bool {
        match self {
            Grant::Nothing => false,
            Grant::All => true,
            Grant::Token(token) => token.roles.iter().any(|role| roles.contains(role)),
        }
    }

    /// The id of the token, which is no secret.
    pub(crate) fn token_id(&self) -> Option<&str> {
        match self {
            Grant::Token(token) => Some(&token.id),
            Grant::Nothing | Grant::All => None,
        }
    }

    /// The carts and customers that it is bound to.
    pub(crate) fn bounds(&self) -> Option<&Bounds> {
        match self {
            Grant::Token(token) if !token.bounds.is_none() => Some(&token.bounds),
            _ => None,
        }
    }
}

/// The token of `Bearer <token>` (RFC 6750, section 2.1); the scheme's case does not matter.
fn bearer(authorization: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(authorization).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests;
