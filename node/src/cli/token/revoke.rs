//! `lastunit token revoke`: a token that is none any more.

use serde_json::json;

use super::Where;
use crate::auth::TokensFile;
use crate::cli::{Failure, out};

/// Revoke a token, by its id; nodes that run refuse it within some seconds.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id: what `lastunit token list` names, and what stands between the first two _ of the token.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    pub(super) place: Where,
}

/// Runs it.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = args.place.path()?;
    let _lock = TokensFile::lock(&path)?;
    let mut file = TokensFile::load(&path)?;
    let before = file.tokens.len();
    file.tokens.retain(|token| token.id != args.id);
    if file.tokens.len() == before {
        return Err(Failure::usage(format!("{} has no token {}", path.display(), args.id)));
    }
    file.save(&path)?;
    match args.place.json {
        true => out::line(&json!({ "id": args.id, "revoked": true })),
        false => out::text(&format!("revoked {}\n", args.id)),
    }
}
