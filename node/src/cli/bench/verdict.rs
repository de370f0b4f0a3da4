//! Whether the cluster kept its books: a pure function of what it acknowledged and what it says in the end.
//!
//! A call without an answer may have been executed or not, and may yet be: the units it asked for are slack, both
//! ways. A hold that outlived its time has given its units back; where any may have, no hold is missed.

use client::api::InventoryRecord;
use client::code::INVALID_REQUEST;

use super::ledger::Account;
use crate::cli::agreement::Agreement;
use crate::cli::finding::Finding;

/// All that the verdict needs.
#[derive(Debug, Clone)]
pub(super) struct Books {
    /// Begins the names of the SKUs.
    pub(super) run: String,
    /// Units of each SKU.
    pub(super) stock: u64,
    /// What was acknowledged of each SKU.
    pub(super) accounts: Vec<Account>,
    /// What the cluster says of each.
    pub(super) records: Vec<Option<InventoryRecord>>,
    /// Whether the run lasted so long that holds may have ended.
    pub(super) lapsed: bool,
    /// Operations that were done or refused.
    pub(super) answered: u64,
    /// Operations that were refused because they made no sense.
    pub(super) invalid: u64,
    /// The first answer that made no sense.
    pub(super) first_nonsense: Option<String>,
    /// Whether all nodes' states are the same.
    pub(super) agreement: Agreement,
}

/// Checks everything.
pub(super) fn judge(books: &Books) -> Vec<Finding> {
    let unanswered = (books.answered == 0).then(|| "none was".to_owned());
    let invalid = (books.invalid > 0).then(|| format!("{} were refused as {INVALID_REQUEST}", books.invalid));
    vec![
        Finding::of("calls were answered", unanswered),
        Finding::of("every call was one of the contract's", invalid),
        Finding::of("every answer was one of the contract's", books.first_nonsense.clone()),
        books.check("every SKU is there", |_, record| match record {
            Some(_) => None,
            None => Some("it is gone".to_owned()),
        }),
        books.check_records("on_hand and sold add up to the stock", Books::unbalanced),
        books.check_records("no unit was oversold", Books::oversold),
        books.check_records("no sale was lost", Books::lost_sale),
        match books.lapsed {
            true => Finding::skipped("holds were not counted: the run outlasted them"),
            false => books.check_records("no hold was lost", Books::lost_hold),
        },
        books.agreement.finding(),
    ]
}

impl Books {
    fn check_records(
        &self,
        text: &str,
        fault: impl Fn(&Books, &Account, &InventoryRecord) -> Option<String>,
    ) -> Finding {
        self.check(text, |account, record| fault(self, account, record?))
    }

    /// Checks every SKU, and names the first at fault.
    fn check(
        &self,
        text: &str,
        fault: impl Fn(&Account, Option<&InventoryRecord>) -> Option<String>,
    ) -> Finding {
        let each = self.accounts.iter().zip(&self.records).enumerate();
        let mut faults = each.filter_map(|(number, (account, record))| {
            Some(format!("{}.{number}: {}", self.run, fault(account, record.as_ref())?))
        });
        let first = faults.next();
        let told = first.map(|first| match faults.count() {
            0 => first,
            more => format!("{first}, and so {more} others"),
        });
        Finding::of(format!("{text}, of {} SKUs", self.accounts.len()), told)
    }

    fn unbalanced(&self, _: &Account, record: &InventoryRecord) -> Option<String> {
        let InventoryRecord { on_hand, sold, held, .. } = *record;
        if on_hand.checked_add(sold) != Some(self.stock) {
            return Some(format!("on_hand {on_hand} and sold {sold} are not {}", self.stock));
        }
        (held > on_hand).then(|| format!("held {held} is more than on_hand {on_hand}"))
    }

    /// More was acknowledged than there is, or than the cluster itself counts. Nothing that lapses makes this so.
    fn oversold(&self, account: &Account, record: &InventoryRecord) -> Option<String> {
        let InventoryRecord { held, sold, .. } = *record;
        let (reserved, given_back) = (account.reserved, account.released + account.released_perhaps);
        let taken_least = reserved.saturating_sub(given_back);
        if !self.lapsed && taken_least > self.stock {
            return Some(format!("{taken_least} units of {} were acknowledged", self.stock));
        }
        let taken_most = (reserved + account.reserved_perhaps).saturating_sub(account.released);
        let sold_most = account.sold + account.sold_perhaps;
        if sold > sold_most {
            return Some(format!("sold is {sold}, and {sold_most} were asked for"));
        }
        (held + sold > taken_most).then(|| {
            format!("held {held} and sold {sold} are more than the {taken_most} that were asked for")
        })
    }

