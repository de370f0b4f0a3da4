//! A shop that is asked what nobody should ask, through a follower: it refuses, and nothing changes.

use client::Client;
use client::api::{PutSkuRequest, ReserveRequest};
use client::code;

use super::cluster::Cluster;
use super::http::{self, Reply};

/// A cluster with one SKU, asked through a follower.
pub(crate) struct Shop {
    /// The cluster.
    pub(crate) cluster: Cluster,
    /// Where the follower answers.
    pub(crate) address: String,
    /// A client of the follower alone.
    pub(crate) client: Client,
}

impl Shop {
    /// Seven million units of S, of which three are kept back.
    pub(crate) async fn new() -> Shop {
        let cluster = Cluster::start().await;
        let follower = cluster.followers().await[0];
        let (address, client) = (cluster.http(follower).to_owned(), cluster.only(follower));
        let stock = PutSkuRequest {
            on_hand: 7_000_000,
            safety_stock: Some(3),
            max_per_customer: None,
            on_shortfall: None,
        };
        client.put_sku("S", &stock).await.unwrap();
        Shop { cluster, address, client }
    }

    /// The SKU's whole record: what was taken shows in it, and a change that was undone in its version.
    pub(crate) async fn record(&self) -> String {
        let stock = self.client.sku("S").await.unwrap().value;
        format!("{stock:?}")
    }

    /// Each of these calls is refused with 400 for this field, and none of them changes anything.
    pub(crate) async fn refuses(&self, table: &[(&str, &str, String, &str)]) {
        let before = self.record().await;
        for (method, path, body, field) in table {
            let reply = http::json(&self.address, method, path, body).await;
            let shown: String = body.chars().take(200).collect();
            check(&format!("{method} {path} {shown}"), &reply, 400, code::INVALID_REQUEST);
            assert_eq!(reply.json()["field"].as_str(), Some(*field), "{method} {path} {shown}: {reply:?}");
        }
        self.goes_on(&before).await;
    }

    /// Nothing was taken, and the node serves.
    pub(crate) async fn goes_on(&self, before: &str) {
        assert_eq!(self.record().await, before);
        self.client.ready().await.unwrap();
        let good = ReserveRequest::one(format!("good-{}", rand::random::<u64>()), "S", 1);
        let held = self.client.reserve(&good).await.unwrap().value;
        self.client.release(&held.reservation_id).await.unwrap();
        self.cluster.check_digests().await;
    }
}

/// It is a whole problem with that status and code, was not executed, and is not worth another try.
pub(crate) fn check(what: &str, reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{what}: {reply:?}");
    assert_eq!(reply.json()["executed"], "no", "{what}: {reply:?}");
    assert_eq!(reply.json()["retryable"], false, "{what}: {reply:?}");
    assert!(reply.body.len() < 4096, "{what}: a call must not choose how long its refusal is");
}
