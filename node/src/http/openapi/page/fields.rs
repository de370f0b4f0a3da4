//! Schemas as tables, and types as words.

use serde_json::Value;

use super::text::{escape, rich};

/// A table of an object's fields; of a schema that has none, what it is.
pub(super) fn fields(schema: &Value) -> String {
    let Some(properties) = schema["properties"].as_object() else {
        return variants(schema);
    };
    let row = |(name, field): (&String, &Value)| {
        let required = is_required(schema, name);
        let mark = if required { "" } else { "<br><small>optional</small>" };
        let about = field["description"].as_str().unwrap_or_default();
        let about = if about.is_empty() { String::new() } else { format!("{}<br>", rich(about)) };
        let kind = kind_of(field);
        format!(
            "<tr><td><code>{}</code>{mark}</td><td>{about}<small>{kind}</small></td></tr>\n",
            escape(name)
        )
    };
    let rows: String = properties.iter().map(row).collect();
    format!("<table>\n{rows}</table>\n")
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
}

/// What a schema without fields of its own may be.
fn variants(schema: &Value) -> String {
    let one = |variant: &Value| {
        let about = variant["description"].as_str().unwrap_or_default();
        format!("<tr><td>{}</td><td>{}</td></tr>\n", kind_of(variant), rich(about))
    };
    let rows: String = alternatives(schema).iter().map(one).collect();
    match rows.is_empty() {
        true => format!("<p>{}</p>\n", kind_of(schema)),
        false => format!("<table>\n{rows}</table>\n"),
    }
}

fn alternatives(schema: &Value) -> &[Value] {
    let lists = ["oneOf", "anyOf"].into_iter().find_map(|name| schema[name].as_array());
    lists.map(Vec::as_slice).unwrap_or_default()
}

/// A schema in a few words, as HTML.
pub(super) fn kind_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    if let Some(constant) = schema.get("const") {
        return format!("<code>{}</code>", escape(&constant.to_string()));
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return parts.iter().map(kind_of).collect::<Vec<_>>().join(" and ");
    }
    if !alternatives(schema).is_empty() {
        return alternatives(schema).iter().map(kind_of).collect::<Vec<_>>().join(" or ");
    }
    match &schema["type"] {
        Value::Array(kinds) => {
            let kinds: Vec<String> = kinds.iter().map(|kind| named(kind, schema)).collect();
            kinds.join(" or ")
        }
        kind => named(kind, schema),
    }
}

/// A type of that name, in the range that the schema gives it.
fn named(kind: &Value, schema: &Value) -> String {
    match kind.as_str() {
        Some("string") => text(schema),
        Some("integer") => format!("integer{}", between(&schema["minimum"], &schema["maximum"], "")),
        Some("array") => {
            let items = kind_of(&schema["items"]);
            format!("list of {items}{}", between(&schema["minItems"], &schema["maxItems"], ""))
        }
        Some("null") => "<code>null</code>".to_owned(),
        Some(kind) => kind.to_owned(),
        None => "any JSON".to_owned(),
    }
}

fn text(schema: &Value) -> String {
    match (schema["pattern"].as_str(), schema["enum"].as_array()) {
        (Some(pattern), _) => format!("text, <code>{}</code>", escape(pattern)),
        (None, Some(words)) => {
            let link = |word: &Value| {
                let word = escape(word.as_str().unwrap_or_default());
                format!("<a href=\"#code-{word}\"><code>{word}</code></a>")
            };
            words.iter().map(link).collect::<Vec<_>>().join(", ")
        }
        (None, None) => format!("text{}", between(&schema["minLength"], &schema["maxLength"], " characters")),
    }
}

/// A range as people read it; empty where there is none to tell of.
fn between(least: &Value, most: &Value, unit: &str) -> String {
    match (least.as_i64(), most.as_u64()) {
        (Some(least), Some(most)) => {
            format!(", {} to {}{unit}", grouped(&least.to_string()), grouped(&most.to_string()))
        }
        (Some(least), None) if least > 0 => format!(", {least} or more{unit}"),
        _ => String::new(),
    }
}

/// Digits in threes.
fn grouped(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    sign.to_owned() + &grouped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_told_in_words() {
        let table = [
            (json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000 }), "integer, 1 to 1,000,000"),
            (json!({ "type": ["integer", "null"], "minimum": 0 }), "integer or <code>null</code>"),
            (json!({ "type": "string", "minLength": 1, "maxLength": 128 }), "text, 1 to 128 characters"),
            (json!({ "type": "integer", "minimum": -1000, "maximum": 1000 }), "integer, -1,000 to 1,000"),
            (json!({ "$ref": "#/components/schemas/Item" }), "<a href=\"#schema-Item\">Item</a>"),
            (json!({ "const": "*" }), "<code>&quot;*&quot;</code>"),
            (json!({}), "any JSON"),
        ];
        for (schema, words) in table {
            assert_eq!(kind_of(&schema), words, "{schema}");
        }
    }
}
