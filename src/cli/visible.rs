//! Being found and reached: what a node and a hub have in common.

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::context::Context;
use super::outcome::{Exit, Failure};
use super::ui::printer::Printer;
use crate::find::{Announcement, Announcer, Interfaces, PORTS, Responder};
use crate::link::listen::{Listener, Scope};

/// Listens on the port that was asked for, or on the first free one of ftx's own.
///
/// # Errors
/// Where none is free.
pub(super) fn listen(context: &Context, port: Option<u16>) -> Result<Listener, Failure> {
    let scope = if context.interfaces.is_loopback_only() { Scope::Loopback } else { Scope::Network };
    let ports = port.map_or(PORTS, |port| port..=port);
    let (first, last) = (*ports.start(), *ports.end());
    Listener::bind(scope, ports).map_err(|error| {
        let error = crate::base::fault::plain(&error);
        Failure::new(Exit::Other, format!("no port to listen on, {first} to {last}: {error}"))
            .hint("end the other nodes on this machine, or choose a port: ftx up --port 0")
    })
}

/// Whether a connection may come in where it did: anywhere, unless interfaces were named.
pub(super) fn reachable(context: &Context) -> impl Fn(std::net::IpAddr) -> bool + Send + Sync + 'static {
    let only: Vec<String> = context.only.clone();
    move |ip| {
        // Looked up each time: addresses change while a node runs.
        only.is_empty() || Interfaces::choose(&only).is_ok_and(|chosen| chosen.contains_ip(ip.to_canonical()))
    }
}

/// The announcement and the answers to probes, as far as this network lets us have them.
pub(super) struct Visible {
    probes: Option<JoinHandle<()>>,
    announcing: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Visible {
    /// Becomes visible, unless it is hidden.
    pub(super) fn start(context: &Context, announcement: Announcement, hidden: bool) -> Self {
        let mut visible = Self { probes: None, announcing: None };
        if hidden {
            return visible;
        }
        let printer = &context.printer;
        match Announcer::start(&announcement, &context.interfaces) {
            Ok(announcer) => {
                let (stop, stopped) = oneshot::channel();
                let task = tokio::spawn(announce(announcer, printer.clone(), stopped));
                visible.announcing = Some((stop, task));
            }
            Err(fault) => printer.warn(&format!("{fault}; {ALL_THE_SAME}")),
        }
        match Responder::bind(announcement.port, &context.interfaces) {
            Ok(responder) => {
                visible.probes = Some(tokio::spawn(async move { responder.run(&announcement).await }));
            }
            Err(error) => {
                let error = crate::base::fault::plain(&error);
                printer.detail(&format!("UDP port {} is taken ({error}): found by mDNS only", announcement.port));
            }
        }
        visible
    }

    /// Says good-bye.
    pub(super) async fn end(self) {
        if let Some((stop, task)) = self.announcing {
            let _ = stop.send(());
            let _ = task.await;
        }
        if let Some(probes) = self.probes {
            probes.abort();
        }
    }
}

const ALL_THE_SAME: &str = "others find this node all the same, a little later";

/// Announces until told to stop; says so if that does not work.
async fn announce(mut announcer: Announcer, printer: Printer, mut stopped: oneshot::Receiver<()>) {
    tokio::select! {
        fault = announcer.failure() => {
            printer.warn(&format!("{fault}; {ALL_THE_SAME}"));
            let _ = stopped.await;
        }
        _ = &mut stopped => {}
    }
    announcer.stop().await;
}

/// Where this machine is reached, as people write it.
pub(super) fn addresses(context: &Context) -> Vec<String> {
    context
        .interfaces
        .iter()
        .flat_map(|interface| {
            let v4 = interface.v4.iter().map(|(ip, _)| ip.to_string());
            let v6 = interface.v6.iter().map(|ip| match ip.is_unicast_link_local() {
                true => format!("{ip}%{}", interface.name),
                false => ip.to_string(),
            });
            v4.chain(v6).collect::<Vec<_>>()
        })
        .collect()
}
