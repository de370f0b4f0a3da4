//! `lastunit get`: a reservation as it is, or as it will be after its next change.
//!
//! A wait names the state that it waits for the end of: the given one, or that of a first read. So a change between two
//! tries is not missed; one that came before the first read is missed unless the state is given.

use client::api::ReservationState;

use super::failure::Failure;
use super::reach::Reach;
use super::{show, words};

/// Show a reservation.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which one.
    reservation_id: String,
    /// Answer at the next change of its state, or as it is after so many seconds, 1 to 60.
    #[arg(long, value_name = "SECONDS", env = "LASTUNIT_WAIT_SECONDS")]
    wait: Option<u64>,
    /// With --wait: answer at once where it is in any other state than this, such as waiting, which was seen last;
    /// that of a first read unless given.
    #[arg(long = "while", value_name = "STATE", env = "LASTUNIT_WHILE", requires = "wait", value_parser = words::state)]
    last: Option<ReservationState>,
    /// Read what the asked node has applied, which may be behind; it works without a quorum.
    #[arg(long, env = "LASTUNIT_STALE", value_parser = super::flag())]
    stale: bool,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let client = args.reach.client()?;
    let call = || match args.stale {
        true => client.reservation(&args.reservation_id).stale(),
        false => client.reservation(&args.reservation_id),
    };
    let answer = match args.wait {
        None => args.reach.read(call()).await?,
        Some(seconds) => {
            let last = match args.last {
                Some(last) => last,
                None => args.reach.read(call()).await?.value.state,
            };
            args.reach.read(call().wait_seconds(seconds).wait_while(last)).await?
        }
    };
    args.reach.tell(&answer, show::reservation)
}
