//! `lastunit events`: what happened, and with `--follow` what happens.
//!
//! Each event is one line; in JSON one CloudEvents document a line, as the feed sends it. The id of the last line is
//! what `--after` takes to read on. Without `--after` it begins with the oldest event that is kept, and says so where
//! there were earlier ones.

use client::api::{Event, Page};
use client::{Answer, Client, Error, Events};

use super::failure::Failure;
use super::reach::Reach;
use super::{Stop, out, show};

/// Events in a page.
const PAGE_SIZE: u32 = 1_000;

/// The place before every event.
const BEGINNING: &str = "0";

/// Tell what happened to stock and reservations, in order, and with --follow what happens.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with what happens, over any node's death, until Ctrl-C; with --deadline, until no node was there for so
    /// long.
    #[arg(long, env = "LASTUNIT_FOLLOW", value_parser = super::flag())]
    follow: bool,
    /// Only what came after that event (17.3) or command (17); from the oldest event that is kept unless given.
    #[arg(long, value_name = "CURSOR", env = "LASTUNIT_AFTER")]
    after: Option<String>,
    /// Only what happened to this SKU and to reservations that name it.
    #[arg(long, value_name = "SKU", env = "LASTUNIT_SKU")]
    sku: Option<String>,
    /// Only these types, such as lastunit.reservation.held; `reservation` and `stock` are all of a kind.
    #[arg(long, value_name = "TYPES", env = "LASTUNIT_TYPES", value_delimiter = ',')]
    types: Vec<String>,
    /// End after so many events.
    #[arg(long, value_name = "NUMBER", env = "LASTUNIT_LIMIT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let client = args.reach.client()?;
    let mut told = Told { json: args.reach.json, left: args.limit.unwrap_or(u64::MAX) };
    let mut stop = Stop::new().map_err(Failure::system("cannot listen for signals"))?;
    tokio::select! {
        ended = tell(args, &client, &mut told) => ended,
        // Who follows ends it so.
        () = stop.asked() => if args.follow { Ok(()) } else { Err(Failure::interrupted()) },
    }
}

/// How many events are still to be told, and how.
struct Told {
    json: bool,
    left: u64,
}

impl Told {
    fn tell(&mut self, event: &Event) -> Result<(), Failure> {
        self.left -= 1;
        match self.json {
            true => out::line(event),
            false => out::text(&show::event(event)),
        }
    }
}

async fn tell(args: &Args, client: &Client, told: &mut Told) -> Result<(), Failure> {
    let cursor = pages(args, client, told).await?;
    if !args.follow || told.left == 0 {
        return Ok(());
    }
    let mut follow = feed(args, client).after(cursor).follow();
    if let Some(patience) = args.reach.deadline() {
        follow = follow.patience(patience);
    }
    while told.left > 0 {
        told.tell(&follow.next().await?)?;
    }
    Ok(())
}

/// Tells what there is, page by page. Answers how far it was.
async fn pages(args: &Args, client: &Client, told: &mut Told) -> Result<String, Failure> {
    let (mut cursor, mut answer) = first(args, client).await?;
    // An open shop always has more: who does not follow hears of what there was at the first page.
    let end = answer.sequence.filter(|_| !args.follow).unwrap_or(u64::MAX);
    loop {
        let Page { data, next_cursor } = answer.value;
        let next = next_cursor.unwrap_or_default();
        for event in &data {
            if told.left == 0 || sequence(&event.id) > end {
                return Ok(next);
            }
            told.tell(event)?;
        }
        // With nothing more the feed answers the cursor that it was given.
        let at_end = data.is_empty() && cursor == next;
        if at_end || told.left == 0 || sequence(&next) > end {
            return Ok(next);
        }
        answer = page(args, client, &next).await?;
        cursor = next;
    }
}

/// The first page, and the cursor that brought it: that of the oldest event that is kept, unless one was given.
async fn first(args: &Args, client: &Client) -> Result<(String, Answer<Page<Event>>), Failure> {
    let mut cursor = args.after.clone().unwrap_or_else(|| BEGINNING.to_owned());
    let answer = loop {
        match page(args, client, &cursor).await {
            Err(Error::Refused(refusal)) if args.after.is_none() => match refusal.resume_after() {
                Some(oldest) if oldest != cursor => oldest.clone_into(&mut cursor),
                _ => return Err(Error::Refused(refusal).into()),
            },
            answer => break answer?,
        }
    };
    if args.after.is_none() && cursor != BEGINNING {
        out::complain(&format!("earlier events are gone; these are those after {cursor}"));
    }
    Ok((cursor, answer))
}

async fn page(args: &Args, client: &Client, cursor: &str) -> Result<Answer<Page<Event>>, Error> {
    feed(args, client).page_size(PAGE_SIZE).after(cursor).page().await
}

/// The command of a place in the feed: 17 of `17.3`.
fn sequence(place: &str) -> u64 {
    place.split('.').next().and_then(|sequence| sequence.parse().ok()).unwrap_or(0)
}

fn feed(args: &Args, client: &Client) -> Events {
    let mut feed = client.events();
    if let Some(sku) = &args.sku {
        feed = feed.sku(sku);
    }
    if !args.types.is_empty() {
        feed = feed.types(&args.types);
    }
    feed
}
