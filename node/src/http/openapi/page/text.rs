//! Text as HTML.

/// Text in which nothing is a tag.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Escaped text, with what stands in backticks as code.
pub(super) fn rich(text: &str) -> String {
    let piece = |(place, piece): (usize, &str)| match place % 2 {
        0 => escape(piece),
        _ => format!("<code>{}</code>", escape(piece)),
    };
    text.split('`').enumerate().map(piece).collect()
}

/// A paragraph for each of the text's.
pub(super) fn prose(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|text| !text.is_empty());
    paragraphs.map(|paragraph| format!("<p>{}</p>\n", rich(paragraph))).collect()
}

/// A name as the target of a link.
pub(super) fn anchor(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_becomes_a_tag() {
        assert_eq!(rich("a <b> `c & \"d\"` e"), "a &lt;b&gt; <code>c &amp; &quot;d&quot;</code> e");
        assert_eq!(prose("a\n\nb"), "<p>a</p>\n<p>b</p>\n");
    }
}
