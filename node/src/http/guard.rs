//! Who may make which call: roles by route, and the carts that a token is bound to.
//!
//! ```text
//!   request --> admit      no token or a wrong one: 401     \
//!           --> may        none of the route's roles: 403    >  before the body is read
//!           --> Grant                                       /
//!   command --> covers     its role, in a batch each operation's own; its cart: 403
//!   answer  --> conceal    what was there before under the cart's id, for another customer: 403
//! ```
//!
//! Invariants:
//! - What no row of [`ROLES`] names is for `admin` alone: a new route is closed until somebody opens it.
//! - A reservation's cart and customer never change, so that they can be looked up before the command.
//! - Where no tokens are configured, nothing is asked: then only this machine can call (see `serve`).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{Extensions, HeaderMap, Method};
use raft::Answer;
use storage::inventory::Inventory;
use storage::inventory::command::{Command, Request};
use storage::inventory::ids::ReservationId;
use storage::inventory::outcome::{Outcome, Rejection};

use super::problem::{self, Problem};
use super::reply::Fate;
use super::store::Consistency;
use super::{Api, Store};
use crate::auth::{Access, Bounds, Grant, Role, Unknown};

/// The calls that everybody may make: they tell nothing of the shop.
const OPEN: [&str; 4] = ["/livez", "/readyz", "/openapi.json", "/docs"];

/// Whether everybody may make the calls of that path.
pub(crate) fn is_open(path: &str) -> bool {
    OPEN.contains(&path)
}

const READS: &[Role] = &[Role::Read, Role::Admin];
const CHECKOUT: &[Role] = &[Role::Checkout, Role::Admin];
const STOCK: &[Role] = &[Role::Stock, Role::Admin];

/// The roles that may make a call: the method (`*`: any), and the path as the router writes it.
const ROLES: [(&str, &str, &[Role]); 15] = [
    ("POST", "/api/checkout/reserve", CHECKOUT),
    ("POST", "/api/checkout/commit", CHECKOUT),
    ("POST", "/api/checkout/release", CHECKOUT),
    ("POST", "/api/checkout/extend", CHECKOUT),
    ("POST", "/api/checkout/return", CHECKOUT),
    ("GET", "/api/reservations", READS),
    ("GET", "/api/reservations/{id}", &[Role::Read, Role::Checkout, Role::Admin]),
    ("GET", "/api/inventory", &[Role::Read, Role::Checkout, Role::Stock, Role::Admin]),
    ("GET", "/api/inventory/{sku}", &[Role::Read, Role::Checkout, Role::Stock, Role::Admin]),
    ("*", "/api/inventory/{sku}", STOCK),
    ("*", "/api/inventory/{sku}/adjust", STOCK),
    // Each of its operations is asked about by itself.
    ("POST", "/api/batch", &[Role::Checkout, Role::Stock, Role::Admin]),
    ("GET", "/api/events", READS),
    ("GET", "/api/cluster", READS),
    ("GET", "/metrics", READS),
];

/// The roles that may make this call.
pub(crate) fn roles(method: &Method, path: &str) -> &'static [Role] {
    // The router lets GET answer HEAD.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let named = ROLES.iter().find(|(of, at, _)| *at == path && (*of == method || *of == "*"));
    named.map_or(&[Role::Admin], |(_, _, roles)| roles)
}

/// What the caller may do, or why it may not make this call; `None` is a path that no route has.
pub(crate) fn admit(
    access: &Access,
    method: &Method,
    path: Option<&str>,
    headers: &HeaderMap,
) -> Result<Grant, Problem> {
    if path.is_some_and(is_open) {
        return Ok(Grant::Nothing);
    }
    let mut shown = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let grant = match (shown.next(), shown.next()) {
        (first, None) => access.admit(first),
        _ => Err(Unknown::BadToken),
    };
    let grant = grant.map_err(unauthenticated)?;
    match path {
        Some(path) if !grant.has_any(roles(method, path)) => {
            Err(forbidden("This token's roles do not include this call."))
        }
        _ => Ok(grant),
    }
}

/// The same for a checkout call, of which only the `Authorization` is known.
pub(crate) fn admit_checkout(access: &Access, authorization: Option<&[u8]>) -> Result<Grant, Problem> {
    let grant = access.admit(authorization).map_err(unauthenticated)?;
    match grant.has_any(CHECKOUT) {
        true => Ok(grant),
        false => Err(forbidden("This token's roles do not include this call.")),
    }
}

/// What was admitted, as it travels with the request.
pub(crate) fn grant(extensions: &Extensions) -> Grant {
    extensions.get::<Grant>().cloned().unwrap_or_default()
}

/// How many reservations are looked up at once: a read holds up apply.
const READ_AT_ONCE: usize = 500;

/// The carts and customers of some reservations.
type Owners = BTreeMap<ReservationId, (Arc<str>, Option<Arc<str>>)>;

impl<S: Store> Api<S> {
    /// Refuses a command that the grant does not cover.
    pub(super) async fn covers(&self, grant: &Grant, command: &Command) -> Result<(), Problem> {
        if grant.bounds().is_none() {
            return check_role(grant, command);
        }
        let owners = self.owners(grant, reservation(command).into_iter().collect()).await?;
        check(grant, command, &owners)
    }

