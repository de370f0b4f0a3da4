//! `lastunit bench`: how many calls a cluster answers, how fast, at what cost, and whether it kept its books.
//!
//! ```text
//!  a cluster ----> put fresh SKUs -> warm-up -> the load, measured -> read everything back -> verdict -> result
//!  (given, or          stock           `-- load: threads, tasks --'         stock              |
//!   our own)                                  |         |                                      v
//!                                         tally      ledger -----------------------------> exit 0 or 1
//! ```
//!
//! The load goes over plain sockets and not through the client crate, because it must cost little: it shares the
//! machine with the nodes more often than not. What is not measured (stock, reading back) goes through the client.
//!
//! Each file has one job: [`plan`] what is asked for; [`load`] and [`worker`] by whom; [`schedule`] when; [`buyer`]
//! each call and what its answer means; [`request`], [`connection`], [`head`], [`outcome`] its way there and back;
//! [`tally`] what is counted; [`ledger`] and [`verdict`] whether the cluster is right; [`usage`] what it costs;
//! [`result`] and [`report`] what is told.

mod buyer;
mod connection;
mod head;
mod ledger;
mod load;
mod outcome;
mod plan;
mod report;
mod request;
mod result;
mod schedule;
mod stock;
mod tally;
mod targets;
mod usage;
mod verdict;
mod worker;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use client::Client;
use client::code::INVALID_REQUEST;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::Instant;

use self::ledger::Ledger;
use self::load::{Load, Loaded};
use self::plan::{Plan, To, Workload};
use self::result::{Ended, RunResult};
use self::targets::Target;
use self::usage::Watch;
use self::verdict::Books;
use super::agreement::Agreement;
use super::reach::Credential;
use super::venue::Given;
use super::{EXIT_FAILED, EXIT_USAGE, Failure, Stop, fail, out, parse_time, venue};
use crate::clock;

/// How much sooner than by this machine's clock a hold may have ended: what the cluster's may be ahead.
const LAPSE_MARGIN: Duration = Duration::from_secs(2);

