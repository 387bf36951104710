//! The askers of [`probe`](super::probe): to each subnet's broadcast address, to each address of
//! the own /24, to addresses known from before. IPv4 only, and never on loopback unless a peer
//! was seen there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::answer::sighted;
use super::interfaces::subnet;
use super::probe::{LENGTH, Nonce, parse_answer, request};
use super::record::random;
use super::{How, Interfaces, Kind, News, Sighting};

/// How long answers are heard after the last question.
const HEARD_FOR: Duration = Duration::from_secs(3);

/// Bytes that may wait to be sent; each packet counts as a whole page and a half. Linux takes twice of it.
const SENT_AT_ONCE: usize = 208 * 1024;

/// Asks the broadcast address of each subnet, on all ports of this kind, twice.
pub(super) async fn broadcast(kind: Kind, interfaces: Arc<Interfaces>, news: mpsc::Sender<News>) {
    let each = interfaces.iter().filter(|i| !i.loopback).flat_map(|i| &i.v4).filter(|(_, prefix)| *prefix < 31);
    let rounds = each.map(|&(own, prefix)| {
        let everyone = Ipv4Addr::from_bits(own.to_bits() | u32::MAX.checked_shr(prefix.into()).unwrap_or(0));
        (own, kind.ports().map(|port| SocketAddr::from((everyone, port))).collect::<Vec<_>>())
    });
    ask(rounds.collect(), (kind, How::Broadcast), &interfaces, &news).await;
}

/// Asks the addresses of the own /24 and of the neighbour table, one by one, on the first port of this kind,
/// once. Only for a user's command, never in the background.
pub(super) async fn sweep(kind: Kind, interfaces: Arc<Interfaces>, news: mpsc::Sender<News>) {
    let table = if cfg!(target_os = "linux") { std::fs::read_to_string("/proc/net/arp") } else { Ok(String::new()) };
    let table = neighbours(&table.unwrap_or_default());
    let each = interfaces.iter().filter(|i| !i.loopback).flat_map(|i| &i.v4);
    let rounds = each.map(|&(own, prefix)| (own, addresses(kind, own, prefix, &table)));
    ask(rounds.collect(), (kind, How::Sweep), &interfaces, &news).await;
}

/// Asks these addresses for nodes, on every port that a node may have.
pub(super) async fn recheck(interfaces: Arc<Interfaces>, of: Vec<IpAddr>, news: mpsc::Sender<News>) {
    let each = interfaces.iter().flat_map(|i| &i.v4);
    let rounds = each.map(|&(own, prefix)| {
        let network = subnet(own, prefix);
        let near = of.iter().filter(|ip| matches!(ip, IpAddr::V4(ip) if subnet(*ip, prefix) == network));
        (own, near.flat_map(|&ip| Kind::Node.ports().map(move |port| SocketAddr::from((ip, port)))).collect())
    });
    ask(rounds.collect(), (Kind::Node, How::Sweep), &interfaces, &news).await;
}

/// First who is known to be there, then the others of the own /24, or of a smaller subnet.
fn addresses(kind: Kind, own: Ipv4Addr, prefix: u8, table: &[Ipv4Addr]) -> Vec<SocketAddr> {
    let prefix_swept = prefix.max(24);
    let first = subnet(own, prefix_swept);
    let size = u32::MAX.checked_shr(prefix_swept.into()).unwrap_or(0);
    let near = table.iter().copied().filter(|ip| subnet(*ip, prefix) == subnet(own, prefix));
    let mut list: Vec<Ipv4Addr> = near.collect();
    list.extend((1..size).map(|i| Ipv4Addr::from_bits(first.to_bits() + i)).filter(|ip| !table.contains(ip)));
    list.into_iter().filter(|ip| *ip != own).map(|ip| (ip, *kind.ports().start()).into()).collect()
}

/// The neighbours in Linux's table that have answered before.
pub(super) fn neighbours(table: &str) -> Vec<Ipv4Addr> {
    let row = |line: &str| {
        let mut columns = line.split_whitespace();
        let (ip, flags) = (columns.next()?, columns.nth(1)?);
        (flags != "0x0").then_some(())?;
        ip.parse().ok()
    };
    table.lines().skip(1).filter_map(row).take(1024).collect()
}

