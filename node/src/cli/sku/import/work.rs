//! One of the workers of an import: takes a line, makes its call, says what became of it.

use client::api::{AdjustRequest, Executed, InventoryRecord, OnShortfall, PutSkuRequest};
use client::{Answer, Client, Error, code};
use tokio::sync::{mpsc, watch};

use super::line::{Change, Line, Rejected};
use super::read::Entry;

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    /// Its number in the file, from 1 on.
    pub(super) number: u64,
    /// Which SKU, where that can be told.
    pub(super) sku: Option<String>,
    /// What became of it.
    pub(super) fate: Fate,
}

/// See [`Done::fate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// The SKU was made.
    Made,
    /// Its figures were set.
    Set,
    /// They were so already: of a dry run.
    Unchanged,
    /// Units were added, or taken.
    Adjusted,
    /// It was done by an earlier run of the same import.
    Repeated,
    /// It cannot be done.
    Rejected { code: String, reason: String },
    /// Nobody could do it now.
    NotExecuted(String),
    /// It may have been done.
    Unknown(String),
}

/// A worker.
pub(super) struct Work {
    client: Client,
    import_id: String,
    dry_run: bool,
}

impl Work {
    pub(super) fn new(client: Client, import_id: String, dry_run: bool) -> Work {
        Work { client, import_id, dry_run }
    }

    /// Works until there are no more lines, or it is to end. A call under way is waited for.
    pub(super) async fn run(
        self,
        mut lines: mpsc::Receiver<Entry>,
        results: mpsc::Sender<Done>,
        mut ended: watch::Receiver<bool>,
    ) {
        while !*ended.borrow() {
            let entry = tokio::select! {
                entry = lines.recv() => entry,
                _ = ended.changed() => continue,
            };
            let Some(entry) = entry else { return };
            let done = self.done(entry).await;
            if results.send(done).await.is_err() {
                return;
            }
        }
    }

    async fn done(&self, entry: Entry) -> Done {
        match entry {
            Ok(line) => {
                let fate = if self.dry_run { self.foresee(&line).await } else { self.execute(&line).await };
                Done { number: line.number, sku: Some(line.sku), fate }
            }
            Err(Rejected { number, sku, code, reason }) => {
                Done { number, sku, fate: Fate::Rejected { code, reason } }
            }
        }
    }

    async fn execute(&self, line: &Line) -> Fate {
        let key = format!("{}/{}", self.import_id, line.number);
        let (answer, done) = match &line.change {
            Change::Set(put) => (self.client.put_sku(&line.sku, put).key(key).await, Fate::Set),
            Change::Adjust(adjust) => (self.client.adjust(&line.sku, adjust).key(key).await, Fate::Adjusted),
        };
        match answer {
            Ok(Answer { replayed: true, .. }) => Fate::Repeated,
            Ok(Answer { status: 201, .. }) => Fate::Made,
            Ok(_) => done,
            Err(error) => failed(error),
        }
    }

    /// What executing it would come to, as things are.
    async fn foresee(&self, line: &Line) -> Fate {
        let record = match self.client.sku(&line.sku).await {
            Ok(answer) => Some(answer.value),
            Err(Error::Refused(refusal)) if refusal.problem.code == code::SKU_NOT_FOUND => None,
            Err(error) => return failed(error),
        };
        match (&line.change, record) {
            (Change::Set(_), None) => Fate::Made,
            (Change::Set(put), Some(record)) => foresee_set(put, &record),
            (Change::Adjust(adjust), Some(record)) => foresee_adjust(adjust, &record),
            (Change::Adjust(_), None) => refused(code::SKU_NOT_FOUND, "there is no such SKU"),
        }
    }
}

fn foresee_set(put: &PutSkuRequest, record: &InventoryRecord) -> Fate {
    let keeps = put.on_hand == record.on_hand
        && put.safety_stock.is_none_or(|units| units == record.safety_stock)
        && put.max_per_customer.is_none_or(|most| most == record.max_per_customer);
    match put.on_hand < record.held && put.on_shortfall != Some(OnShortfall::RevokeNewest) {
        true => refused(code::STOCK_BELOW_HELD, &format!("{} are held", record.held)),
        false if keeps => Fate::Unchanged,
        false => Fate::Set,
    }
}

fn foresee_adjust(adjust: &AdjustRequest, record: &InventoryRecord) -> Fate {
    let least = if adjust.on_shortfall == Some(OnShortfall::RevokeNewest) { 0 } else { record.held };
    match record.on_hand.checked_add_signed(adjust.delta) {
        Some(on_hand) if on_hand >= least => Fate::Adjusted,
        _ => {
            let InventoryRecord { on_hand, held, .. } = record;
            refused(code::STOCK_BELOW_HELD, &format!("on_hand is {on_hand}, and {held} are held"))
        }
    }
}

fn refused(code: &str, reason: &str) -> Fate {
    Fate::Rejected { code: code.to_owned(), reason: reason.to_owned() }
}

fn failed(error: Error) -> Fate {
    match error {
        Error::Refused(refusal) => refused(&refusal.problem.code, &refusal.problem.detail),
        error if error.executed() == Executed::Unknown => Fate::Unknown(error.to_string()),
        error => Fate::NotExecuted(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(on_hand: u64, held: u64) -> InventoryRecord {
        let text = format!(
            r#"{{"sku":"A","on_hand":{on_hand},"held":{held},"available":0,"sold":0,"safety_stock":1,
                "max_per_customer":2,"waiting":0,"version":1}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn code(fate: Fate) -> String {
        match fate {
            Fate::Rejected { code, .. } => code,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_dry_run_foresees_what_a_set_would_do() {
        let revoke = Some(OnShortfall::RevokeNewest);
        let put = |on_hand, safety_stock, max_per_customer, on_shortfall| PutSkuRequest {
            on_hand,
            safety_stock,
            max_per_customer,
            on_shortfall,
        };
        let table = [
            (put(5, None, None, None), "Unchanged"),
            (put(5, Some(1), Some(Some(2)), None), "Unchanged"),
            (put(5, Some(0), None, None), "Set"),
            (put(5, None, Some(None), None), "Set"),
            (put(6, None, None, None), "Set"),
            (put(2, None, None, None), "stock_below_held"),
            (put(2, None, None, revoke), "Set"),
        ];
        for (put, expected) in table {
            assert_eq!(code(foresee_set(&put, &record(5, 3))), expected, "{put:?}");
        }
    }

    #[test]
    fn a_dry_run_foresees_what_an_adjust_would_do() {
        let table = [(1, "Adjusted"), (-2, "Adjusted"), (-3, "stock_below_held"), (-6, "stock_below_held")];
        for (delta, expected) in table {
            let adjust = AdjustRequest { delta, ..Default::default() };
            assert_eq!(code(foresee_adjust(&adjust, &record(5, 3))), expected, "{delta}");
        }
        let revoke = |delta| AdjustRequest {
            delta,
            on_shortfall: Some(OnShortfall::RevokeNewest),
            ..Default::default()
        };
        assert_eq!(code(foresee_adjust(&revoke(-5), &record(5, 3))), "Adjusted");
        assert_eq!(code(foresee_adjust(&revoke(-6), &record(5, 3))), "stock_below_held");
    }
}
