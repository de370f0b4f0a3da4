//! The scripts in `tests/scripts`: what the state machine does, as documentation that is run.
//!
//! A script is commands, comments (`#`), and after each command what it answered (`  -> ...`).
//! `UPDATE=1 cargo test -p storage golden` writes the answers anew: read the difference.
//!
//! ```text
//!   at +300s                              the clock of the commands that follow
//!   put PS5 on_hand=1 safety=0 max=2      max=none takes the limit away
//!   adjust PS5 -3 reason=theft            delete PS5
//!   reserve cart=1 PS5:1 ttl=300          wait customer=ann
//!   commit r1 token=pay-1 fencing=1       reacquire
//!   release r1     extend r1 ttl=300      return r1     tick
//!     ... revoke_newest                   on put and adjust
//!     ... if=7,9 if=exists if=absent      on put, adjust and delete: the precondition
//!     ... PS5:1                           on commit, release and return: a part
//!   fill 1000 PS5 ttl=300 wait            a reserve of one unit for each of so many new carts, with keys fill-1 ...
//!   stock PS5      show r1     counts     reads, at the last command's time
//!   events         events since the last time; events after=3.1 limit=2 sku=PS5: a page of them
//!   list stocks prefix=P after=PS5 limit=2
//!   list reservations cart=1 customer=ann sku=PS5 state=held after=r1 limit=2
//!   keep 64 +10s   how many events are kept from now on, and for how long
//! ```
//!
//! `r1` is the first reservation of the script. `key=K` on any command is its idempotency key; `gate` before one
//! asks the sold-out gate instead. After every command the inventory is audited, rebuilt from its records, and
//! goes on as the rebuilt one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test; clippy exempts only its #[test] functions"
)]

use std::path::{Path, PathBuf};

use storage::inventory::Inventory;
use storage::inventory::command::{
    AdjustSku, Command, Commit, DeleteSku, Extend, HoldLimits, IfExpired, OnShortfall, Precondition, PutSku,
    Release, Request, Reserve, Return, Setting, Stamp,
};
use storage::inventory::event::{Event, EventChange, EventFilter, EventPage, EventPosition, EventsExpired};
use storage::inventory::ids::{Item, ReservationId, Sku};
use storage::inventory::outcome::{Applied, Outcome, Rejection, ReservationView, Shortage, State, StockView};
use storage::inventory::query::ReservationFilter;

const START_MS: u64 = 1_700_000_000_000;
const HOUR_MS: u64 = 3_600_000;
const ANSWER: &str = "  -> ";

#[test]
fn golden() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut scripts: Vec<PathBuf> =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    for path in scripts {
        let expected = std::fs::read_to_string(&path).unwrap();
        let actual = Script::default().run(&expected);
        match update {
            true => std::fs::write(&path, actual).unwrap(),
            false => assert_eq!(expected, actual, "{}", path.display()),
        }
    }
}

/// A script as it runs.
#[derive(Default)]
struct Script {
    inventory: Inventory,
    now_ms: u64,
    ids: Vec<ReservationId>,
    filled: u64,
    heard: Option<EventPosition>,
    keep: Option<(u64, u64)>,
    limits: HoldLimits,
}

impl Script {
    /// The script with every answer as it is now.
    fn run(mut self, script: &str) -> String {
        let mut lines = String::new();
        for line in script.lines().filter(|line| !line.starts_with(ANSWER)) {
            lines += &format!("{line}\n");
            if !line.is_empty() && !line.starts_with('#') {
                self.line(line).lines().for_each(|answer| lines += &format!("{ANSWER}{answer}\n"));
                self.inventory.audit().unwrap();
                self.inventory = Inventory::from_records(self.inventory.records()).unwrap();
            }
        }
        lines
    }

