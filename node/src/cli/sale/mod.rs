//! `lastunit sale`: a flash sale, and the proof that it sold each unit once.
//!
//! ```text
//!  a cluster ----> put the SKU -> load: every buyer reserves, winners pay -> ask again what stayed open
//!  (given, or      `-- kill -9 of the leader, in the middle of it --'             |
//!   our own)                                   line (--wait): units that come free go to whoever waits
//!                                                                                v
//!                  exit 0 or 1 <- report <- verdict <- read everything back from every node
//! ```
//!
//! A buyer who is refused has lost and goes home; with `--wait` nobody is, and who finds no unit stands in the line,
//! where the units come free again that `--abandon` leaves unpaid. A buyer whose call got no answer asks again with
//! the same key until there is one, because a unit may stand behind it. All names carry a random run id, so that a
//! cluster can hold any number of sales.

mod facts;
mod line;
mod load;
mod report;
mod shop;
mod tally;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use client::Client;
use client::api::PutSkuRequest;
use tokio::time::{Instant, sleep};

use self::facts::{Facts, Kill};
use self::load::Load;
use self::shop::{Rules, Shop};
use super::reach::Credential;
use super::venue::Given;
use super::{EXIT_FAILED, EXIT_USAGE, fail, finding, parse_time, tell, venue};
use crate::local::{LocalCluster, LocalError};

/// How many nodes the sale's own cluster has.
const OWN_NODES: u64 = 3;

/// How long a hold lasts where many are left unpaid, in seconds: nobody wants to watch for longer.
const HOLD_SECONDS_ABANDONING: u64 = 2;

/// How long is waited between two looks for a leader.
const LEADER_POLL: Duration = Duration::from_millis(20);

/// Sells the last units to many buyers at once, and checks that each was sold once.
///
/// Without --cluster and --nodes it starts a cluster of three nodes of its own, and removes it at the end. What
/// other commands are told by LASTUNIT_NODES is nothing to it: its own variables begin with LASTUNIT_SALE. Exit
/// code 1: a unit was oversold or lost, an outcome stayed unknown, or the sale could not be held. 2: wrong usage.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Units on sale.
    #[arg(long, default_value_t = 1, env = "LASTUNIT_SALE_STOCK", value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    stock: u64,
    /// Buyers, each of whom wants one unit.
    #[arg(long, default_value_t = 50_000, env = "LASTUNIT_SALE_BUYERS", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    buyers: u32,
    /// Buyers that call at the same time, spread over all nodes.
    #[arg(long, default_value_t = 256, env = "LASTUNIT_SALE_CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Buyers who find no unit wait in the line, until the last one is sold.
    #[arg(long, env = "LASTUNIT_SALE_WAIT", value_parser = super::flag())]
    wait: bool,
    /// Of a hundred buyers who get a hold, so many never pay. Their units go to the line.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, env = "LASTUNIT_SALE_ABANDON", requires = "wait", value_parser = clap::value_parser!(u32).range(0..=90))]
    abandon: u32,
    /// How long a hold lasts, in seconds; 300 unless given, 2 with --abandon.
    #[arg(long, value_name = "SECONDS", env = "LASTUNIT_SALE_HOLD_SECONDS", value_parser = clap::value_parser!(u64).range(1..=1800))]
    hold_seconds: Option<u64>,
    /// Kill -9 the leader so long after the start, such as 200ms. Only in the sale's own cluster.
    #[arg(long, value_name = "TIME", env = "LASTUNIT_SALE_KILL_LEADER_AFTER", value_parser = parse_time, conflicts_with_all = ["cluster", "nodes"])]
    kill_leader_after: Option<Duration>,
    /// Hold the sale in the running cluster of this file.
    #[arg(long, value_name = "FILE", env = "LASTUNIT_SALE_CLUSTER", conflicts_with = "nodes")]
    cluster: Option<PathBuf>,
    /// Hold the sale in the running cluster at these addresses, such as http://a:8101,http://b:8101.
    #[arg(long, value_name = "URLS", env = "LASTUNIT_SALE_NODES", value_delimiter = ',')]
    nodes: Vec<String>,
    #[command(flatten)]
    credential: Credential,
}

/// Holds the sale.
pub(crate) async fn run(args: Args) -> ExitCode {
    let Given { addresses, ca } = match given(&args) {
        Ok(given) => given,
        Err(why) => return fail(EXIT_USAGE, &why),
    };
    let held = match addresses.is_empty() {
        true => in_own_cluster(&args).await,
        false => match client(&args, ca, &addresses) {
            Ok(client) => Sale::new(&args, client, addresses).hold(None).await,
            Err(why) => return fail(EXIT_USAGE, &why),
        },
    };
    match held {
        Ok(facts) => end(&facts),
        Err(why) => fail(EXIT_FAILED, &why),
    }
}

/// What the buyers do.
fn rules(args: &Args) -> Rules {
    let abandoning = (args.abandon > 0).then_some(HOLD_SECONDS_ABANDONING);
    Rules { wait: args.wait, abandon_percent: args.abandon, hold_seconds: args.hold_seconds.or(abandoning) }
}

fn end(facts: &Facts) -> ExitCode {
    let findings = verdict::judge(facts);
    tell(&report::report(facts, &findings));
    match finding::passed(&findings) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_FAILED),
    }
}

