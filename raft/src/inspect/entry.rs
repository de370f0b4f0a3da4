//! Log entries in words: what people and programs read of the bytes that the log keeps.
//!
//! A command is told as a list of named values. The list is written once, and shown in two ways: as a line of text, and
//! as a JSON object.

use std::fmt;
use std::io;

use openraft::EntryPayload;
use serde::ser::{Serialize, SerializeMap, Serializer};
use storage::inventory::command::{Command, IfExpired, OnShortfall, Precondition, Request, Setting, Stamp};
use storage::inventory::ids::{Item, ReservationId};
use storage::log::Entry;

use super::report::{MemberReport, members};
use crate::codec;

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EntryWords {
    /// Its index.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: u64,
    /// The id of that leader.
    pub leader: u64,
    /// What it tells the state machine.
    #[serde(flatten)]
    pub content: Content,
}

/// What an entry tells the state machine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Content {
    /// Nothing: a leader's first entry.
    Blank,
    /// Who takes part from now on.
    Membership {
        /// The nodes that vote; two sets of them while it changes.
        voters: Vec<Vec<u64>>,
        /// Every node.
        members: Vec<MemberReport>,
    },
    /// Commands of one instant.
    Commands {
        /// The instant, and the limits in force.
        stamp: Stamp,
        /// The commands, in order.
        commands: Vec<CommandWords>,
    },
    /// Bytes that this version does not understand.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// A command as a list of named values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandWords {
    /// What it does, by the name of its call.
    pub op: &'static str,
    /// What it says, in the order in which it is told; what it leaves out is left out.
    pub fields: Vec<(&'static str, Value)>,
}

/// A value of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Something with a name or an id.
    Text(String),
    /// A number that may be negative.
    Number(i128),
    /// Yes. What is not so is left out.
    Yes,
    /// SKUs and how many units of each.
    Items(Vec<(String, u64)>),
    /// A list of numbers.
    Numbers(Vec<u64>),
}

/// An entry in words.
pub(super) fn words(entry: &Entry) -> EntryWords {
    let content = content(entry).unwrap_or_else(|why| Content::Unreadable { why: why.to_string() });
    let position = entry.position;
    EntryWords { index: position.index, term: position.term, leader: position.leader, content }
}

/// How many commands an entry has, and its instant where it has one.
pub(super) fn decode(entry: &Entry) -> io::Result<(u64, Option<u64>)> {
    match codec::decode_payload(entry.payload.clone())? {
        EntryPayload::Normal(proposal) => {
            let batch = codec::decode_batch(&proposal)?;
            Ok((batch.requests.len() as u64, Some(batch.stamp.now_ms)))
        }
        EntryPayload::Blank | EntryPayload::Membership(_) => Ok((0, None)),
    }
}

fn content(entry: &Entry) -> io::Result<Content> {
    Ok(match codec::decode_payload(entry.payload.clone())? {
        EntryPayload::Blank => Content::Blank,
        EntryPayload::Membership(membership) => {
            let sets = membership.get_joint_config().iter();
            let voters = sets.map(|set| set.iter().copied().collect()).collect();
            Content::Membership { voters, members: members(&membership) }
        }
        EntryPayload::Normal(proposal) => {
            let batch = codec::decode_batch(&proposal)?;
            Content::Commands { stamp: batch.stamp, commands: batch.requests.iter().map(command).collect() }
        }
    })
}

/// A command, with the key that it came with at the end.
fn command(request: &Request) -> CommandWords {
    let mut told = told(&request.command);
    told.optional("idempotency_key", request.idempotency_key.as_deref());
    told
}

fn told(command: &Command) -> CommandWords {
    match command {
        Command::Tick => CommandWords::new("tick"),
        Command::Reserve(it) => {
            let mut told = CommandWords::new("reserve");
            told.text("cart_id", &it.cart_id).optional("customer_id", it.customer_id.as_deref());
            told.items(Some(&it.items)).number("ttl_ms", it.ttl_ms).yes("wait", it.wait);
            told.text("nonce", &format!("{:016x}", it.nonce));
            told
        }
        Command::Commit(it) => {
            let mut told = CommandWords::of("commit", it.reservation_id);
            told.items(it.items.as_deref()).optional("payment_token", it.payment_token.as_deref());
            told.optional_number("fencing_token", it.fencing_token);
            told.yes("reacquire", it.if_expired == IfExpired::Reacquire);
            told
        }
        Command::Release(it) => CommandWords::of_part("release", it.reservation_id, it.items.as_deref()),
        Command::Extend(it) => {
            let mut told = CommandWords::of("extend", it.reservation_id);
            told.number("ttl_ms", it.ttl_ms);
            told
        }
        Command::Return(it) => CommandWords::of_part("return", it.reservation_id, it.items.as_deref()),
        Command::PutSku(it) => {
            let mut told = CommandWords::new("put");
            told.text("sku", it.sku.as_str()).number("on_hand", it.on_hand);
            told.optional_number("safety_stock", it.safety_stock);
            told.limit(it.max_per_customer).shortfall(it.on_shortfall).condition(&it.precondition);
            told
        }
        Command::AdjustSku(it) => {
            let mut told = CommandWords::new("adjust");
            told.text("sku", it.sku.as_str()).number("delta", it.delta);
            told.optional("reason", it.reason.as_deref()).optional("reference", it.reference.as_deref());
            told.shortfall(it.on_shortfall).condition(&it.precondition);
            told
        }
        Command::DeleteSku(it) => {
            let mut told = CommandWords::new("delete");
            told.text("sku", it.sku.as_str()).condition(&it.precondition);
            told
        }
        Command::RaiseLevel(to) => {
            let mut told = CommandWords::new("raise_level");
            told.number("to", *to);
            told
        }
        #[cfg(feature = "next-version")]
        Command::KeepBack(sku) => {
            let mut told = CommandWords::new("keep_back");
            told.text("sku", sku.as_str());
            told
        }
    }
}

