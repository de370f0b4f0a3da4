//! The lines of a file, one at a time, however large it is.
//!
//! A quotation mark that nobody closes makes the rest of a CSV file one cell. So a line that is longer than any SKU
//! needs ends the import with a hint, instead of filling the memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use client::api::OnShortfall;
use csv::{ByteRecord, ReaderBuilder, Trim};
use indicatif::ProgressBar;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use tokio::sync::mpsc::Sender;

use super::line::{Line, Rejected, Task};
use crate::cli::failure::Failure;
use crate::cli::sku::format::{COLUMNS, Format, is_standard};

/// The longest line, give or take what is read ahead.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The columns of an import that adjusts.
const ADJUST_COLUMNS: [&str; 4] = ["sku", "delta", "reason", "reference"];

/// A line that can be done, or why not.
pub(super) type Entry = Result<Line, Rejected>;

/// A file that can be read.
pub(super) struct Input {
    name: String,
    source: Box<dyn Read + Send>,
    bytes: Option<u64>,
    format: Format,
    delimiter: u8,
    task: Task,
}

/// Where lines go: those of one SKU to one worker.
pub(super) struct Queue(Vec<Sender<Entry>>);

/// Nobody takes more lines.
struct Closed;

impl Queue {
    pub(super) fn new(workers: Vec<Sender<Entry>>) -> Queue {
        Queue(workers)
    }

    fn send(&self, entry: Entry) -> Result<(), Closed> {
        let mut hasher = DefaultHasher::new();
        match &entry {
            Ok(line) => line.sku.hash(&mut hasher),
            Err(rejected) => rejected.number.hash(&mut hasher),
        }
        let worker = hasher.finish() % self.0.len() as u64;
        self.0[worker as usize].blocking_send(entry).map_err(|_| Closed)
    }
}

impl Input {
    /// Opens the file.
    pub(super) fn open(
        file: &Path,
        format: Format,
        delimiter: u8,
        adjust: bool,
        on_shortfall: Option<OnShortfall>,
    ) -> Result<Input, Failure> {
        let task = Task { adjust, on_shortfall };
        let name = file.display().to_string();
        if is_standard(file) {
            let source = Box::new(io::stdin());
            return Ok(Input { name: "stdin".to_owned(), source, bytes: None, format, delimiter, task });
        }
        let cannot = |cause: io::Error| Failure::usage(format!("cannot read {name}: {cause}"));
        let source = File::open(file).map_err(cannot)?;
        let facts = source.metadata().map_err(cannot)?;
        let bytes = facts.is_file().then_some(facts.len());
        Ok(Input { source: Box::new(source), bytes, format, delimiter, task, name })
    }

    /// How long it is, where that is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// Reads all lines, until nobody takes more.
    pub(super) fn read(self, queue: &Queue, bar: &ProgressBar) -> Result<(), Failure> {
        let Input { name, source, format, delimiter, task, .. } = self;
        let lines = Lines { name, task, queue, bar };
        let guard = without_mark(source).map(Guard::new).map_err(|cause| lines.stopped(1, &cause))?;
        match format {
            Format::Csv => lines.csv(guard, delimiter),
            Format::Ndjson => lines.ndjson(guard),
        }
    }
}

/// What every line needs.
struct Lines<'a> {
    name: String,
    task: Task,
    queue: &'a Queue,
    bar: &'a ProgressBar,
}