fn client(args: &Args, ca: Option<PathBuf>, addresses: &[String]) -> Result<Client, String> {
    args.credential.builder(ca)?.build(addresses).map_err(|why| why.to_string())
}

/// The cluster that was given; none where the sale is to have its own.
fn given(args: &Args) -> Result<Given, String> {
    venue::given(args.cluster.as_deref(), &args.nodes)
}

async fn in_own_cluster(args: &Args) -> Result<Facts, String> {
    venue::own(OWN_NODES, async |cluster| {
        let (client, addresses) = (cluster.client().clone(), venue::addresses(cluster));
        Sale::new(args, client, addresses).hold(Some(cluster)).await
    })
    .await
}

/// One sale.
struct Sale<'a> {
    args: &'a Args,
    client: Client,
    addresses: Vec<String>,
    shop: Shop,
}

impl<'a> Sale<'a> {
    fn new(args: &'a Args, client: Client, addresses: Vec<String>) -> Sale<'a> {
        Sale { args, client, addresses, shop: Shop::new(rules(args)) }
    }

    async fn hold(self, cluster: Option<&mut LocalCluster>) -> Result<Facts, String> {
        let Args { stock, buyers, connections, .. } = *self.args;
        let request = PutSkuRequest { on_hand: stock, ..PutSkuRequest::default() };
        let put = self.client.put_sku(self.shop.sku(), &request).await;
        put.map_err(|why| format!("cannot put the stock on sale: {why}"))?;

        let load = Load::new(self.client.clone(), self.shop.clone(), buyers);
        let (elapsed, kill) = self.rush(&load, cluster).await?;
        load.ask_again().await;
        line::serve(&load, stock).await;
        load.ask_again().await;
        let tally = load.into_tally();
        let read_back = facts::read_back(&self.client, &self.shop, &tally).await;
        Ok(Facts {
            stock,
            buyers,
            waited: self.args.wait,
            connections,
            addresses: self.addresses,
            elapsed,
            kill,
            tally,
            read_back,
        })
    }

    /// The buyers' rush and how long it took, with the leader's death in it. All nodes run again afterwards.
    async fn rush(
        &self,
        load: &Load,
        cluster: Option<&mut LocalCluster>,
    ) -> Result<(Duration, Option<Kill>), String> {
        let connections = self.args.connections;
        let (Some(cluster), Some(after)) = (cluster, self.args.kill_leader_after) else {
            return Ok((load.run(connections).await, None));
        };
        let (elapsed, kill) = tokio::join!(load.run(connections), kill_leader(cluster, after, load));
        let kill = kill.map_err(|why| format!("cannot kill the leader: {why}"))?;
        if let Kill::Done { id, .. } = kill {
            revive(cluster, id).await.map_err(|why| format!("cannot start node {id} again: {why}"))?;
        }
        Ok((elapsed, Some(kill)))
    }
}

/// Kills the leader after that time, unless the rush is over by then.
async fn kill_leader(cluster: &mut LocalCluster, after: Duration, load: &Load) -> Result<Kill, LocalError> {
    let started = Instant::now();
    tokio::select! {
        () = sleep(after) => (),
        () = load.over() => return Ok(Kill::TooLate),
    }
    let id = tokio::select! {
        id = leader(cluster.client()) => id?,
        () = load.over() => return Ok(Kill::TooLate),
    };
    cluster.kill(id).await?;
    Ok(Kill::Done { id, after: started.elapsed() })
}

/// The leader, as soon as there is one.
async fn leader(client: &Client) -> Result<u64, LocalError> {
    loop {
        if let Some(id) = client.cluster().await?.value.leader_id {
            return Ok(id);
        }
        sleep(LEADER_POLL).await;
    }
}

async fn revive(cluster: &mut LocalCluster, id: u64) -> Result<(), LocalError> {
    cluster.start(id)?;
    cluster.wait_ready(venue::OWN_TIME_MAX).await
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

    fn parse(line: &str) -> Result<Args, String> {
        let words = std::iter::once("sale").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.args).map_err(|why| why.to_string())
    }

    #[test]
    fn the_flags_have_their_defaults() {
        let args = parse("").unwrap();
        assert_eq!((args.stock, args.buyers, args.connections), (1, 50_000, 256));
        assert_eq!(args.kill_leader_after, None);
        assert!(given(&args).unwrap().addresses.is_empty());
    }

    #[test]
    fn times_have_units() {
        let after = |line| parse(line).unwrap().kill_leader_after;
        assert_eq!(after("--kill-leader-after 200ms"), Some(Duration::from_millis(200)));
        assert_eq!(after("--kill-leader-after 2s"), Some(Duration::from_secs(2)));
    }

    #[test]
    fn wrong_usage_is_refused() {
        let table = [
            "--buyers 0",
            "--connections 0",
            "--stock -1",
            "--kill-leader-after 200",
            "--kill-leader-after -2s",
            "--kill-leader-after 1s --nodes http://a:1",
            "--cluster c.toml --nodes http://a:1",
        ];
        for line in table {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn nodes_are_separated_by_commas() {
        let args = parse("--nodes http://a:1,http://b:2").unwrap();
        assert_eq!(given(&args).unwrap().addresses, ["http://a:1", "http://b:2"]);
    }
}
