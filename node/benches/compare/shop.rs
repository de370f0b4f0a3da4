//! A shop on Redis: its keys, and the scripts that a connection of it calls.
//!
//! ```text
//!   sku:SKU-0000001     hash        stock, sold
//!   hold:cart-7-42      hash        state, sku, quantity, cart, deadline, token
//!   deadlines           sorted set  carts by when their holds end
//!   token               integer     the last fencing token
//! ```
//!
//! With replicas each call sends `WAIT 1` in the same write, and is done when both replies are read: the answer is then
//! in the append-only file of one replica, too, which is the nearest that Redis comes to a quorum.

use std::fmt::{Arguments, Write as _};
use std::net::TcpStream;

use super::connection::Connection;
use super::redis::Redis;
use super::resp::Reply;

/// How long a hold lasts, in milliseconds: as long as lastunit's unless a call says otherwise.
const HOLD_MS: &[u8] = b"300000";

/// How long a replica may take, in milliseconds; a call that waits longer fails the run.
const WAIT_MS: &[u8] = b"1000";

/// What the names of SKUs begin with in keys.
const SKU: &str = "sku:";

/// What the names of carts begin with in keys.
const HOLD: &str = "hold:";

/// All holds by deadline.
const DEADLINES: &[u8] = b"deadlines";

/// The last fencing token.
const TOKEN: &[u8] = b"token";

/// One connection of the shop.
pub(crate) struct Shop {
    connection: Connection,
    waits: bool,
    scripts: Scripts,
    sku_key: String,
    hold_key: String,
}

/// What the server calls the scripts.
#[derive(Debug, Clone)]
pub(crate) struct Scripts {
    reserve: String,
    commit: String,
}

/// What a reserve comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// The cart has its unit.
    Held,
    /// There is none left.
    SoldOut,
}

impl Shop {
    /// The shop's first connection, over which the server learns the scripts.
    pub(crate) async fn keeper(redis: &Redis) -> Shop {
        let mut connection = Connection::new(redis.connect());
        let reserve = connection.text(&[b"SCRIPT", b"LOAD", include_bytes!("reserve.lua")]).await;
        let commit = connection.text(&[b"SCRIPT", b"LOAD", include_bytes!("commit.lua")]).await;
        Shop::new(connection, Scripts { reserve, commit }, redis.replicas() > 0)
    }

    /// One more connection, within the runtime that it is then used in, which waits for a replica or not.
    pub(crate) fn open(socket: TcpStream, scripts: Scripts, waits: bool) -> Shop {
        Shop::new(Connection::new(socket), scripts, waits)
    }

    fn new(connection: Connection, scripts: Scripts, waits: bool) -> Shop {
        Shop { connection, waits, scripts, sku_key: SKU.to_owned(), hold_key: HOLD.to_owned() }
    }

    /// What the server calls the scripts.
    pub(crate) fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    /// Names the SKU and the cart of the calls that follow.
    pub(crate) fn choose(&mut self, sku: u64, cart: Arguments<'_>) {
        self.choose_sku(sku);
        self.hold_key.truncate(HOLD.len());
        self.hold_key.write_fmt(cart).expect("a string takes all");
    }

    /// Reserves one unit of the chosen SKU for the chosen cart.
    pub(crate) async fn reserve(&mut self) -> Reserved {
        let (sku_key, hold_key) = (self.sku_key.as_bytes(), self.hold_key.as_bytes());
        let (sku, cart) = (&sku_key[SKU.len()..], &hold_key[HOLD.len()..]);
        let words: [&[u8]; 11] = [
            b"EVALSHA",
            self.scripts.reserve.as_bytes(),
            b"4",
            sku_key,
            hold_key,
            DEADLINES,
            TOKEN,
            sku,
            cart,
            b"1",
            HOLD_MS,
        ];
        self.connection.push(&words);
        self.send().await;
        let reserved = match self.connection.reply().await {
            Reply::Array(told) => match told[..] {
                [Reply::Bulk(_), Reply::Integer(_)] => Reserved::Held,
                _ => panic!("a reserve answered {told:?}"),
            },
            Reply::Status("insufficient_stock") => Reserved::SoldOut,
            other => panic!("a reserve answered {other:?}"),
        };
        self.waited().await;
        reserved
    }

    /// Commits the hold of the chosen cart.
    pub(crate) async fn commit(&mut self) {
        let (sku_key, hold_key) = (self.sku_key.as_bytes(), self.hold_key.as_bytes());
        let cart = &hold_key[HOLD.len()..];
        let words: [&[u8]; 7] =
            [b"EVALSHA", self.scripts.commit.as_bytes(), b"3", sku_key, hold_key, DEADLINES, cart];
        self.connection.push(&words);
        self.send().await;
        assert_eq!(self.connection.reply().await, Reply::Status("committed"), "a commit");
        self.waited().await;
    }

    /// Puts so many units of so many SKUs into stock.
    pub(crate) async fn put(&mut self, skus: u64, stock: u64) {
        for sku in 0..skus {
            self.choose_sku(sku);
            let stock = stock.to_string();
            let words: [&[u8]; 6] =
                [b"HSET", self.sku_key.as_bytes(), b"stock", stock.as_bytes(), b"sold", b"0"];
            self.connection.push(&words);
        }
        self.send().await;
        for _ in 0..skus {
            assert_eq!(self.connection.reply().await, Reply::Integer(2), "a SKU that is put");
        }
        self.waited().await;
    }

    /// What is in stock of all SKUs, and what is sold of them.
    pub(crate) async fn count(&mut self, skus: u64) -> (u64, u64) {
        for sku in 0..skus {
            self.choose_sku(sku);
            self.connection.push(&[b"HMGET", self.sku_key.as_bytes(), b"stock", b"sold"]);
        }
        self.connection.send().await;
        let (mut stock, mut sold) = (0, 0);
        for _ in 0..skus {
            let reply = self.connection.reply().await;
            let Reply::Array(told) = reply else { panic!("{reply:?} is no SKU") };
            stock += number(&told[0]);
            sold += number(&told[1]);
        }
        (stock, sold)
    }

    /// How many carts hold something.
    pub(crate) async fn held(&mut self) -> u64 {
        match self.connection.call(&[b"ZCARD", DEADLINES]).await {
            Reply::Integer(count) => count.try_into().expect("a count"),
            other => panic!("{other:?} is no count"),
        }
    }

    fn choose_sku(&mut self, sku: u64) {
        self.sku_key.truncate(SKU.len());
        write!(self.sku_key, "SKU-{sku:07}").expect("a string takes all");
    }

    /// Sends what was added; with replicas, `WAIT 1` behind it.
    async fn send(&mut self) {
        if self.waits {
            self.connection.push(&[b"WAIT", b"1", WAIT_MS]);
        }
        self.connection.send().await;
    }

    /// Reads what `WAIT` answers, where it was sent: how many replicas have all that came before.
    async fn waited(&mut self) {
        if self.waits {
            let reply = self.connection.reply().await;
            assert!(matches!(reply, Reply::Integer(1..)), "no replica within {WAIT_MS:?} ms: {reply:?}");
        }
    }
}

/// A count that is kept as text.
fn number(reply: &Reply) -> u64 {
    let Reply::Bulk(text) = reply else { panic!("{reply:?} is no count") };
    str::from_utf8(text).expect("text").parse().expect("a number")
}
