//! Every key of the cluster file: what sets it, and what it is unless set.
//!
//! The parser reads the file without this table, and a test holds the two against each other. The table is for what
//! sets a key from outside ([`Settings`](super::Settings)), for `lastunit config check`, and for docs/operations.md,
//! which has a row for each.

/// What a key's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, whatever it looks like.
    Text,
    /// A whole number, or `true` or `false`: written as it is.
    Plain,
}

/// What sets a key, besides the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetBy {
    /// `--set`, or else this variable.
    Variable(&'static str),
    /// A flag of its own, or else that flag's variable.
    Flag(&'static str, &'static str),
    /// Nothing: it is what other nodes know this one by, and must be the same in every node's file.
    File,
}

/// A key of the cluster file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// The table that it stands in: `cluster`, or `node` for each `[[node]]`.
    pub(crate) table: &'static str,
    /// Its name there.
    pub(crate) name: &'static str,
    /// What its value is.
    pub(crate) kind: Kind,
    /// What else sets it.
    pub(crate) set_by: SetBy,
    /// What it is unless set; `None` where it has to be set, or may well be left out.
    pub(crate) default: Option<&'static str>,
}

use Kind::{Plain, Text};
use SetBy::{File, Flag, Variable};

/// All of them, in the order of the documents.
pub(crate) const KEYS: &[Key] = &[
    key("cluster", "name", Text, Variable("LASTUNIT_CLUSTER_NAME"), None),
    key("cluster", "tokens", Text, Flag("--tokens", "LASTUNIT_TOKENS"), None),
    limit("max_ttl_seconds", "LASTUNIT_CLUSTER_MAX_TTL_SECONDS", "1800"),
    limit("max_hold_seconds", "LASTUNIT_CLUSTER_MAX_HOLD_SECONDS", "1800"),
    limit("retention_seconds", "LASTUNIT_CLUSTER_RETENTION_SECONDS", "86400"),
    limit("idempotency_seconds", "LASTUNIT_CLUSTER_IDEMPOTENCY_SECONDS", "86400"),
    limit("events_retention_seconds", "LASTUNIT_CLUSTER_EVENTS_RETENTION_SECONDS", "86400"),
    limit("events_max", "LASTUNIT_CLUSTER_EVENTS_MAX", "262144"),
    most("customer_holds_max", "LASTUNIT_CLUSTER_CUSTOMER_HOLDS_MAX"),
    most("customer_units_max", "LASTUNIT_CLUSTER_CUSTOMER_UNITS_MAX"),
    most("hold_extensions_max", "LASTUNIT_CLUSTER_HOLD_EXTENSIONS_MAX"),
    rate("customer_requests_per_second", "LASTUNIT_RATE_LIMITS_CUSTOMER_REQUESTS_PER_SECOND"),
    rate("customer_burst", "LASTUNIT_RATE_LIMITS_CUSTOMER_BURST"),
    rate("token_requests_per_second", "LASTUNIT_RATE_LIMITS_TOKEN_REQUESTS_PER_SECOND"),
    rate("token_burst", "LASTUNIT_RATE_LIMITS_TOKEN_BURST"),
    rate("token_reads_per_second", "LASTUNIT_RATE_LIMITS_TOKEN_READS_PER_SECOND"),
    rate("token_reads_burst", "LASTUNIT_RATE_LIMITS_TOKEN_READS_BURST"),
    key("tls", "dir", Text, Variable("LASTUNIT_TLS_DIR"), Some("tls")),
    key("tls", "http", Plain, Variable("LASTUNIT_TLS_HTTP"), Some("true")),
    key("tls", "peers", Plain, Variable("LASTUNIT_TLS_PEERS"), Some("true")),
    key("tls", "ca", Text, Variable("LASTUNIT_TLS_CA"), None),
    key("tls", "http_cert", Text, Variable("LASTUNIT_TLS_HTTP_CERT"), None),
    key("tls", "http_key", Text, Variable("LASTUNIT_TLS_HTTP_KEY"), None),
    key("tls", "node", Text, File, None),
    key("node", "id", Plain, File, None),
    key("node", "http", Text, File, None),
    key("node", "raft", Text, File, None),
    key("node", "data_dir", Text, Variable("LASTUNIT_NODE_DATA_DIR"), None),
];

