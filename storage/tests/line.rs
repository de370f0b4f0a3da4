//! The waiting line at its limits: a hundred thousand that wait, more promotions than one command makes, a mass end
//! of holds with a line behind them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test; clippy exempts only its #[test] functions"
)]

mod shop;

use shop::{START_MS, Shop, TTL_MS, changed_keys, commit, extend, put, reserve, sku, wait};
use storage::inventory::command::{Command, Commit, IfExpired, PutSku, Reserve, Setting};
use storage::inventory::event::{Cause, EventChange, ReservationChangeKind};
use storage::inventory::ids::ReservationId;
use storage::inventory::outcome::{Outcome, Rejection, State};
use storage::inventory::{Inventory, PROMOTE_MAX, SWEEP_TICK_MAX};

/// Each position is asked for, and each joining looked at. A scan of the line would be 10,000 million steps: the
/// test would not come to its end.
#[test]
fn a_hundred_thousand_wait_and_nobody_counts_them() {
    const LONG: u64 = 100_000;
    let mut shop = Shop::new();
    shop.put("PS5", 0);
    let mut ids = Vec::new();
    for place in 1..=LONG {
        let view = shop.wait(&format!("cart-{place}"), "PS5", 1);
        assert_eq!(view.position, Some(place));
        assert!(changed_keys(&mut shop.inventory).len() <= 6, "counters, SKU, reservation, events");
        ids.push(view.id);
    }
    // One of three leaves, from anywhere in the line.
    for id in ids.iter().step_by(3).rev() {
        shop.release(*id);
        assert!(changed_keys(&mut shop.inventory).len() <= 6, "those behind it are not touched");
    }
    let waiting = ids.iter().enumerate().filter(|(place, _)| place % 3 != 0);
    for (place, (_, id)) in (1..).zip(waiting) {
        assert_eq!(shop.reservation(*id).position, Some(place));
    }
    assert_eq!(shop.stock("PS5").waiting, LONG - LONG.div_ceil(3));
    shop.inventory.audit().unwrap();
}

#[test]
fn what_one_command_cannot_promote_the_next_ones_do_and_nobody_overtakes() {
    let mut shop = Shop::new();
    let many = 2 * PROMOTE_MAX + 10;
    shop.put("PS5", 0);
    let ids: Vec<_> = (0..many).map(|cart| shop.wait(&format!("cart-{cart}"), "PS5", 1).id).collect();

    let stock = shop.adjust("PS5", 3 * PROMOTE_MAX as i64);
    assert_eq!((stock.held, stock.waiting), (PROMOTE_MAX as u64, (many - PROMOTE_MAX) as u64));
    assert_eq!(shop.inventory.next_due_ms(), Some(START_MS), "a tick has something to do at once");
    assert_eq!(shop.reservation(ids[PROMOTE_MAX]).position, Some(1));

    // The records tell of the backlog, too.
    let rebuilt = Inventory::from_records(shop.inventory.records()).unwrap();
    assert_eq!(rebuilt.next_due_ms(), Some(START_MS));

    // Units are there for one more, but they are for those that wait.
    let gate = shop.inventory.sure_rejection(&storage::inventory::command::Request {
        idempotency_key: None,
        command: Command::Reserve(reserve("late", &[("PS5", 1)])),
    });
    assert!(matches!(gate, None | Some(Rejection::HeldByOthers { .. })), "{gate:?}");
    let why = shop.refused(Command::Reserve(reserve("late", &[("PS5", 1)])));
    assert!(matches!(why, Rejection::HeldByOthers { .. }), "{why:?}");
    assert_eq!(shop.stock("PS5").waiting, 10, "that command served the next ones");

    shop.tick();
    let stock = shop.stock("PS5");
    assert_eq!((stock.held, stock.waiting), (many as u64, 0));
    assert_eq!(shop.inventory.next_due_ms(), Some(START_MS + TTL_MS));
    in_order(&shop, &ids);
    shop.hold("late", &[("PS5", 1)]);
    shop.inventory.audit().unwrap();
}