    /// Refuses a reservation of a cart that the grant is not bound to.
    pub(super) async fn covers_reservation(&self, grant: &Grant, id: ReservationId) -> Result<(), Problem> {
        let owners = self.owners(grant, vec![id]).await?;
        grant.bounds().map_or(Ok(()), |bounds| within_reservation(bounds, id, &owners))
    }

    /// What a bound grant may learn of a call's fate: a cart is not its own because it named it, so nothing is told of
    /// a reservation that was there before for another one. Nothing was changed by such a call.
    pub(super) async fn conceal(&self, grant: &Grant, fate: Fate) -> Fate {
        let Some(bounds) = grant.bounds() else { return fate };
        let Ok((Ok(Answer::Applied(applied) | Answer::Gated(applied)), _)) = &fate else { return fate };
        match &applied.result {
            Ok(Outcome::AlreadyReserved(view)) => {
                within(bounds, &view.cart_id, view.customer_id.as_deref())?;
            }
            Err(Rejection::CartAlreadyReserved { reservation_id }) => {
                self.covers_reservation(grant, *reservation_id).await?;
            }
            _ => {}
        }
        fate
    }

    /// Puts a problem in the place of each request that the grant does not cover.
    ///
    /// # Errors
    /// Where it cannot be told.
    pub(super) async fn refuse_uncovered(
        &self,
        grant: &Grant,
        requests: &mut [Result<Request, Problem>],
    ) -> Result<(), Problem> {
        let ids = requests.iter().flatten().filter_map(|request| reservation(&request.command)).collect();
        let owners = self.owners(grant, ids).await?;
        for request in requests {
            let checked = request.as_ref().map_or(Ok(()), |request| check(grant, &request.command, &owners));
            if let Err(problem) = checked {
                *request = Err(problem);
            }
        }
        Ok(())
    }

    /// Whose these reservations are, where the grant is bound: with one read for many. Others need no look.
    async fn owners(&self, grant: &Grant, ids: Vec<ReservationId>) -> Result<Owners, Problem> {
        if grant.bounds().is_none() || ids.is_empty() {
            return Ok(Owners::new());
        }
        let mut owners = Owners::new();
        for ids in ids.chunks(READ_AT_ONCE) {
            let find = |inventory: &Inventory| {
                let found = |id| inventory.reservation(id).map(|view| (id, (view.cart_id, view.customer_id)));
                ids.iter().copied().filter_map(found).collect::<Owners>()
            };
            owners.append(&mut self.read(Consistency::Linearizable, find).await?.value);
        }
        Ok(owners)
    }
}

fn check(grant: &Grant, command: &Command, owners: &Owners) -> Result<(), Problem> {
    check_role(grant, command)?;
    let Some(bounds) = grant.bounds() else { return Ok(()) };
    match (command, reservation(command)) {
        (Command::Reserve(reserve), _) => within(bounds, &reserve.cart_id, reserve.customer_id.as_deref()),
        (_, Some(id)) => within_reservation(bounds, id, owners),
        _ => Ok(()),
    }
}

fn check_role(grant: &Grant, command: &Command) -> Result<(), Problem> {
    let roles = match command {
        Command::Reserve(_)
        | Command::Commit(_)
        | Command::Release(_)
        | Command::Extend(_)
        | Command::Return(_) => CHECKOUT,
        Command::PutSku(_) | Command::AdjustSku(_) | Command::DeleteSku(_) => STOCK,
        Command::Tick | Command::RaiseLevel(_) => &[],
        #[cfg(feature = "next-version")]
        Command::KeepBack(_) => STOCK,
    };
    match grant.has_any(roles) {
        true => Ok(()),
        false => Err(forbidden("This token's roles do not include this operation.")),
    }
}

/// The reservation that a command goes on with.
fn reservation(command: &Command) -> Option<ReservationId> {
    match command {
        Command::Commit(commit) => Some(commit.reservation_id),
        Command::Release(release) => Some(release.reservation_id),
        Command::Extend(extend) => Some(extend.reservation_id),
        Command::Return(back) => Some(back.reservation_id),
        _ => None,
    }
}

/// One that is not there is for the call itself to tell.
fn within_reservation(bounds: &Bounds, id: ReservationId, owners: &Owners) -> Result<(), Problem> {
    owners.get(&id).map_or(Ok(()), |(cart_id, customer_id)| within(bounds, cart_id, customer_id.as_deref()))
}

fn within(bounds: &Bounds, cart_id: &str, customer_id: Option<&str>) -> Result<(), Problem> {
    match bounds.admit(cart_id, customer_id) {
        true => Ok(()),
        false => Err(forbidden("This token is bound to other carts or customers.")),
    }
}

/// The challenge is that of RFC 6750, section 3: it names the mistake only where a token was shown.
fn unauthenticated(why: Unknown) -> Problem {
    let (detail, challenge) = match why {
        Unknown::NoToken => ("Show a token: Authorization: Bearer lu_...", "Bearer realm=\"lastunit\""),
        Unknown::BadToken => {
            ("This is no token, or none any more.", "Bearer realm=\"lastunit\", error=\"invalid_token\"")
        }
    };
    problem::UNAUTHENTICATED.problem(detail).header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

fn forbidden(detail: &'static str) -> Problem {
    let challenge = HeaderValue::from_static("Bearer realm=\"lastunit\", error=\"insufficient_scope\"");
    problem::FORBIDDEN.problem(detail).header(WWW_AUTHENTICATE, challenge)
}

#[cfg(test)]
mod tests;
