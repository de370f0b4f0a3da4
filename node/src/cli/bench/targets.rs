//! The nodes that are asked: their ids, who leads, and where the connections go.

use std::net::SocketAddr;

use client::Client;
use tokio::net::TcpStream;

use super::plan::To;

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Its id.
    pub(super) id: u64,
    /// Its address as it was given: `host:port`.
    pub(super) host: String,
    /// The one that answered there.
    pub(super) address: SocketAddr,
    /// Whether it led at the start.
    pub(super) leads: bool,
}

/// Asks every node who it is.
///
/// # Errors
/// Where one does not answer: a run against a part of a cluster would be named like one against all of it.
pub(super) async fn find(client: &Client, addresses: &[String]) -> Result<Vec<Target>, String> {
    let mut targets = Vec::new();
    for (place, address) in addresses.iter().enumerate() {
        let view = client.only(place).cluster().await.map_err(|why| format!("{address}: {why}"))?.value;
        let host = host(address);
        let stream = TcpStream::connect(host).await.map_err(|why| format!("{address}: {why}"))?;
        let peer = stream.peer_addr().map_err(|why| format!("{address}: {why}"))?;
        let leads = view.leader_id == Some(view.node_id);
        targets.push(Target { id: view.node_id, host: host.to_owned(), address: peer, leads });
    }
    Ok(targets)
}

/// Those that the connections go to.
///
/// # Errors
/// Where the one that was asked for is not there.
pub(super) fn choose(targets: &[Target], to: To) -> Result<Vec<Target>, String> {
    let chosen = |target: &&Target| match to {
        To::All => true,
        To::Leader => target.leads,
        To::Node(id) => target.id == id,
    };
    let chosen: Vec<_> = targets.iter().filter(chosen).cloned().collect();
    match (chosen.is_empty(), to) {
        (false, _) => Ok(chosen),
        (true, To::Node(id)) => Err(format!("--to {id}: no node that was named has this id")),
        (true, _) => Err("--to leader: no node that was named leads".to_owned()),
    }
}

/// `host:port` of an address.
fn host(address: &str) -> &str {
    address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_where_they_are_told() {
        let target = |id, leads| Target {
            id,
            host: format!("a:{id}"),
            address: SocketAddr::from(([127, 0, 0, 1], 8100 + id as u16)),
            leads,
        };
        let targets = [target(1, false), target(2, true), target(3, false)];
        let ids = |to| choose(&targets, to).map(|chosen| chosen.iter().map(|it| it.id).collect::<Vec<_>>());
        assert_eq!(ids(To::All), Ok(vec![1, 2, 3]));
        assert_eq!(ids(To::Leader), Ok(vec![2]));
        assert_eq!(ids(To::Node(3)), Ok(vec![3]));
        assert!(ids(To::Node(4)).is_err());
        assert!(choose(&targets[..1], To::Leader).is_err());
    }

    #[test]
    fn an_address_is_dialled_without_its_scheme() {
        for address in ["http://a:1", "a:1", "http://a:1/"] {
            assert_eq!(host(address), "a:1");
        }
    }
}
