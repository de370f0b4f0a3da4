//! What flags and variables say of the cluster file's keys.
//!
//! ```text
//!   --set cluster.max_hold_seconds=7200          counts before
//!   LASTUNIT_CLUSTER_MAX_HOLD_SECONDS=7200       counts before
//!   max_hold_seconds = 7200  in cluster.toml     counts before the default
//! ```
//!
//! They are put in the place of what the file's text says before it is read, so there is one parser, and one set of
//! checks, for all. A mistake in one of them is told with the flag or the variable in the place of file and line.
//!
//! Of a `[[node]]` only what is its own matter can be set so, and only for the node that the process is: where no node
//! is meant, as in a command that asks the cluster, those settings do not count.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::keys::{KEYS, Key, Kind, SetBy};
use super::{ConfigError, not_toml};

/// The table of what is a node's own.
const OWN: &str = "node";

/// The flag that sets any key.
const FLAG: &str = "--set";

/// The flag that sets keys of the cluster file.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct SettingArgs {
    /// Set a key of the cluster file, such as cluster.retention_seconds=3600 or node.data_dir=/data. It counts before
    /// the key's variable, such as LASTUNIT_CLUSTER_RETENTION_SECONDS, and that before the file.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse)]
    set: Vec<Setting>,
}

/// One key, set from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    key: &'static Key,
    /// A document of one line, with the value as that of `v`.
    toml: String,
    /// The flag or the variable that says so.
    from: &'static str,
}

/// All that is set from outside; later ones count before earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    node: Option<u64>,
    settings: Vec<Setting>,
}

impl SettingArgs {
    /// The same flags for all nodes of a cluster: not those that one node has for itself.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = String> {
        let shared = self.set.iter().filter(|setting| setting.key.table != OWN);
        shared.map(|setting| format!("{FLAG}={}={}", setting.key.path(), setting.plain()))
    }
}

impl Setting {
    fn new(key: &'static Key, value: &str, from: &'static str) -> Setting {
        let plain = value.trim().parse::<i128>().is_ok() || ["true", "false"].contains(&value.trim());
        let value = if plain && key.kind == Kind::Plain { value.trim().to_owned() } else { quoted(value) };
        Setting { key, toml: format!("v = {value}"), from }
    }

    /// The value as TOML writes it.
    pub(super) fn toml(&self) -> &str {
        self.toml.trim_start_matches("v = ")
    }

    /// The flag or the variable that says so.
    pub(super) fn from(&self) -> &'static str {
        self.from
    }

    /// The value as it was given.
    fn plain(&self) -> String {
        match self.value() {
            Some(DeValue::String(text)) => text.into_owned(),
            _ => self.toml().to_owned(),
        }
    }

    /// What [`Setting::new`] made is TOML.
    fn value(&self) -> Option<DeValue<'_>> {
        let table = DeTable::parse(&self.toml).ok()?;
        Some(table.into_inner().remove("v")?.into_inner())
    }
}

/// A text as TOML writes it on one line.
fn quoted(text: &str) -> String {
    let escaped = text.chars().flat_map(|c| match c {
        '"' | '\\' => vec!['\\', c],
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)).chars().collect(),
        c => vec![c],
    });
    format!("\"{}\"", escaped.collect::<String>())
}

fn parse(text: &str) -> Result<Setting, String> {
    let Some((path, value)) = text.split_once('=') else {
        return Err("not a key and a value, such as cluster.retention_seconds=3600".to_owned());
    };
    let Some(key) = Key::of(path.trim()) else {
        return Err(format!("`{}` is no key; write one of: {}", path.trim(), settable()));
    };
    match key.set_by {
        SetBy::Variable(_) => Ok(Setting::new(key, value, FLAG)),
        SetBy::Flag(flag, _) => Err(format!("`{}` has a flag of its own; write {flag}", key.path())),
        SetBy::File => {
            Err(format!("`{}` stands in the cluster file alone: other nodes read it there", key.path()))
        }
    }
}

fn settable() -> String {
    let keys = KEYS.iter().filter(|key| matches!(key.set_by, SetBy::Variable(_)));
    keys.map(Key::path).collect::<Vec<_>>().join(", ")
}

impl Settings {
    /// What the variables say, and then the flags, to the process that is this node, or none.
    pub(crate) fn new(node: Option<u64>, flags: &SettingArgs) -> Settings {
        let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Settings::of(node, variable, flags)
    }

