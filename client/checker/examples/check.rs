//! Checks the histories in the files that are named, and says what is broken:
//! `cargo run -p checker --example check FILE`.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Write, stdout};

use checker::{Conclusion, History, check};

fn main() -> Result<(), Box<dyn Error>> {
    let mut broken = false;
    for path in std::env::args().skip(1) {
        let history = History::read(BufReader::new(File::open(&path)?))?;
        let verdict = check(&history);
        let mut out = stdout().lock();
        writeln!(out, "{path}: {} calls, {:?}", history.calls.len(), verdict.conclusion)?;
        verdict.doubts.iter().try_for_each(|doubt| writeln!(out, "  {doubt}"))?;
        for rule in &verdict.rules {
            writeln!(out, "  {} looked at {}, broken {}", rule.name, rule.looked_at, rule.violations_total)?;
            for violation in rule.violations.iter().take(10) {
                writeln!(out, "    {} us: {}", violation.at_us, violation.message)?;
            }
        }
        broken |= verdict.conclusion == Conclusion::Violated;
    }
    std::process::exit(i32::from(broken));
}