    fn line(&mut self, line: &str) -> String {
        let words = Words(line.split_whitespace().collect());
        match words.0[0] {
            "at" => self.at(words.0[1]),
            "fill" => self.fill(&words),
            "stock" => self.inventory.stock(&sku(words.0[1])).map_or("none".into(), |view| stock(&view)),
            "show" => {
                let view = self.inventory.reservation(self.id(words.0[1]));
                view.map_or("none".into(), |view| self.reservation(&view))
            }
            "counts" => format!("{:?}", self.inventory.counts()).to_lowercase(),
            "list" if words.has("stocks") => self.list_stocks(&words),
            "list" => self.list_reservations(&words),
            "keep" => self.keep(words.0[1], words.0[2]),
            "limit" => self.limit(&words),
            "events" if words.0.len() == 1 => self.news(),
            "events" => self.events(&words),
            "gate" => {
                let request = self.request(&Words(words.0[1..].to_vec()));
                let rejection = self.inventory.sure_rejection(&request);
                rejection.map_or("through".into(), |rejection| self.rejection(&rejection))
            }
            _ => {
                let request = self.request(&words);
                let applied = self.apply(&request);
                self.applied(&applied)
            }
        }
    }

    fn at(&mut self, moment: &str) -> String {
        self.now_ms = millis(moment);
        String::new()
    }

    fn list_stocks(&self, words: &Words) -> String {
        let after = words.get("after").map(sku);
        let prefix = words.get("prefix").unwrap_or_default();
        let page = self.inventory.list_stocks(prefix, after.as_ref(), words.limit());
        let rows: String = page.rows.iter().map(|view| stock(view) + "\n").collect();
        rows + &page.next.map_or("the end".into(), |sku| format!("more after {sku}"))
    }

    fn list_reservations(&self, words: &Words) -> String {
        let states = [State::Waiting, State::Held, State::Committed, State::Released, State::Expired];
        let filter = ReservationFilter {
            cart_id: words.get("cart").map(Into::into),
            customer_id: words.get("customer").map(Into::into),
            sku: words.get("sku").map(sku),
            state: words
                .get("state")
                .and_then(|text| states.into_iter().find(|state| state.as_str() == text)),
        };
        let after = words.get("after").map(|label| self.id(label));
        let page = self.inventory.list_reservations(&filter, after, words.limit());
        let rows: String = page.rows.iter().map(|view| self.reservation(view) + "\n").collect();
        rows + &page.next.map_or("the end".into(), |id| format!("more after {}", self.label(id)))
    }

    fn keep(&mut self, events_max: &str, span: &str) -> String {
        self.keep = Some((events_max.parse().unwrap(), millis(span)));
        String::new()
    }

    fn news(&mut self) -> String {
        let news = self.inventory.events(self.heard, &EventFilter::default(), usize::MAX);
        self.heard = self.inventory.last_event();
        self.page(news)
    }

    fn events(&self, words: &Words) -> String {
        let position = |text: &str| {
            let (sequence, index) = text.split_once('.').unwrap();
            EventPosition { sequence: sequence.parse().unwrap(), index: index.parse().unwrap() }
        };
        let filter = EventFilter { sku: words.get("sku").map(sku), kinds: None };
        let page = self.inventory.events(words.get("after").map(position), &filter, words.limit());
        let next = page.as_ref().map_or(String::new(), |page| match (page.next, page.at_end) {
            (Some(next), false) => format!("more after {}", place(next)),
            (Some(next), true) => format!("the end, at {}", place(next)),
            (None, _) => "nothing new".into(),
        });
        let told = self.page(page);
        if told.ends_with('\n') || next.is_empty() { told + &next } else { format!("{told}\n{next}") }
    }

    fn page(&self, page: Result<EventPage, EventsExpired>) -> String {
        match page {
            Ok(page) => page.events.iter().map(|event| self.event(event) + "\n").collect(),
            Err(EventsExpired { oldest, resume_after }) => {
                format!("expired, oldest {}, resume after {}", place(oldest.unwrap()), place(resume_after))
            }
        }
    }