impl Lines<'_> {
    fn csv(&self, guard: Guard, delimiter: u8) -> Result<(), Failure> {
        let ahead = guard.ahead.clone();
        let mut builder = ReaderBuilder::new();
        builder.delimiter(delimiter).flexible(true).trim(Trim::All).has_headers(false);
        let mut reader = builder.from_reader(guard);
        let mut record = ByteRecord::new();
        let mut columns: Option<Columns> = None;
        loop {
            let before = reader.position().byte();
            match reader.read_byte_record(&mut record) {
                Ok(true) => (),
                Ok(false) if columns.is_none() => return Err(self.wrong("line 1: the columns are missing")),
                Ok(false) => return Ok(()),
                Err(cause) => return Err(self.stopped(ahead.borrow().line, &io::Error::from(cause))),
            }
            let length = reader.position().byte() - before;
            self.bar.inc(length);
            let number = ahead.borrow_mut().pass(length);
            let Some(columns) = &columns else {
                columns = Some(Columns::of(&record, self.task.adjust).map_err(|why| self.wrong(&why))?);
                continue;
            };
            let entry = columns.fields(&record).map_err(|why| Rejected::line(number, None, why));
            if self.queue.send(entry.and_then(|fields| self.task.line(number, fields))).is_err() {
                return Ok(());
            }
        }
    }

    fn ndjson(&self, guard: Guard) -> Result<(), Failure> {
        let ahead = guard.ahead.clone();
        let mut reader = BufReader::new(guard);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let length = match reader.read_until(b'\n', &mut bytes) {
                Ok(0) => return Ok(()),
                Ok(length) => length as u64,
                Err(cause) => return Err(self.stopped(ahead.borrow().line, &cause)),
            };
            self.bar.inc(length);
            let number = ahead.borrow_mut().pass(length);
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let entry = match serde_json::from_slice(&bytes) {
                Ok(Fields { twice: Some(name), .. }) => {
                    Err(Rejected::line(number, None, format!("{name}: stands there twice")))
                }
                Ok(Fields { fields, .. }) => self.task.line(number, fields),
                Err(cause) => Err(Rejected::line(number, None, format!("no JSON object: {cause}"))),
            };
            if self.queue.send(entry).is_err() {
                return Ok(());
            }
        }
    }

    /// The file is not what it should be.
    fn wrong(&self, why: &str) -> Failure {
        Failure::usage(format!("{}: {why}", self.name))
    }

    /// The file cannot be read from that line on.
    fn stopped(&self, line: u64, cause: &io::Error) -> Failure {
        self.wrong(&format!("cannot be read from line {line} on: {cause}"))
    }
}

