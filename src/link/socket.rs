//! What every connection asks of the system.

use socket2::SockRef;
use tokio::net::TcpStream;

/// Small messages leave at once, and where the kernel lets a user have it, BBR decides how fast
/// bytes go: on Wi-Fi that loses packets it is several times as fast as what is usual.
pub(super) fn prepare(tcp: &TcpStream) {
    // Neither is needed: where they are refused, it works all the same.
    let _ = tcp.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    let _ = SockRef::from(tcp).set_tcp_congestion(b"bbr");
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    let _ = SockRef::from(tcp);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_does_not_wait_to_gather_bytes() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        prepare(&tcp);
        assert!(tcp.nodelay().unwrap());
    }
}
