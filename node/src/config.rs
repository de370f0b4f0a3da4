//! The cluster file: who the nodes are, and the limits that they share.
//!
//! ```text
//!   cluster.toml --load--> text --parse--> ClusterFile      every mistake: one line that names
//!          flags, variables --'      \----> ConfigError       the file, the line, the key and the mend
//! ```
//!
//! What a file means is a pure function of its text and of what is set from outside ([`Settings`]). The parsed document
//! is walked by hand, because serde's errors know neither the key of a wrong value nor what to do about it.
//!
//! What is absent: whether an address is free or a directory writable. Only starting a node can tell.

pub(crate) mod check;
pub(crate) mod doubts;
pub(crate) mod effective;
pub(crate) mod keys;
mod settings;
mod tls;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use raft::HoldLimits;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) use self::rate_limits::RateLimits;
pub(crate) use self::settings::{SettingArgs, Settings};
pub(crate) use self::tls::{Named, NodeFiles, TlsConfig};
use crate::address::is_address;

mod rate_limits;

/// How many nodes a cluster has: fewer than three survive nothing, more than five only wait for one another.
pub(crate) const NODES: RangeInclusive<usize> = 3..=5;

/// The greatest number of seconds that a limit may be: ten years.
const SECONDS_MAX: u64 = 315_360_000;

/// The greatest number of events that may be kept. All of them are in memory, at about half a kilobyte each.
const EVENTS_MAX: u64 = 16_777_216;

/// The most reservations that one customer may be limited to.
const CUSTOMER_HOLDS_MAX: u64 = 1_000_000;

/// The most units, likewise: as many as one SKU may have.
const CUSTOMER_UNITS_MAX: u64 = 1_000_000_000_000;

/// The most extensions that a hold may be limited to; 0 leaves it none.
const HOLD_EXTENSIONS_MAX: u64 = 10_000;

/// What the cluster file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterFile {
    /// The cluster's name; nodes of another name are refused.
    pub(crate) name: String,
    /// The longest time to live that a call may ask for.
    pub(crate) max_ttl: Duration,
    /// The longest time from a hold's grant to its deadline.
    pub(crate) max_hold: Duration,
    /// How long an ended reservation stays readable.
    pub(crate) retention: Duration,
    /// How long the answer under an idempotency key is kept.
    pub(crate) idempotency: Duration,
    /// How long an event of the change feed is kept.
    pub(crate) events_retention: Duration,
    /// How many events of the change feed are kept at most.
    pub(crate) events_max: u64,
    /// The most that one customer, and one hold, may have.
    pub(crate) hold_limits: HoldLimits,
    /// The file of the tokens that callers show; `None`: nobody shows any. Relative to the working directory.
    pub(crate) tokens: Option<PathBuf>,
    /// What has TLS, and by which files; `None`: nothing.
    pub(crate) tls: Option<TlsConfig>,
    /// How fast calls may come.
    pub(crate) rate_limits: RateLimits,
    /// The nodes, in the order of the file.
    pub(crate) nodes: Vec<NodeConfig>,
}

/// One `[[node]]` of the cluster file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeConfig {
    /// Its id, 1 or more.
    pub(crate) id: u64,
    /// Where it answers clients, as host and port.
    pub(crate) http: String,
    /// Where it answers the other nodes, as host and port.
    pub(crate) raft: String,
    /// Where it keeps its files; relative to the working directory.
    pub(crate) data_dir: PathBuf,
}

/// A mistake in the cluster file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// The file, once it is known; or the flag or the variable that says what is wrong.
    pub(crate) file: Option<PathBuf>,
    /// The line, counted from 1, where the mistake has one.
    pub(crate) line: Option<usize>,
    /// The key at fault, such as `node[2].http`; empty where the file as a whole is.
    pub(crate) key: String,
    /// What is wrong with it.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) mend: String,
}

