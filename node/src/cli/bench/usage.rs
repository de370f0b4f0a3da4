//! What the nodes' processes on this machine, and this one, use: processor time and memory, from `/proc`.
//!
//! A node's process is who listens on its HTTP address: `/proc/net/tcp` names the socket, and `/proc/<id>/fd` who has
//! it open. Where that cannot be told (another machine, another user's process, no `/proc`) there is no figure.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// The processes whose use is of interest.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    nodes: Vec<Option<u32>>,
}

/// What they have used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Usage {
    /// The nodes, in their order.
    pub(super) nodes: Vec<Option<ProcessUsage>>,
    /// This process.
    pub(super) own_cpu: Option<Duration>,
}

/// What one process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessUsage {
    /// Processor time, user's and system's.
    pub(super) cpu: Duration,
    /// Memory that it has in RAM, in bytes.
    pub(super) memory_bytes: u64,
}

impl Watch {
    /// The processes behind these addresses.
    pub(super) fn new(addresses: &[SocketAddr]) -> Watch {
        let tables =
            ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let listening: Vec<_> = tables.iter().flat_map(|table| listeners(table)).collect();
        let inodes: Vec<_> = addresses.iter().map(|address| inode(*address, &listening)).collect();
        Watch { nodes: owners(&inodes) }
    }

    /// The nodes' processes, in their order.
    pub(super) fn processes(&self) -> &[Option<u32>] {
        &self.nodes
    }

    /// What all have used until now.
    pub(super) fn look(&self) -> Usage {
        let nodes = self.nodes.iter().map(|id| process((*id)?)).collect();
        let own_cpu = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu(&stat));
        Usage { nodes, own_cpu }
    }
}

impl Usage {
    /// What was used after an earlier look. Memory is that of the later one.
    pub(super) fn since(&self, earlier: &Usage) -> Usage {
        let each = self.nodes.iter().zip(&earlier.nodes);
        let nodes = each.map(|(now, before)| Some(now.as_ref()?.since(before.as_ref()?))).collect();
        let own_cpu = self.own_cpu.zip(earlier.own_cpu).map(|(now, before)| now.saturating_sub(before));
        Usage { nodes, own_cpu }
    }

    /// The processor time of all nodes; none where one of them is not known.
    pub(super) fn nodes_cpu(&self) -> Option<Duration> {
        self.nodes.iter().map(|node| node.map(|node| node.cpu)).sum()
    }
}

impl ProcessUsage {
    fn since(&self, earlier: &ProcessUsage) -> ProcessUsage {
        ProcessUsage { cpu: self.cpu.saturating_sub(earlier.cpu), ..*self }
    }
}

fn process(id: u32) -> Option<ProcessUsage> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).ok();
    Some(ProcessUsage { cpu: cpu(&read("stat")?)?, memory_bytes: memory_bytes(&read("status")?)? })
}

/// The processor time in `/proc/<id>/stat`: the 14th and 15th field. The second, a name, may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// The resident memory in `/proc/<id>/status`.
fn memory_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Who listens, by `/proc/net/tcp` or `tcp6`: address and inode.
fn listeners(table: &str) -> Vec<(SocketAddr, u64)> {
    table.lines().skip(1).filter_map(listener).collect()
}

fn listener(line: &str) -> Option<(SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    let fields: Vec<_> = line.split_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    let listens = *fields.get(3)? == LISTEN;
    let address = SocketAddr::new(ip(address)?, u16::from_str_radix(port, 16).ok()?);
    let inode = fields.get(9)?.parse().ok()?;
    listens.then_some((address, inode))
}

