//! Knocking at a TCP port: what comes back. Nothing is said.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;

/// What came back.
#[derive(Debug)]
pub enum Answer {
    /// Somebody listens; nothing has been said yet.
    Open(TcpStream),
    /// The machine is there, and nobody listens.
    Refused,
    /// Nothing.
    Silence,
    /// The system asked for the machine, and nobody answered.
    Nobody,
    /// Somebody said at once that there is no way there: the system, or a firewall.
    NoWay,
    /// This machine does not let us out.
    Forbidden,
    /// Something else.
    Other(io::Error),
}

/// What came back, and from where.
#[derive(Debug)]
pub struct Knock {
    /// Where it was knocked.
    pub address: SocketAddr,
    /// What came back.
    pub answer: Answer,
}

/// What comes back sooner than this was said by somebody, not concluded from silence: the system asks three times
/// for a machine, a second each.
const AT_ONCE: Duration = Duration::from_millis(900);

/// Knocks, and waits for what comes back. That a machine is gone the system knows after three seconds; where it was
/// there just before, after eight. Twice where there is no way at once: the system may have been asking for the
/// machine already, for somebody else, and have given up just then; the second time it begins to ask anew.
pub async fn knock(address: SocketAddr, patience: Duration) -> Knock {
    let mut answer = once(address, patience).await;
    if matches!(answer, Answer::NoWay) {
        answer = once(address, patience).await;
    }
    Knock { address, answer }
}

async fn once(address: SocketAddr, patience: Duration) -> Answer {
    let start = Instant::now();
    match timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => Answer::Open(tcp),
        Ok(Err(error)) => of(error, start.elapsed()),
        Err(_) => Answer::Silence,
    }
}

fn of(error: io::Error, took: Duration) -> Answer {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Answer::Refused,
        io::ErrorKind::TimedOut => Answer::Silence,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable if took < AT_ONCE => Answer::NoWay,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Answer::Nobody,
        io::ErrorKind::PermissionDenied => Answer::Forbidden,
        _ => Answer::Other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_listens_is_told_from_who_does_not() {
        let patience = Duration::from_secs(30);
        let there = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(matches!(knock(there.local_addr().unwrap(), patience).await.answer, Answer::Open(_)));
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(matches!(knock(nobody, patience).await.answer, Answer::Refused));
    }

    #[test]
    fn what_is_said_at_once_is_told_from_what_is_concluded_from_silence() {
        let after = |ms| of(io::ErrorKind::HostUnreachable.into(), Duration::from_millis(ms));
        assert!(matches!(after(1), Answer::NoWay));
        assert!(matches!(after(3060), Answer::Nobody));
    }
}