    /// What the variables say to a process that is no node.
    pub(crate) fn of_environment() -> Settings {
        Settings::new(None, &SettingArgs::default())
    }

    pub(super) fn of(
        node: Option<u64>,
        variable: impl Fn(&str) -> Option<String>,
        flags: &SettingArgs,
    ) -> Settings {
        let of_variable = |key: &'static Key| match key.set_by {
            SetBy::Variable(name) => variable(name).map(|value| Setting::new(key, &value, name)),
            SetBy::Flag(..) | SetBy::File => None,
        };
        let mut settings: Vec<_> = KEYS.iter().filter_map(of_variable).collect();
        settings.extend(flags.set.iter().cloned());
        settings.retain(|setting| node.is_some() || setting.key.table != OWN);
        Settings { node, settings }
    }

    /// The document of a cluster file, with what is set in the place of what it says.
    pub(super) fn document<'t>(&'t self, text: &'t str) -> Result<Spanned<DeTable<'t>>, ConfigError> {
        let mut document = DeTable::parse(text).map_err(|error| not_toml(text, &error))?;
        for setting in &self.settings {
            self.put(&mut document, setting);
        }
        Ok(document)
    }

    /// What sets the key of that full path, such as `cluster.name` or `node[2].data_dir`, of that document.
    pub(super) fn setting(&self, document: &DeTable<'_>, path: &str) -> Option<&Setting> {
        self.settings.iter().rev().find(|setting| match setting.key.table {
            OWN => self
                .place(document)
                .is_some_and(|place| path == format!("node[{}].{}", place + 1, setting.key.name)),
            _ => path == setting.key.path(),
        })
    }

    /// The same mistake, told of what was set where that is at fault.
    pub(super) fn explain(&self, text: &str, error: ConfigError) -> ConfigError {
        let document = DeTable::parse(text).map(Spanned::into_inner).unwrap_or_default();
        match self.setting(&document, &error.key) {
            Some(setting) => ConfigError { file: Some(PathBuf::from(setting.from)), line: None, ..error },
            None => error,
        }
    }

    fn put<'t>(&'t self, document: &mut Spanned<DeTable<'t>>, setting: &'t Setting) {
        let place = self.place(document.get_ref());
        let Some(value) = setting.value() else { return };
        let table = match (setting.key.table, place) {
            (OWN, None) => None,
            (OWN, Some(place)) => match document.get_mut().get_mut(OWN).map(Spanned::get_mut) {
                Some(DeValue::Array(nodes)) => nodes.get_mut(place),
                _ => None,
            },
            (table, _) => Some(document.get_mut().entry(named(table)).or_insert_with(empty)),
        };
        if let Some(DeValue::Table(table)) = table.map(Spanned::get_mut) {
            table.insert(named(setting.key.name), Spanned::new(0..0, value));
        }
    }

    /// Where in the file the `[[node]]` is that this process is, counted from 0.
    fn place(&self, document: &DeTable<'_>) -> Option<usize> {
        let node = self.node?;
        let nodes = document.get(OWN)?.get_ref().as_array()?;
        nodes.iter().position(|table| id_of(table.get_ref()) == Some(node))
    }
}

