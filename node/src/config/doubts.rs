//! What a cluster file may say, and what is seldom meant by it.

use std::net::IpAddr;

use super::{ClusterFile, NodeConfig, host};

/// More events than this are more memory than most machines have to spare: up to 300 bytes each.
const EVENTS_MANY: u64 = 4_194_304;

/// An answer that is kept for a shorter time is gone before a client that was offline for a moment asks again.
const IDEMPOTENCY_SHORT_SECONDS: u64 = 300;

/// Directories that a restart of the machine empties.
const FLEETING: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev/shm"];

/// What is doubtful, each in one line that names the key, what may come of it, and what to do.
pub(crate) fn doubts(file: &ClusterFile) -> Vec<String> {
    let mut doubts = limits(file);
    doubts.extend(nodes(file));
    for (place, node) in file.nodes.iter().enumerate() {
        doubts.extend(of_node(file, &format!("node[{}]", place + 1), node));
    }
    doubts
}

fn limits(file: &ClusterFile) -> Vec<String> {
    let mut doubts = Vec::new();
    if file.name == "lastunit-dev" && !is_local(file) {
        doubts.push(
            "key `cluster.name`: every cluster made from the example has this name, and would not be told from \
             yours; give it its own before its first start"
                .to_owned(),
        );
    }
    if file.events_max > EVENTS_MANY {
        let mib = file.events_max * 300 / (1 << 20);
        doubts.push(format!("key `cluster.events_max`: so many take about {mib} MiB of every node's memory"));
    }
    if file.idempotency.as_secs() < IDEMPOTENCY_SHORT_SECONDS {
        doubts.push(
            "key `cluster.idempotency_seconds`: a client that asks again later than that does again what was done; \
             a day is usual"
                .to_owned(),
        );
    }
    doubts
}

fn nodes(file: &ClusterFile) -> Vec<String> {
    let mut doubts = Vec::new();
    if file.nodes.len() == 4 {
        doubts.push("key `node`: four nodes survive no more deaths than three; use three or five".to_owned());
    }
    let loopback = |node: &NodeConfig| is_loopback(&node.raft);
    if file.nodes.iter().any(loopback) && !file.nodes.iter().all(loopback) {
        doubts.push(
            "key `node`: some nodes' `raft` are on the loopback and some are not; other machines cannot reach those"
                .to_owned(),
        );
    }
    doubts
}

fn of_node(file: &ClusterFile, name: &str, node: &NodeConfig) -> Vec<String> {
    let mut doubts = Vec::new();
    for (key, address) in [("http", &node.http), ("raft", &node.raft)] {
        if address_of(address).is_some_and(|ip| ip.is_unspecified()) {
            doubts.push(format!(
                "key `{name}.{key}`: the other nodes are told {address}, and reach nobody there; write an address or \
                 a name of this machine"
            ));
        }
    }
    if is_local(file) {
        return doubts;
    }
    if node.data_dir.is_relative() {
        let from = node.data_dir.display();
        doubts.push(format!(
            "key `{name}.data_dir`: {from} is relative to the working directory; write a whole path"
        ));
    }
    if let Some(fleeting) = FLEETING.iter().find(|fleeting| node.data_dir.starts_with(fleeting)) {
        doubts.push(format!(
            "key `{name}.data_dir`: {fleeting} is emptied by a restart of the machine, or sooner"
        ));
    }
    let others = file.nodes.iter().filter(|other| other.id < node.id);
    if let Some(other) = others.into_iter().find(|other| host(&other.raft) == host(&node.raft)) {
        let id = other.id;
        doubts.push(format!(
            "key `{name}.raft`: node {id} is on the same machine, and ends with it; use one for each"
        ));
    }
    doubts
}

/// Whether all of the cluster is on one machine, for itself alone.
fn is_local(file: &ClusterFile) -> bool {
    file.nodes.iter().all(|node| is_loopback(&node.raft))
}

/// Whether that address can be reached from its own machine alone, as far as its text tells.
pub(crate) fn is_loopback(address: &str) -> bool {
    host(address) == "localhost" || address_of(address).is_some_and(|ip| ip.is_loopback())
}

fn address_of(address: &str) -> Option<IpAddr> {
    host(address).trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of that cluster section and nodes at those addresses and directories, and what is doubtful in it.
    fn told(cluster: &str, nodes: &[(&str, &str)]) -> Vec<String> {
        let tables = nodes.iter().enumerate().map(|(place, (host, data_dir))| {
            let (id, http, raft) = (place + 1, 8101 + place, 9101 + place);
            format!("[[node]]\nid = {id}\nhttp = \"{host}:{http}\"\nraft = \"{host}:{raft}\"\ndata_dir = \"{data_dir}\"\n")
        });
        doubts(&ClusterFile::parse(&format!("[cluster]\n{cluster}\n{}", tables.collect::<String>())).unwrap())
    }

    const SOUND: [(&str, &str); 3] =
        [("10.0.0.1", "/srv/a"), ("10.0.0.2", "/srv/a"), ("[fd00::3]", "/srv/a")];

    #[test]
    fn a_sound_file_raises_none() {
        assert_eq!(told("name = \"shop\"", &SOUND), [""; 0]);
        let shipped = ClusterFile::parse(include_str!("../../../cluster.toml")).unwrap();
        assert_eq!(doubts(&shipped), [""; 0]);
    }

    #[test]
    fn each_doubt_names_its_key() {
        let [a, b, c] = SOUND;
        for (cluster, nodes, key) in [
            ("name = \"lastunit-dev\"", vec![a, b, c], "cluster.name"),
            ("name = \"n\"\nevents_max = 5000000", vec![a, b, c], "cluster.events_max"),
            ("name = \"n\"\nidempotency_seconds = 60", vec![a, b, c], "cluster.idempotency_seconds"),
            ("name = \"n\"", vec![a, b, c, ("10.0.0.4", "/srv/a")], "node"),
            ("name = \"n\"", vec![a, b, ("127.0.0.1", "/srv/a")], "node"),
            ("name = \"n\"", vec![a, b, ("localhost", "/srv/a")], "node"),
            ("name = \"n\"", vec![a, b, ("10.0.0.3", "data")], "node[3].data_dir"),
            ("name = \"n\"", vec![a, ("10.0.0.2", "/tmp/data"), c], "node[2].data_dir"),
            ("name = \"n\"", vec![a, ("10.0.0.1", "/srv/b"), c], "node[2].raft"),
        ] {
            let told = told(cluster, &nodes);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(&format!("key `{key}`: ")), "{told:?}");
        }
        let everywhere = told("name = \"n\"", &[a, b, ("0.0.0.0", "/srv/a")]);
        assert_eq!(everywhere.len(), 2, "http and raft: {everywhere:?}");
    }
}
