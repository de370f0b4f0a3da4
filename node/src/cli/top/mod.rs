//! `lastunit top`: all nodes, live: what each is doing, how fast, and what the shop has.
//!
//! ```text
//!   every second, all nodes at once      look     GET /api/cluster, GET /metrics
//!     this look and the last one         figures  rates, quantiles, what is behind
//!       text                             table    a row for each node, those included that do not answer
//!         a terminal                     screen   drawn over the last one until q or Ctrl-C
//!         anything else, or --once       stdout   told once
//! ```

mod figures;
mod look;
mod scrape;
mod screen;
mod table;

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use client::Client;
use tokio::time::{MissedTickBehavior, interval};

use self::figures::Figures;
use self::look::Look;
use self::screen::Screen;
use super::failure::{EXIT_NOT_EXECUTED, Failure};
use super::reach::Reach;
use super::{Stop, out};

/// Watch all nodes: role, lag, rates, latencies, queues, memory, and units held and sold; `q` ends it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Tell it once and end. So it is, too, where stdout is no terminal.
    #[arg(long, env = "LASTUNIT_ONCE", value_parser = super::flag())]
    once: bool,
    /// How often it looks, such as 500ms or 2s.
    #[arg(long, value_name = "TIME", default_value = "1s", env = "LASTUNIT_EVERY", value_parser = parse_every)]
    every: Duration,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// What looks at all nodes.
struct Watch {
    client: Client,
    addresses: Vec<String>,
}

impl Watch {
    async fn look(&self) -> Vec<Look> {
        look::at_all(&self.client, &self.addresses).await
    }
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let watch = Watch { client: args.reach.client()?, addresses: args.reach.addresses()? };
    let mut stop = Stop::new().map_err(Failure::system("cannot listen for signals"))?;
    let live = !args.once && !args.reach.json && stdout().is_terminal();
    tokio::select! {
        ended = async { if live { show(&watch, args.every).await } else { tell(&watch, args).await } } => ended,
        // What was there to see was seen; a table that is not told yet was not.
        () = stop.asked() => if live { Ok(()) } else { Err(Failure::interrupted()) },
    }
}

/// Tells it once: rates are those between two looks.
async fn tell(watch: &Watch, args: &Args) -> Result<(), Failure> {
    let before = watch.look().await;
    tokio::time::sleep(args.every).await;
    let figures = Figures::between(&before, &watch.look().await);
    match args.reach.json {
        true => out::line(&figures)?,
        false => out::text(&table::text(&figures))?,
    }
    match figures.answers() {
        true => Ok(()),
        false => Err(Failure::new(EXIT_NOT_EXECUTED, "not executed: no node answers")),
    }
}

/// Shows it until `q`.
async fn show(watch: &Watch, every: Duration) -> Result<(), Failure> {
    let mut screen = Screen::open().map_err(Failure::system("cannot use this terminal"))?;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = watch.look().await;
    loop {
        tokio::select! {
            () = screen.quit() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let now = tokio::select! {
            () = screen.quit() => return Ok(()),
            now = watch.look() => now,
        };
        let text = table::text(&Figures::between(&before, &now));
        screen.draw(&format!("{text}\nq ends\n")).map_err(out::unheard)?;
        before = now;
    }
}

fn parse_every(text: &str) -> Result<Duration, String> {
    let every = super::parse_time(text)?;
    match every >= Duration::from_millis(100) {
        true => Ok(every),
        false => Err("less than 100ms".to_owned()),
    }
}
