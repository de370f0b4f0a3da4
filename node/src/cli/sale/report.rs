//! What is told of a sale, for people.

use std::fmt::Write;
use std::time::Duration;

use super::facts::{Facts, Kill};
use crate::cli::finding::{self, Finding};

/// The report.
pub(super) fn report(facts: &Facts, findings: &[Finding]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = head(&mut text, facts);
    let _ = outcomes(&mut text, facts);
    let _ = speed(&mut text, facts);
    let _ = stock(&mut text, facts);
    let _ = write!(text, "\n{}", finding::told(findings));
    text
}

fn head(text: &mut String, facts: &Facts) -> std::fmt::Result {
    let Facts { stock, buyers, connections, addresses, .. } = facts;
    let nodes = addresses.len();
    writeln!(
        text,
        "flash sale: {stock} on sale, {buyers} buyers, {connections} at a time over {nodes} nodes"
    )?;
    match facts.kill {
        None => Ok(()),
        Some(Kill::Done { id, after }) => {
            writeln!(text, "kill -9 of node {id}, the leader, after {:.0} ms", millis(after))
        }
        Some(Kill::TooLate) => writeln!(text, "no leader was killed: the rush was over before"),
    }
}

fn outcomes(text: &mut String, facts: &Facts) -> std::fmt::Result {
    let tally = &facts.tally;
    writeln!(text, "\n  {:>9}  winners", tally.winners.len())?;
    for (count, what) in [
        (tally.abandoned, "left their hold unpaid"),
        (tally.left_line.len() as u64, "waited until the last unit was sold"),
    ] {
        if count > 0 {
            writeln!(text, "  {count:>9}  {what}")?;
        }
    }
    for (code, count) in &tally.lost {
        writeln!(text, "  {count:>9}  refused: {code}")?;
    }
    for (code, count) in &tally.forfeited {
        writeln!(text, "  {count:>9}  refused the commit of their hold: {code}")?;
    }
    writeln!(text, "  {:>9}  unknown at first", tally.unanswered_first)?;
    writeln!(text, "  {:>9}  unknown at the end", tally.open.len())
}

fn speed(text: &mut String, facts: &Facts) -> std::fmt::Result {
    let (seconds, requests) = (facts.elapsed.as_secs_f64(), facts.tally.requests);
    let rate = requests as f64 / seconds.max(f64::MIN_POSITIVE);
    writeln!(text, "\n{requests} requests in {seconds:.2} s: {rate:.0} a second")?;
    match facts.tally.latencies.percentiles() {
        Some(told) => writeln!(text, "reserve, retries included: {told}"),
        None => Ok(()),
    }
}

fn stock(text: &mut String, facts: &Facts) -> std::fmt::Result {
    writeln!(text)?;
    for (record, address) in facts.read_back.records.iter().zip(&facts.addresses) {
        match record {
            Ok(r) => writeln!(text, "{address}  on_hand {}  held {}  sold {}", r.on_hand, r.held, r.sold)?,
            Err(why) => writeln!(text, "{address}  not read: {why}")?,
        }
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::verdict::{judge, tests::good};
    use super::*;

    #[test]
    fn a_report_tells_all() {
        let mut facts = good();
        facts.kill = Some(Kill::Done { id: 2, after: Duration::from_millis(201) });
        facts.tally.add_tries(client::Tries { made: 4, unanswered: 1 });
        facts.tally.latencies.record(Duration::from_micros(1_500));
        let expected = "\
flash sale: 1 on sale, 3 buyers, 2 at a time over 3 nodes
kill -9 of node 2, the leader, after 201 ms

          1  winners
          1  refused: held_by_others
          1  refused: insufficient_stock
          1  unknown at first
          0  unknown at the end

4 requests in 0.50 s: 8 a second
reserve, retries included: p50 1.50 ms, p90 1.50 ms, p99 1.50 ms, p99.9 1.50 ms, max 1.50 ms

http://a:1  on_hand 0  held 0  sold 1
http://b:1  on_hand 0  held 0  sold 1
http://c:1  on_hand 0  held 0  sold 1

ok       every buyer's outcome is known
ok       every buyer is counted once
ok       no unit was sold twice
ok       every unit that was wanted was sold
ok       the stock adds up, read through http://a:1
ok       the stock adds up, read through http://b:1
ok       the stock adds up, read through http://c:1
ok       every winner's reservation reads back as committed
ok       every node has the same state, by its digest at log index 9
";
        assert_eq!(report(&facts, &judge(&facts)), expected);
    }
}