const fn key(
    table: &'static str,
    name: &'static str,
    kind: Kind,
    set_by: SetBy,
    default: Option<&'static str>,
) -> Key {
    Key { table, name, kind, set_by, default }
}

const fn limit(name: &'static str, variable: &'static str, default: &'static str) -> Key {
    key("cluster", name, Plain, Variable(variable), Some(default))
}

/// What nothing is limited by unless it is given.
const fn most(name: &'static str, variable: &'static str) -> Key {
    key("cluster", name, Plain, Variable(variable), None)
}

const fn rate(name: &'static str, variable: &'static str) -> Key {
    key("rate_limits", name, Plain, Variable(variable), None)
}

impl Key {
    /// The key as people name it: `cluster.name`, `node.data_dir`.
    pub(crate) fn path(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }

    /// The variable that sets it, where one does.
    pub(crate) fn variable(&self) -> Option<&'static str> {
        match self.set_by {
            Variable(variable) | Flag(_, variable) => Some(variable),
            File => None,
        }
    }

    /// The key of that path.
    pub(crate) fn of(path: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.path() == path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ClusterFile;
    use super::*;

    const PAGE: &str = include_str!("../../../docs/operations.md");

    const NODES: &str = "[[node]]\nid = 2\nhttp = \"b:1\"\nraft = \"b:2\"\ndata_dir = \"d\"\n\
        [[node]]\nid = 3\nhttp = \"c:1\"\nraft = \"c:2\"\ndata_dir = \"d\"\n\
        [[node]]\nid = 1\nhttp = \"a:1\"\nraft = \"a:2\"\ndata_dir = \"d\"\n";

    /// The keys that the parser knows of a table, or the tables: it names them all where it refuses another one.
    fn known(table: &str) -> Vec<String> {
        let text = match table {
            "" => format!("none = 1\n[cluster]\nname = \"n\"\n{NODES}"),
            "cluster" => format!("[cluster]\nname = \"n\"\nnone = 1\n{NODES}"),
            // The last of the nodes is the table that is open at the end.
            "node" => format!("[cluster]\nname = \"n\"\n{NODES}none = 1\n"),
            other => format!("[cluster]\nname = \"n\"\n{NODES}[{other}]\nnone = 1\n"),
        };
        let error = ClusterFile::parse(&text).expect_err("a key that is none");
        let (_, names) =
            error.mend.split_once("write one of: ").unwrap_or_else(|| panic!("{table}: {error}"));
        names.split(", ").map(str::to_owned).collect()
    }

    #[test]
    fn the_table_has_every_key_that_the_parser_knows_and_no_other() {
        let tables = known("");
        assert!(tables.contains(&"cluster".to_owned()) && tables.contains(&"node".to_owned()), "{tables:?}");
        let of = |table: &String| {
            known(table).into_iter().map(|name| format!("{table}.{name}")).collect::<Vec<_>>()
        };
        let mut parsed: Vec<String> = tables.iter().flat_map(of).collect();
        let mut listed: Vec<String> = KEYS.iter().map(Key::path).collect();
        parsed.sort();
        listed.sort();
        assert_eq!(listed, parsed);
    }

    #[test]
    fn each_default_is_what_the_parser_takes() {
        let silent = ClusterFile::parse(&format!("[cluster]\nname = \"n\"\n{NODES}")).unwrap();
        for key in KEYS.iter().filter(|key| key.table == "cluster") {
            let Some(default) = key.default else { continue };
            let said = format!("[cluster]\nname = \"n\"\n{} = {default}\n{NODES}", key.name);
            assert_eq!(ClusterFile::parse(&said).unwrap(), silent, "{}", key.path());
        }
    }

    #[test]
    fn the_page_for_operators_has_a_row_for_each_key() {
        for key in KEYS {
            let variable = key.variable().map(|name| format!("`{name}` ")).unwrap_or_default();
            let default = key.default.map(|default| format!("{default} ")).unwrap_or_default();
            let row = format!("| `{}` | {variable}| {default}|", key.path());
            assert!(PAGE.contains(&row), "docs/operations.md has no row that begins {row}");
        }
    }

    #[test]
    fn no_two_keys_have_one_variable() {
        let mut seen = std::collections::BTreeSet::new();
        assert!(
            KEYS.iter()
                .filter_map(Key::variable)
                .all(|name| name.starts_with("LASTUNIT_") && seen.insert(name))
        );
    }
}