/// From each own address asks a list of others.
async fn ask(
    rounds: Vec<(Ipv4Addr, Vec<SocketAddr>)>,
    (kind, how): (Kind, How),
    interfaces: &Arc<Interfaces>,
    news: &mpsc::Sender<News>,
) {
    let mut tasks = JoinSet::new();
    for (own, to) in rounds {
        tasks.spawn(ask_from(own, to, (kind, how), Arc::clone(interfaces), news.clone()));
    }
    while tasks.join_next().await.is_some() {}
}

async fn ask_from(
    own: Ipv4Addr,
    to: Vec<SocketAddr>,
    (kind, how): (Kind, How),
    interfaces: Arc<Interfaces>,
    news: mpsc::Sender<News>,
) {
    // An address that went away in between: the others remain.
    let Ok(socket) = UdpSocket::bind((own, 0)).await else {
        return;
    };
    let _ = SockRef::from(&socket).set_broadcast(true);
    // What waits for an address where nobody is counts as unsent for three seconds: of 254 packets it must not
    // hold up the last.
    let _ = SockRef::from(&socket).set_send_buffer_size(SENT_AT_ONCE);
    let nonce = random();
    let packet = request(kind, nonce);
    tokio::select! {
        () = send(&socket, &packet, &to, how) => {}
        () = hear(&socket, nonce, (kind, how), &interfaces, &news) => {}
    }
}

/// Sends in strides: 254 packets at once are more than a cheap switch's or a card's queue holds.
async fn send(socket: &UdpSocket, packet: &[u8], to: &[SocketAddr], how: How) {
    let times = if how == How::Broadcast { 2 } else { 1 };
    for time in 0..times {
        if time > 0 {
            sleep(Duration::from_millis(200)).await;
        }
        for stride in to.chunks(16) {
            for &one in stride {
                let _ = socket.send_to(packet, one).await;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
    sleep(HEARD_FOR).await;
}

async fn hear(
    socket: &UdpSocket,
    nonce: Nonce,
    (kind, how): (Kind, How),
    interfaces: &Interfaces,
    news: &mpsc::Sender<News>,
) {
    let mut buffer = [0; LENGTH + 1];
    loop {
        let Ok((length, source)) = socket.recv_from(&mut buffer).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        if !interfaces.on_link(source.ip()) {
            continue;
        }
        let Some(sighting) = buffer.get(..length).and_then(|b| sighting(b, nonce, source, (kind, how))) else {
            continue;
        };
        if news.send(News::Seen(sighting)).await.is_err() {
            return;
        }
    }
}

fn sighting(bytes: &[u8], nonce: Nonce, source: SocketAddr, (kind, how): (Kind, How)) -> Option<Sighting> {
    let (record, port) = parse_answer(kind, bytes, nonce)?;
    Some(sighted(record, vec![SocketAddr::new(source.ip(), port)], how))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::PORT;

    #[test]
    fn a_sweep_stays_in_its_subnet_and_begins_with_known_neighbours() {
        let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        let table = [ip("10.0.7.7"), ip("10.0.1.9"), ip("192.168.0.1")];
        let list = addresses(Kind::Node, ip("10.0.1.5"), 16, &table);
        assert_eq!(list.len(), 254);
        assert_eq!(list[..2], [(table[0], PORT).into(), (table[1], PORT).into()]);
        assert!(!list.contains(&(ip("10.0.1.5"), PORT).into()));
        assert_eq!(addresses(Kind::Node, ip("10.0.1.5"), 30, &[]), [(ip("10.0.1.6"), PORT).into()]);
        assert!(addresses(Kind::Node, ip("10.0.1.5"), 32, &[]).is_empty());
    }

    #[test]
    fn the_neighbour_table_is_read() {
        let table = "IP address HW type Flags HW address Mask Device\n\
                     10.0.0.2 0x1 0x2 02:77:00:00:00:02 * eth0\n10.0.0.3 0x1 0x0 00:00:00:00:00:00 * eth0\nbad\n";
        assert_eq!(neighbours(table), [Ipv4Addr::new(10, 0, 0, 2)]);
    }
}