/// The fields of an object, and a name that two of them have: which of the two is meant nobody can tell.
#[derive(Default)]
struct Fields {
    fields: Map<String, Value>,
    twice: Option<String>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Fields, D::Error> {
        from.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Fields, A::Error> {
        let mut read = Fields::default();
        while let Some((name, value)) = pairs.next_entry::<String, Value>()? {
            if read.fields.insert(name.clone(), value).is_some() {
                read.twice.get_or_insert(name);
            }
        }
        Ok(read)
    }
}

/// Which column is what.
struct Columns(Vec<&'static str>);

impl Columns {
    /// The columns that a header names.
    fn of(header: &ByteRecord, adjust: bool) -> Result<Columns, String> {
        let known = if adjust { ADJUST_COLUMNS } else { COLUMNS };
        let mut columns = Vec::new();
        for name in header {
            let name = String::from_utf8_lossy(name);
            let Some(column) = known.into_iter().find(|known| *known == name) else {
                return Err(format!("line 1: {name:?} is no column; the columns are {}", known.join(",")));
            };
            if columns.contains(&column) {
                return Err(format!("line 1: the column {column} stands there twice"));
            }
            columns.push(column);
        }
        match known[..2].iter().find(|needed| !columns.contains(needed)) {
            Some(missing) => Err(format!("line 1: the column {missing} is missing")),
            None => Ok(Columns(columns)),
        }
    }

    /// A line's cells by name, as JSON; an empty cell is left out.
    fn fields(&self, record: &ByteRecord) -> Result<Map<String, Value>, String> {
        if record.len() != self.0.len() {
            return Err(format!("has {} cells, and the header {}", record.len(), self.0.len()));
        }
        let mut fields = Map::new();
        for (column, cell) in self.0.iter().zip(record) {
            let cell = std::str::from_utf8(cell).map_err(|_| format!("{column}: is not UTF-8"))?;
            if !cell.is_empty() {
                fields.insert((*column).to_owned(), value(column, cell)?);
            }
        }
        Ok(fields)
    }
}

/// A cell as JSON.
fn value(column: &str, cell: &str) -> Result<Value, String> {
    let number =
        |parsed: Option<Value>| parsed.ok_or_else(|| format!("{column}: {cell:?} is not a whole number"));
    match column {
        "max_per_customer" if cell == "none" => Ok(Value::Null),
        "on_hand" | "safety_stock" | "max_per_customer" => number(cell.parse::<u64>().ok().map(Value::from)),
        "delta" => number(cell.parse::<i64>().ok().map(Value::from)),
        _ => Ok(Value::from(cell)),
    }
}

/// The source without the byte order mark that some programs begin a file with.
fn without_mark(mut source: Box<dyn Read + Send>) -> io::Result<Box<dyn Read>> {
    let mut first = Vec::new();
    source.by_ref().take(3).read_to_end(&mut first)?;
    if first == b"\xef\xbb\xbf" {
        first.clear();
    }
    Ok(Box::new(io::Cursor::new(first).chain(source)))
}

/// Keeps what is read until it is known to which line it belongs, and fails where one line takes too much.
struct Guard {
    source: Box<dyn Read>,
    ahead: Rc<RefCell<Ahead>>,
}

/// What was read from the source and is of no line yet.
struct Ahead {
    bytes: VecDeque<u8>,
    /// The number of the line that it begins in.
    line: u64,
}

impl Guard {
    fn new(source: Box<dyn Read>) -> Guard {
        Guard { source, ahead: Rc::new(RefCell::new(Ahead { bytes: VecDeque::new(), line: 1 })) }
    }
}

impl Read for Guard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ahead = self.ahead.borrow_mut();
        if ahead.bytes.len() > LINE_BYTES_MAX {
            return Err(io::Error::other("it is longer than 1 MiB; is a quotation mark missing?"));
        }
        let length = self.source.read(buffer)?;
        ahead.bytes.extend(&buffer[..length]);
        Ok(length)
    }
}

impl Ahead {
    /// Passes the bytes of one record, and answers the number of the line that it begins in. The CSV reader's own
    /// count is behind after CRLF and empty lines: it passes them with the record that follows.
    fn pass(&mut self, length: u64) -> u64 {
        let mut begins = None;
        for byte in self.bytes.drain(..length as usize) {
            if byte != b'\n' && byte != b'\r' {
                begins.get_or_insert(self.line);
            }
            self.line += u64::from(byte == b'\n');
        }
        begins.unwrap_or(self.line)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::cli::sku::import::line::Change;

    /// What a file's lines are, and how reading it ends.
    fn read(text: &[u8], format: Format, adjust: bool) -> (Vec<Entry>, Result<(), Failure>) {
        let (queue, mut lines) = mpsc::channel(100);
        let task = Task { adjust, on_shortfall: None };
        let source = Box::new(io::Cursor::new(text.to_vec()));
        let input = Input { name: "f".to_owned(), source, bytes: None, format, delimiter: b',', task };
        let end = input.read(&Queue::new(vec![queue]), &ProgressBar::hidden());
        (std::iter::from_fn(|| lines.try_recv().ok()).collect(), end)
    }

    fn reasons(entries: &[Entry]) -> Vec<(u64, String)> {
        let rejected = entries.iter().filter_map(|entry| entry.as_ref().err());
        rejected.map(|rejected| (rejected.number, rejected.reason.clone())).collect()
    }

    #[test]
    fn csv_lines_are_numbered_as_an_editor_numbers_them() {
        let text = "\u{feff}on_hand, sku ,max_per_customer\r\n5,PS5,none\r\n\r\n\"7\",\"XBOX\",\nx,BAD,1\n1,2\n6,A,2";
        let (entries, end) = read(text.as_bytes(), Format::Csv, false);
        assert_eq!(end, Ok(()));
        let done: Vec<_> = entries.iter().filter_map(|entry| entry.as_ref().ok()).collect();
        let told: Vec<_> = done.iter().map(|line| (line.number, line.sku.as_str())).collect();
        assert_eq!(told, [(2, "PS5"), (4, "XBOX"), (7, "A")]);
        let limits: Vec<_> = done
            .iter()
            .map(|line| match &line.change {
                Change::Set(put) => put.max_per_customer,
                Change::Adjust(_) => None,
            })
            .collect();
        assert_eq!(limits, [Some(None), None, Some(Some(2))]);
        let expected = [(5, "on_hand: \"x\" is not a whole number"), (6, "has 2 cells, and the header 3")];
        assert_eq!(reasons(&entries), expected.map(|(number, why)| (number, why.to_owned())));
    }

    #[test]
    fn ndjson_lines_are_numbered_too() {
        let text = b"{\"sku\":\"A\",\"delta\":-5,\"reason\":\"lost\"}\n\n[1]\n{\"sku\":\"B\"}\n{\"sku\":\"C\",\"delta\":1}";
        let (entries, end) = read(text, Format::Ndjson, true);
        assert_eq!(end, Ok(()));
        let told: Vec<_> =
            entries.iter().filter_map(|entry| entry.as_ref().ok().map(|line| line.number)).collect();
        assert_eq!(told, [1, 5]);
        let reasons = reasons(&entries);
        assert_eq!(reasons.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 4]);
        assert!(reasons[0].1.starts_with("no JSON object"), "{reasons:?}");
        assert!(reasons[1].1.starts_with("missing field `delta`"), "{reasons:?}");
    }

