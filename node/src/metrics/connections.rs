//! The connections of clients.

use super::page::Page;

/// What became of connections since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ConnectionFigures {
    /// Served, for however long.
    pub(crate) accepted: u64,
    /// Open now.
    pub(crate) open: u64,
    /// The most that are open, but for those of operators.
    pub(crate) open_max: u64,
    /// Accepted for operators' calls alone.
    pub(crate) crowded: u64,
    /// Closed at once.
    pub(crate) closed: u64,
    /// Ended, because a head did not come.
    pub(crate) head_late: u64,
    /// Ended, because an answer was not taken.
    pub(crate) answer_not_taken: u64,
}

pub(super) fn render(page: &mut Page, told: &ConnectionFigures) {
    page.counter("lastunit_http_connections_total", "Connections accepted.", told.accepted);
    page.gauge("lastunit_http_connections_open", "Those that are open.", told.open);
    let about = "The most connections that are served, but for a few of operators.";
    page.gauge("lastunit_http_connections_max", about, told.open_max);
    let about = "Connections that found no room: for operators alone, or closed at once.";
    let by_how = [("operators_only", told.crowded), ("closed", told.closed)];
    page.by("lastunit_http_connections_refused_total", about, "how", &by_how);
    let about = "Connections ended because nothing moved, by what was waited for.";
    let by_what = [("head", told.head_late), ("answer_taken", told.answer_not_taken)];
    page.by("lastunit_http_connections_timed_out_total", about, "what", &by_what);
}
