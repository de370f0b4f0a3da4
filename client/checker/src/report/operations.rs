//! What clients asked for, and how it ended.

use super::markup::Markup;
use super::words::Count;
use crate::verdict::{OperationCount, Verdict};

/// Writes the table.
pub(super) fn write(page: &mut Markup, verdict: &Verdict) {
    page.words("h2", &[], "What clients asked for");
    let counts = &verdict.statistics.operations;
    if counts.is_empty() {
        page.words("p", &[], "Nothing: no operation was made.");
        return;
    }
    page.words(
        "p",
        &[],
        "An operation is tried until it is answered or its time is over. Refused is a right answer: sold out, \
         expired, already paid. Unknown is an honest one: it may have been executed, and the rules allow for both.",
    );
    page.table(&["Operation", "Succeeded", "Refused", "Not executed", "Unknown", "All"], |page| {
        counts.iter().for_each(|count| write_row(page, count.op.as_str(), figures(count)));
        let sum =
            counts.iter().map(figures).fold([0; 4], |sum, more| std::array::from_fn(|n| sum[n] + more[n]));
        write_row(page, "together", sum);
    });
}

fn figures(count: &OperationCount) -> [u64; 4] {
    [count.succeeded, count.refused, count.not_executed, count.unknown]
}

fn write_row(page: &mut Markup, name: &str, [succeeded, refused, not_executed, unknown]: [u64; 4]) {
    let all = succeeded + refused + not_executed + unknown;
    page.row(&[
        &name,
        &Count(succeeded),
        &Count(refused),
        &Count(not_executed),
        &Count(unknown),
        &Count(all),
    ]);
}