/// Puts load on a cluster, measures it, and checks that no unit was oversold or lost.
///
/// Without --cluster and --nodes it starts a cluster of its own, and removes it at the end. The SKUs of a run have
/// names of their own and stay in the cluster. Exit code 1: a unit was oversold or lost, an answer made no sense, or
/// there was no run. 2: wrong usage.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// What is asked for.
    #[arg(value_enum)]
    workload: Workload,
    /// Connections, each with one call at a time; 256 unless given, of a batch 8.
    #[arg(long, env = "LASTUNIT_BENCH_CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    connections: Option<u32>,
    /// How long is measured, such as 10s, which it is unless given; 720h at most.
    #[arg(long, value_name = "TIME", env = "LASTUNIT_BENCH_DURATION", value_parser = parse_time)]
    duration: Option<Duration>,
    /// How many calls are measured, instead of a time. Of the flash workload 50,000 unless given.
    #[arg(long, env = "LASTUNIT_BENCH_COUNT", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How long the same is done before, unmeasured; 0s for none, 720h at most.
    #[arg(long, value_name = "TIME", default_value = "2s", env = "LASTUNIT_BENCH_WARM_UP", value_parser = parse_time)]
    warm_up: Duration,
    /// Calls a second that arrive whatever is answered (an open loop). A call's latency counts from its arrival, also
    /// where no connection was free for it. Unless given, each connection calls again once it was answered.
    #[arg(long, env = "LASTUNIT_BENCH_RATE", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// SKUs; unless given 1 of hot, pair and flash, 10,000 of the others.
    #[arg(long, env = "LASTUNIT_BENCH_SKUS", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    skus: Option<u32>,
    /// Units of each SKU; a thousand million unless given, of flash 100.
    #[arg(long, env = "LASTUNIT_BENCH_STOCK", value_parser = clap::value_parser!(u64).range(0..=1_000_000_000_000))]
    stock: Option<u64>,
    /// Reserves in one call of the batch workload; 1,000 unless given.
    #[arg(long, env = "LASTUNIT_BENCH_BATCH", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: Option<u32>,
    /// SKUs in one cart of the cart workload; 3 unless given.
    #[arg(long, env = "LASTUNIT_BENCH_CART", value_parser = clap::value_parser!(u32).range(1..=100))]
    cart: Option<u32>,
    /// So many customers take turns; no call names one unless given.
    #[arg(long, default_value_t = 0, env = "LASTUNIT_BENCH_CUSTOMERS")]
    customers: u32,
    /// How long a hold lasts, in seconds. A run that lasts longer cannot tell whether a hold was lost.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, env = "LASTUNIT_BENCH_TTL", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    ttl: u64,
    /// Send an idempotency key with each write.
    #[arg(long, env = "LASTUNIT_BENCH_KEYS", value_parser = super::flag())]
    keys: bool,
    /// Where the connections go: all (evenly), leader (that of the start), or a node's id.
    #[arg(long, value_name = "WHERE", default_value = "all", env = "LASTUNIT_BENCH_TO", value_parser = plan::parse_to)]
    to: To,
    /// Threads of the load. One is cheapest, and enough until it takes a whole processor.
    #[arg(long, default_value_t = 1, env = "LASTUNIT_BENCH_THREADS", value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Answer with one JSON document.
    #[arg(long, env = "LASTUNIT_JSON", value_parser = super::flag())]
    json: bool,
    /// Write the JSON document to this file, too. It is made before the run, if it is not there.
    #[arg(long, value_name = "FILE", env = "LASTUNIT_BENCH_OUT")]
    out: Option<PathBuf>,
    /// Ask the running cluster of this file.
    #[arg(long, value_name = "FILE", env = "LASTUNIT_BENCH_CLUSTER", conflicts_with = "nodes")]
    cluster: Option<PathBuf>,
    /// Ask the running cluster at these addresses, such as http://a:8101,http://b:8101. Name all of its nodes.
    #[arg(long, value_name = "URLS", env = "LASTUNIT_BENCH_NODES", value_delimiter = ',')]
    nodes: Vec<String>,
    #[command(flatten)]
    credential: Credential,
    /// How many nodes its own cluster has.
    #[arg(long, value_name = "COUNT", default_value_t = 3, env = "LASTUNIT_BENCH_OWN_NODES", conflicts_with_all = ["cluster", "nodes"], value_parser = clap::value_parser!(u64).range(3..=5))]
    own_nodes: u64,
}

/// Runs it to its exit code.
pub(crate) async fn run(args: Args) -> ExitCode {
    let (plan, Given { addresses, ca }) = match prepare(&args) {
        Ok(prepared) => prepared,
        Err(why) => return fail(EXIT_USAGE, &why),
    };
    raise_file_limit();
    let ended = match addresses.is_empty() {
        true => in_own_cluster(&args, plan).await,
        false => match client(&args, ca, &addresses) {
            Ok(client) => in_given_cluster(plan, client, &addresses).await,
            Err(why) => return fail(EXIT_USAGE, &why),
        },
    };
    match ended {
        Ok(result) => end(&args, &result),
        Err(why) => fail(EXIT_FAILED, &why),
    }
}

fn prepare(args: &Args) -> Result<(Arc<Plan>, Given), String> {
    let plan = Plan::new(args, rand::random())?;
    let given = venue::given(args.cluster.as_deref(), &args.nodes)?;
    if let Some(address) = given.addresses.iter().find(|address| address.starts_with("https://")) {
        let mend = "measure a cluster whose cluster file has no TLS for clients (http = false in its [tls])";
        return Err(format!("{address}: bench puts its load on plain sockets, without TLS; {mend}"));
    }
    args.out.as_deref().map_or(Ok(()), check_writable)?;
    Ok((Arc::new(plan), given))
}

fn client(args: &Args, ca: Option<PathBuf>, addresses: &[String]) -> Result<Client, String> {
    args.credential.builder(ca)?.build(addresses).map_err(|why| why.to_string())
}

/// Makes the file, or opens what is there as it is: a run must not be lost because its result cannot be written.
fn check_writable(path: &Path) -> Result<(), String> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|cause| format!("cannot write {}: {cause}", path.display()))
}

/// Connections are files, and those of both ends where the nodes are our children.
fn raise_file_limit() {
    let given = getrlimit(Resource::Nofile);
    // Where it may not be raised, a connection that cannot be opened says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: given.maximum, maximum: given.maximum });
}