#[test]
fn a_mass_end_of_holds_goes_to_the_line_behind_them_in_order() {
    const HOLDS: usize = 50_000;
    const WAIT: usize = 10_000;
    let mut shop = Shop::new();
    shop.put("PS5", HOLDS as u64);
    for cart in 0..HOLDS {
        shop.hold(&format!("holds-{cart}"), &[("PS5", 1)]);
    }
    let ids: Vec<_> = (0..WAIT).map(|cart| shop.wait(&format!("waits-{cart}"), "PS5", 2).id).collect();
    changed_keys(&mut shop.inventory);

    shop.at(TTL_MS);
    let why = shop.refused(Command::Reserve(reserve("late", &[("PS5", 1)])));
    assert!(matches!(why, Rejection::HeldByOthers { .. }), "nobody overtakes: {why:?}");
    let stock = shop.stock("PS5");
    assert_eq!((stock.held, stock.waiting), (2 * PROMOTE_MAX as u64, (WAIT - PROMOTE_MAX) as u64));
    // A few swept, 4,096 promoted, their events; and not the other holds.
    assert!(shop.inventory.changed() < PROMOTE_MAX + 600, "{}", shop.inventory.changed());

    let mut ticks = 0;
    while shop.inventory.next_due_ms() == Some(START_MS + TTL_MS) {
        shop.tick();
        ticks += 1;
    }
    assert!(ticks <= HOLDS.div_ceil(SWEEP_TICK_MAX), "{ticks} ticks");
    assert_eq!((shop.stock("PS5").held, shop.stock("PS5").waiting), (2 * WAIT as u64, 0));
    in_order(&shop, &ids);
    shop.inventory.audit().unwrap();
}

/// All of them are held, and who joined first was granted first.
fn in_order(shop: &Shop, ids: &[ReservationId]) {
    let tokens: Vec<_> = ids.iter().map(|id| shop.reservation(*id).grant.unwrap().fencing_token).collect();
    assert!(tokens.windows(2).all(|two| two[0] < two[1]));
}

#[test]
fn who_would_fit_does_not_pass_a_head_that_does_not() {
    let mut shop = Shop::new();
    shop.put("PS5", 3);
    let winner = shop.hold("winner", &[("PS5", 2)]);
    let big = shop.wait("big", "PS5", 2);
    let small = shop.wait("small", "PS5", 1);
    assert_eq!((big.position, small.position), (Some(1), Some(2)), "one unit is free, and stays so");
    assert_eq!(shop.stock("PS5").available(), 1);

    let tries = [
        reserve("passer-by", &[("PS5", 1)]),
        Reserve { customer_id: Some("ann".into()), ..reserve("other", &[("PS5", 1)]) },
    ];
    for cart in tries {
        let why = shop.refused(Command::Reserve(cart));
        assert!(matches!(&why, Rejection::HeldByOthers { shortages, .. }
            if shortages[0].available == 1 && shortages[0].requested == 1));
    }

    shop.release(winner.id);
    let held = [big.id, small.id].map(|id| shop.reservation(id).state);
    assert_eq!(held, [State::Held, State::Held]);
}

#[test]
fn a_late_commit_does_not_overtake_the_line() {
    let mut shop = Shop::new();
    shop.put("PS5", 2);
    let late = shop.hold("late", &[("PS5", 1)]);
    shop.wait("big", "PS5", 3);
    shop.at(TTL_MS);
    let reacquire = Commit { if_expired: IfExpired::Reacquire, ..commit(late.id) };
    assert_eq!(shop.refused(Command::Commit(reacquire)), Rejection::ReservationExpired);
    assert_eq!(shop.stock("PS5").available(), 2, "the head wants three");
}

#[test]
fn the_head_leaving_lets_the_next_ones_in() {
    let mut shop = Shop::new();
    shop.put("PS5", 1);
    let head = shop.wait("head", "PS5", 2);
    let next = shop.wait("next", "PS5", 1);
    assert_eq!(next.position, Some(2));
    shop.release(head.id);
    assert_eq!(shop.reservation(next.id).state, State::Held);
    assert_eq!(shop.reservation(head.id).grant, None);
}

#[test]
fn everything_that_frees_stock_serves_the_line_in_the_same_command() {
    type Free = fn(&mut Shop, ReservationId);
    let frees: [(&str, Free); 8] = [
        ("release", |shop, id| shop.release(id)),
        ("a deadline", |shop, _| {
            shop.at(TTL_MS);
            shop.tick();
        }),
        ("a refused command after a deadline", |shop, _| {
            shop.at(TTL_MS);
            shop.refused(shop::take_back(ReservationId { sequence: 999, nonce: 0 }));
        }),
        ("adjust", |shop, _| drop(shop.adjust("PS5", 1))),
        ("put", |shop, _| shop.put("PS5", 4)),
        ("less safety stock", |shop, _| {
            shop.ok(Command::PutSku(PutSku { safety_stock: Some(0), ..put("PS5", 3) }));
        }),
        ("a part of a commit", |shop, id| {
            let items = Some(shop::items(&[("GAME", 1)]));
            shop.ok(Command::Commit(Commit { items, ..commit(id) }));
        }),
        ("a return", |shop, id| {
            shop.ok(Command::Commit(commit(id)));
            shop.ok(shop::take_back(id));
        }),
    ];
    for (what, free) in frees {
        let mut shop = Shop::new();
        shop.ok(Command::PutSku(PutSku { safety_stock: Some(1), ..put("PS5", 3) }));
        shop.put("GAME", 5);
        let hold = shop.hold("hold", &[("GAME", 2), ("PS5", 2)]);
        let waits = shop.wait("waits", "PS5", 1);
        free(&mut shop, hold.id);
        let view = shop.reservation(waits.id);
        assert_eq!((view.state, view.position), (State::Held, None), "{what}");
        let grant = view.grant.unwrap();
        let now_ms = shop.inventory.now_ms();
        assert_eq!((grant.granted_ms, grant.deadline_ms), (now_ms, now_ms + TTL_MS), "{what}");
        assert_eq!(grant.fencing_token, 2, "{what}");
        let last = shop.events().pop().unwrap();
        assert_eq!(last.cause, Cause::Line, "{what}");
        assert!(matches!(&last.change, EventChange::Reservation(change)
            if change.kind == ReservationChangeKind::Held && change.before == Some(State::Waiting)));
        shop.inventory.audit().unwrap();
    }
}

