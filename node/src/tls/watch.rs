//! How a node takes notice of changed files.

use std::time::Duration;

use tokio::time::sleep;

use super::Tls;
use super::files::{Files, Texts};

/// How often the files are looked at. They are small, and in memory: a look is cheaper than to be told of changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After so many looks a set that was refused is tried again, as it may be too early for it only: an hour.
const AGAIN_EVERY: u64 = 3_600;

/// After so many looks the log says again how long the certificates last: a day.
const TELL_EVERY: u64 = 86_400;

/// What a look has found: the files' fingerprint, or why there is none.
type Seen = Result<[u8; 32], String>;

impl Tls {
    /// Takes notice of changes for as long as it is polled. A set of files is taken when it was the same twice, so that
    /// none is taken in the middle of being replaced.
    pub(crate) async fn watch(self) {
        let Some(files) = self.files.clone() else { return };
        let (mut taken, mut last): (Seen, Option<Seen>) = (Ok(self.opened), None);
        let mut is_in_use = true;
        for look in 1_u64.. {
            let (seen, texts) = read(&files).await;
            let is_again = !is_in_use && look.is_multiple_of(AGAIN_EVERY);
            if last.as_ref() == Some(&seen) && (taken != seen || is_again) {
                is_in_use = self.note(&files, &seen, texts.as_ref());
                taken = seen.clone();
            } else if let (true, true, Some(texts)) = (is_in_use, look.is_multiple_of(TELL_EVERY), &texts) {
                files.tell(texts);
            }
            last = Some(seen);
            sleep(LOOK_EVERY).await;
        }
    }

    /// Takes the files, says what became of that, and answers whether they are in use.
    fn note(&self, files: &Files, seen: &Seen, texts: Option<&Texts>) -> bool {
        let took = match texts {
            Some(texts) => self.take(files, texts).map_err(|unusable| unusable.to_string()),
            None => Err(seen.as_ref().err().cloned().unwrap_or_default()),
        };
        match &took {
            Ok(()) => tracing::info!("certificates read"),
            Err(what) => tracing::error!("the certificates of before stay in use: {what}"),
        }
        took.is_ok()
    }
}

async fn read(files: &Files) -> (Seen, Option<Texts>) {
    let files = files.clone();
    // A disk that hangs holds up a thread for such things, and nobody who calls.
    match tokio::task::spawn_blocking(move || files.read()).await {
        Ok(Ok(texts)) => (Ok(texts.fingerprint()), Some(texts)),
        Ok(Err(unusable)) => (Err(unusable.to_string()), None),
        Err(error) => (Err(error.to_string()), None),
    }
}
