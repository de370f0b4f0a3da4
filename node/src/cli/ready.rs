//! `lastunit ready`: whether nodes serve. What a container's health check and a rolling restart ask.

use std::time::{Duration, Instant};

use client::Client;
use serde_json::json;
use tokio::time::sleep;

use super::failure::{EXIT_NOT_EXECUTED, Failure};
use super::out;
use super::reach::Reach;
use super::{Stop, parse_time};

/// How long is waited between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Tell whether nodes serve: the one of --node, or else all that are named; exit code 3 where one does not.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The one node that is meant, by its id in the cluster file.
    #[arg(long, value_name = "ID", env = "LASTUNIT_NODE")]
    node: Option<u64>,
    /// Go on asking for so long, such as 60s.
    #[arg(long, value_name = "TIME", default_value = "0s", env = "LASTUNIT_READY_WAIT", value_parser = parse_time)]
    wait: Duration,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let (client, addresses) = (args.reach.client()?, args.reach.addresses()?);
    let meant = match args.node {
        Some(node) => vec![args.reach.place(node)?],
        None => (0..addresses.len()).collect(),
    };
    let mut stop = Stop::new().map_err(Failure::system("cannot listen for signals"))?;
    tokio::select! {
        missing = wait(&client, meant, args.wait) => tell(args, &addresses, &missing),
        () = stop.asked() => Err(Failure::interrupted()),
    }
}

/// The places of those that do not serve when the time is over, or as soon as all do.
async fn wait(client: &Client, meant: Vec<usize>, time: Duration) -> Vec<usize> {
    let (began, mut missing) = (Instant::now(), meant);
    loop {
        let mut still = Vec::new();
        for place in missing {
            if client.only(place).ready().await.is_err() {
                still.push(place);
            }
        }
        missing = still;
        if missing.is_empty() || began.elapsed() >= time {
            return missing;
        }
        sleep(LOOK_EVERY).await;
    }
}

fn tell(args: &Args, addresses: &[String], missing: &[usize]) -> Result<(), Failure> {
    let missing: Vec<&str> =
        missing.iter().filter_map(|&place| addresses.get(place)).map(String::as_str).collect();
    let document = json!({ "ready": missing.is_empty(), "not_ready": missing });
    if missing.is_empty() {
        return match args.reach.json {
            true => out::line(&document),
            false => out::text("ready\n"),
        };
    }
    let line = format!("not ready: {}", missing.join(", "));
    Err(Failure { code: EXIT_NOT_EXECUTED, line: Some(line), document: Some(document) })
}
