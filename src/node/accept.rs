//! The accept loop: every connection in a task of its own, none in another's way.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::caps::{Caps, Counted, Met};
use crate::base::id::PeerId;
use crate::flow::stop::Stop;
use crate::link::listen::Listener;
use crate::link::tls::{Link, Tls, TlsFault};
use crate::wire::limits::HANDSHAKE;

/// How long to wait when the system gives no connection: mostly it is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How long conversations may take to end when the node stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// What is done with connections.
pub trait Server: Send + Sync + 'static {
    /// How this side proves who it is.
    fn tls(&self) -> &Tls;

    /// Holds a conversation with whoever has proven who it is; ends soon when told to stop.
    fn hold(self: Arc<Self>, link: Link, caps: Caps, stop: Stop) -> impl Future<Output = ()> + Send;

    /// Whether this peer has been met before. Places are kept for those who have.
    fn met(&self, _: &PeerId) -> Met {
        Met::Stranger
    }

    /// A connection was closed before it was known whose it is; said once for each address.
    fn closed(&self, address: SocketAddr, reason: String) -> impl Future<Output = ()> + Send;
}

/// Serves connections until it is stopped, those only that come in where `reachable` says (by the
/// address they were made to). What is under way is told to stop and waited for.
pub async fn run(server: Arc<impl Server>, listener: Listener, reachable: impl Fn(IpAddr) -> bool, mut stop: Stop) {
    let caps = Caps::of_this_process();
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, address)) => {
                    let here = tcp.local_addr().is_ok_and(|local| reachable(local.ip()));
                    if here && let Some(counted) = caps.connection(address.ip()) {
                        tasks.spawn(connection(server.clone(), tcp, counted, caps.clone(), stop.clone()));
                    }
                }
                Err(_) => sleep(PAUSE).await,
            },
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            () = stop.stopped() => break,
        }
    }
    let _ = timeout(FAREWELL, async { while tasks.join_next().await.is_some() {} }).await;
}

/// Whether the other side simply went away.
fn hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

async fn connection(server: Arc<impl Server>, tcp: TcpStream, mut counted: Counted, caps: Caps, stop: Stop) {
    let Ok(address) = tcp.peer_addr() else { return };
    let accepted = tokio::select! {
        accepted = server.tls().accept(tcp, HANDSHAKE) => accepted,
        () = counted.gives_way() => return,
    };
    match accepted {
        Ok(mut link) => {
            let peer = link.peer.id();
            if counted.proven(peer, server.met(&peer)) {
                // Wherever the connection goes, also as a lane of a transfer, it counts until it ends.
                link.hold(counted);
                server.hold(link, caps, stop).await;
            }
        }
        Err(fault) => {
            // Who only looks at the port, or has reached us another way meanwhile, is not worth a word.
            let silent = matches!(&fault, TlsFault::Failed(error) if hung_up(error));
            if !silent && caps.first_nonsense(address.ip()) {
                server.closed(address, fault.to_string()).await;
            }
        }
    }
}
