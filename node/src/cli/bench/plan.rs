//! What one run asks of the cluster, with every default resolved.

use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use super::Args;
use crate::cli::reach::Credential;

/// The longest that a phase may last: far longer than any run, and every moment of it can be counted.
const PHASE_TIME_MAX: Duration = Duration::from_secs(720 * 3_600);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Workload {
    /// Reserve one unit of one SKU, the same for all.
    Hot,
    /// Reserve one unit of one of many SKUs.
    Spread,
    /// Reserve one unit, then commit it.
    Pair,
    /// Reserve one unit each of several SKUs.
    Cart,
    /// Reserve one unit of one SKU that has far too few for all.
    Flash,
    /// Of a hundred calls: 45 reserves, 25 commits, 10 releases, 10 extends, 10 reads.
    Mixed,
    /// Reserve one unit each, many reserves in one call.
    Batch,
}

/// When a phase ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    /// After that time.
    After(Duration),
    /// After so many calls.
    Calls(u64),
}

/// Which nodes the connections go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// Evenly to all.
    All,
    /// The one that leads at the start.
    Leader,
    /// The one with that id.
    Node(u64),
}

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// Begins every name of the run, so that no two runs share one.
    pub(super) run: String,
    /// What random choices follow from.
    pub(super) seed: u64,
    /// What is asked for.
    pub(super) workload: Workload,
    /// Connections of all threads.
    pub(super) connections: u32,
    /// Threads that the connections are shared out to.
    pub(super) threads: u32,
    /// How much is measured.
    pub(super) end: End,
    /// How long is warmed up before.
    pub(super) warm_up: Duration,
    /// Calls a second; where there is none, each connection calls again once it was answered.
    pub(super) rate: Option<u64>,
    /// SKUs, that of a warm-up of its own left out.
    pub(super) skus: u32,
    /// Units of each SKU.
    pub(super) stock: u64,
    /// Reserves in one call.
    pub(super) batch: u32,
    /// SKUs in one cart.
    pub(super) cart: u32,
    /// So many customers take turns; none are named where it is 0.
    pub(super) customers: u32,
    /// How long a hold lasts.
    pub(super) ttl_seconds: u64,
    /// Whether each write has an idempotency key.
    pub(super) keys: bool,
    /// Where the connections go.
    pub(super) to: To,
    /// What every call shows of who asks.
    pub(super) credential: Credential,
}

/// A part of the run: the warm-up, or what is measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Phase {
    /// Tells its carts from those of other phases.
    pub(super) letter: char,
    /// Which SKUs, by number.
    pub(super) skus: Range<u32>,
    /// How much of it.
    pub(super) end: End,
}

impl Plan {
    /// The run that the flags ask for.
    ///
    /// # Errors
    /// Where they do not fit each other, or a time is none that can be measured.
    pub(super) fn new(args: &Args, seed: u64) -> Result<Plan, String> {
        let workload = args.workload;
        let connections = args.connections.unwrap_or(if workload == Workload::Batch { 8 } else { 256 });
        let plan = Plan {
            run: format!("bench-{seed:016x}"),
            seed,
            workload,
            connections,
            threads: args.threads.min(connections),
            end: end(args),
            warm_up: args.warm_up,
            rate: args.rate,
            skus: args.skus.unwrap_or(workload.skus()),
            stock: args.stock.unwrap_or(if workload == Workload::Flash { 100 } else { 1_000_000_000 }),
            batch: args.batch.unwrap_or(1_000),
            cart: if workload == Workload::Cart { args.cart.unwrap_or(3) } else { 1 },
            customers: args.customers,
            ttl_seconds: args.ttl,
            keys: args.keys,
            to: args.to,
            credential: args.credential.clone(),
        };
        plan.refuse_misfits(args)?;
        plan.refuse_times()?;
        Ok(plan)
    }

    /// The warm-up, where there is one, and what is measured.
    pub(super) fn phases(&self) -> (Option<Phase>, Phase) {
        let measured = Phase { letter: 'm', skus: 0..self.skus, end: self.end };
        // A warm-up would sell out what the flash sale is about, so it has a SKU of its own.
        let skus = match self.workload {
            Workload::Flash => self.skus..self.skus + 1,
            _ => measured.skus.clone(),
        };
        let warm_up = Phase { letter: 'w', skus, end: End::After(self.warm_up) };
        ((self.warm_up > Duration::ZERO).then_some(warm_up), measured)
    }

    /// How many SKUs are put, that of a warm-up included.
    pub(super) fn skus_put(&self) -> u32 {
        let (warm_up, measured) = self.phases();
        warm_up.map_or(0, |phase| phase.skus.end).max(measured.skus.end)
    }

    /// The name of a SKU.
    pub(super) fn sku(&self, number: u32) -> String {
        format!("{}.{number}", self.run)
    }

    /// How many operations one call has.
    pub(super) fn operations(&self) -> u32 {
        if self.workload == Workload::Batch { self.batch } else { 1 }
    }

    fn refuse_misfits(&self, args: &Args) -> Result<(), String> {
        let Plan { workload, skus, cart, .. } = *self;
        if workload.skus() == 1 && workload != Workload::Pair && skus != 1 {
            return Err(format!("--skus {skus}: the workload has one"));
        }
        if cart > skus {
            return Err(format!("--cart {cart}: there are {skus} SKUs"));
        }
        for (flag, given, owner) in [
            ("--batch", args.batch.is_some(), Workload::Batch),
            ("--cart", args.cart.is_some(), Workload::Cart),
        ] {
            if given && workload != owner {
                return Err(format!("{flag}: only the workload {} has it", owner.name()));
            }
        }
        Ok(())
    }