impl ClusterFile {
    /// Reads the file, and what variables say of its keys.
    pub(crate) fn load(path: &Path) -> Result<ClusterFile, ConfigError> {
        ClusterFile::load_with(path, &Settings::of_environment())
    }

    /// Reads the file, with what is set from outside.
    pub(crate) fn load_with(path: &Path, settings: &Settings) -> Result<ClusterFile, ConfigError> {
        let text = text_of(path)?;
        ClusterFile::parse_with(&text, settings)
            .map_err(|error| ConfigError { file: error.file.or_else(|| Some(path.to_owned())), ..error })
    }

    /// The file's meaning by itself, or the first mistake in it.
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Result<ClusterFile, ConfigError> {
        ClusterFile::parse_with(text, &Settings::default())
    }

    /// The meaning of a file and of what is set from outside, or the first mistake in it.
    fn parse_with(text: &str, settings: &Settings) -> Result<ClusterFile, ConfigError> {
        ClusterFile::read(text, settings.document(text)?).map_err(|error| settings.explain(text, error))
    }

    fn read<'t>(text: &'t str, document: Spanned<DeTable<'t>>) -> Result<ClusterFile, ConfigError> {
        let mut root = Section::new(text, String::new(), document);
        let cluster = root.table("cluster")?;
        let rate_limits = root.optional_table("rate_limits")?;
        let nodes = root.tables("node")?;
        let tls = root.optional_table("tls")?;
        root.finish()?;
        let file = limits(cluster)?;
        let rate_limits = rate_limits.map(rate_limits::read).transpose()?.unwrap_or_default();
        let nodes = nodes.into_iter().map(node).collect::<Result<Vec<_>, _>>()?;
        check_count(text, &nodes)?;
        check_distinct(&nodes)?;
        let nodes: Vec<_> = nodes.into_iter().map(|node| node.config).collect();
        let tls = tls.map(|section| TlsConfig::read(section, &nodes)).transpose()?;
        Ok(ClusterFile { nodes, tls, rate_limits, ..file })
    }

    /// How clients call the nodes: `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.tls.as_ref().is_some_and(|tls| tls.http) {
            true => "https",
            false => "http",
        }
    }

    /// By which authority clients trust the nodes, where that is the nodes' own.
    pub(crate) fn client_ca(&self) -> Option<PathBuf> {
        self.tls.as_ref().filter(|tls| tls.http).and_then(TlsConfig::client_ca)
    }

    /// The node of that id.
    pub(crate) fn node(&self, id: u64) -> Option<&NodeConfig> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The ids of all nodes, as people read them: `1, 2, 3`.
    pub(crate) fn ids(&self) -> String {
        let ids: Vec<String> = self.nodes.iter().map(|node| node.id.to_string()).collect();
        ids.join(", ")
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("the cluster file")?,
        }
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ", key `{}`", self.key)?;
        }
        write!(f, ": {}; {}", self.what, self.mend)
    }
}

impl std::error::Error for ConfigError {}

/// A node with the lines of its keys, for the checks that compare nodes.
struct Placed {
    config: NodeConfig,
    name: String,
    id_line: usize,
    http_line: usize,
    raft_line: usize,
}

/// `[cluster]`, with no nodes yet.
fn limits(mut section: Section<'_>) -> Result<ClusterFile, ConfigError> {
    let name = section.text("name", "nodes of another name are refused")?;
    let max_ttl = section.seconds("max_ttl_seconds", 1800)?;
    let max_hold = section.seconds("max_hold_seconds", 1800)?;
    let retention = section.seconds("retention_seconds", 86_400)?;
    let idempotency = section.seconds("idempotency_seconds", 86_400)?;
    let events_retention = section.seconds("events_retention_seconds", 86_400)?;
    let events_max = section.number("events_max", 1..=EVENTS_MAX, 262_144)?;
    let hold_limits = hold_limits(&mut section)?;
    let tokens = section.optional_text("tokens", "such as \"tokens.toml\"")?;
    section.check_limits(max_ttl, max_hold)?;
    section.finish()?;
    Ok(ClusterFile {
        name: name.value,
        max_ttl,
        max_hold,
        retention,
        idempotency,
        events_retention,
        events_max,
        hold_limits,
        tokens: tokens.map(|tokens| PathBuf::from(tokens.value)),
        tls: None,
        rate_limits: RateLimits::default(),
        nodes: Vec::new(),
    })
}

