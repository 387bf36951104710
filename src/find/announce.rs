//! Saying by mDNS that a node is here, answering who asks, and saying goodbye.
//!
//! `mdns-sd` is the responder only: it does not browse. One [`Announcer`] a process.

use std::time::Duration;

use mdns_sd::{DaemonEvent, IfKind, IfPredicate, Receiver, ServiceDaemon, ServiceInfo};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::record::{self, Record};
use super::{Interfaces, Kind};
use crate::base::id::{PeerId, Role};

/// Without an announcement sent for so long, something is wrong with port 5353.
const UNHEARD_AFTER: Duration = Duration::from_secs(3);
/// When the responder is made anew after that; it does not recover by itself.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// The library repeats the goodbye after 120 ms, for those who missed it.
const GOODBYE_REPEATED: Duration = Duration::from_millis(140);
/// Longest wait for the goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// How often it is looked how much the responder keeps of what others say.
const LOOK: Duration = Duration::from_secs(2);
/// Most of their records, and of its clocks for them, that it may keep: it keeps all that comes without
/// being asked for in one way or another, for as long as whoever sends it wants.
const MOST_KEPT: i64 = 8192;

/// What a node says about itself.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// As what.
    pub kind: Kind,
    /// Who it is.
    pub id: PeerId,
    /// Its display name; what is longer than 64 bytes is cut.
    pub name: String,
    /// Somebody's machine or a repository.
    pub role: Role,
    /// The newest protocol version it speaks.
    pub version: u16,
    /// The TCP port it listens on.
    pub port: u16,
    /// Whose offers it takes.
    pub accept: &'static str,
}

impl Announcement {
    /// The fields that are sent.
    pub fn record(&self) -> Record {
        let name = if self.name.is_empty() { &self.id.short() } else { &self.name };
        Record {
            version: self.version,
            name: record::word(name, record::MAX_NAME),
            id: self.id,
            role: self.role,
            accept: self.accept.into(),
            boot: record::boot_nonce().into(),
        }
    }

    fn service(&self) -> Result<ServiceInfo, mdns_sd::Error> {
        let record = self.record();
        let instance = record::instance(record.name.as_raw(), &self.id);
        let fields = record.fields();
        let mut info =
            ServiceInfo::new(self.kind.service(), &instance, &record::host(&self.id), "", self.port, &fields[..])?
                .enable_addr_auto();
        // The name has 40 bits of a key's hash in it: RFC 6762 §8.1 allows not to ask whether it is
        // taken. Visible in 11 ms instead of 929, and never renamed.
        info.set_requires_probe(false);
        Ok(info)
    }
}

/// Why a node is not visible by mDNS. The other ways of being found work all the same.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceFault {
    /// The responder does not start or does not take the record.
    #[error("the mDNS responder does not work")]
    Responder(#[source] mdns_sd::Error),
    /// Nothing was announced in the first seconds.
    #[error("nothing could be announced by mDNS: UDP port 5353 is probably held by another program")]
    Silent,
}

/// A node's announcement; ends without a goodbye being waited for when dropped.
#[derive(Debug)]
pub struct Announcer {
    task: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
    faults: mpsc::Receiver<AnnounceFault>,
}

impl Announcer {
    /// Begins to announce on the chosen interfaces, and on those that come up later and are of the
    /// same kind. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// The responder does not start.
    pub fn start(announcement: &Announcement, interfaces: &Interfaces) -> Result<Self, AnnounceFault> {
        let info = announcement.service().map_err(AnnounceFault::Responder)?;
        let (daemon, events) = Daemon::start(&info, interfaces).map_err(AnnounceFault::Responder)?;
        let (stop, stopped) = oneshot::channel();
        let (tell, faults) = mpsc::channel(1);
        let task = tokio::spawn(keep(info, interfaces.clone(), (daemon, events), Some(tell), stopped));
        Ok(Self { task, stop: Some(stop), faults })
    }

    /// Waits for a fault; each trouble is told once. Pends while all is well.
    pub async fn failure(&mut self) -> AnnounceFault {
        match self.faults.recv().await {
            Some(fault) => fault,
            None => std::future::pending().await,
        }
    }

