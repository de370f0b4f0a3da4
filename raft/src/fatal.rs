//! The one way by which a part of the node says that the process must end.

use tokio::sync::watch;

/// Remembers the first reason; every clone is the same.
#[derive(Clone)]
pub(crate) struct Fatal(watch::Sender<Option<String>>);

impl Fatal {
    pub(crate) fn new() -> Fatal {
        Fatal(watch::Sender::new(None))
    }

    /// Reports a reason. Only the first one counts: later ones follow from it.
    pub(crate) fn report(&self, why: impl Into<String>) {
        self.0.send_if_modified(|reason| {
            let first = reason.is_none();
            if first {
                *reason = Some(why.into());
            }
            first
        });
    }

    /// Whether a reason was reported.
    pub(crate) fn is_reported(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits for a reason.
    pub(crate) async fn reason(&self) -> String {
        let mut reasons = self.0.subscribe();
        match reasons.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The sender is self: it cannot be gone.
            Err(_) => std::future::pending().await,
        }
    }
}