    fn event(&self, event: &Event) -> String {
        let what = match &event.change {
            EventChange::Reservation(change) => {
                let before = change.before.map_or("new", |state| state.as_str());
                let items =
                    change.items_before.as_ref().map_or(String::new(), |of| format!(" {}", items(of)));
                let kind = format!("{:?}", change.kind).to_lowercase();
                format!("{kind}, was {before}{items}: {}", self.reservation(&change.after))
            }
            EventChange::Stock(change) => {
                let kind = format!("{:?}", change.kind()).to_lowercase();
                let of = |view: &Option<StockView>| view.as_ref().map_or("none".into(), stock);
                let notes = [&change.reason, &change.reference];
                let notes: String = notes.into_iter().flatten().map(|note| format!(" ({note})")).collect();
                format!("{kind}{notes}\n  {}\n  {}", of(&change.before), of(&change.after))
            }
        };
        let cause = format!("{:?}", event.cause).to_lowercase();
        format!("{} {} by {cause}: {what}", place(event.position), moment(event.now_ms))
    }

    fn limit(&mut self, words: &Words) -> String {
        let number = |key| words.get(key).map(|text| text.parse().unwrap());
        self.limits = HoldLimits {
            customer_holds_max: number("holds"),
            customer_units_max: number("units"),
            hold_extensions_max: number("extensions"),
        };
        String::new()
    }

    fn fill(&mut self, words: &Words) -> String {
        let count: u64 = words.0[1].parse().unwrap();
        for _ in 0..count {
            self.filled += 1;
            let n = self.filled;
            let wait = if words.has("wait") { "wait" } else { "" };
            let (sku, ttl) = (words.0[2], words.get("ttl").unwrap());
            let line = format!("reserve key=fill-{n} cart=fill-{n} {sku}:1 ttl={ttl} {wait}");
            let request = self.request(&Words(line.split_whitespace().collect()));
            assert!(self.apply(&request).result.is_ok());
        }
        String::new()
    }

    fn apply(&mut self, request: &Request) -> Applied {
        let (events_max, events_ms) = self.keep.unwrap_or((262_144, 24 * HOUR_MS));
        let stamp = Stamp {
            now_ms: START_MS + self.now_ms,
            retention_ms: 24 * HOUR_MS,
            idempotency_ms: 24 * HOUR_MS,
            max_hold_ms: HOUR_MS / 2,
            events_ms,
            events_max,
            limits: self.limits,
        };
        let applied = self.inventory.apply(&stamp, request);
        if let (Ok(Outcome::Reserved(view) | Outcome::Waiting(view)), false) =
            (&applied.result, applied.replayed)
        {
            self.ids.push(view.id);
        }
        applied
    }

    fn request(&self, words: &Words) -> Request {
        Request { idempotency_key: words.get("key").map(Into::into), command: self.command(words) }
    }

    fn command(&self, words: &Words) -> Command {
        let number = |key| words.get(key).map(|text: &str| text.parse::<u64>().unwrap());
        let ttl_ms = number("ttl").unwrap_or(300) * 1_000;
        let reservation_id = words.0.get(1).map_or(self.id("r0"), |label| self.id(label));
        match words.0[0] {
            "tick" => Command::Tick,
            "raise_level" => Command::RaiseLevel(words.0[1].parse().unwrap()),
            "put" => Command::PutSku(PutSku {
                sku: sku(words.0[1]),
                on_hand: number("on_hand").unwrap(),
                safety_stock: number("safety"),
                max_per_customer: words.get("max").map_or(Setting::Keep, setting),
                on_shortfall: words.on_shortfall(),
                precondition: words.precondition(),
            }),
            "adjust" => Command::AdjustSku(AdjustSku {
                sku: sku(words.0[1]),
                delta: words.0[2].parse().unwrap(),
                reason: words.get("reason").map(Into::into),
                reference: words.get("reference").map(Into::into),
                on_shortfall: words.on_shortfall(),
                precondition: words.precondition(),
            }),
            "delete" => {
                Command::DeleteSku(DeleteSku { sku: sku(words.0[1]), precondition: words.precondition() })
            }
            "reserve" => Command::Reserve(Reserve {
                nonce: 7,
                cart_id: words.get("cart").unwrap().into(),
                customer_id: words.get("customer").map(Into::into),
                items: words.items(),
                ttl_ms,
                wait: words.has("wait"),
            }),
            "commit" => Command::Commit(Commit {
                reservation_id,
                payment_token: words.get("token").map(Into::into),
                fencing_token: number("fencing"),
                if_expired: match words.has("reacquire") {
                    true => IfExpired::Reacquire,
                    false => IfExpired::Fail,
                },
                items: words.part(),
            }),
            "release" => Command::Release(Release { reservation_id, items: words.part() }),
            "extend" => Command::Extend(Extend { reservation_id, ttl_ms }),
            "return" => Command::Return(Return { reservation_id, items: words.part() }),
            other => panic!("no such command: {other}"),
        }
    }

