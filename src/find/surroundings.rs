//! What this machine knows of its surroundings without asking anybody: neighbours, and who has a port.
//! On Linux; elsewhere nothing is known.

use std::fs;
use std::net::Ipv4Addr;

use super::sweep::neighbours;

/// Most processes looked through for whoever has a port.
const MOST_PROCESSES: usize = 20_000;

/// The neighbours that have answered lately, by the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbourhood {
    /// Whether the gateway, the way out of this network, is one of them; `None` where there is no gateway.
    pub gateway: Option<bool>,
    /// How many others there are.
    pub others: usize,
}

/// Reads the kernel's table.
pub fn neighbourhood() -> Option<Neighbourhood> {
    let (table, routes) = (fs::read_to_string("/proc/net/arp").ok()?, fs::read_to_string("/proc/net/route").ok()?);
    Some(of(&neighbours(&table), gateway(&routes)))
}

fn of(there: &[Ipv4Addr], gateway: Option<Ipv4Addr>) -> Neighbourhood {
    Neighbourhood {
        gateway: gateway.map(|gateway| there.contains(&gateway)),
        others: there.iter().filter(|ip| Some(**ip) != gateway).count(),
    }
}

/// The gateway of the default route.
fn gateway(routes: &str) -> Option<Ipv4Addr> {
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [_, "00000000", gateway, ..] = columns.as_slice() else { return None };
        // Written as the number that the machine has in memory.
        let bits = u32::from_str_radix(gateway, 16).ok()?;
        Some(Ipv4Addr::from(bits.to_ne_bytes())).filter(|ip| !ip.is_unspecified())
    };
    routes.lines().skip(1).find_map(row)
}

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP, listening.
    Tcp,
    /// UDP.
    Udp,
}

/// The programs that have a port here, as `NAME (process 17)`; only those that we may look at.
pub fn holders(protocol: Protocol, port: u16) -> Vec<String> {
    let tables = match protocol {
        Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let sockets: Vec<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| sockets(&table, protocol, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let own = std::process::id();
    let mut found = Vec::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().take(MOST_PROCESSES);
    for process in processes {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let has = files.filter_map(|file| fs::read_link(file.path()).ok());
        if id != own && has.into_iter().any(|file| sockets.iter().any(|socket| file.as_os_str() == socket.as_str())) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.push(format!("{} (process {id})", name.trim()));
        }
    }
    found
}

/// The numbers of the sockets that have a port, by the kernel's table.
fn sockets(table: &str, protocol: Protocol, port: u16) -> Vec<String> {
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        let own = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        let listens = protocol == Protocol::Udp || *state == "0A";
        (own == port && listens).then(|| (*inode).to_owned())
    };
    table.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_told_from_the_others() {
        let route = u32::from_ne_bytes([10, 77, 0, 254]);
        let routes =
            format!("Iface\tDestination\tGateway\neth0\t0000080A\t00000000\neth0\t00000000\t{route:08X}\t0003\n");
        let out = gateway(&routes);
        assert_eq!(out, Some(Ipv4Addr::new(10, 77, 0, 254)));
        let there = [Ipv4Addr::new(10, 77, 0, 254), Ipv4Addr::new(10, 77, 0, 2)];
        assert_eq!(of(&there, out), Neighbourhood { gateway: Some(true), others: 1 });
        assert_eq!(of(&there[1..], out), Neighbourhood { gateway: Some(false), others: 1 });
        assert_eq!(of(&[], gateway("Iface\n")), Neighbourhood { gateway: None, others: 0 });
    }

    #[test]
    fn a_socket_is_known_by_its_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 00000000:5BFB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n\
            1: 0100007F:5BFB 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\nbad\n";
        assert_eq!(sockets(table, Protocol::Tcp, 23547), ["4711"]);
        assert_eq!(sockets(table, Protocol::Udp, 23547), ["4711", "4712"]);
        assert!(sockets(table, Protocol::Tcp, 1).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_port_of_our_own_is_nobody_elses() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(holders(Protocol::Udp, socket.local_addr().unwrap().port()).is_empty());
    }
}
