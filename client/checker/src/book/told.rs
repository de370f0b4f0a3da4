//! What a call was told.

use client::api::{InventoryRecord, OperationResult, Page, Problem, Reservation};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::history::{Answer, Json, Op};

/// An answer, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) sequence: Option<u64>,
    pub(crate) replayed: bool,
    pub(crate) applied_index: Option<u64>,
    pub(crate) body: Body,
}

/// A body, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    Nothing,
    Reservation(Box<Reservation>),
    Stock(Box<InventoryRecord>),
    Problem(Box<Problem>),
    Reservations(Page<Reservation>),
    Stocks(Page<InventoryRecord>),
}

impl Told {
    /// An answer to such a call.
    pub(crate) fn of(op: Op, answer: &Answer) -> Result<Told, String> {
        let Answer { status, sequence, replayed, applied_index, body } = answer;
        let body = body_of(op, *status, body)?;
        Ok(Told {
            status: *status,
            sequence: *sequence,
            replayed: *replayed,
            applied_index: *applied_index,
            body,
        })
    }

    /// The result of such an operation of a batch.
    pub(crate) fn of_result(op: Op, result: OperationResult) -> Result<Told, String> {
        let OperationResult { status, sequence, replayed, body, .. } = result;
        let body = match status {
            200..300 if op == Op::Adjust => Body::Stock(Box::new(value(body)?)),
            200..300 => Body::Reservation(Box::new(value(body)?)),
            _ => Body::Problem(Box::new(value(body)?)),
        };
        Ok(Told { status, sequence, replayed, applied_index: None, body })
    }

    /// Whether the status is 2xx.
    pub(crate) fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it is a refusal by the state of the inventory.
    pub(crate) fn refused(&self) -> bool {
        (400..500).contains(&self.status) && self.sequence.is_some()
    }

    /// The problem's code.
    pub(crate) fn code(&self) -> &str {
        match &self.body {
            Body::Problem(problem) => &problem.code,
            _ => "",
        }
    }

    /// The reservation that it shows.
    pub(crate) fn reservation(&self) -> Option<&Reservation> {
        match &self.body {
            Body::Reservation(view) => Some(view),
            _ => None,
        }
    }

    /// Every reservation that it shows.
    pub(crate) fn reservations(&self) -> &[Reservation] {
        match &self.body {
            Body::Reservation(view) => std::slice::from_ref(view),
            Body::Reservations(page) => &page.data,
            _ => &[],
        }
    }

    /// Every SKU's record that it shows.
    pub(crate) fn stocks(&self) -> &[InventoryRecord] {
        match &self.body {
            Body::Stock(record) => std::slice::from_ref(record),
            Body::Stocks(page) => &page.data,
            _ => &[],
        }
    }
}

fn body_of(op: Op, status: u16, body: &Json) -> Result<Body, String> {
    if !(200..300).contains(&status) {
        // What stands between a client and a node answers in words of its own.
        return Ok(body.read().map_or(Body::Nothing, |problem| Body::Problem(Box::new(problem))));
    }
    Ok(match op {
        Op::Delete => Body::Nothing,
        Op::Put | Op::Adjust | Op::GetStock => Body::Stock(Box::new(read(body)?)),
        Op::ListStock => Body::Stocks(read(body)?),
        Op::ListReservations => Body::Reservations(read(body)?),
        Op::Batch => return Err("a batch is taken apart".into()),
        Op::Reserve | Op::Commit | Op::Release | Op::Extend | Op::Return | Op::GetReservation => {
            Body::Reservation(Box::new(read(body)?))
        }
    })
}

fn read<T: DeserializeOwned>(body: &Json) -> Result<T, String> {
    body.read().map_err(|cause| cause.to_string())
}

fn value<T: DeserializeOwned>(body: Value) -> Result<T, String> {
    serde_json::from_value(body).map_err(|cause| cause.to_string())
}
