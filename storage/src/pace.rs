//! How fast long work goes on, so that what must not wait has the processor as well.
//!
//! Work that takes long is made of many short steps: a row of an image, a record of a snapshot. After each of them
//! whoever does it calls `Pace::step`, and whoever it works for decides there whether to rest for a moment. No clock
//! is read here.

use std::sync::Arc;

/// See the module's documentation. Without rests by default.
#[derive(Clone, Default)]
pub struct Pace {
    rest: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Pace {
    /// A pace that calls this after each step.
    pub fn of(rest: impl Fn() + Send + Sync + 'static) -> Pace {
        Pace { rest: Some(Arc::new(rest)) }
    }

    /// A step was done.
    pub(crate) fn step(&self) {
        if let Some(rest) = &self.rest {
            rest();
        }
    }
}
