//! `lastunit token new`: a token, told once.

use serde_json::json;

use super::Where;
use crate::auth::{Bounds, Role, Secret, Token, TokensFile};
use crate::cli::{Failure, out};
use crate::clock;

/// Make a token. Its text is told on stdout, this once.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What it may be used for: more than one with commas.
    #[arg(long, value_name = "ROLE", required = true, value_delimiter = ',', env = "LASTUNIT_ROLE")]
    role: Vec<Role>,
    /// What it is for, in your words.
    #[arg(long, value_name = "TEXT", default_value = "", env = "LASTUNIT_TOKEN_NAME")]
    name: String,
    /// Bind it to carts whose ids begin so; for the role checkout alone.
    #[arg(long, value_name = "PREFIX", env = "LASTUNIT_CART_PREFIX")]
    cart_prefix: Option<String>,
    /// Bind it to customers whose ids begin so; for the role checkout alone.
    #[arg(long, value_name = "PREFIX", env = "LASTUNIT_CUSTOMER_PREFIX")]
    customer_prefix: Option<String>,
    #[command(flatten)]
    pub(super) place: Where,
}

/// Runs it.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = args.place.path()?;
    let _lock = TokensFile::lock(&path)?;
    let mut file = TokensFile::load_or_empty(&path)?;
    let secret = new_secret(&file);
    let token = args.token(&secret)?;
    file.tokens.push(token);
    file.save(&path)?;
    match args.place.json {
        true => out::line(&json!({ "id": secret.id, "token": secret.reveal() })),
        false => out::text(&format!("{}\n", secret.reveal())),
    }
}

/// One whose id is not there yet.
fn new_secret(file: &TokensFile) -> Secret {
    loop {
        let secret = Secret::new();
        if file.tokens.iter().all(|token| token.id != secret.id) {
            return secret;
        }
    }
}

impl Args {
    fn token(&self, secret: &Secret) -> Result<Token, Failure> {
        let mut roles = self.role.clone();
        roles.sort();
        roles.dedup();
        let token = Token {
            id: secret.id.clone(),
            name: self.name.clone(),
            roles,
            sha256: secret.hash(),
            created_at: clock::now_rfc3339(),
            bounds: Bounds {
                cart_prefix: self.cart_prefix.clone(),
                customer_prefix: self.customer_prefix.clone(),
            },
        };
        match token.mistake() {
            None => Ok(token),
            Some(mistake) => Err(Failure::usage(format!("this token {mistake}"))),
        }
    }
}
