//! A token as it is kept: who it is for, what it may do, and the hash of its secret.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::secret::Hash;

/// What a token may be used for; http::guard says which calls that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Reads of all kinds, the change feed and metrics.
    Read,
    /// Reserve, extend, commit, release, return; a reservation and a SKU by its name.
    Checkout,
    /// Changes of stock, and reads of it.
    Stock,
    /// Everything, the operators' calls included.
    Admin,
}

impl Role {
    /// Its name in files and flags.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Checkout => "checkout",
            Role::Stock => "stock",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// Its public half, by which it is found and revoked.
    pub(crate) id: String,
    /// What it is for, in the operator's words.
    pub(crate) name: String,
    /// What it may do: one role or more.
    pub(crate) roles: Vec<Role>,
    /// The SHA-256 of the whole token.
    pub(crate) sha256: Hash,
    /// When it was made, in RFC 3339.
    pub(crate) created_at: String,
    /// The carts and customers that it is bound to.
    #[serde(default, skip_serializing_if = "Bounds::is_none")]
    pub(crate) bounds: Bounds,
}

/// What a `checkout` token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bounds {
    /// How the ids of its carts begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cart_prefix: Option<String>,
    /// How the ids of its customers begin; a cart without a customer is none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) customer_prefix: Option<String>,
}

impl Token {
    /// Why it makes no sense, if so.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        if self.roles.is_empty() {
            return Some("has no role");
        }
        // Every other role sees, or changes, what belongs to all carts.
        (!self.bounds.is_none() && self.roles != [Role::Checkout])
            .then_some("is bound to a prefix, which only the role checkout alone can be")
    }
}

impl Bounds {
    /// Whether it is not bound at all.
    pub(crate) fn is_none(&self) -> bool {
        self.cart_prefix.is_none() && self.customer_prefix.is_none()
    }

    /// Whether a cart of that customer is within them.
    pub(crate) fn admit(&self, cart_id: &str, customer_id: Option<&str>) -> bool {
        let begins = |text: &str, prefix: &Option<String>| {
            prefix.as_ref().is_none_or(|prefix| text.starts_with(prefix.as_str()))
        };
        let of_customer = self.customer_prefix.is_none()
            || customer_id.is_some_and(|customer| begins(customer, &self.customer_prefix));
        begins(cart_id, &self.cart_prefix) && of_customer
    }
}