    fn applied(&self, applied: &Applied) -> String {
        let replayed = if applied.replayed { " (replayed)" } else { "" };
        let answer = match &applied.result {
            Ok(outcome) => self.outcome(outcome),
            Err(rejection) => self.rejection(rejection),
        };
        format!("#{}{replayed} {answer}", applied.sequence)
    }

    fn outcome(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Ticked => "ticked".into(),
            Outcome::Reserved(view) => format!("reserved: {}", self.reservation(view)),
            Outcome::AlreadyReserved(view) => format!("reserved already: {}", self.reservation(view)),
            Outcome::Committed(view) => format!("committed: {}", self.reservation(view)),
            Outcome::Released(view) => format!("released: {}", self.reservation(view)),
            Outcome::Extended(view) => format!("extended: {}", self.reservation(view)),
            Outcome::Returned(view) => format!("returned: {}", self.reservation(view)),
            Outcome::SkuCreated(view) => format!("created: {}", stock(view)),
            Outcome::SkuSet(view) => format!("set: {}", stock(view)),
            Outcome::Waiting(view) => format!("waiting: {}", self.reservation(view)),
            Outcome::SkuDeleted => "deleted".into(),
        }
    }

    fn reservation(&self, view: &ReservationView) -> String {
        let mut text = format!(
            "{} {} cart={} {}",
            self.label(view.id),
            view.state.as_str(),
            view.cart_id,
            items(&view.items),
        );
        if let Some(customer) = &view.customer_id {
            text += &format!(" customer={customer}");
        }
        if let Some(position) = view.position {
            text += &format!(" position={position}");
        }
        if let Some(grant) = view.grant {
            text += &format!(" fencing={} until {}", grant.fencing_token, moment(grant.deadline_ms));
        }
        if let Some(committed_ms) = view.committed_ms {
            text += &format!(" committed {}", moment(committed_ms));
        }
        if let Some(token) = &view.payment_token {
            text += &format!(" token={token}");
        }
        if !view.returned.is_empty() {
            text += &format!(" returned {}", items(&view.returned));
        }
        text
    }

    fn rejection(&self, rejection: &Rejection) -> String {
        match rejection {
            Rejection::CartAlreadyReserved { reservation_id } => {
                format!("refused: CartAlreadyReserved, {}", self.label(*reservation_id))
            }
            Rejection::FencingTokenStale { current } => {
                format!("refused: FencingTokenStale, current {current}")
            }
            Rejection::HoldLimit { latest_deadline_ms } => {
                format!("refused: HoldLimit, latest {}", moment(*latest_deadline_ms))
            }
            Rejection::CustomerLimit { sku, limit, held, sold, requested } => {
                format!(
                    "refused: CustomerLimit, {sku}: {requested} and {held} held and {sold} sold, of {limit}"
                )
            }
            Rejection::CustomerTotal { of, limit, has, requested } => {
                format!("refused: CustomerTotal, {of:?}: {requested} and {has}, of {limit}")
            }
            Rejection::PreconditionFailed { current: Some(version) } => {
                format!("refused: PreconditionFailed, v{version}")
            }
            Rejection::SkuHasHolds { stock: view } => format!("refused: SkuHasHolds, {}", stock(view)),
            Rejection::SkuNotFound { sku } => format!("refused: SkuNotFound, {sku}"),
            Rejection::StockBelowHeld { stock: view } => format!("refused: StockBelowHeld, {}", stock(view)),
            Rejection::InsufficientStock { shortages: short } => {
                format!("refused: InsufficientStock{}", shortages(short))
            }
            Rejection::HeldByOthers { shortages: short, earliest_ms, now_ms: _ } => {
                format!("refused: HeldByOthers till {}{}", moment(*earliest_ms), shortages(short))
            }
            other => format!("refused: {other:?}"),
        }
    }

    /// `r1` is the first reservation; one that never was is `r0`.
    fn id(&self, label: &str) -> ReservationId {
        let place = label.strip_prefix('r').and_then(|digits| digits.parse::<usize>().ok()).unwrap_or(0);
        let unknown = ReservationId { sequence: 0, nonce: 0 };
        place.checked_sub(1).and_then(|place| self.ids.get(place)).copied().unwrap_or(unknown)
    }

    fn label(&self, id: ReservationId) -> String {
        let place = self.ids.iter().position(|known| *known == id).expect("a reservation of this script");
        format!("r{}", place + 1)
    }
}