fn hold_limits(section: &mut Section<'_>) -> Result<HoldLimits, ConfigError> {
    Ok(HoldLimits {
        customer_holds_max: section.optional_number("customer_holds_max", 1..=CUSTOMER_HOLDS_MAX)?,
        customer_units_max: section.optional_number("customer_units_max", 1..=CUSTOMER_UNITS_MAX)?,
        hold_extensions_max: section.optional_number("hold_extensions_max", 0..=HOLD_EXTENSIONS_MAX)?,
    })
}

fn node(mut section: Section<'_>) -> Result<Placed, ConfigError> {
    let id = section.integer("id", "such as id = 1")?;
    if id.value == 0 {
        return Err(section.error("id", Some(id.line), "is 0", "ids are 1 or more"));
    }
    let http = section.address("http")?;
    let raft = section.address("raft")?;
    let data_dir = section.text("data_dir", "such as \"data/1\"")?;
    section.finish()?;
    Ok(Placed {
        config: NodeConfig {
            id: id.value,
            http: http.value,
            raft: raft.value,
            data_dir: PathBuf::from(data_dir.value),
        },
        name: section.name,
        id_line: id.line,
        http_line: http.line,
        raft_line: raft.line,
    })
}

fn check_count(text: &str, nodes: &[Placed]) -> Result<(), ConfigError> {
    if NODES.contains(&nodes.len()) {
        return Ok(());
    }
    let what = format!("{} nodes", nodes.len());
    let line = nodes.last().map(|node| node.id_line).unwrap_or_else(|| line_at(text, text.len()));
    Err(mistake(Some(line), "node", &what, "give the cluster three to five [[node]] tables"))
}

/// No two nodes share an id, an address or a directory.
fn check_distinct(nodes: &[Placed]) -> Result<(), ConfigError> {
    let mut ids = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    let mut directories = BTreeSet::new();
    for node in nodes {
        let Placed { config, name, .. } = node;
        if !ids.insert(config.id) {
            let what = format!("another node has the id {}", config.id);
            return Err(mistake(Some(node.id_line), &format!("{name}.id"), &what, "give each node its own"));
        }
        for (key, address, line) in
            [("http", &config.http, node.http_line), ("raft", &config.raft, node.raft_line)]
        {
            if !addresses.insert(address) {
                let what = format!("{address} stands in this file twice");
                return Err(mistake(
                    Some(line),
                    &format!("{name}.{key}"),
                    &what,
                    "give each use its own port",
                ));
            }
        }
        // Two nodes of one name on two machines may well use the same path, but a file that says so cannot be
        // run on one machine: only the same host makes it a mistake.
        if !directories.insert((host(&config.raft), &config.data_dir)) {
            let what = format!("another node of this host has {}", config.data_dir.display());
            let key = format!("{name}.data_dir");
            return Err(mistake(Some(node.id_line), &key, &what, "give each node its own directory"));
        }
    }
    Ok(())
}

/// A table of the document that is read key by key; what nobody asked for in the end is unknown.
struct Section<'t> {
    text: &'t str,
    /// The key of the table itself: `cluster`, `node[2]`, or nothing for the document.
    name: String,
    line: usize,
    table: DeTable<'t>,
    known: Vec<&'static str>,
}

/// A value and the line that it stands on.
struct At<T> {
    value: T,
    line: usize,
}

