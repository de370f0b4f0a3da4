//! Three network namespaces on one bridge, and blackhole routes between them.
//!
//! ```text
//!   test process -- bridge 198.18.N.1 --+-- veth -- namespace 1: 198.18.N.11, node 1
//!                                       +-- veth -- namespace 2: 198.18.N.12, node 2
//!                                       +-- veth -- namespace 3: 198.18.N.13, node 3
//! ```
//!
//! A cut takes away what two nodes say to each other and leaves both reachable from the test. 198.18.0.0/15 is
//! set aside for tests of networks (RFC 2544), and N follows from the process id.

use std::process::Command;

use super::cluster::{IDS, Place};

/// The namespaces, the bridge and the links; taken down when dropped, whatever happened.
pub(crate) struct Net {
    /// Of this process alone, and short: a link's name has at most 15 characters.
    name: String,
    subnet: String,
}

impl Net {
    /// The network, or why there cannot be one.
    pub(crate) fn new() -> Result<Net, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        let pid = std::process::id();
        let net = Net { name: format!("lu{pid}"), subnet: format!("198.18.{}", pid % 256) };
        net.build()?;
        Ok(net)
    }

    /// Where the nodes are to run.
    pub(crate) fn places(&self) -> Vec<Place> {
        let place = |id| {
            let launcher = format!("ip netns exec {}", self.namespace(id));
            let address = self.address(id);
            Place {
                launcher: launcher.split(' ').map(str::to_owned).collect(),
                http: format!("{address}:8100"),
                raft: format!("{address}:9100"),
            }
        };
        IDS.into_iter().map(place).collect()
    }

    /// Nothing goes between these two any more.
    pub(crate) fn cut(&self, one: u64, other: u64) {
        self.routes("add", one, other);
    }

    /// It does again.
    pub(crate) fn heal(&self, one: u64, other: u64) {
        self.routes("del", one, other);
    }

    /// Both ways: what is under way in either direction must not arrive.
    fn routes(&self, verb: &str, one: u64, other: u64) {
        for (from, to) in [(one, other), (other, one)] {
            let (namespace, address) = (self.namespace(from), self.address(to));
            ip(&format!("-n {namespace} route {verb} blackhole {address}/32")).unwrap();
        }
    }

    fn build(&self) -> Result<(), String> {
        let Net { name, subnet } = self;
        ip(&format!("link add {name} type bridge"))?;
        ip(&format!("addr add {subnet}.1/24 dev {name}"))?;
        ip(&format!("link set {name} up"))?;
        IDS.into_iter().try_for_each(|id| self.join(id))
    }

    fn join(&self, id: u64) -> Result<(), String> {
        let (bridge, namespace, address) = (&self.name, self.namespace(id), self.address(id));
        ip(&format!("netns add {namespace}"))?;
        ip(&format!("link add {namespace} type veth peer name eth0 netns {namespace}"))?;
        ip(&format!("link set {namespace} master {bridge}"))?;
        ip(&format!("link set {namespace} up"))?;
        ip(&format!("-n {namespace} addr add {address}/24 dev eth0"))?;
        ip(&format!("-n {namespace} link set lo up"))?;
        ip(&format!("-n {namespace} link set eth0 up"))
    }

    fn namespace(&self, id: u64) -> String {
        format!("{}n{id}", self.name)
    }

    fn address(&self, id: u64) -> String {
        format!("{}.{}", self.subnet, 10 + id)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // Whatever was not built cannot be removed, and that is as well. A namespace takes its link with it.
        for id in IDS {
            let _ = ip(&format!("netns del {}", self.namespace(id)));
            let _ = ip(&format!("link del {}", self.namespace(id)));
        }
        let _ = ip(&format!("link del {}", self.name));
    }
}

fn ip(line: &str) -> Result<(), String> {
    let run = Command::new("ip").args(line.split(' ')).output();
    let output = run.map_err(|error| format!("`ip` cannot be run: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("`ip {line}`: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
