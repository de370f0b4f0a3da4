//! What goes wrong, and when: a schedule that follows from the seed.
//!
//! ```text
//!   process   killed; told to stop in order; stopped for a while, so that its time jumps
//!   machine   power cut at a step of its disk, one of the next forty; of all machines at once
//!   disk      slow; a write or a sync that fails, once
//!   network   split in two; one way between two nodes; slow links
//!   clock     of one node at a time: far ahead, far behind, drifting
//! ```

use std::io;

use crate::chance::Chance;
use crate::network::Net;
use crate::node::Node;
use crate::trace::Trace;

/// See the module.
pub(crate) struct Faults {
    chance: Chance,
    next_ms: u64,
    /// What is to be mended, and when.
    mends: Vec<(u64, Mend)>,
    /// Whose clock is wrong.
    wrong_clock: Option<usize>,
    /// When the last wrong clock was set right.
    clock_mended_ms: Option<u64>,
    /// How many there were.
    pub(crate) count: u64,
}

#[derive(Clone, Copy)]
enum Mend {
    Network,
    Disk(usize),
    Clock,
}

/// So long what a node's wall clock showed counts for the cluster's, and what a slow network may add to it.
const CLOCK_COUNTS_MS: u64 = 1_500;

/// The machines that faults befall.
pub(crate) struct Site<'a> {
    pub(crate) now_ms: u64,
    pub(crate) nodes: &'a mut [Node],
    pub(crate) net: &'a Net,
    pub(crate) trace: &'a mut Trace,
}

impl Faults {
    pub(crate) fn new(mut chance: Chance) -> Faults {
        let next_ms = chance.within(100..=2_500);
        Faults { chance, next_ms, mends: Vec::new(), wrong_clock: None, clock_mended_ms: None, count: 0 }
    }

    /// Lets happen what is due, and mends what was broken for long enough.
    pub(crate) fn strike(&mut self, site: &mut Site<'_>) {
        self.mend(site);
        if site.now_ms < self.next_ms {
            return;
        }
        // Now and then there is peace for a while, so that something is done.
        let pause = if self.chance.one_in(4) { 1_200..=2_500 } else { 20..=700 };
        self.next_ms = site.now_ms + self.chance.within(pause);
        self.count += 1;
        let at = self.chance.within(0..=site.nodes.len() as u64 - 1) as usize;
        match self.chance.within(0..=15) {
            0 => self.kill(site, at),
            1 => self.leave(site, at),
            2..=4 => self.cut_power(site, at),
            5 => (0..site.nodes.len()).for_each(|at| self.cut_power(site, at)),
            6 => self.fail_a_step(site, at),
            7 => self.pause(site, at),
            8 => self.slow_disk(site, at),
            9..=11 => self.split(site),
            12 => self.cut_one_way(site, at),
            13 => self.slow_links(site, at),
            _ => self.wrong_clock(site, at),
        }
    }

    /// Everything is whole from here on, and every node is started.
    pub(crate) fn end(&mut self, site: &mut Site<'_>) {
        self.mends.clear();
        for mend in [Mend::Network, Mend::Clock] {
            self.undo(mend, site);
        }
        for at in 0..site.nodes.len() {
            self.undo(Mend::Disk(at), site);
            site.nodes[at].power_fails_at = None;
            site.nodes[at].disk.power_fails_at(u64::MAX);
            site.nodes[at].paused_until_ms = site.nodes[at].paused_until_ms.map(|_| site.now_ms);
            site.nodes[at].starts_at_ms = site.now_ms;
        }
    }

    fn mend(&mut self, site: &mut Site<'_>) {
        let due: Vec<Mend> =
            self.mends.extract_if(.., |(at, _)| *at <= site.now_ms).map(|(_, mend)| mend).collect();
        due.into_iter().for_each(|mend| self.undo(mend, site));
    }

    fn undo(&mut self, mend: Mend, site: &mut Site<'_>) {
        match mend {
            Mend::Network => site.net.heal(),
            Mend::Disk(at) => site.nodes[at].disk_ms_max = 2,
            Mend::Clock => {
                if let Some(at) = self.wrong_clock.take() {
                    site.nodes[at].wall.set(0, 0);
                    self.clock_mended_ms = Some(site.now_ms);
                }
            }
        }
    }

    fn later(&mut self, site: &Site<'_>, longest_ms: u64, mend: Mend) {
        self.mends.push((site.now_ms + self.chance.within(50..=longest_ms), mend));
    }

