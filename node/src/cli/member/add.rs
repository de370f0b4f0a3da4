//! `lastunit member add`: a new node follows without a vote.

use std::time::Duration;

use client::api::{AddMemberRequest, MembershipView};
use client::{Answer, Client, Error, code};
use tokio::time::{Instant, sleep};

use super::{interrupted, progress, tell};
use crate::cli::failure::Failure;
use crate::cli::reach::Reach;
use crate::cli::{Stop, parse_time};

/// How long between two tries to add a node that does not answer yet.
const TRY_EVERY: Duration = Duration::from_millis(500);

/// Add a new node, which runs with a new directory, and wait until it has caught up. It does not vote yet.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its id.
    id: u64,
    #[command(flatten)]
    pub(super) place: Place,
    #[command(flatten)]
    pub(super) wait: Wait,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// Where a new node is reached.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    /// Where it answers the other nodes; as the cluster file has it unless given.
    #[arg(long, value_name = "ADDRESS", env = "LASTUNIT_MEMBER_RAFT")]
    raft: Option<String>,
    /// Where it answers HTTP; as the cluster file has it unless given.
    #[arg(long, value_name = "ADDRESS", env = "LASTUNIT_MEMBER_HTTP")]
    http: Option<String>,
}

/// How long a new node may take.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Wait {
    /// How long it may take to answer, and then to catch up; 0s does not wait.
    #[arg(long, value_name = "TIME", env = "LASTUNIT_MEMBER_WAIT", default_value = "10m", value_parser = parse_time)]
    pub(super) wait: Duration,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let client = args.reach.client()?;
    let request = args.place.request(args.id, &args.reach)?;
    let added = make_when_it_answers(&client, &request, args.wait.wait).await?;
    if !args.wait.wait.is_zero() {
        progress::wait(&client, args.id, args.wait.wait).await?;
    }
    tell(&args.reach, &added)
}

impl Place {
    /// The request to add a node: what is not given stands in the cluster file.
    pub(super) fn request(&self, id: u64, reach: &Reach) -> Result<AddMemberRequest, Failure> {
        if let (Some(raft), Some(http)) = (&self.raft, &self.http) {
            return Ok(AddMemberRequest { id, raft: raft.clone(), http: http.clone() });
        }
        let (raft, http) = reach.node(id)?;
        let (raft, http) = (self.raft.clone().unwrap_or(raft), self.http.clone().unwrap_or(http));
        Ok(AddMemberRequest { id, raft, http })
    }
}

/// Adds a node. One that does not answer the leader yet is waited for.
pub(super) async fn make_when_it_answers(
    client: &Client,
    request: &AddMemberRequest,
    time_max: Duration,
) -> Result<Answer<MembershipView>, Failure> {
    let until = Instant::now() + time_max;
    let mut stop = Stop::new().map_err(Failure::system("cannot listen for signals"))?;
    loop {
        let added = tokio::select! {
            added = client.add_member(request) => added,
            () = stop.asked() => return Err(interrupted()),
        };
        match added {
            Err(Error::Refused(refusal))
                if refusal.problem.code == code::MEMBER_UNREACHABLE && Instant::now() < until => {}
            added => return added.map_err(Failure::from),
        }
        tokio::select! {
            () = sleep(TRY_EVERY) => {}
            () = stop.asked() => return Err(interrupted()),
        }
    }
}
