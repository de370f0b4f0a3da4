//! Whether the sale was right: a pure function of the facts.

use std::collections::BTreeSet;

use client::api::InventoryRecord;

use super::facts::Facts;
use crate::cli::agreement::Agreement;
use crate::cli::finding::Finding;

/// Checks everything.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![all_known(facts), all_counted(facts), not_oversold(facts), all_sold(facts)];
    findings.extend(facts.read_back.records.iter().zip(&facts.addresses).map(|(record, address)| {
        let fault = record.as_ref().map_or_else(|why| Some(why.clone()), |record| misfit(facts, record));
        Finding::of(format!("the stock adds up, read through {address}"), fault)
    }));
    if facts.waited {
        findings.push(served_in_order(facts));
    }
    findings.push(winners_committed(facts));
    findings.push(nodes_agree(facts));
    findings
}

fn all_known(facts: &Facts) -> Finding {
    let tally = &facts.tally;
    let error = tally.first_error.as_deref().unwrap_or("none was told");
    let fault = (!tally.open.is_empty()).then(|| format!("{} are not; the first: {error}", tally.open.len()));
    Finding::of("every buyer's outcome is known".to_owned(), fault)
}

fn all_counted(facts: &Facts) -> Finding {
    let counted = facts.tally.buyers();
    let fault = (counted != u64::from(facts.buyers)).then(|| format!("{counted} of {}", facts.buyers));
    Finding::of("every buyer is counted once".to_owned(), fault)
}

fn not_oversold(facts: &Facts) -> Finding {
    let ids: BTreeSet<_> = facts.tally.winners.iter().map(|winner| &winner.reservation_id).collect();
    let (winners, distinct) = (facts.tally.winners.len() as u64, ids.len() as u64);
    let fault = if winners > facts.stock {
        Some(format!("{winners} winners for {} units", facts.stock))
    } else {
        (distinct != winners).then(|| format!("{winners} winners share {distinct} reservations"))
    };
    Finding::of("no unit was sold twice".to_owned(), fault)
}

/// Whoever gets a hold and does not leave it pays, so no unit may be left that a buyer asked for. Without a line a
/// unit whose payment came too late is nobody's; with one, it is the next buyer's.
fn all_sold(facts: &Facts) -> Finding {
    let forfeited: u64 = facts.tally.forfeited.values().sum();
    let buyers = u64::from(facts.buyers).saturating_sub(facts.tally.abandoned);
    let wanted = match facts.waited {
        true => facts.stock.min(buyers.saturating_sub(forfeited)),
        false => facts.stock.min(buyers).saturating_sub(forfeited),
    };
    let winners = facts.tally.winners.len() as u64;
    let fault = (winners < wanted).then(|| format!("{winners} of {wanted} were"));
    Finding::of("every unit that was wanted was sold".to_owned(), fault)
}

/// First come, first served: in the order of their reserves the holds have growing fencing tokens, and nobody who
/// went home unserved had come before somebody who was served.
fn served_in_order(facts: &Facts) -> Finding {
    let mut served: Vec<_> = facts.tally.served.iter().collect();
    served.sort_unstable_by(|a, b| a.reservation_id.cmp(&b.reservation_id));
    served.dedup();
    let overtaken = served.windows(2).find(|two| two[0].fencing_token >= two[1].fencing_token);
    let first_home = facts.tally.left_line.iter().min();
    let passed = served.last().filter(|last| first_home.is_some_and(|home| *home < last.reservation_id));
    let fault = match (overtaken, passed) {
        (Some(two), _) => {
            Some(format!("{} was overtaken by {}", two[0].reservation_id, two[1].reservation_id))
        }
        (None, Some(last)) => {
            Some(format!("{} was served, and somebody before it never was", last.reservation_id))
        }
        (None, None) => None,
    };
    Finding::of("the line was served in the order in which it formed".to_owned(), fault)
}

