//! The tokens that a node knows, and how it takes notice of a changed file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::sleep;

use super::file::{self, FileError, TokensFile};
use super::secret;
use super::token::Token;

/// How often the file is looked at. It is small, and in memory: a look is cheaper than to be told of changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The tokens of a file. Who asks takes no lock: a new set takes the place of the old one.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    tokens: ArcSwap<HashMap<String, Arc<Token>>>,
}

impl Kept {
    /// Reads the file.
    ///
    /// # Errors
    /// Where it cannot be read, or has a mistake.
    pub(crate) fn open(path: &Path) -> Result<Kept, FileError> {
        let tokens = by_id(TokensFile::load(path)?);
        Ok(Kept { path: path.to_owned(), tokens: ArcSwap::from_pointee(tokens) })
    }

    /// The token of that text.
    pub(super) fn find(&self, text: &str) -> Option<Arc<Token>> {
        let token = self.tokens.load().get(secret::id(text)?).map(Arc::clone)?;
        token.sha256.is_of(text).then_some(token)
    }

    /// Whether it still is one of them.
    pub(super) fn has(&self, token: &Token) -> bool {
        self.tokens.load().get(&token.id).is_some_and(|kept| **kept == *token)
    }

    /// Takes notice of changes for as long as it is polled.
    pub(crate) async fn watch(self: Arc<Kept>) {
        let mut seen = String::new();
        loop {
            let path = self.path.clone();
            // A disk that hangs holds up a thread for such things, and nobody who calls.
            let read = tokio::task::spawn_blocking(move || file::read(&path)).await;
            let text = read.map_err(|error| error.to_string());
            let text = text.and_then(|read| read.map_err(|error| error.to_string()));
            let now = text.clone().unwrap_or_else(|why| why);
            if now != seen {
                self.take(text);
                seen = now;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Takes the file's new text, or says why not.
    fn take(&self, text: Result<String, String>) {
        match text.and_then(|text| TokensFile::parse(&text)) {
            Ok(file) => {
                tracing::info!(path = %self.path.display(), tokens = file.tokens.len(), "tokens read");
                self.tokens.store(Arc::new(by_id(file)));
            }
            Err(what) => {
                tracing::error!(path = %self.path.display(), "the tokens of before stay valid: {what}");
            }
        }
    }
}

fn by_id(file: TokensFile) -> HashMap<String, Arc<Token>> {
    file.tokens.into_iter().map(|token| (token.id.clone(), Arc::new(token))).collect()
}
