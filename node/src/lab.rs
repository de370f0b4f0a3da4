//! What a fault laboratory does to a node from inside: its wall clock, and its disk.
//!
//! ```text
//!   lastunit prove --- stdin ---> lastunit serve --exit-with-stdin --lab
//!                        clock 5000 0        the wall clock is 5 s ahead
//!                        clock 0 -200000     it loses a fifth of what passes, from now on
//!                        disk slow 40        every sync takes 40 ms longer
//!                        disk full | fail    no byte is free | the next sync fails
//!                        disk whole          it is well again
//!   lastunit prove <-- stderr --- lab: disk whole: 17 operations were hurt, the wall clock shows 1790000000000 ms
//! ```
//!
//! Only a node that was started with `--lab`, which is hidden, obeys; and only what holds its stdin can tell it
//! anything. A line that is none of these is told on stderr, and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use storage::disk::hurt::{Ailment, HurtDisk};
use storage::disk::{Disk, RealDisk};

use crate::clock;

/// What a node runs on, which may be hurt.
#[derive(Clone)]
pub(crate) struct Lab {
    disk: Option<HurtDisk>,
}

/// What can be told a node.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    Clock { shift_ms: i64, drift_ppm: i64 },
    Disk(Ailment),
}

impl Lab {
    /// A laboratory, or none: a machine that is as it is.
    pub(crate) fn new(is_lab: bool) -> Lab {
        Lab { disk: is_lab.then(|| HurtDisk::over(RealDisk)) }
    }

    /// The disk that the node runs on.
    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        match &self.disk {
            Some(disk) => Arc::new(disk.clone()),
            None => Arc::new(RealDisk),
        }
    }

    /// Obeys a line, where this is a laboratory.
    pub(crate) fn obey(&self, line: &str) {
        let Some(disk) = &self.disk else { return };
        match Order::parse(line) {
            Some(Order::Clock { shift_ms, drift_ppm }) => clock::go_wrong(shift_ms, drift_ppm),
            Some(Order::Disk(ailment)) => disk.hurt(ailment),
            None => return eprintln!("lab: {line}: not understood"),
        }
        let (hurts, shown_ms) = (disk.hurts(), clock::wall_ms());
        eprintln!("lab: {line}: {hurts} operations were hurt, the wall clock shows {shown_ms} ms");
    }
}

impl Order {
    fn parse(line: &str) -> Option<Order> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(match words[..] {
            ["clock", shift, drift] => {
                Order::Clock { shift_ms: shift.parse().ok()?, drift_ppm: drift.parse().ok()? }
            }
            ["disk", "slow", time] => Order::Disk(Ailment::Slow(Duration::from_millis(time.parse().ok()?))),
            ["disk", "full"] => Order::Disk(Ailment::Full),
            ["disk", "fail"] => Order::Disk(Ailment::FailsSync),
            ["disk", "whole"] => Order::Disk(Ailment::Whole),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_understood_and_nothing_else_is() {
        let slow = Ailment::Slow(Duration::from_millis(40));
        let table = [
            ("clock -5000 200", Some(Order::Clock { shift_ms: -5000, drift_ppm: 200 })),
            ("disk slow 40\r", Some(Order::Disk(slow))),
            ("disk full", Some(Order::Disk(Ailment::Full))),
            ("disk fail", Some(Order::Disk(Ailment::FailsSync))),
            ("disk whole", Some(Order::Disk(Ailment::Whole))),
            ("disk slow", None),
            ("disk slow soon", None),
            ("clock 1", None),
            ("", None),
        ];
        for (line, order) in table {
            assert_eq!(Order::parse(line), order, "{line}");
        }
    }
}
