//! `lastunit token list`: every token but its secret, which nobody has.

use serde_json::json;

use super::Where;
use crate::auth::Token;
use crate::cli::{Failure, Table, out};

/// List the tokens: whose they are and what they may do.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) place: Where,
}

/// Runs it.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let file = args.place.load()?;
    if args.place.json {
        return file.tokens.iter().try_for_each(|token| out::line(&document(token)));
    }
    let rows: Vec<_> = file.tokens.iter().map(row).collect();
    out::text(&Table::new(["ID", "ROLES", "BOUND TO", "MADE", "NAME"]).rows(&rows))
}

fn row(token: &Token) -> [String; 5] {
    [token.id.clone(), roles(token), bounds(token), token.created_at.clone(), token.name.clone()]
}

fn document(token: &Token) -> serde_json::Value {
    let Token { id, name, roles, created_at, bounds, .. } = token;
    let mut document = json!({ "id": id, "name": name, "roles": roles, "created_at": created_at });
    if let Some(prefix) = &bounds.cart_prefix {
        document["cart_prefix"] = json!(prefix);
    }
    if let Some(prefix) = &bounds.customer_prefix {
        document["customer_prefix"] = json!(prefix);
    }
    document
}

fn roles(token: &Token) -> String {
    token.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",")
}

fn bounds(token: &Token) -> String {
    let cart = token.bounds.cart_prefix.iter().map(|prefix| format!("cart {prefix}*"));
    let customer = token.bounds.customer_prefix.iter().map(|prefix| format!("customer {prefix}*"));
    let all: Vec<_> = cart.chain(customer).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}