/// A command's words: `key=value` or `SKU:qty` or plain.
struct Words<'a>(Vec<&'a str>);

impl Words<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .filter_map(|word| word.split_once('='))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    fn limit(&self) -> usize {
        self.get("limit").map_or(usize::MAX, |text| text.parse().unwrap())
    }

    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }

    fn part(&self) -> Option<Vec<Item>> {
        Some(self.items()).filter(|items| !items.is_empty())
    }

    fn on_shortfall(&self) -> OnShortfall {
        match self.has("revoke_newest") {
            true => OnShortfall::RevokeNewest,
            false => OnShortfall::Refuse,
        }
    }

    fn precondition(&self) -> Precondition {
        match self.get("if") {
            None => Precondition::None,
            Some("exists") => Precondition::Exists,
            Some("absent") => Precondition::Absent,
            Some(versions) => {
                Precondition::Versions(versions.split(',').map(|text| text.parse().unwrap()).collect())
            }
        }
    }

    fn items(&self) -> Vec<Item> {
        let pairs = self.0.iter().filter(|word| !word.contains('=')).filter_map(|word| word.split_once(':'));
        pairs.map(|(name, qty)| Item { sku: sku(name), qty: qty.parse().unwrap() }).collect()
    }
}

fn sku(name: &str) -> Sku {
    Sku::new(name).expect("a SKU")
}

fn setting(text: &str) -> Setting<u64> {
    if text == "none" { Setting::Clear } else { Setting::Set(text.parse().unwrap()) }
}

fn millis(moment: &str) -> u64 {
    let number = |text: &str| text.parse::<u64>().unwrap();
    let text = moment.strip_prefix('+').expect("a moment is +5s, +5ms or +5h after the start");
    match (text.strip_suffix("ms"), text.strip_suffix('s'), text.strip_suffix('h')) {
        (Some(digits), _, _) => number(digits),
        (_, Some(digits), _) => number(digits) * 1_000,
        (_, _, Some(digits)) => number(digits) * HOUR_MS,
        _ => panic!("no unit: {moment}"),
    }
}

fn place(position: EventPosition) -> String {
    format!("{}.{}", position.sequence, position.index)
}

fn moment(ms: u64) -> String {
    let ms = ms - START_MS;
    if ms.is_multiple_of(1_000) { format!("+{}s", ms / 1_000) } else { format!("+{ms}ms") }
}

fn items(items: &[Item]) -> String {
    items.iter().map(|item| format!("{}:{}", item.sku, item.qty)).collect::<Vec<_>>().join(" ")
}

fn stock(view: &StockView) -> String {
    let StockView { sku, on_hand, held, sold, safety_stock, max_per_customer, waiting, version } = view;
    let available = view.available();
    let mut text = format!(
        "{sku} on_hand={on_hand} held={held} safety={safety_stock} available={available} sold={sold}"
    );
    if let Some(max) = max_per_customer {
        text += &format!(" max={max}");
    }
    if *waiting > 0 {
        text += &format!(" waiting={waiting}");
    }
    text + &format!(" v{version}")
}

fn shortages(shortages: &[Shortage]) -> String {
    let line = |short: &Shortage| {
        let Shortage { sku, requested, available, held, sold_out } = short;
        let out = if *sold_out { ", sold out" } else { "" };
        format!("\n   {sku}: {requested} requested, {available} available, {held} held{out}")
    };
    shortages.iter().map(line).collect()
}
