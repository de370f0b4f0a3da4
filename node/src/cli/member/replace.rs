//! `lastunit member replace`: a new node in a member's place.

use client::Client;
use client::api::MembershipView;
use client::{Answer, Error, code};

use super::add::{Place, Wait, make_when_it_answers};
use super::{make, progress, tell};
use crate::cli::failure::Failure;
use crate::cli::out;
use crate::cli::reach::Reach;

/// Replace a member by a new node, which runs with a new directory.
///
/// `replace 3 4`: node 4 is added, catches up, and takes node 3's place in one step; node 3 may be dead. `replace 3`:
/// node 3 does not run, and its directory is lost; it is removed, and added again once it runs with an empty one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The member that is to go.
    old: u64,
    /// The node that votes in its place; the same id, with an empty directory, unless given.
    new: Option<u64>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let client = args.reach.client()?;
    let replaced = match args.new {
        Some(new) if new != args.old => by_another(args, &client, new).await?,
        _ => by_itself(args, &client).await?,
    };
    tell(&args.reach, &replaced)
}

async fn by_another(args: &Args, client: &Client, new: u64) -> Result<Answer<MembershipView>, Failure> {
    let request = args.place.request(new, &args.reach)?;
    make_when_it_answers(client, &request, args.wait.wait).await?;
    progress::wait(client, new, args.wait.wait).await?;
    make(client.replace_member(args.old, new).retry_refusals(true)).await
}

/// Each step may have been done by an earlier try of this command, which was interrupted.
async fn by_itself(args: &Args, client: &Client) -> Result<Answer<MembershipView>, Failure> {
    let request = args.place.request(args.old, &args.reach)?;
    match client.remove_member_to_replace(args.old).await {
        Ok(_) => {
            out::complain(&format!("node {0} is removed; start it now, with an empty directory", args.old))
        }
        Err(Error::Refused(refusal)) if refusal.problem.code == code::MEMBER_NOT_FOUND => {}
        Err(why) => return Err(why.into()),
    }
    make_when_it_answers(client, &request, args.wait.wait).await?;
    progress::wait(client, args.old, args.wait.wait).await?;
    make(client.promote_member(args.old).retry_refusals(true)).await
}
