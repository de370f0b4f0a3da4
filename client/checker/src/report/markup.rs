//! HTML and SVG, written so that no text of a history can become markup.
//!
//! Names of elements and attributes are literals of this crate: their type, `&'static str`, says so. Everything else
//! goes in as text, and is escaped on its way, whether it comes from a history or from us.

use std::fmt::{self, Display, Write};

/// Attributes of an element: name and value.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a dyn Display)];

/// A piece of a page under construction.
#[derive(Default)]
pub(super) struct Markup(String);

impl Markup {
    /// What was written so far.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Markup as it is. Only literals can be: nothing that a history says.
    pub(super) fn literal(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// Text, escaped.
    pub(super) fn text(&mut self, text: impl Display) {
        Escaping(&mut self.0).put(format_args!("{text}"));
    }

    /// An element with what `inner` writes into it.
    pub(super) fn within(
        &mut self,
        name: &'static str,
        attributes: Attributes,
        inner: impl FnOnce(&mut Self),
    ) {
        self.head(name, attributes);
        self.0.push('>');
        inner(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// An element with text alone.
    pub(super) fn words(&mut self, name: &'static str, attributes: Attributes, text: impl Display) {
        self.within(name, attributes, |m| m.text(text));
    }

    /// A shape of a drawing: an element without content but its tooltip.
    pub(super) fn shape(&mut self, name: &'static str, attributes: Attributes, tooltip: impl Display) {
        self.within(name, attributes, |m| m.words("title", &[], tooltip));
    }

    /// A shape that needs no word.
    pub(super) fn plain(&mut self, name: &'static str, attributes: Attributes) {
        self.head(name, attributes);
        self.0.push_str("/>");
    }

    /// A table with these heads. Where the screen is too narrow for it, it alone scrolls.
    pub(super) fn table(&mut self, heads: &[&'static str], rows: impl FnOnce(&mut Self)) {
        self.within("div", &[("class", &"wide")], |m| {
            m.within("table", &[], |m| {
                m.within("thead", &[], |m| {
                    m.within("tr", &[], |m| heads.iter().for_each(|head| m.words("th", &[], head)));
                });
                m.within("tbody", &[], rows);
            });
        });
    }

    /// A row of a table's body, a cell for each text.
    pub(super) fn row(&mut self, cells: &[&dyn Display]) {
        self.within("tr", &[], |m| cells.iter().for_each(|cell| m.words("td", &[], cell)));
    }

    fn head(&mut self, name: &'static str, attributes: Attributes) {
        self.0.push('<');
        self.0.push_str(name);
        for (attribute, value) in attributes {
            self.0.push(' ');
            self.0.push_str(attribute);
            self.0.push_str("=\"");
            Escaping(&mut self.0).put(format_args!("{value}"));
            self.0.push('"');
        }
    }
}

/// Text on its way into a page.
struct Escaping<'a>(&'a mut String);

impl Escaping<'_> {
    /// A value whose own `Display` fails is cut there, which is all that can be said of it.
    fn put(&mut self, text: fmt::Arguments) {
        let _ = self.write_fmt(text);
    }
}

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // What no page may contain, and what turns the direction of the text around it.
                '\0'..='\x08' | '\x0b'..='\x1f' | '\x7f'..='\u{9f}' => self.0.push('\u{fffd}'),
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_escaped() {
        let mut page = Markup::default();
        page.words("p", &[("title", &"a\"b'<")], "1 < 2 & \u{202e}\u{1}x");
        assert_eq!(page.as_str(), "<p title=\"a&quot;b&#39;&lt;\">1 &lt; 2 &amp; \u{fffd}\u{fffd}x</p>");
    }
}
