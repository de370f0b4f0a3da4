//! The progress bars of long commands, on stderr where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts those.
pub(super) fn style(what: &str) -> ProgressStyle {
    let template = format!("{{bar:40}} {{pos}}/{{len}} {what}  {{per_sec}}  {{elapsed}}");
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A line without an end in sight, which is told anew each time.
pub(super) fn line() -> ProgressStyle {
    ProgressStyle::with_template("{elapsed}  {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// Makes a bar of one that counts that many bytes from now on.
pub(super) fn bytes(bar: &ProgressBar, bytes: u64, done: &str) {
    let template = format!("{{bar:40}} {{bytes}}/{{total_bytes}} {done}  {{elapsed}}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_length(bytes);
    bar.set_position(0);
}

/// Takes the bar away at the end, however that comes.
pub(super) struct Clear<'a>(pub(super) &'a ProgressBar);

impl Drop for Clear<'_> {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
