//! From units to log entries: what waits shares an entry, and a unit stays in one as far as an entry can carry it.
//!
//! ```text
//!   a b [c c c] d   [E E E ... E E]   f g     units, in the order of the queue
//!   \_________/     \______|______/   \_/
//!     entry 1        2     |  3        4      E is too long for one entry: consecutive parts, and nothing else in them
//! ```
//!
//! Entries never change the order of commands, and each is within its limits but for the one command that ends a part:
//! a command alone is about 15 KiB at most.

use std::io;

use storage::inventory::command::Stamp;

use crate::codec::BatchWriter;
use crate::types::Proposal;
use crate::waiting::Waiting;

/// Commands that units share an entry up to. A unit alone may have more, up to
/// [`UNIT_COMMANDS_MAX`](crate::UNIT_COMMANDS_MAX).
pub(crate) const SHARED_COMMANDS_MAX: usize = 1_024;

/// Bytes of an entry, so that no heartbeat or read waits long behind one. Ten thousand reserves of one item, with names
/// and keys as long as UUIDs, are about 1.5 MiB.
const ENTRY_BYTES_MAX: usize = 2 << 20;

/// What is proposed, and who waits for it.
pub(crate) enum Entry {
    /// One entry with these units, whole.
    Units(Proposal, Vec<Waiting>),
    /// Consecutive entries with one unit, and how many commands each has.
    Parts(Vec<(Proposal, usize)>, Waiting),
}

/// The entries of these units, in order.
pub(crate) fn pack(stamp: &Stamp, units: Vec<Waiting>) -> io::Result<Vec<Entry>> {
    let mut packer = Packer { stamp, entries: Vec::new(), open: Open::new(stamp)? };
    for unit in units {
        packer.add(unit)?;
    }
    packer.close()?;
    Ok(packer.entries)
}

struct Packer<'a> {
    stamp: &'a Stamp,
    entries: Vec<Entry>,
    open: Open,
}

/// The entry that units are put into.
struct Open {
    writer: BatchWriter,
    units: Vec<Waiting>,
    commands: usize,
}

impl Open {
    fn new(stamp: &Stamp) -> io::Result<Open> {
        Ok(Open { writer: BatchWriter::new(stamp)?, units: Vec::new(), commands: 0 })
    }

    /// Adds a unit, or gives it back where there is no room for all of it.
    fn add(&mut self, unit: Waiting) -> io::Result<Option<Waiting>> {
        let alone = self.units.is_empty();
        if !alone && self.commands + unit.len() > SHARED_COMMANDS_MAX {
            return Ok(Some(unit));
        }
        let before = self.writer.mark();
        for request in unit.requests.as_slice() {
            self.writer.push(request)?;
            if self.writer.bytes() > ENTRY_BYTES_MAX && !(alone && unit.len() == 1) {
                self.writer.cut_back(before);
                return Ok(Some(unit));
            }
        }
        self.commands += unit.len();
        self.units.push(unit);
        Ok(None)
    }
}

impl Packer<'_> {
    fn add(&mut self, unit: Waiting) -> io::Result<()> {
        let Some(unit) = self.open.add(unit)? else { return Ok(()) };
        if !self.open.units.is_empty() {
            self.close()?;
        }
        if let Some(unit) = self.open.add(unit)? {
            self.entries.push(Entry::Parts(parts(self.stamp, &unit)?, unit));
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let Open { writer, units, .. } = std::mem::replace(&mut self.open, Open::new(self.stamp)?);
        if !units.is_empty() {
            self.entries.push(Entry::Units(writer.finish(), units));
        }
        Ok(())
    }
}

