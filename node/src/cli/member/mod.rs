//! `lastunit member`: who belongs to the cluster.
//!
//! ```text
//!   list                every member, and how far each has come
//!   add                 a new node follows without a vote; waits until it has caught up
//!   promote             it votes
//!   remove              a member is none any more
//!   replace OLD NEW     add, then NEW votes in OLD's place
//!   replace ID          a node that lost its directory: remove, add it as it is now, promote
//! ```

mod add;
mod list;
mod progress;
mod promote;
mod remove;
mod replace;

use client::api::{MembershipMember, MembershipView};
use client::{Answer, Call};

use super::failure::{EXIT_UNKNOWN, Failure};
use super::out::Table;
use super::reach::Reach;
use super::{EXIT_CODES, Stop};

/// Show or change who belongs to the cluster, while it runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(after_help = EXIT_CODES)]
    List(list::Args),
    #[command(after_help = EXIT_CODES)]
    Add(add::Args),
    #[command(after_help = EXIT_CODES)]
    Promote(promote::Args),
    #[command(after_help = EXIT_CODES)]
    Remove(remove::Args),
    #[command(after_help = EXIT_CODES)]
    Replace(replace::Args),
}

impl Args {
    /// Whether a failure is told in JSON, too.
    pub(super) fn json(&self) -> bool {
        match &self.command {
            Command::List(args) => args.reach.json,
            Command::Add(args) => args.reach.json,
            Command::Promote(args) => args.reach.json,
            Command::Remove(args) => args.reach.json,
            Command::Replace(args) => args.reach.json,
        }
    }
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => list::run(args).await,
        Command::Add(args) => add::run(args).await,
        Command::Promote(args) => promote::run(args).await,
        Command::Remove(args) => remove::run(args).await,
        Command::Replace(args) => replace::run(args).await,
    }
}

/// Makes a change, unless it is interrupted.
pub(super) async fn make(call: Call<MembershipView>) -> Result<Answer<MembershipView>, Failure> {
    let mut stop = Stop::new().map_err(Failure::system("cannot listen for signals"))?;
    tokio::select! {
        answer = call => answer.map_err(Failure::from),
        () = stop.asked() => Err(interrupted()),
    }
}

fn interrupted() -> Failure {
    Failure::new(EXIT_UNKNOWN, "interrupted: `lastunit member list` tells what was done")
}

/// Tells what a change has come to.
pub(super) fn tell(reach: &Reach, answer: &Answer<MembershipView>) -> Result<(), Failure> {
    reach.tell(answer, text)
}

fn text(view: &MembershipView) -> String {
    let mut table = Table::new(["#NODE", "ROLE", "HTTP", "RAFT"]);
    let rows: Vec<[String; 4]> = view.members.iter().map(|member| row(view, member)).collect();
    let before = if view.changed { "" } else { "it was so before\n" };
    format!("{before}{}", table.rows(&rows))
}

fn row(view: &MembershipView, member: &MembershipMember) -> [String; 4] {
    let role = match member.votes {
        true if view.leader_id == Some(member.id) => "leader",
        true => "voter",
        false => "learner",
    };
    [member.id.to_string(), role.to_owned(), member.http.clone(), member.raft.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membership_is_a_table() {
        let member = |id, votes| MembershipMember { id, votes, http: "h:1".into(), raft: "r:1".into() };
        let members = vec![member(1, true), member(2, true), member(10, false)];
        let view = MembershipView {
            changed: false,
            leader_id: Some(2),
            term: 3,
            membership_index: Some(7),
            members,
        };
        let told = "it was so before\nNODE  ROLE     HTTP  RAFT\n   1  voter    h:1   r:1\n   2  leader   h:1   r:1\n  10  learner  h:1   r:1\n";
        assert_eq!(text(&view), told);
    }
}