async fn in_own_cluster(args: &Args, plan: Arc<Plan>) -> Result<RunResult, String> {
    venue::own(args.own_nodes, async |cluster| {
        Bench::new(plan, cluster.client().clone(), &venue::addresses(cluster)).await?.run().await
    })
    .await
}

async fn in_given_cluster(
    plan: Arc<Plan>,
    client: Client,
    addresses: &[String],
) -> Result<RunResult, String> {
    let mut stop = Stop::new().map_err(|cause| format!("cannot listen for signals: {cause}"))?;
    tokio::select! {
        result = async { Bench::new(plan, client, addresses).await?.run().await } => result,
        () = stop.asked() => Err("interrupted".to_owned()),
    }
}

fn end(args: &Args, result: &RunResult) -> ExitCode {
    match tell(args, result) {
        Ok(()) if result.passed => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(EXIT_FAILED),
        Err(failure) => fail(EXIT_FAILED, &failure.line.unwrap_or_default()),
    }
}

fn tell(args: &Args, result: &RunResult) -> Result<(), Failure> {
    if let Some(path) = &args.out {
        write_document(path, result)?;
    }
    let told = match args.json {
        true => out::line(result),
        false => out::text(&report::report(result)),
    };
    // A reader that went away knows enough; the verdict is in the exit code.
    told.or_else(|failure| if failure.line.is_none() { Ok(()) } else { Err(failure) })
}

fn write_document(path: &Path, result: &RunResult) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(result).map_err(Failure::json)?;
    text.push('\n');
    std::fs::write(path, text).map_err(Failure::system(&format!("cannot write {}", path.display())))
}

/// One run.
struct Bench {
    plan: Arc<Plan>,
    client: Client,
    targets: Vec<Target>,
    watch: Watch,
    ledger: Arc<Ledger>,
}

impl Bench {
    async fn new(plan: Arc<Plan>, client: Client, addresses: &[String]) -> Result<Bench, String> {
        let targets = targets::find(&client, addresses).await?;
        let watch = Watch::new(&targets.iter().map(|target| target.address).collect::<Vec<_>>());
        let ledger = Arc::new(Ledger::new(plan.skus_put()));
        Ok(Bench { plan, client, targets, watch, ledger })
    }

    async fn run(self) -> Result<RunResult, String> {
        let chosen = targets::choose(&self.targets, self.plan.to)?;
        stock::put(&self.client, &self.plan).await?;
        let load = Load { plan: &self.plan, targets: &chosen, ledger: &self.ledger, watch: &self.watch };
        let (warm_up, measured) = self.plan.phases();
        let started = Instant::now();
        let warmed = match warm_up {
            Some(phase) => Some(load.run(&phase).await?),
            None => None,
        };
        let started_at = clock::now_rfc3339();
        let loaded = load.run(&measured).await?;
        let books = self.books(warmed.as_ref(), &loaded, started).await?;
        Ok(RunResult::new(Ended {
            plan: &self.plan,
            started_at,
            targets: &self.targets,
            processes: self.watch.processes(),
            loaded: &loaded,
            checks: verdict::judge(&books),
        }))
    }

    async fn books(
        &self,
        warmed: Option<&Loaded>,
        loaded: &Loaded,
        started: Instant,
    ) -> Result<Books, String> {
        let records = stock::read(&self.client, &self.plan).await?;
        let lasted = started.elapsed() + LAPSE_MARGIN;
        let nonsense = |loaded: &Loaded| loaded.tally.first_nonsense.clone();
        let invalid = |loaded: &Loaded| loaded.tally.refused(INVALID_REQUEST);
        Ok(Books {
            run: self.plan.run.clone(),
            stock: self.plan.stock,
            accounts: self.ledger.accounts(),
            records,
            lapsed: lasted >= Duration::from_secs(self.plan.ttl_seconds),
            answered: loaded.tally.answered(),
            invalid: invalid(loaded) + warmed.map_or(0, invalid),
            first_nonsense: nonsense(loaded).or_else(|| warmed.and_then(nonsense)),
            agreement: Agreement::of(&self.client).await,
        })
    }
}