/// A key that stands nowhere in the file.
fn named(key: &'static str) -> Spanned<DeString<'static>> {
    Spanned::new(0..0, key.into())
}

/// A table that stands nowhere in the file.
fn empty<'t>() -> Spanned<DeValue<'t>> {
    Spanned::new(0..0, DeValue::Table(DeTable::new()))
}

/// The id of a `[[node]]`, where it has one.
pub(super) fn id_of(table: &DeValue<'_>) -> Option<u64> {
    let id = table.get("id")?.get_ref().as_integer()?;
    u64::from_str_radix(id.as_str(), id.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::ClusterFile;
    use super::*;

    const FILE: &str = "[cluster]\nname = \"shop\"\nretention_seconds = 10\n\
        [[node]]\nid = 1\nhttp = \"a:1\"\nraft = \"a:2\"\ndata_dir = \"d1\"\n\
        [[node]]\nid = 2\nhttp = \"b:1\"\nraft = \"b:2\"\ndata_dir = \"d2\"\n\
        [[node]]\nid = 3\nhttp = \"c:1\"\nraft = \"c:2\"\ndata_dir = \"d3\"\n";

    fn flags(set: &[&str]) -> SettingArgs {
        SettingArgs { set: set.iter().map(|text| parse(text).unwrap()).collect() }
    }

    /// What the file means, to that node, under those variables and flags.
    fn read(node: Option<u64>, variables: &[(&str, &str)], set: &[&str]) -> Result<ClusterFile, ConfigError> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        ClusterFile::parse_with(FILE, &Settings::of(node, variable, &flags(set)))
    }

    #[test]
    fn a_flag_counts_before_a_variable_and_that_before_the_file_and_that_before_the_default() {
        let variable = [("LASTUNIT_CLUSTER_RETENTION_SECONDS", "20")];
        let retention = |file: Result<ClusterFile, ConfigError>| file.unwrap().retention.as_secs();
        assert_eq!(retention(read(None, &variable, &["cluster.retention_seconds=30"])), 30);
        assert_eq!(retention(read(None, &variable, &[])), 20);
        assert_eq!(retention(read(None, &[], &[])), 10);
        assert_eq!(read(None, &[], &[]).unwrap().idempotency.as_secs(), 86_400);
        let last = ["cluster.retention_seconds=1", "cluster.retention_seconds=2"];
        assert_eq!(retention(read(None, &[], &last)), 2);
    }

    #[test]
    fn a_directory_is_set_for_the_node_that_the_process_is() {
        let variable = [("LASTUNIT_NODE_DATA_DIR", "/data")];
        let directories = |file: ClusterFile| {
            file.nodes.iter().map(|node| node.data_dir.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(directories(read(Some(2), &variable, &[]).unwrap()), "d1 /data d3");
        assert_eq!(directories(read(Some(2), &variable, &["node.data_dir=/other"]).unwrap()), "d1 /other d3");
        assert_eq!(directories(read(None, &variable, &["node.data_dir=/other"]).unwrap()), "d1 d2 d3");
        assert_eq!(directories(read(Some(9), &variable, &[]).unwrap()), "d1 d2 d3");
    }

    #[test]
    fn a_mistake_names_the_flag_or_the_variable() {
        let cases = [
            (
                None,
                ("LASTUNIT_CLUSTER_RETENTION_SECONDS", "0"),
                "",
                "LASTUNIT_CLUSTER_RETENTION_SECONDS, key `cluster.retention_seconds`: 0 is out of range; write 1 to 315360000",
            ),
            (
                None,
                ("LASTUNIT_CLUSTER_EVENTS_MAX", "many"),
                "",
                "LASTUNIT_CLUSTER_EVENTS_MAX, key `cluster.events_max`: is of type string; write a whole number \
                 without quotation marks",
            ),
            (
                None,
                ("", ""),
                "cluster.name=",
                "--set, key `cluster.name`: is empty; nodes of another name are refused",
            ),
            (
                None,
                ("", ""),
                "cluster.name=a\u{7}b",
                "--set, key `cluster.name`: has a control character in it; write plain text",
            ),
            (
                Some(3),
                ("LASTUNIT_NODE_DATA_DIR", ""),
                "",
                "LASTUNIT_NODE_DATA_DIR, key `node[3].data_dir`: is empty; such as \"data/1\"",
            ),
            (
                None,
                ("", ""),
                "cluster.max_ttl_seconds=99999",
                "--set, key `cluster.max_ttl_seconds`: 99999 is more than max_hold_seconds, which is 1800; lower it, \
                 or raise max_hold_seconds",
            ),
        ];
        for (node, variable, set, told) in cases {
            let set: Vec<&str> = [set].into_iter().filter(|set| !set.is_empty()).collect();
            assert_eq!(read(node, &[variable], &set).expect_err("a mistake").to_string(), told);
        }
    }

    #[test]
    fn a_name_is_text_whatever_it_looks_like() {
        for name in ["7", "true", "a\"b\\", "[x]", "#"] {
            let set = format!("cluster.name={name}");
            assert_eq!(read(None, &[], &[&set]).unwrap().name, name);
            let again = flags(&[&set]).arguments().next().unwrap();
            assert_eq!(again, format!("--set={set}"), "what a node is started with says the same");
        }
    }

    #[test]
    fn what_is_no_key_or_not_to_be_set_so_is_refused() {
        for (text, told) in [
            ("cluster.name", "not a key and a value"),
            ("cluster.nam=a", "`cluster.nam` is no key; write one of: cluster.name, cluster.max_ttl_seconds"),
            ("cluster.tokens=a", "has a flag of its own; write --tokens"),
            ("node.http=a:1", "stands in the cluster file alone"),
        ] {
            assert!(parse(text).expect_err(text).contains(told), "{text}");
        }
    }
}