/// An address as the kernel writes it: words of 32 bits, each as this machine keeps it in memory.
fn ip(text: &str) -> Option<IpAddr> {
    let word = |place: usize| u32::from_str_radix(text.get(8 * place..8 * place + 8)?, 16).ok();
    match text.len() {
        8 => Some(IpAddr::from(Ipv4Addr::from(word(0)?.to_ne_bytes()))),
        32 => {
            let mut octets = [0; 16];
            for (place, four) in octets.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(place)?.to_ne_bytes());
            }
            Some(IpAddr::from(Ipv6Addr::from(octets)).to_canonical())
        }
        _ => None,
    }
}

/// The socket that listens at an address of this machine: at that very one, or at all of them.
fn inode(address: SocketAddr, listening: &[(SocketAddr, u64)]) -> Option<u64> {
    // Only an address of this machine can be bound.
    UdpSocket::bind((address.ip(), 0)).ok()?;
    let same_port = || listening.iter().filter(|(at, _)| at.port() == address.port());
    let exact = same_port().find(|(at, _)| at.ip() == address.ip());
    exact.or_else(|| same_port().find(|(at, _)| at.ip().is_unspecified())).map(|(_, inode)| *inode)
}

/// The processes that have these sockets open.
fn owners(inodes: &[Option<u64>]) -> Vec<Option<u32>> {
    let links: Vec<_> = inodes.iter().map(|inode| inode.map(|inode| format!("socket:[{inode}]"))).collect();
    let mut owners = vec![None; inodes.len()];
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for id in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
        for link in open.filter_map(|entry| fs::read_link(entry.path()).ok()) {
            for (owner, wanted) in owners.iter_mut().zip(&links) {
                if wanted.as_deref().is_some_and(|wanted| link.as_os_str() == wanted) {
                    *owner = Some(id);
                }
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_found_by_its_address_and_is_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let all = TcpListener::bind("0.0.0.0:0").unwrap();
        let port_of_all = all.local_addr().unwrap().port();
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], port_of_all));
        let watch = Watch::new(&[
            listener.local_addr().unwrap(),
            SocketAddr::from(([127, 0, 0, 1], port_of_all)),
            elsewhere,
        ]);
        let own = Some(std::process::id());
        assert_eq!(watch.processes(), [own, own, None]);
        let usage = watch.look();
        assert!(usage.nodes[0].unwrap().memory_bytes > 1 << 20, "{usage:?}");
        assert_eq!(usage.nodes_cpu(), None, "one of them is not known");
        assert!(usage.own_cpu.is_some());
    }

    #[test]
    fn the_kernels_tables_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1FA5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0\n\
            1: 0100007F:1FA5 0100007F:8D3C 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4\n\
            2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 4713 1\n\
            3: nonsense\n";
        let expected = [("127.0.0.1:8101", 4711), ("[::1]:80", 4713)];
        let expected = expected.map(|(address, inode)| (address.parse().unwrap(), inode));
        if cfg!(target_endian = "little") {
            assert_eq!(listeners(table), expected);
        }
    }

    #[test]
    fn processor_time_and_memory_are_read() {
        let fields = "S 1 1 1 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 1 0 5 6 7";
        let per_second = rustix::param::clock_ticks_per_second();
        let expected = Duration::from_secs_f64(400.0 / per_second as f64);
        assert_eq!(cpu(&format!("17 (a) name) {fields}")), Some(expected));
        assert_eq!(cpu("17 (short) S 1"), None);
        assert_eq!(memory_bytes("Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t1\n"), Some(2 << 20));
        assert_eq!(memory_bytes("Name:\tx\n"), None);
    }

    #[test]
    fn use_is_counted_from_one_look_to_the_next() {
        let at = |cpu_ms, memory_bytes| {
            let one = ProcessUsage { cpu: Duration::from_millis(cpu_ms), memory_bytes };
            Usage { nodes: vec![Some(one), Some(one)], own_cpu: Some(one.cpu) }
        };
        let used = at(700, 9).since(&at(500, 5));
        assert_eq!(used, at(200, 9));
        assert_eq!(used.nodes_cpu(), Some(Duration::from_millis(400)));
    }
}