    fn kill(&mut self, site: &mut Site<'_>, at: usize) {
        if site.nodes[at].is_up() {
            site.say(&format!("node {} is killed", at + 1));
            site.nodes[at].stop(None);
            site.nodes[at].starts_at_ms = site.now_ms + self.chance.within(5..=2_500);
        }
    }

    /// It starts again as soon as a supervisor could do that, or later.
    fn leave(&mut self, site: &mut Site<'_>, at: usize) {
        if site.nodes[at].leave() {
            site.say(&format!("node {} is to stop in order", at + 1));
        }
    }

    /// At one of the next steps of the disk, or at the very next one.
    fn cut_power(&mut self, site: &mut Site<'_>, at: usize) {
        let steps = if self.chance.one_in(3) { 0 } else { self.chance.within(0..=40) };
        let node = &mut site.nodes[at];
        if node.is_up() && node.power_fails_at.is_none() {
            let step = node.disk.steps() + steps;
            node.power_fails_at = Some(step);
            node.disk.power_fails_at(step);
            site.say(&format!("node {}: the power is to fail at step {step} of its disk", at + 1));
        }
    }

    fn fail_a_step(&mut self, site: &mut Site<'_>, at: usize) {
        let node = &mut site.nodes[at];
        if node.is_up() && !node.may_fail {
            let step = node.disk.steps() + self.chance.within(0..=20);
            node.disk.fail_at(step, io::ErrorKind::Other);
            node.may_fail = true;
            site.say(&format!("node {}: step {step} of its disk is to fail", at + 1));
        }
    }

    fn pause(&mut self, site: &mut Site<'_>, at: usize) {
        let until = site.now_ms + self.chance.within(50..=3_000);
        if site.nodes[at].is_up() {
            site.nodes[at].paused_until_ms = Some(until);
            site.say(&format!("node {} is stopped until {until}", at + 1));
        }
    }

    fn slow_disk(&mut self, site: &mut Site<'_>, at: usize) {
        site.nodes[at].disk_ms_max = self.chance.within(10..=400);
        site.say(&format!("node {}: its disk is slow", at + 1));
        self.later(site, 3_000, Mend::Disk(at));
    }

    fn split(&mut self, site: &mut Site<'_>) {
        let mut ids: Vec<u64> = site.nodes.iter().map(|node| node.id).collect();
        self.chance.shuffle(&mut ids);
        let (some, others) = ids.split_at(self.chance.within(1..=ids.len() as u64 - 1) as usize);
        for (one, other) in some.iter().flat_map(|one| others.iter().map(move |other| (*one, *other))) {
            site.net.cut(one, other, true);
            site.net.cut(other, one, true);
        }
        site.say(&format!("{some:?} and {others:?} do not reach each other"));
        self.later(site, 4_000, Mend::Network);
    }

    fn cut_one_way(&mut self, site: &mut Site<'_>, at: usize) {
        let from = at as u64 + 1;
        for to in site.nodes.iter().map(|node| node.id).filter(|id| *id != from) {
            if self.chance.one_in(2) {
                site.net.cut(from, to, true);
            }
        }
        site.say(&format!("some do not hear node {from}"));
        self.later(site, 3_000, Mend::Network);
    }

    fn slow_links(&mut self, site: &mut Site<'_>, at: usize) {
        let one = at as u64 + 1;
        let slow_ms = self.chance.within(10..=300);
        for other in site.nodes.iter().map(|node| node.id).filter(|id| *id != one) {
            site.net.slow(one, other, slow_ms);
            site.net.slow(other, one, slow_ms);
        }
        site.say(&format!("to and from node {one} takes up to {slow_ms} ms longer"));
        self.later(site, 4_000, Mend::Network);
    }

    /// One at a time: of two wrong clocks nothing is promised. What a clock showed counts for a while.
    fn wrong_clock(&mut self, site: &mut Site<'_>, at: usize) {
        let counts = self.clock_mended_ms.is_some_and(|mended_ms| site.now_ms < mended_ms + CLOCK_COUNTS_MS);
        if self.wrong_clock.is_some() || counts {
            return;
        }
        let size = self.chance.within(100..=3_600_000) as i64;
        let ahead_ms = if self.chance.one_in(2) { size } else { -size };
        let drift_ms = if self.chance.one_in(3) { self.chance.within(0..=900) as i64 - 450 } else { 0 };
        self.wrong_clock = Some(at);
        site.nodes[at].wall.set(ahead_ms, drift_ms);
        site.say(&format!("node {}: its clock is {ahead_ms} ms ahead and gains {drift_ms} a second", at + 1));
        self.later(site, 5_000, Mend::Clock);
    }
}

impl Site<'_> {
    fn say(&mut self, text: &str) {
        self.trace.line(self.now_ms, text);
    }
}
