//! A buyer's calls as bytes.

use std::io::{self, Write};

use super::super::request::{self, Request};
use super::{Buyer, Call};

impl Buyer {
    /// Writes the call.
    pub(in crate::cli::bench) fn render(&self, call: &Call, host: &str, request: &mut Request) {
        let (name, number) = (&self.name, self.calls);
        let key = format_args!("{name}.{number}");
        let key = self.plan.keys.then_some(key);
        match call {
            Call::Reserve => request.post(host, "/api/checkout/reserve", key, |body| self.reserve_body(body)),
            Call::Batch => request.post(host, "/api/batch", None, |body| self.batch_body(body)),
            Call::Commit(hold) => request.post(host, "/api/checkout/commit", key, |body| {
                write!(body, "{{\"reservation_id\":\"{}\",\"payment_token\":\"{name}.{number}\"}}", hold.id)
            }),
            Call::Release(hold) => request.post(host, "/api/checkout/release", key, |body| {
                write!(body, "{{\"reservation_id\":\"{}\"}}", hold.id)
            }),
            Call::Extend(hold) => request.post(host, "/api/checkout/extend", key, |body| {
                let ttl_seconds = self.plan.ttl_seconds;
                write!(body, "{{\"reservation_id\":\"{}\",\"ttl_seconds\":{ttl_seconds}}}", hold.id)
            }),
            Call::ReadReservation(hold) => request.get(host, format_args!("/api/reservations/{}", hold.id)),
            Call::ReadSku => {
                request.get(host, format_args!("/api/inventory/{}.{}", self.plan.run, self.picked[0]));
            }
        }
    }

    fn reserve_body(&self, body: &mut Vec<u8>) -> io::Result<()> {
        body.push(b'{');
        let cart = format_args!("{}.{}", self.name, self.calls);
        request::reserve(body, &self.plan, cart, &self.picked, self.customer(0))?;
        body.push(b'}');
        Ok(())
    }

    fn batch_body(&self, body: &mut Vec<u8>) -> io::Result<()> {
        body.extend_from_slice(b"{\"operations\":[");
        for (place, sku) in self.picked.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(body, "{comma}{{\"op\":\"reserve\",")?;
            if self.plan.keys {
                write!(body, "\"idempotency_key\":\"{}.{}.{place}\",", self.name, self.calls)?;
            }
            let cart = format_args!("{}.{}.{place}", self.name, self.calls);
            request::reserve(body, &self.plan, cart, std::slice::from_ref(sku), self.customer(place))?;
            body.push(b'}');
        }
        body.extend_from_slice(b"]}");
        Ok(())
    }

    /// Whose turn it is, of the customers.
    fn customer(&self, place: usize) -> Option<u32> {
        // Each buyer begins elsewhere, so that they do not go through the customers side by side.
        let turn = u64::from(self.number) * 7_919 + self.calls + place as u64;
        let turn = turn.checked_rem(u64::from(self.plan.customers))?;
        u32::try_from(turn).ok()
    }
}

#[cfg(test)]
mod tests {
    use client::api::{
        BatchRequest, CommitRequest, ExtendRequest, OperationCall, ReleaseRequest, ReserveRequest,
    };

    use super::super::super::plan::{Plan, Workload};
    use super::super::tests::{buyer, hold, plan};
    use super::*;

    fn rendered(buyer: &Buyer, call: &Call) -> (String, Vec<u8>) {
        let mut request = Request::default();
        buyer.render(call, "a:1", &mut request);
        let text = String::from_utf8(request.bytes().to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.as_bytes().to_vec())
    }

    #[test]
    fn a_reserve_is_what_the_contract_wants() {
        let mut buyer = buyer(Plan { cart: 3, customers: 2, keys: true, ..plan(Workload::Cart) });
        let call = buyer.next();
        let (head, body) = rendered(&buyer, &call);
        assert!(head.starts_with("POST /api/checkout/reserve HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nidempotency-key: bench-1.m7.1\r\n"), "{head}");
        let asked: ReserveRequest = serde_json::from_slice(&body).unwrap();
        assert_eq!((asked.cart_id.as_str(), asked.ttl_seconds), ("bench-1.m7.1", Some(60)));
        assert!(asked.customer_id.is_some_and(|customer| customer.starts_with("bench-1.")));
        let mut skus: Vec<_> = asked.items.iter().map(|item| (item.sku.clone(), item.qty)).collect();
        skus.sort();
        skus.dedup();
        assert_eq!((skus.len(), skus.iter().all(|(_, qty)| *qty == 1)), (3, true), "{skus:?}");
    }

    #[test]
    fn what_goes_on_with_a_hold_is_what_the_contract_wants() {
        let buyer = buyer(plan(Workload::Mixed));
        let body = |call| rendered(&buyer, &call).1;
        let commit: CommitRequest = serde_json::from_slice(&body(Call::Commit(hold()))).unwrap();
        let release: ReleaseRequest = serde_json::from_slice(&body(Call::Release(hold()))).unwrap();
        let extend: ExtendRequest = serde_json::from_slice(&body(Call::Extend(hold()))).unwrap();
        for id in [commit.reservation_id, release.reservation_id, extend.reservation_id] {
            assert_eq!(id, "res_1");
        }
        let (head, _) = rendered(&buyer, &Call::ReadReservation(hold()));
        assert!(head.starts_with("GET /api/reservations/res_1 HTTP/1.1\r\n"), "{head}");
    }

    #[test]
    fn a_batch_is_what_the_contract_wants_with_carts_and_keys_of_their_own() {
        let mut buyer = buyer(Plan { keys: true, ..plan(Workload::Batch) });
        let call = buyer.next();
        let asked: BatchRequest = serde_json::from_slice(&rendered(&buyer, &call).1).unwrap();
        let mut names = Vec::new();
        for operation in asked.operations {
            let OperationCall::Reserve(reserve) = operation.call else { panic!("no reserve") };
            names.extend([reserve.cart_id, operation.idempotency_key.unwrap() + "-key"]);
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 6, "{names:?}");
    }
}
