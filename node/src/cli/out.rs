//! What goes to stdout, and how it looks.
//!
//! A reader that closes its end does not want to hear more: that ends a command quietly, with exit code 0. Text that
//! came from elsewhere loses its control characters, so that no cart's name can move a terminal's cursor.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};

use serde::Serialize;

use super::failure::Failure;

/// Writes a text.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(unheard)
}

/// Writes a JSON document on a line of its own.
pub(super) fn line(document: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_string(document).map_err(Failure::json)?;
    line.push('\n');
    text(&line)
}

/// Says a line on stderr. Where nobody listens there is nobody to tell.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "lastunit: {}", plain(line));
}

/// What an error in writing means.
pub(crate) fn unheard(cause: io::Error) -> Failure {
    match cause.kind() {
        ErrorKind::BrokenPipe => Failure::unheard(),
        // Of a write, `Failure::though_done` says more.
        _ => Failure::new(super::failure::EXIT_NOT_EXECUTED, format!("cannot write the answer: {cause}")),
    }
}

/// The text on one line, without control characters.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()),
    }
}

/// Names and values under each other; those without a value are left out.
pub(crate) fn fields(pairs: &[(&str, Option<String>)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in pairs {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:width$}  {}", plain(value));
        }
    }
    text
}

/// Rows in columns. It may be written in parts: a column only grows.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    header: Option<[&'static str; N]>,
    /// Numbers stand at the right of their columns.
    numbers: [bool; N],
    widths: [usize; N],
}

impl<const N: usize> Table<N> {
    /// Columns of these names; one that begins with `#` has numbers, and loses the sign.
    pub(crate) fn new(columns: [&'static str; N]) -> Table<N> {
        let numbers = columns.map(|name| name.starts_with('#'));
        let header = columns.map(|name| name.trim_start_matches('#'));
        Table { header: Some(header), numbers, widths: header.map(str::len) }
    }

    /// These rows as text, with the header before the first.
    pub(crate) fn rows(&mut self, rows: &[[String; N]]) -> String {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(plain(cell).chars().count());
            }
        }
        let header = self.header.take().map(|names| names.map(str::to_owned));
        let mut text = String::new();
        header.iter().chain(rows).for_each(|row| self.row(&mut text, row));
        text
    }

    fn row(&self, text: &mut String, row: &[String; N]) {
        let mut line = String::new();
        for ((cell, &width), &number) in row.iter().zip(&self.widths).zip(&self.numbers) {
            let cell = plain(cell);
            // Writing to a string cannot fail.
            let _ = match number {
                true => write!(line, "{cell:>width$}  "),
                false => write!(line, "{cell:width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 2]) -> [String; 2] {
        cells.map(str::to_owned)
    }

    #[test]
    fn columns_are_aligned_and_grow() {
        let mut table = Table::new(["SKU", "#HELD"]);
        assert_eq!(table.rows(&[row(["PS5", "1"])]), "SKU  HELD\nPS5     1\n");
        assert_eq!(
            table.rows(&[row(["XBOX-S", "100000"]), row(["A", "2"])]),
            "XBOX-S  100000\nA            2\n"
        );
    }

    #[test]
    fn an_empty_table_is_its_header() {
        assert_eq!(Table::new(["A", "#B"]).rows(&[]), "A  B\n");
    }

    #[test]
    fn no_name_moves_the_cursor() {
        assert_eq!(plain("cart\u{1b}[2J\n"), "cart\u{fffd}[2J\u{fffd}");
        let told = fields(&[("cart_id", Some("a\nb".to_owned())), ("none", None)]);
        assert_eq!(told, "cart_id  a\u{fffd}b\n");
    }
}