    fn lost_sale(&self, account: &Account, record: &InventoryRecord) -> Option<String> {
        let (sold, least) = (record.sold, account.sold);
        (sold < least).then(|| format!("sold is {sold}, and {least} were acknowledged"))
    }

    fn lost_hold(&self, account: &Account, record: &InventoryRecord) -> Option<String> {
        let InventoryRecord { held, sold, .. } = *record;
        let least = account.reserved.saturating_sub(account.released + account.released_perhaps);
        (held + sold < least)
            .then(|| format!("held {held} and sold {sold} are less than the {least} that were acknowledged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::finding::{CheckResult, passed};

    fn record(on_hand: u64, held: u64, sold: u64) -> Option<InventoryRecord> {
        Some(InventoryRecord {
            sku: "s".to_owned(),
            on_hand,
            held,
            available: on_hand.saturating_sub(held),
            sold,
            safety_stock: 0,
            max_per_customer: None,
            waiting: 0,
            version: 1,
        })
    }

    /// Ten units each of two SKUs: nothing of the first; of the second five were taken, two given back, two sold.
    fn good() -> Books {
        let account = Account { reserved: 5, released: 1, sold: 2, ..Account::default() };
        Books {
            run: "bench-1".to_owned(),
            stock: 10,
            accounts: vec![Account::default(), account],
            records: vec![record(10, 0, 0), record(8, 2, 2)],
            lapsed: false,
            answered: 8,
            invalid: 0,
            first_nonsense: None,
            agreement: Agreement::Same { applied_index: 9 },
        }
    }

    #[test]
    fn books_that_were_kept_pass() {
        let findings = judge(&good());
        assert!(findings.iter().all(|it| it.result == CheckResult::Passed), "{findings:?}");
    }

    #[test]
    fn whatever_was_oversold_or_lost_fails_with_its_sku() {
        type Spoil = fn(&mut Books);
        let second = "bench-1.1: ";
        let table: [(&str, &str, Spoil); 12] = [
            ("calls were answered", "none", |b| b.answered = 0),
            ("every call", "3 were refused", |b| b.invalid = 3),
            ("every answer", "html", |b| b.first_nonsense = Some("html".to_owned())),
            ("every SKU is there", second, |b| b.records[1] = None),
            ("add up to the stock", second, |b| b.records[1] = record(7, 2, 2)),
            ("add up to the stock", second, |b| b.records[1] = record(8, 9, 2)),
            ("oversold", second, |b| b.accounts[1].reserved = 12),
            ("oversold", second, |b| b.records[1] = record(8, 3, 2)),
            ("oversold", second, |b| b.records[1] = record(7, 1, 3)),
            ("no sale was lost", second, |b| b.records[1] = record(9, 3, 1)),
            ("no hold was lost", second, |b| b.records[1] = record(8, 1, 2)),
            ("digests differ", "9", |b| b.agreement = Agreement::Differ { applied_index: 9 }),
        ];
        for (check, named, spoil) in table {
            let mut books = good();
            spoil(&mut books);
            let findings = judge(&books);
            let found = |it: &Finding| {
                it.result == CheckResult::Failed && it.text.contains(check) && it.text.contains(named)
            };
            assert!(findings.iter().any(found), "{check}: {findings:?}");
            assert!(!passed(&findings));
        }
    }

    #[test]
    fn what_is_unknown_is_slack_and_no_more() {
        let mut books = good();
        books.accounts[1] =
            Account { reserved_perhaps: 1, released_perhaps: 1, sold_perhaps: 1, ..books.accounts[1] };
        // Held and sold may be 3 to 5, sold 2 or 3.
        for (held, sold, passes) in [
            (1, 2, true),
            (3, 2, true),
            (2, 3, true),
            (0, 2, false),
            (4, 2, false),
            (1, 4, false),
            (3, 1, false),
        ] {
            books.records[1] = record(10 - sold, held, sold);
            assert_eq!(passed(&judge(&books)), passes, "held {held} sold {sold}");
        }
    }

    #[test]
    fn holds_that_may_have_lapsed_are_not_missed_but_sales_are() {
        let mut books = Books { lapsed: true, ..good() };
        books.records[1] = record(8, 0, 2);
        assert!(passed(&judge(&books)));
        books.records[1] = record(9, 0, 1);
        assert!(!passed(&judge(&books)));
        books.records[1] = record(8, 3, 2);
        assert!(!passed(&judge(&books)));
    }

    #[test]
    fn every_sku_at_fault_is_counted() {
        let mut books = good();
        books.records = vec![None, None];
        let findings = judge(&books);
        assert!(findings.iter().any(|it| it.text.contains("bench-1.0: it is gone, and so 1 others")));
    }
}