    fn refuse_times(&self) -> Result<(), String> {
        if self.end == End::After(Duration::ZERO) {
            return Err("--duration: nothing is measured in no time".to_owned());
        }
        let too_long = |time: Duration| time > PHASE_TIME_MAX;
        if matches!(self.end, End::After(time) if too_long(time)) {
            return Err("--duration: longer than 720h".to_owned());
        }
        match too_long(self.warm_up) {
            true => Err("--warm-up: longer than 720h".to_owned()),
            false => Ok(()),
        }
    }
}

impl Workload {
    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Workload::Hot => "hot",
            Workload::Spread => "spread",
            Workload::Pair => "pair",
            Workload::Cart => "cart",
            Workload::Flash => "flash",
            Workload::Mixed => "mixed",
            Workload::Batch => "batch",
        }
    }

    /// How many SKUs it has unless told.
    fn skus(self) -> u32 {
        match self {
            Workload::Hot | Workload::Flash | Workload::Pair => 1,
            Workload::Spread | Workload::Cart | Workload::Mixed | Workload::Batch => 10_000,
        }
    }
}

/// When it ends.
fn end(args: &Args) -> End {
    match (args.count, args.duration, args.workload) {
        (Some(calls), _, _) => End::Calls(calls),
        (None, None, Workload::Flash) => End::Calls(50_000),
        (None, duration, _) => End::After(duration.unwrap_or(Duration::from_secs(10))),
    }
}

/// `all`, `leader`, or a node's id.
pub(super) fn parse_to(text: &str) -> Result<To, String> {
    match text {
        "all" => Ok(To::All),
        "leader" => Ok(To::Leader),
        id => id.parse().map(To::Node).map_err(|_| "not all, leader or a node's id".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn plan(line: &str) -> Result<Plan, String> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|why| why.to_string())?;
        Plan::new(&line.args, 0xabc)
    }

    #[test]
    fn each_workload_has_its_defaults() {
        let time = End::After(Duration::from_secs(10));
        let many = 1_000_000_000;
        for (line, connections, skus, stock, end) in [
            ("hot", 256, 1, many, time),
            ("spread", 256, 10_000, many, time),
            ("pair", 256, 1, many, time),
            ("cart", 256, 10_000, many, time),
            ("flash", 256, 1, 100, End::Calls(50_000)),
            ("flash --duration 2s", 256, 1, 100, End::After(Duration::from_secs(2))),
            ("mixed", 256, 10_000, many, time),
            ("batch --count 7", 8, 10_000, many, End::Calls(7)),
        ] {
            let plan = plan(line).unwrap();
            let told = (plan.connections, plan.skus, plan.stock, plan.end);
            assert_eq!(told, (connections, skus, stock, end), "{line}");
            assert_eq!(plan.sku(3), "bench-0000000000000abc.3");
            assert!(line.starts_with(plan.workload.name()), "{line}");
        }
        assert_eq!((plan("cart").unwrap().cart, plan("spread").unwrap().cart), (3, 1));
        assert_eq!(plan("hot --connections 2 --threads 8").unwrap().threads, 2);
    }

    #[test]
    fn a_warm_up_sells_nothing_of_a_flash_sale() {
        let phases = |line| {
            let (warm_up, measured) = plan(line).unwrap().phases();
            (warm_up.map(|phase| phase.skus), measured.skus, plan(line).unwrap().skus_put())
        };
        assert_eq!(phases("flash"), (Some(1..2), 0..1, 2));
        assert_eq!(phases("flash --warm-up 0s"), (None, 0..1, 1));
        assert_eq!(phases("spread --skus 9"), (Some(0..9), 0..9, 9));
    }

    #[test]
    fn flags_that_do_not_fit_are_refused() {
        for line in [
            "",
            "hot --skus 2",
            "flash --skus 2",
            "cart --skus 2",
            "cart --cart 101",
            "hot --cart 3",
            "spread --batch 10",
            "batch --batch 10001",
            "hot --count 5 --duration 1s",
            "hot --rate 0",
            "hot --to nobody",
            "hot --nodes http://a:1 --own-nodes 5",
        ] {
            assert!(plan(line).is_err(), "{line}");
        }
    }

    #[test]
    fn times_that_cannot_be_measured_are_refused() {
        for line in [
            "hot --duration 0s",
            "hot --duration 720h1ns",
            "hot --duration 2000000000000000h",
            "flash --duration 0ms",
            "hot --warm-up 2000000000000000h",
            "flash --count 5 --warm-up 721h",
        ] {
            assert!(plan(line).is_err(), "{line}");
        }
        let longest = plan("hot --duration 720h --warm-up 720h").unwrap();
        assert_eq!((longest.end, longest.warm_up), (End::After(PHASE_TIME_MAX), PHASE_TIME_MAX));
    }

    #[test]
    fn connections_go_to_all_to_the_leader_or_to_one_node() {
        assert_eq!(plan("hot").unwrap().to, To::All);
        assert_eq!(plan("hot --to leader").unwrap().to, To::Leader);
        assert_eq!(plan("hot --to 3").unwrap().to, To::Node(3));
    }
}