fn misfit(facts: &Facts, record: &InventoryRecord) -> Option<String> {
    let InventoryRecord { on_hand, held, sold, .. } = *record;
    let (winners, stock) = (facts.tally.winners.len() as u64, facts.stock);
    if sold.checked_add(on_hand) != Some(stock) {
        return Some(format!("sold {sold} and on_hand {on_hand} are not {stock}"));
    }
    if sold != winners {
        return Some(format!("sold is {sold}, and {winners} buyers have won"));
    }
    (held != 0).then(|| format!("{held} units are still held"))
}

fn winners_committed(facts: &Facts) -> Finding {
    let wrong = &facts.read_back.wrong_winners;
    let fault = wrong.first().map(|first| format!("at least {} does not: {first}", wrong.len()));
    Finding::of("every winner's reservation reads back as committed".to_owned(), fault)
}

fn nodes_agree(facts: &Facts) -> Finding {
    let records = &facts.read_back.records;
    let all_read = records.iter().all(Result::is_ok);
    let same_record = records.windows(2).all(|pair| pair[0] == pair[1]);
    let unlike = |fault: &str| Finding::of("every node has the same state", Some(fault.to_owned()));
    match facts.read_back.agreement {
        differ @ Agreement::Differ { .. } => differ.finding(),
        _ if !all_read => unlike("not every node could be read"),
        _ if !same_record => unlike("their figures of the stock differ"),
        agreement => agreement.finding(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::facts::ReadBack;
    use super::super::tally::{Fate, Served, Step, Tally};
    use super::*;
    use crate::cli::finding::{CheckResult, passed};

    /// A sale of one unit to three buyers that went well.
    pub(in crate::cli::sale) fn good() -> Facts {
        let mut tally = Tally::new();
        tally.add(0, Fate::Won { reservation_id: "res_1".to_owned() });
        tally.add(1, Fate::Lost("held_by_others".to_owned()));
        tally.add(2, Fate::Lost("insufficient_stock".to_owned()));
        let read_back = ReadBack {
            records: vec![Ok(record(0, 0, 1)); 3],
            wrong_winners: vec![],
            agreement: Agreement::Same { applied_index: 9 },
        };
        Facts {
            stock: 1,
            buyers: 3,
            waited: false,
            connections: 2,
            addresses: ["a", "b", "c"].map(|host| format!("http://{host}:1")).to_vec(),
            elapsed: Duration::from_millis(500),
            kill: None,
            tally,
            read_back,
        }
    }

    fn record(on_hand: u64, held: u64, sold: u64) -> InventoryRecord {
        InventoryRecord {
            sku: "s".to_owned(),
            on_hand,
            held,
            available: on_hand - held,
            sold,
            safety_stock: 0,
            max_per_customer: None,
            waiting: 0,
            version: 1,
        }
    }

    #[test]
    fn a_sale_that_went_well_passes_every_check() {
        let findings = judge(&good());
        assert_eq!(findings.len(), 9);
        assert!(findings.iter().all(|f| f.result == CheckResult::Passed), "{findings:?}");
    }

    #[test]
    fn whatever_is_wrong_fails_and_is_named() {
        type Spoil = fn(&mut Facts);
        let table: [(&str, Spoil); 13] = [
            ("outcome is known", |f| {
                f.tally.lost.remove("held_by_others");
                f.tally.add(1, Fate::Open(Step::Reserve));
            }),
            ("counted once", |f| f.buyers = 4),
            ("sold twice", |f| f.tally.add(3, Fate::Won { reservation_id: "res_2".to_owned() })),
            ("share 1 reservations", |f| {
                f.stock = 2;
                f.tally.add(3, Fate::Won { reservation_id: "res_1".to_owned() });
            }),
            ("was wanted was sold", |f| f.tally.winners.clear()),
            ("are not 1", |f| f.read_back.records = vec![Ok(record(1, 0, 1)); 3]),
            ("are not 1", |f| f.read_back.records = vec![Ok(record(0, 0, 0)); 3]),
            ("buyers have won", |f| f.read_back.records = vec![Ok(record(1, 0, 0)); 3]),
            ("still held", |f| {
                f.stock = 2;
                f.read_back.records = vec![Ok(record(1, 1, 1)); 3];
            }),
            ("through http://b:1: cut off", |f| f.read_back.records[1] = Err("cut off".to_owned())),
            ("not every node could be read", |f| f.read_back.records[1] = Err("cut off".to_owned())),
            ("reads back as committed", |f| f.read_back.wrong_winners.push("res_1: held".to_owned())),
            ("digests differ", |f| f.read_back.agreement = Agreement::Differ { applied_index: 9 }),
        ];
        for (word, spoil) in table {
            let mut facts = good();
            spoil(&mut facts);
            let findings = judge(&facts);
            assert!(!passed(&findings), "{word}");
            let failed = |f: &Finding| f.result == CheckResult::Failed && f.text.contains(word);
            assert!(findings.iter().any(failed), "{word}: {findings:?}");
        }
    }

    #[test]
    fn a_unit_that_came_free_is_sold_to_the_line() {
        let mut facts = Facts { waited: true, buyers: 2, ..good() };
        facts.tally = Tally::new();
        facts.tally.add(0, Fate::Abandoned);
        facts.tally.add(1, Fate::LeftLine { reservation_id: "res_2".to_owned() });
        assert_eq!(all_sold(&facts).result, CheckResult::Failed);
        facts.tally.left_line.clear();
        facts.tally.add(1, Fate::Won { reservation_id: "res_2".to_owned() });
        assert_eq!(all_sold(&facts).result, CheckResult::Passed);
    }

    #[test]
    fn a_line_out_of_order_fails() {
        let served = |id: &str, fencing_token| Served { reservation_id: id.to_owned(), fencing_token };
        let table = [
            (vec![served("res_1", 1), served("res_2", 2)], vec!["res_3"], true),
            (vec![served("res_2", 2), served("res_1", 1), served("res_1", 1)], vec![], true),
            (vec![served("res_1", 2), served("res_2", 1)], vec![], false),
            (vec![served("res_1", 1), served("res_3", 2)], vec!["res_2"], false),
        ];
        for (served, left_line, in_order) in table {
            let mut facts = Facts { waited: true, ..good() };
            facts.tally.left_line = left_line.iter().map(|id| (*id).to_owned()).collect();
            facts.tally.served = served;
            let finding = served_in_order(&facts);
            assert_eq!(finding.result == CheckResult::Passed, in_order, "{finding:?}");
        }
    }

    #[test]
    fn a_node_with_other_figures_fails() {
        let mut facts = good();
        facts.read_back.agreement = Agreement::NotCompared;
        facts.read_back.records[2] = Ok(InventoryRecord { version: 2, ..record(0, 0, 1) });
        assert!(!passed(&judge(&facts)));
    }

    #[test]
    fn digests_that_could_not_be_compared_are_told_and_fail_nothing() {
        let mut facts = good();
        facts.read_back.agreement = Agreement::NotCompared;
        let findings = judge(&facts);
        assert!(passed(&findings));
        assert!(findings.iter().any(|f| f.result == CheckResult::Skipped));
    }

    #[test]
    fn a_hold_that_lapsed_before_its_payment_is_no_lost_unit() {
        let mut facts = good();
        facts.tally = Tally::new();
        facts.tally.add(0, Fate::Forfeited("reservation_expired".to_owned()));
        facts.tally.add(1, Fate::Lost("held_by_others".to_owned()));
        facts.tally.add(2, Fate::Lost("held_by_others".to_owned()));
        facts.read_back.records = vec![Ok(record(1, 0, 0)); 3];
        assert!(passed(&judge(&facts)));
    }
}
