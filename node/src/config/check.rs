//! Everything that is wrong with a cluster file, rather than the first mistake in it.
//!
//! The parser ends at the first. So each mistake is put aside and the rest is read again: the value at fault is left
//! out, and where it must not be left out something that is sure to be right stands in its place. What follows from
//! that is not told: a key that was put aside is spoken of once.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ClusterFile, ConfigError, Settings, not_toml};

/// More mistakes than this are not looked for.
const MISTAKES_MAX: usize = 100;

/// Every mistake in a cluster file with what is set from outside, in the order of its lines. None: it is sound.
pub(crate) fn mistakes(text: &str, settings: &Settings) -> Vec<ConfigError> {
    let (_, broken) = DeTable::parse_recoverable(text);
    if !broken.is_empty() {
        return broken.iter().map(|error| not_toml(text, error)).collect();
    }
    let mut found: Vec<ConfigError> = Vec::new();
    let mut aside: Vec<Aside> = Vec::new();
    while found.len() < MISTAKES_MAX
        && let Err(error) = read(text, settings, &aside)
    {
        let known = aside.iter().position(|aside| aside.path == error.key);
        match known.map(|known| &mut aside[known]) {
            None => {
                aside.push(Aside { path: error.key.clone(), instead: None });
                found.push(settings.explain(text, error));
            }
            Some(known) if known.instead.is_none() && sound(&known.path).is_some() => {
                known.instead = sound(&known.path);
            }
            // Nothing can stand in its place, so that nothing behind it can be looked at.
            Some(_) => break,
        }
    }
    found.sort_by_key(|error| error.line.unwrap_or(0));
    found
}

/// A key that was at fault.
struct Aside {
    path: String,
    /// What stands in its place: a document of one line, with the value as that of `v`.
    instead: Option<String>,
}

fn read(text: &str, settings: &Settings, aside: &[Aside]) -> Result<ClusterFile, ConfigError> {
    let mut document = settings.document(text)?;
    for key in aside {
        key.put_aside(document.get_mut());
    }
    ClusterFile::read(text, document)
}

impl Aside {
    fn put_aside<'t>(&'t self, document: &mut DeTable<'t>) {
        let (table, name) = self.path.rsplit_once('.').unwrap_or(("", &self.path));
        let Some(table) = table_at(document, table) else { return };
        table.remove(name);
        let instead = self.instead.as_deref().and_then(|line| DeTable::parse(line).ok());
        if let Some(value) = instead.and_then(|line| line.into_inner().remove("v")) {
            table.insert(Spanned::new(0..0, name.into()), value);
        }
    }
}

/// The table of that path: nothing for the document itself, `cluster`, or `node[2]`.
fn table_at<'d, 't>(document: &'d mut DeTable<'t>, path: &str) -> Option<&'d mut DeTable<'t>> {
    if path.is_empty() {
        return Some(document);
    }
    let (name, place) = match path.trim_end_matches(']').split_once('[') {
        Some((name, place)) => (name, place.parse::<usize>().ok()?.checked_sub(1)),
        None => (path, None),
    };
    let value = document.get_mut(name)?.get_mut();
    let value = match (value, place) {
        (DeValue::Array(tables), Some(place)) => tables.get_mut(place)?.get_mut(),
        (value, _) => value,
    };
    match value {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// What is sure to be right for a key that must not be left out: unlike everything that an operator may have written.
fn sound(path: &str) -> Option<String> {
    let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
    let place = table.trim_start_matches("node[").trim_end_matches(']').parse::<u64>().unwrap_or(0);
    let value = match name {
        "cluster" => r#"{ name = "placeholder" }"#.to_owned(),
        "node" => format!("[{}]", [1, 2, 3].map(sound_node).join(", ")),
        "name" => r#""placeholder""#.to_owned(),
        "id" => (i64::MAX as u64 - place).to_string(),
        "http" => format!("\"placeholder-{place}.invalid:1\""),
        "raft" => format!("\"placeholder-{place}.invalid:2\""),
        "data_dir" => format!("\"placeholder-{place}\""),
        // A default may be out of range only beside another limit.
        name if name.ends_with("_seconds") => "1".to_owned(),
        _ => return None,
    };
    Some(format!("v = {value}"))
}

fn sound_node(id: u64) -> String {
    let at = format!("placeholder-{id}.invalid");
    format!(r#"{{ id = {id}, http = "{at}:1", raft = "{at}:2", data_dir = "{at}" }}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../cluster.toml");

    fn told(text: &str) -> Vec<(String, Option<usize>)> {
        mistakes(text, &Settings::default()).into_iter().map(|mistake| (mistake.key, mistake.line)).collect()
    }

    #[test]
    fn a_sound_file_has_none() {
        assert_eq!(told(SHIPPED), []);
    }

    #[test]
    fn every_mistake_of_a_file_is_told_once_in_the_order_of_its_lines() {
        let text = SHIPPED
            .replacen(
                "name = \"lastunit-dev\"",
                "name = 7\nzone = 1\nmax_ttl_seconds = 0\nmax_hold_seconds = 60",
                1,
            )
            .replacen("127.0.0.1:8102", "127.0.0.1", 1)
            .replacen("id = 3", "id = 1", 1)
            .replacen("data_dir = \"data/3\"", "rack = 1", 1);
        let keys: Vec<String> = told(&text).into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            [
                "cluster.name",
                "cluster.zone",
                "cluster.max_ttl_seconds",
                "node[2].http",
                "node[3].data_dir",
                "node[3].id",
                "node[3].rack"
            ]
        );
        let lines: Vec<_> = told(&text).into_iter().filter_map(|(_, line)| line).collect();
        assert_eq!(lines.len(), keys.len());
        assert!(lines.is_sorted(), "{lines:?}");
    }

    #[test]
    fn behind_a_table_that_is_missing_the_rest_is_looked_at() {
        let text = SHIPPED.replacen("[cluster]", "[clutser]", 1).replacen("127.0.0.1:9102", "9102", 1);
        let keys: Vec<String> = told(&text).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["cluster", "clutser", "node[2].raft"]);
        assert_eq!(told("").into_iter().map(|(key, _)| key).collect::<Vec<_>>(), ["cluster", "node"]);
    }

    #[test]
    fn too_few_nodes_end_the_search() {
        let two = SHIPPED.split_once("[[node]]\nid = 3").unwrap().0;
        assert_eq!(told(two).into_iter().map(|(key, _)| key).collect::<Vec<_>>(), ["node"]);
    }

    #[test]
    fn all_that_is_no_toml_is_told() {
        let lines: Vec<_> =
            told("[cluster]\nname = a\n[[node]]\nid = = 1\n").into_iter().map(|(_, line)| line).collect();
        assert!(lines.contains(&Some(2)) && lines.contains(&Some(4)), "{lines:?}");
    }
}