    /// Says goodbye, so that nobody shows this node any longer, and waits until that is sent, at
    /// most half a second.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = timeout(GOODBYE, &mut self.task).await;
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps a responder going until told to stop.
async fn keep(
    info: ServiceInfo,
    interfaces: Interfaces,
    first: (Daemon, Receiver<DaemonEvent>),
    mut tell: Option<mpsc::Sender<AnnounceFault>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut running = Some(first);
    loop {
        if let Some((daemon, events)) = running.take() {
            let announced = tokio::select! {
                _ = &mut stopped => return daemon.goodbye(&info).await,
                announced = timeout(UNHEARD_AFTER, announced(&events)) => announced.unwrap_or(false),
            };
            if announced {
                tokio::select! {
                    _ = &mut stopped => return daemon.goodbye(&info).await,
                    () = daemon.overfull() => {}
                }
                drop(daemon);
                running = Daemon::start(&info, &interfaces).ok();
                continue;
            }
            // Told once; it is tried again in silence.
            if let Some(tell) = tell.take() {
                let _ = tell.try_send(AnnounceFault::Silent);
            }
        }
        tokio::select! {
            _ = &mut stopped => return,
            () = sleep(AGAIN_AFTER) => running = Daemon::start(&info, &interfaces).ok(),
        }
    }
}

/// Whether the responder ever sends an announcement; `false` if it ends before.
async fn announced(events: &Receiver<DaemonEvent>) -> bool {
    loop {
        match events.recv_async().await {
            Ok(DaemonEvent::Announce(..)) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// The library's thread, which does not end with the last handle on it.
struct Daemon(ServiceDaemon);

impl Daemon {
    fn start(info: &ServiceInfo, interfaces: &Interfaces) -> Result<(Self, Receiver<DaemonEvent>), mdns_sd::Error> {
        let daemon = Self(ServiceDaemon::new()?);
        let events = daemon.0.monitor()?;
        // By a rule instead of a list, so that an interface that comes up later is judged too.
        let chosen = interfaces.clone();
        let left_out = IfPredicate::new(move |interface| !chosen.accepts(&interface.name));
        daemon.0.disable_interface(IfKind::Predicate(left_out))?;
        daemon.0.register(info.clone())?;
        Ok((daemon, events))
    }

    /// Waits until it keeps too much of what others say.
    async fn overfull(&self) {
        loop {
            sleep(LOOK).await;
            let Ok(asked) = self.0.get_metrics() else { continue };
            let Ok(Ok(counts)) = timeout(LOOK, asked.recv_async()).await else { continue };
            let kept = counts.iter().filter(|(what, _)| what.starts_with("cached-") || *what == "timer");
            if kept.map(|(_, count)| count).sum::<i64>() > MOST_KEPT {
                return;
            }
        }
    }

    async fn goodbye(self, info: &ServiceInfo) {
        let Ok(sent) = self.0.unregister(info.get_fullname()) else {
            return;
        };
        if let Ok(Ok(_)) = timeout(GOODBYE, sent.recv_async()).await {
            sleep(GOODBYE_REPEATED).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(name: &str) -> Announcement {
        let id = PeerId::of_public_key(&[1; 32]);
        Announcement {
            kind: Kind::Node,
            id,
            name: name.into(),
            role: Role::Peer,
            version: 1,
            port: 23547,
            accept: "ask",
        }
    }

    #[test]
    fn any_name_can_be_announced() {
        for name in ["", "alice", "a.b\\c", "\u{1b}[2J", &"ä".repeat(400)] {
            let info = announcement(name).service().unwrap();
            assert!(info.get_fullname().ends_with(&format!("~{}._ftx._tcp.local.", announcement(name).id.short())));
            assert!(!announcement(name).record().name.is_empty());
        }
    }

    /// A packet that says where hosts are that nobody asked for.
    #[cfg(target_os = "linux")]
    fn unasked(first: u32) -> Vec<u8> {
        let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 100, 0, 0, 0, 0];
        for n in first..first + 100 {
            let label = format!("h{n}");
            packet.push(u8::try_from(label.len()).unwrap());
            packet.extend(label.as_bytes());
            // local, A, IN, a day, the address.
            packet.extend(b"\x05local\0\0\x01\0\x01\0\x01\x51\x80\0\x04");
            packet.extend(n.to_be_bytes());
        }
        packet
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(flavor = "multi_thread")]
    async fn a_responder_that_is_told_too_much_is_noticed() {
        let interfaces = Interfaces::choose(&["lo".to_owned()]).unwrap();
        let (daemon, events) = Daemon::start(&announcement("alice").service().unwrap(), &interfaces).unwrap();
        assert!(announced(&events).await);
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.set_multicast_if_v4(&std::net::Ipv4Addr::LOCALHOST).unwrap();
        // It is believed only from the port of mDNS.
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 5353)).into()).unwrap();
        let flood = async {
            for first in (0..).step_by(100) {
                let to = std::net::SocketAddr::from(([224, 0, 0, 251], 5353));
                socket.send_to(&unasked(first), &to.into()).unwrap();
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = daemon.overfull() => {}
            () = flood => {}
        }
    }
}
