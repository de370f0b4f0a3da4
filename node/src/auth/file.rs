//! The tokens file: read whole, checked, and replaced whole.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::token::Token;

/// What stands at the file's head.
const HEAD: &str = "\
# Who may call this cluster: made by `lastunit token new`, ended by `lastunit token revoke`.
# Of a token's secret there is only the SHA-256 in here. Nodes that run take notice of changes within some seconds.
";

/// The longest file that is read, in bytes: some 4,000 tokens.
const BYTES_MAX: usize = 1 << 20;

/// The longest word of a mistake that is told, in bytes: longer than any key and any role, shorter than a hash.
const WORD_BYTES_MAX: usize = 24;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokensFile {
    /// The tokens, in the order in which they were made.
    #[serde(default, rename = "token")]
    pub(crate) tokens: Vec<Token>,
}

/// Why a tokens file is of no use.
#[derive(Debug)]
pub(crate) struct FileError {
    path: PathBuf,
    what: String,
}

impl TokensFile {
    /// Reads the file.
    ///
    /// # Errors
    /// Where it cannot be read or has a mistake, in one line that tells no hash.
    pub(crate) fn load(path: &Path) -> Result<TokensFile, FileError> {
        let failed = |what| FileError { path: path.to_owned(), what };
        let text = read(path).map_err(|error| failed(error.to_string()))?;
        TokensFile::parse(&text).map_err(failed)
    }

    /// The same, but a file that is not there has no tokens.
    ///
    /// # Errors
    /// As [`TokensFile::load`].
    pub(crate) fn load_or_empty(path: &Path) -> Result<TokensFile, FileError> {
        match path.try_exists() {
            Ok(false) => Ok(TokensFile::default()),
            _ => TokensFile::load(path),
        }
    }

    /// The file's meaning, or its first mistake.
    pub(super) fn parse(text: &str) -> Result<TokensFile, String> {
        // The library's own text quotes the line, which may be one with a hash.
        let file: TokensFile = toml::from_str(text).map_err(|error| match error.span() {
            Some(span) => format!("line {}: {}", line_at(text, span.start), concealed(error.message())),
            None => concealed(error.message()),
        })?;
        let mut ids = BTreeSet::new();
        for token in &file.tokens {
            let mistake = token.mistake().or((!ids.insert(&token.id)).then_some("is there twice"));
            if let Some(mistake) = mistake {
                return Err(format!("token {}: {mistake}", token.id));
            }
        }
        Ok(file)
    }

    /// Replaces the file: whoever reads it sees the old one or the new one. It stays its owner's; a new one is this
    /// user's alone.
    ///
    /// # Errors
    /// Where the directory or the disk does not take it, or the file is another user's; then it is as it was.
    pub(crate) fn save(&self, path: &Path) -> Result<(), FileError> {
        let failed = |what: String| FileError { path: path.to_owned(), what };
        let text = toml::to_string(self).map_err(|error| failed(error.to_string()))?;
        replace(path, &format!("{HEAD}\n{text}")).map_err(|error| failed(error.to_string()))
    }

    /// Keeps other commands from changing the file at the same time, for as long as what it answers lives. Waits for
    /// those that do.
    ///
    /// # Errors
    /// Where the directory cannot be opened.
    pub(crate) fn lock(path: &Path) -> Result<File, FileError> {
        let failed = |error: io::Error| FileError { path: path.to_owned(), what: error.to_string() };
        // Not the file itself, which is another one after each change.
        let directory = File::open(directory(path)).map_err(failed)?;
        directory.lock().map_err(failed)?;
        Ok(directory)
    }
}

/// The library's message without what it quotes from the file at length: a hash may stand where something else belongs.
fn concealed(message: &str) -> String {
    let shown = message.split(' ').map(|word| if word.len() > WORD_BYTES_MAX { "..." } else { word });
    shown.collect::<Vec<_>>().join(" ")
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the tokens file {}: {}", self.path.display(), self.what)
    }
}

impl std::error::Error for FileError {}

/// The text of a file of a sensible length.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let length = std::fs::metadata(path)?.len();
    if length > BYTES_MAX as u64 {
        return Err(io::Error::other(format!("has {length} bytes, more than {BYTES_MAX}")));
    }
    std::fs::read_to_string(path)
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    // Behind a link it is the file that is replaced.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let directory = directory(&path);
    // Made for this user alone, which is what a temporary file is.
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    if let Ok(old) = path.metadata() {
        // Nodes may run as another user than this command, and must still be able to read it.
        fchown(new.as_file(), Some(old.uid()), Some(old.gid()))?;
        new.as_file().set_permissions(old.permissions())?;
    }
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(&path)?;
    File::open(directory)?.sync_all()
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}