impl CommandWords {
    fn new(op: &'static str) -> CommandWords {
        CommandWords { op, fields: Vec::new() }
    }

    fn of(op: &'static str, id: ReservationId) -> CommandWords {
        let mut told = CommandWords::new(op);
        told.text("reservation_id", &id.to_string());
        told
    }

    fn of_part(op: &'static str, id: ReservationId, items: Option<&[Item]>) -> CommandWords {
        let mut told = CommandWords::of(op, id);
        told.items(items);
        told
    }

    fn add(&mut self, name: &'static str, value: Value) -> &mut CommandWords {
        self.fields.push((name, value));
        self
    }

    fn text(&mut self, name: &'static str, text: &str) -> &mut CommandWords {
        self.add(name, Value::Text(text.to_owned()))
    }

    fn optional(&mut self, name: &'static str, text: Option<&str>) -> &mut CommandWords {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    fn number(&mut self, name: &'static str, number: impl Into<i128>) -> &mut CommandWords {
        self.add(name, Value::Number(number.into()))
    }

    fn optional_number(&mut self, name: &'static str, number: Option<u64>) -> &mut CommandWords {
        match number {
            Some(number) => self.number(name, number),
            None => self,
        }
    }

    fn yes(&mut self, name: &'static str, is_so: bool) -> &mut CommandWords {
        if is_so { self.add(name, Value::Yes) } else { self }
    }

    fn items(&mut self, items: Option<&[Item]>) -> &mut CommandWords {
        match items {
            Some(items) => {
                let items = items.iter().map(|item| (item.sku.to_string(), item.qty)).collect();
                self.add("items", Value::Items(items))
            }
            None => self,
        }
    }

    fn limit(&mut self, limit: Setting<u64>) -> &mut CommandWords {
        match limit {
            Setting::Keep => self,
            Setting::Clear => self.text("max_per_customer", "none"),
            Setting::Set(units) => self.number("max_per_customer", units),
        }
    }

    fn shortfall(&mut self, on_shortfall: OnShortfall) -> &mut CommandWords {
        self.yes("revoke_newest", on_shortfall == OnShortfall::RevokeNewest)
    }

    fn condition(&mut self, precondition: &Precondition) -> &mut CommandWords {
        match precondition {
            Precondition::None => self,
            Precondition::Exists => self.text("if", "exists"),
            Precondition::Absent => self.text("if", "absent"),
            Precondition::Versions(versions) => self.add("if_versions", Value::Numbers(versions.clone())),
        }
    }
}

impl fmt::Display for CommandWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op)?;
        for (name, value) in &self.fields {
            match value {
                Value::Yes => write!(f, " {name}")?,
                value => write!(f, " {name}={value}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    /// Text that could be taken for more than one word is quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) if is_one_word(text) => f.write_str(text),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Yes => f.write_str("yes"),
            Value::Items(items) => list(f, items.iter().map(|(sku, qty)| format!("{sku}:{qty}"))),
            Value::Numbers(numbers) => list(f, numbers.iter().map(u64::to_string)),
        }
    }
}

fn is_one_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\";".contains(c))
}

fn list(f: &mut fmt::Formatter<'_>, parts: impl Iterator<Item = String>) -> fmt::Result {
    f.write_str(&parts.collect::<Vec<_>>().join(","))
}

impl Serialize for CommandWords {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len() + 1))?;
        map.serialize_entry("op", self.op)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Number(number) => serializer.serialize_i128(*number),
            Value::Yes => serializer.serialize_bool(true),
            Value::Items(items) => {
                serializer.collect_seq(items.iter().map(|(sku, qty)| Units { sku, qty: *qty }))
            }
            Value::Numbers(numbers) => numbers.serialize(serializer),
        }
    }
}

/// An item as the API writes it.
#[derive(serde::Serialize)]
struct Units<'a> {
    sku: &'a str,
    qty: u64,
}