#[test]
fn a_customer_over_the_limit_is_passed_over_when_served_and_not_before() {
    let mut shop = Shop::new();
    let limited = PutSku { max_per_customer: Setting::Set(2), ..put("PS5", 2) };
    shop.ok(Command::PutSku(limited));
    let of_ann = |cart: Reserve| Command::Reserve(Reserve { customer_id: Some("ann".into()), ..cart });
    let Outcome::Reserved(first) = shop.ok(of_ann(reserve("1", &[("PS5", 2)]))) else { panic!() };
    let Outcome::Waiting(second) = shop.ok(of_ann(wait("2", "PS5", 1))) else { panic!() };
    let third = shop.wait("3", "PS5", 1);
    assert_eq!((second.position, third.position), (Some(1), Some(2)));

    shop.adjust("PS5", 1);
    let passed = shop.reservation(second.id);
    assert_eq!((passed.state, passed.grant, passed.position), (State::Released, None, None));
    assert_eq!(shop.reservation(third.id).state, State::Held);
    let why = shop.refused(of_ann(reserve("4", &[("PS5", 1)])));
    assert_eq!(why, Rejection::CustomerLimit { sku: sku("PS5"), limit: 2, held: 2, sold: 0, requested: 1 });

    // What lapsed does not count.
    shop.at(TTL_MS);
    shop.ok(of_ann(reserve("4", &[("PS5", 1)])));
    assert_eq!(shop.reservation(first.id).state, State::Expired);
}

/// More holds end before hers than a sweep ends: hers are over all the same.
#[test]
fn what_came_due_counts_for_no_customer_though_it_is_not_swept() {
    let mut shop = Shop::new();
    shop.put("OTHER", 100);
    shop.ok(Command::PutSku(PutSku { max_per_customer: Setting::Set(1), ..put("PS5", 2) }));
    (0..100).for_each(|cart| drop(shop.hold(&format!("cart-{cart}"), &[("OTHER", 1)])));
    let of_ann =
        |cart| Command::Reserve(Reserve { customer_id: Some("ann".into()), ..reserve(cart, &[("PS5", 1)]) });
    shop.ok(of_ann("first"));
    let over = Rejection::CustomerLimit { sku: sku("PS5"), limit: 1, held: 1, sold: 0, requested: 1 };
    assert_eq!(shop.refused(of_ann("second")), over);
    shop.at(TTL_MS);
    shop.ok(of_ann("second"));
    assert_eq!(shop.refused(of_ann("third")), over);
    shop.inventory.audit().unwrap();
}

#[test]
fn one_that_waits_can_leave_and_nothing_else() {
    let mut shop = Shop::new();
    shop.put("PS5", 0);
    let view = shop.wait("cart", "PS5", 2);
    assert_eq!(shop.refused(Command::Commit(commit(view.id))), Rejection::ReservationWaiting);
    assert_eq!(shop.refused(extend(view.id, TTL_MS)), Rejection::ReservationWaiting);
    assert_eq!(shop.refused(shop::take_back(view.id)), Rejection::NotCommitted);
    assert!(matches!(shop.refused(shop::delete("PS5")), Rejection::SkuHasHolds { .. }));
    assert!(matches!(shop.ok(Command::Reserve(wait("cart", "PS5", 2))), Outcome::AlreadyReserved(_)));
    assert!(matches!(
        shop.refused(Command::Reserve(wait("cart", "PS5", 1))),
        Rejection::CartAlreadyReserved { .. }
    ));
    // Time alone does not end it.
    shop.at(100 * 86_400_000);
    shop.tick();
    assert_eq!(shop.reservation(view.id).position, Some(1));
    shop.release(view.id);
    let left = shop.reservation(view.id);
    assert_eq!((left.state, left.position, left.grant), (State::Released, None, None));
    shop.ok(shop::delete("PS5"));
    shop.inventory.audit().unwrap();
}
