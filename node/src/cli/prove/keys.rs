//! What callers of the cluster show and trust: a token by what they do, and the authority of the nodes' certificates.

use std::collections::BTreeMap;
use std::fmt;

use checker::history::Op;
use client::Client;

/// What a caller does, and so which token it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Sells.
    Shop,
    /// Counts stock.
    Stock,
    /// Does both in one call.
    Batch,
    /// Looks.
    Reader,
    /// Operates.
    Operator,
}

impl Part {
    /// All of them.
    pub(super) const ALL: [Part; 5] = [Part::Shop, Part::Stock, Part::Batch, Part::Reader, Part::Operator];

    /// Whose such a call is.
    pub(super) fn of(op: Op) -> Part {
        match op {
            Op::Reserve | Op::Commit | Op::Release | Op::Extend | Op::Return => Part::Shop,
            Op::Put | Op::Adjust | Op::Delete => Part::Stock,
            Op::Batch => Part::Batch,
            Op::GetStock | Op::GetReservation | Op::ListStock | Op::ListReservations => Part::Reader,
        }
    }

    /// The roles of its token, as `lastunit token new` takes them: none that it does not need.
    pub(super) fn roles(self) -> &'static str {
        match self {
            Part::Shop => "checkout",
            Part::Stock => "stock",
            Part::Batch => "checkout,stock",
            Part::Reader => "read",
            Part::Operator => "admin",
        }
    }
}

/// A token of the cluster.
#[derive(Clone)]
pub(super) struct Token {
    /// By which it is revoked.
    pub(super) id: String,
    /// What is shown.
    pub(super) text: String,
}

/// Not printed by accident.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}...", self.id)
    }
}

/// A token for each part.
pub(super) type Tokens = BTreeMap<Part, Token>;

/// Clients that show and trust these, one for each part. They number the nodes as these are given.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// The authorities that are trusted (PEM); `None`: the nodes are called without TLS.
    pub(super) ca: Option<String>,
    /// The tokens that are shown; none where none are asked for.
    pub(super) tokens: Tokens,
    clients: BTreeMap<Part, Client>,
}

impl Keys {
    /// New clients, with no connection yet.
    ///
    /// # Errors
    /// In words, where an address, a token or an authority is of no use.
    pub(super) fn new(addresses: &[String], ca: Option<String>, tokens: Tokens) -> Result<Keys, String> {
        let clients = Part::ALL.into_iter().map(|part| {
            let client = client(addresses, ca.as_deref(), tokens.get(&part));
            Ok((part, client.map_err(|why| why.to_string())?))
        });
        Ok(Keys { clients: clients.collect::<Result<_, String>>()?, ca, tokens })
    }

    /// The client of that part.
    pub(super) fn client(&self, part: Part) -> Option<&Client> {
        self.clients.get(&part)
    }
}

/// A client that trusts that authority alone, and shows that token.
pub(super) fn client(
    addresses: &[String],
    ca: Option<&str>,
    token: Option<&Token>,
) -> Result<Client, client::Error> {
    let mut builder = Client::builder();
    if let Some(ca) = ca {
        builder = builder.ca(ca);
    }
    if let Some(token) = token {
        builder = builder.token(&token.text);
    }
    builder.build(addresses)
}
