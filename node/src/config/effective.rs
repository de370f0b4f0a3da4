//! What is in force: every key, its value, and what says so.

use std::path::Path;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::KEYS;
use super::settings::id_of;
use super::{ConfigError, Settings, line_at};

/// A key that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct InForce {
    /// The key, as mistakes name it: `cluster.name`, `node[2].http`.
    pub(crate) key: String,
    /// Its value, as TOML writes it.
    pub(crate) value: String,
    /// What says so: a flag, a variable, a line of the file, or `default`.
    pub(crate) from: String,
}

/// Every key of a sound cluster file, of all nodes or of one alone, and the defaults of those that are not set.
///
/// # Errors
/// Where the text is no TOML.
pub(crate) fn in_force(
    path: &Path,
    text: &str,
    settings: &Settings,
    node: Option<u64>,
) -> Result<Vec<InForce>, ConfigError> {
    let document = settings.document(text)?.into_inner();
    let mut teller = Teller { path, text, settings, document: &document, told: Vec::new() };
    for (name, value) in by_line(&document) {
        teller.value(name, name, value, node.filter(|_| name == "node"));
    }
    Ok(teller.told)
}

struct Teller<'a> {
    path: &'a Path,
    text: &'a str,
    settings: &'a Settings,
    document: &'a DeTable<'a>,
    told: Vec<InForce>,
}

impl Teller<'_> {
    /// A value at that path; `kind` is the path without the places in arrays. Of an array all tables, or those of that
    /// id.
    fn value(&mut self, kind: &str, path: &str, value: &Spanned<DeValue<'_>>, id: Option<u64>) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(kind, path, table),
            DeValue::Array(array) if array.iter().all(|item| item.get_ref().is_table()) => {
                for (place, item) in array.iter().enumerate() {
                    if id.is_none_or(|id| id_of(item.get_ref()) == Some(id)) {
                        self.value(kind, &format!("{path}[{}]", place + 1), item, None);
                    }
                }
            }
            _ => self.told.push(self.set(path.to_owned(), value)),
        }
    }

    /// The known keys in the order of the documents, then those that are not in [`KEYS`].
    fn table(&mut self, kind: &str, path: &str, table: &DeTable<'_>) {
        let known = || KEYS.iter().filter(|key| key.table == kind);
        for key in known() {
            let path = format!("{path}.{}", key.name);
            match (table.get(key.name), key.default) {
                (Some(value), _) => self.value(&format!("{kind}.{}", key.name), &path, value, None),
                (None, Some(default)) => self.told.push(by_default(path, default)),
                (None, None) => (),
            }
        }
        for (name, value) in by_line(table).filter(|(name, _)| known().all(|known| known.name != *name)) {
            self.value(&format!("{kind}.{name}"), &format!("{path}.{name}"), value, None);
        }
    }

    fn set(&self, key: String, value: &Spanned<DeValue<'_>>) -> InForce {
        if let Some(setting) = self.settings.setting(self.document, &key) {
            return InForce { key, value: setting.toml().to_owned(), from: setting.from().to_owned() };
        }
        let written = self.text.get(value.span()).unwrap_or_default().to_owned();
        let from = format!("{}:{}", self.path.display(), line_at(self.text, value.span().start));
        InForce { key, value: written, from }
    }
}

/// The entries of a table in the order of the file.
fn by_line<'d, 't>(table: &'d DeTable<'t>) -> impl Iterator<Item = (&'d str, &'d Spanned<DeValue<'t>>)> {
    let mut entries: Vec<_> =
        table.iter().map(|(key, value)| (key.span().start, key.get_ref().as_ref(), value)).collect();
    entries.sort_by_key(|(start, ..)| *start);
    entries.into_iter().map(|(_, key, value)| (key, value))
}

fn by_default(key: String, value: &str) -> InForce {
    InForce { key, value: value.to_owned(), from: "default".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::SettingArgs;
    use super::*;

    const FILE: &str = "[cluster]\nname = \"shop\"\nmax_hold_seconds = 1_900\n\
        [[node]]\nid = 1\nhttp = \"a:1\"\nraft = \"a:2\"\ndata_dir = \"d1\"\n\
        [[node]]\nid = 2\nhttp = \"b:1\"\nraft = \"b:2\"\ndata_dir = \"d2\"\n";

    fn told(settings: &Settings, node: Option<u64>) -> Vec<String> {
        let told = in_force(Path::new("f.toml"), FILE, settings, node).unwrap();
        told.iter().map(|it| format!("{} {} {}", it.key, it.value, it.from)).collect()
    }

    #[test]
    fn each_key_is_told_with_its_value_and_what_says_so() {
        let variable = |name: &str| (name == "LASTUNIT_NODE_DATA_DIR").then(|| "/data".to_owned());
        let settings = Settings::of(Some(2), variable, &SettingArgs::default());
        assert_eq!(
            told(&settings, Some(2)),
            [
                "cluster.name \"shop\" f.toml:2",
                "cluster.max_ttl_seconds 1800 default",
                "cluster.max_hold_seconds 1_900 f.toml:3",
                "cluster.retention_seconds 86400 default",
                "cluster.idempotency_seconds 86400 default",
                "cluster.events_retention_seconds 86400 default",
                "cluster.events_max 262144 default",
                "node[2].id 2 f.toml:10",
                "node[2].http \"b:1\" f.toml:11",
                "node[2].raft \"b:2\" f.toml:12",
                "node[2].data_dir \"/data\" LASTUNIT_NODE_DATA_DIR",
            ]
        );
    }

    #[test]
    fn without_a_node_all_are_told() {
        let nodes = told(&Settings::default(), None).into_iter().filter(|line| line.starts_with("node["));
        assert_eq!(nodes.count(), 8);
    }
}
