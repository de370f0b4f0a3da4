//! The signal that this process is to stop: what would wait for long ends at once.

use std::sync::Arc;

use tokio::sync::watch;

/// The signal. A cheap handle; all of its clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Drain(Arc<watch::Sender<bool>>);

impl Default for Drain {
    fn default() -> Drain {
        Drain(Arc::new(watch::Sender::new(false)))
    }
}

impl Drain {
    /// Tells all who wait.
    pub(crate) fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Resolves once it has begun.
    pub(crate) async fn begun(&self) {
        // The sender lives as long as self, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}