/// The entries of a unit that none can carry whole.
fn parts(stamp: &Stamp, unit: &Waiting) -> io::Result<Vec<(Proposal, usize)>> {
    let mut parts = Vec::new();
    let (mut writer, mut commands) = (BatchWriter::new(stamp)?, 0);
    for request in unit.requests.as_slice() {
        writer.push(request)?;
        commands += 1;
        if writer.bytes() > ENTRY_BYTES_MAX {
            let full = std::mem::replace(&mut writer, BatchWriter::new(stamp)?);
            parts.push((full.finish(), std::mem::take(&mut commands)));
        }
    }
    if commands > 0 {
        parts.push((writer.finish(), commands));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use storage::inventory::command::{Command, HoldLimits, Request, Reserve};
    use storage::inventory::ids::{Item, Sku};

    use super::*;
    use crate::codec::decode_batch;
    use crate::waiting::{Reply, Requests, gathering};

    const STAMP: Stamp = Stamp {
        now_ms: 1_790_000_000_000,
        retention_ms: 1,
        idempotency_ms: 2,
        max_hold_ms: 3,
        events_ms: 4,
        events_max: 5,
        limits: HoldLimits::NONE,
    };

    /// The entries of units with so many commands of so many bytes, as the commands' numbers; a unit in parts is a
    /// list of its own for each part.
    fn packed(units: &[(usize, usize)]) -> Vec<Vec<usize>> {
        let mut number = 0;
        let mut request = |bytes: usize| {
            number += 1;
            let key = format!("{number:0bytes$}");
            Request { idempotency_key: Some(key.into()), command: Command::Tick }
        };
        let unit = |&(commands, bytes): &(usize, usize)| {
            let requests = match commands {
                1 => Requests::One(request(bytes)),
                _ => Requests::Many((0..commands).map(|_| request(bytes)).collect()),
            };
            Waiting::new(requests, Instant::now(), false, Reply::Part(gathering(commands).0))
        };
        let units: Vec<_> = units.iter().map(unit).collect();
        let mut entries = Vec::new();
        for entry in pack(&STAMP, units).unwrap() {
            match entry {
                Entry::Units(proposal, units) => {
                    let commands = units.iter().map(Waiting::len).sum();
                    entries.push(numbers(&proposal, commands));
                }
                Entry::Parts(parts, unit) => {
                    assert_eq!(parts.iter().map(|(_, commands)| commands).sum::<usize>(), unit.len());
                    entries.extend(parts.iter().map(|(proposal, commands)| numbers(proposal, *commands)));
                }
            }
        }
        let all: Vec<_> = entries.iter().flatten().copied().collect();
        assert!(all.iter().copied().eq(1..=number), "not all, or not in order: {all:?}");
        entries
    }

    fn numbers(proposal: &Proposal, commands: usize) -> Vec<usize> {
        assert!(proposal.0.len() <= ENTRY_BYTES_MAX + 20_000, "{proposal}");
        let batch = decode_batch(proposal).unwrap();
        assert_eq!(batch.requests.len(), commands);
        let key = |request: &Request| request.idempotency_key.as_deref().unwrap().parse().unwrap();
        batch.requests.iter().map(key).collect()
    }

    fn lengths(units: &[(usize, usize)]) -> Vec<usize> {
        packed(units).iter().map(Vec::len).collect()
    }

    #[test]
    fn what_waits_shares_entries_and_units_stay_whole() {
        type Case<'a> = (&'a [(usize, usize)], &'a [usize]);
        let cases: [Case<'_>; 8] = [
            (&[], &[]),
            (&[(1, 1)], &[1]),
            (&[(1, 1), (3, 1), (1, 1)], &[5]),
            (&[(1_000, 8), (24, 8), (1, 8)], &[1_024, 1]),
            (&[(1_000, 8), (25, 8), (1, 8)], &[1_000, 26]),
            (&[(1, 8), (10_000, 8), (1, 8), (1, 8)], &[1, 10_000, 2]),
            (&[(10_000, 8), (10_000, 8)], &[10_000, 10_000]),
            (&[(1, 15_000), (120, 15_000), (20, 15_000)], &[121, 20]),
        ];
        for (units, entries) in cases {
            assert_eq!(lengths(units), entries, "{units:?}");
        }
    }

    #[test]
    fn ten_thousand_usual_reserves_fit_one_entry() {
        let name = |cart: usize| format!("{cart:0>36}");
        let reserve = |cart: usize| Reserve {
            nonce: u64::MAX - cart as u64,
            cart_id: name(cart).into(),
            customer_id: Some(name(cart).into()),
            items: vec![Item { sku: Sku::new("SKU-1234567").unwrap(), qty: 1 }],
            ttl_ms: 300_000,
            wait: false,
        };
        let request = |cart| Request {
            idempotency_key: Some(name(cart).into()),
            command: Command::Reserve(reserve(cart)),
        };
        let requests = Requests::Many((0..10_000).map(request).collect());
        let unit = Waiting::new(requests, Instant::now(), false, Reply::Part(gathering(10_000).0));
        let entries = pack(&STAMP, vec![unit]).unwrap();
        let [Entry::Units(proposal, _)] = &entries[..] else { panic!("more than one entry") };
        assert!((1 << 20..ENTRY_BYTES_MAX).contains(&proposal.0.len()), "{proposal}");
    }

    #[test]
    fn a_unit_that_no_entry_can_carry_goes_into_consecutive_ones_alone() {
        let entries = lengths(&[(1, 8), (10_000, 600), (1, 8)]);
        assert!(entries.len() >= 5, "{entries:?}");
        assert_eq!((entries[0], entries[entries.len() - 1]), (1, 1));
        assert_eq!(entries.iter().sum::<usize>(), 10_002);
    }
}