impl<'t> Section<'t> {
    fn new(text: &'t str, name: String, table: Spanned<DeTable<'t>>) -> Section<'t> {
        let line = line_at(text, table.span().start);
        Section { text, name, line, table: table.into_inner(), known: Vec::new() }
    }

    fn key(&self, key: &str) -> String {
        match self.name.is_empty() {
            true => key.to_owned(),
            false => format!("{}.{key}", self.name),
        }
    }

    fn error(&self, key: &str, line: Option<usize>, what: &str, mend: &str) -> ConfigError {
        mistake(line, &self.key(key), what, mend)
    }

    fn take(&mut self, key: &'static str) -> Option<At<DeValue<'t>>> {
        self.known.push(key);
        let value = self.table.remove(key)?;
        Some(At { line: line_at(self.text, value.span().start), value: value.into_inner() })
    }

    fn require(&mut self, key: &'static str, mend: &str) -> Result<At<DeValue<'t>>, ConfigError> {
        let line = (!self.name.is_empty()).then_some(self.line);
        self.take(key).ok_or_else(|| self.error(key, line, "is missing", &format!("add it: {mend}")))
    }

    fn text(&mut self, key: &'static str, mend: &str) -> Result<At<String>, ConfigError> {
        let found = self.require(key, mend)?;
        self.to_text(key, found, mend)
    }

    fn optional_text(&mut self, key: &'static str, mend: &str) -> Result<Option<At<String>>, ConfigError> {
        let found = self.take(key);
        found.map(|found| self.to_text(key, found, mend)).transpose()
    }

    fn to_text(&self, key: &str, found: At<DeValue<'t>>, mend: &str) -> Result<At<String>, ConfigError> {
        let At { value, line } = found;
        match value.as_str() {
            Some("") => Err(self.error(key, Some(line), "is empty", mend)),
            Some(text) if text.chars().any(char::is_control) => {
                Err(self.error(key, Some(line), "has a control character in it", "write plain text"))
            }
            Some(text) => Ok(At { value: text.to_owned(), line }),
            None => Err(self.wrong_type(key, line, &value, "text in quotation marks")),
        }
    }

    fn integer(&mut self, key: &'static str, mend: &str) -> Result<At<u64>, ConfigError> {
        let found = self.require(key, mend)?;
        self.to_integer(key, found)
    }

    fn to_integer(&self, key: &str, found: At<DeValue<'t>>) -> Result<At<u64>, ConfigError> {
        let At { value, line } = found;
        let Some(number) = value.as_integer() else {
            return Err(self.wrong_type(key, line, &value, "a whole number without quotation marks"));
        };
        let parsed = u64::from_str_radix(number.as_str(), number.radix());
        let value = parsed.map_err(|_| {
            let what = format!("{} is out of range", number.as_str());
            self.error(key, Some(line), &what, "write a whole number of 0 or more, below 2^64")
        })?;
        Ok(At { value, line })
    }

    fn seconds(&mut self, key: &'static str, default: u64) -> Result<Duration, ConfigError> {
        self.number(key, 1..=SECONDS_MAX, default).map(Duration::from_secs)
    }

    fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, ConfigError> {
        Ok(self.optional_number(key, range)?.unwrap_or(default))
    }

    fn optional_number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ConfigError> {
        let Some(found) = self.take(key) else {
            return Ok(None);
        };
        let At { value, line } = self.to_integer(key, found)?;
        if !range.contains(&value) {
            let mend = format!("write {} to {}", range.start(), range.end());
            return Err(self.error(key, Some(line), &format!("{value} is out of range"), &mend));
        }
        Ok(Some(value))
    }

    fn flag(&mut self, key: &'static str, default: bool) -> Result<bool, ConfigError> {
        let Some(At { value, line }) = self.take(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong_type(key, line, &value, "true or false"))
    }

    fn check_limits(&self, max_ttl: Duration, max_hold: Duration) -> Result<(), ConfigError> {
        if max_ttl <= max_hold {
            return Ok(());
        }
        let (ttl, hold) = (max_ttl.as_secs(), max_hold.as_secs());
        let what = format!("{ttl} is more than max_hold_seconds, which is {hold}");
        Err(self.error("max_ttl_seconds", Some(self.line), &what, "lower it, or raise max_hold_seconds"))
    }

    fn address(&mut self, key: &'static str) -> Result<At<String>, ConfigError> {
        let mend = "such as \"127.0.0.1:8101\"";
        let address = self.text(key, mend)?;
        if is_address(&address.value) {
            return Ok(address);
        }
        let what = format!("{:?} is not a host and a port", address.value);
        Err(self.error(key, Some(address.line), &what, &format!("write one {mend}")))
    }

    fn table(&mut self, key: &'static str) -> Result<Section<'t>, ConfigError> {
        let At { value, line } = self.require(key, &format!("begin it with [{key}]"))?;
        match value {
            DeValue::Table(table) => Ok(self.section(self.key(key), line, table)),
            other => Err(self.wrong_type(key, line, &other, &format!("a table: [{key}]"))),
        }
    }

    /// The tables of an array that may be left out.
    fn optional_tables(&mut self, key: &'static str) -> Result<Vec<Section<'t>>, ConfigError> {
        match self.table.contains_key(key) {
            true => self.tables(key),
            false => {
                self.known.push(key);
                Ok(Vec::new())
            }
        }
    }

    fn optional_table(&mut self, key: &'static str) -> Result<Option<Section<'t>>, ConfigError> {
        match self.table.contains_key(key) {
            true => self.table(key).map(Some),
            // It is a key all the same, to be told to those who misspell it.
            false => Ok(self.take(key).and(None)),
        }
    }

    /// The tables of an array of tables, named `node[1]`, `node[2]`: people count from 1.
    fn tables(&mut self, key: &'static str) -> Result<Vec<Section<'t>>, ConfigError> {
        let mend = format!("a [[{key}]] table for each");
        let At { value, line } = self.require(key, &mend)?;
        let DeValue::Array(array) = value else {
            return Err(self.wrong_type(key, line, &value, &mend));
        };
        let mut sections = Vec::new();
        for (place, value) in array.into_iter().enumerate() {
            let line = line_at(self.text, value.span().start);
            match value.into_inner() {
                DeValue::Table(table) => {
                    sections.push(self.section(self.key(&format!("{key}[{}]", place + 1)), line, table));
                }
                other => return Err(self.wrong_type(key, line, &other, &mend)),
            }
        }
        Ok(sections)
    }

    fn section(&self, name: String, line: usize, table: DeTable<'t>) -> Section<'t> {
        Section { text: self.text, name, line, table, known: Vec::new() }
    }

    fn wrong_type(&self, key: &str, line: usize, value: &DeValue<'_>, wanted: &str) -> ConfigError {
        self.error(key, Some(line), &format!("is of type {}", value.type_str()), &format!("write {wanted}"))
    }

    /// Refuses the first key, in the order of the file, that nobody asked for.
    fn finish(&self) -> Result<(), ConfigError> {
        let Some(unknown) = self.table.keys().min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let line = line_at(self.text, unknown.span().start);
        let mend = format!("remove it, or write one of: {}", self.known.join(", "));
        Err(self.error(unknown.get_ref(), Some(line), "is not a key of this file", &mend))
    }
}

fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&b| b == b'\n').count()
}

fn mistake(line: Option<usize>, key: &str, what: &str, mend: &str) -> ConfigError {
    ConfigError { file: None, line, key: key.to_owned(), what: what.to_owned(), mend: mend.to_owned() }
}

fn not_toml(text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map(|span| line_at(text, span.start));
    // The parser's message may have several lines; the contract promises one.
    let what = error.message().lines().collect::<Vec<_>>().join(", ");
    mistake(line, "", &what, "mend the TOML there")
}

/// The text of a cluster file.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn text_of(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let what = format!("cannot be read: {error}");
    let mend = "name the cluster file with --config, or run where cluster.toml is";
    ConfigError { file: Some(path.to_owned()), ..mistake(None, "", &what, mend) }
}

#[cfg(test)]
mod tests;
