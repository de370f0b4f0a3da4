//! tokio's watch channel, with an order among those who wait where a simulation needs one.
//!
//! tokio spreads those who wait for one channel over eight lists, by chance that no seed reaches; so it is by chance
//! who of them goes on first. In a simulation they wait in one list instead, in the order in which they came. A node
//! has tokio's channel and nothing else.

use std::pin::pin;
use std::sync::Arc;

use openraft::async_runtime::watch::{RecvError, SendError, Watch, WatchReceiver, WatchSender};
use openraft::{OptionalSend, OptionalSync};
use tokio::sync::{Notify, watch};

use crate::simulated;

/// The kind of channel, as openraft sees it.
pub(crate) struct Channel;

/// The end that a value is put into. All clones are one.
pub(crate) struct Sender<T> {
    inner: watch::Sender<T>,
    told: Told,
}

/// The end that a value is looked at.
pub(crate) struct Receiver<T> {
    inner: watch::Receiver<T>,
    told: Option<Arc<Notify>>,
}

/// Who waits, in a simulation.
#[derive(Clone)]
struct Told(Option<Arc<Notify>>);

impl Told {
    fn all(&self) {
        if let Some(told) = &self.0 {
            told.notify_waiters();
        }
    }
}

impl Drop for Told {
    /// Whoever waits for a channel that nobody sends to any more goes on as well. On the one thread of a simulation
    /// that is after this.
    fn drop(&mut self) {
        self.all();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { inner: self.inner.clone(), told: self.told.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        Receiver { inner: self.inner.clone(), told: self.told.clone() }
    }
}

impl<T> Sender<T> {
    pub(crate) fn new(value: T) -> Sender<T> {
        let told = simulated::is_on().then(Arc::default);
        Sender { inner: watch::Sender::new(value), told: Told(told) }
    }

    pub(crate) fn send_replace(&self, value: T) {
        self.inner.send_replace(value);
        self.told.all();
    }

    pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let modified = self.inner.send_if_modified(modify);
        if modified {
            self.told.all();
        }
        modified
    }

    pub(crate) fn borrow(&self) -> watch::Ref<'_, T> {
        self.inner.borrow()
    }

    pub(crate) fn subscribe(&self) -> Receiver<T> {
        Receiver { inner: self.inner.subscribe(), told: self.told.0.clone() }
    }
}

impl<T> Receiver<T> {
    /// Waits for a value that was not seen.
    async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        let Some(told) = self.told.clone() else { return self.inner.changed().await };
        loop {
            let mut next = pin!(told.notified());
            next.as_mut().enable();
            match self.inner.has_changed() {
                Ok(false) => next.await,
                // It is there, or will never be: nothing is waited for.
                Ok(true) | Err(_) => return self.inner.changed().await,
            }
        }
    }

    /// Waits until the value is such a one; or until it can never be.
    pub(crate) async fn wait_for(&mut self, is: impl Fn(&T) -> bool) {
        loop {
            if is(&self.inner.borrow_and_update()) || self.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Watch for Channel {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = watch::Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(value: T) -> (Sender<T>, Receiver<T>) {
        let sender = Sender::new(value);
        let receiver = sender.subscribe();
        (sender, receiver)
    }
}

impl<T: OptionalSend + OptionalSync> WatchSender<Channel, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.inner.send(value).map_err(|unsent| SendError(unsent.0))?;
        self.told.all();
        Ok(())
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        Sender::send_if_modified(self, modify)
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.borrow()
    }

    fn subscribe(&self) -> Receiver<T> {
        Sender::subscribe(self)
    }
}

impl<T: OptionalSend + OptionalSync> WatchReceiver<Channel, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        Receiver::changed(self).await.map_err(|_| RecvError(()))
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.inner.borrow()
    }

    fn borrow_and_update(&mut self) -> watch::Ref<'_, T> {
        self.inner.borrow_and_update()
    }
}