    #[test]
    fn a_name_that_stands_twice_in_a_line_rejects_it() {
        let text =
            b"{\"sku\":\"A\",\"on_hand\":1,\"on_hand\":2}\n{\"sku\":\"A\",\"sku\":\"A\",\"on_hand\":2}\n";
        let (entries, end) = read(text, Format::Ndjson, false);
        assert_eq!(end, Ok(()));
        let expected = [(1, "on_hand: stands there twice"), (2, "sku: stands there twice")];
        assert_eq!(reasons(&entries), expected.map(|(number, why)| (number, why.to_owned())));
    }

    #[test]
    fn a_wrong_header_ends_it_before_the_first_line() {
        let table = [
            (
                "sku,on_hand,price\nA,1,2\n",
                "\"price\" is no column; the columns are sku,on_hand,safety_stock",
            ),
            ("sku\nA\n", "the column on_hand is missing"),
            ("sku,on_hand,sku\nA,1,A\n", "the column sku stands there twice"),
            ("sku;on_hand\nA;1\n", "\"sku;on_hand\" is no column"),
            ("", "line 1: the columns are missing"),
            ("\u{feff}\r\n\n", "line 1: the columns are missing"),
        ];
        for (text, why) in table {
            let (entries, end) = read(text.as_bytes(), Format::Csv, false);
            let failure = end.unwrap_err();
            assert!(failure.line.as_ref().unwrap().contains(why), "{failure:?}");
            assert_eq!((entries.len(), failure.code), (0, 2));
        }
    }

    #[test]
    fn a_quotation_mark_that_nobody_closes_does_not_fill_the_memory() {
        for format in [Format::Csv, Format::Ndjson] {
            let header: &[u8] = if format == Format::Csv { b"sku,on_hand\n\"A," } else { b"{\"sku\":\"" };
            let text = [header, &vec![b'x'; 3 * LINE_BYTES_MAX]].concat();
            let (entries, end) = read(&text, format, false);
            assert!(entries.is_empty());
            let line = end.unwrap_err().line.unwrap();
            assert!(line.contains("longer than 1 MiB"), "{line}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_reject_their_line_alone() {
        let (entries, end) = read(b"sku,on_hand\n\xff,1\nA,1\n", Format::Csv, false);
        assert_eq!(end, Ok(()));
        assert_eq!(reasons(&entries), [(2, "sku: is not UTF-8".to_owned())]);
        assert_eq!(entries.len(), 2);
    }
}
