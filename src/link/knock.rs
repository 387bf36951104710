//! Knocking at a TCP port: what comes back, and when. Nothing is said.

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
    /// The network has no way there, or no longer: at once, or after asking for the machine in vain.
    NoWay,
    /// This machine does not let us out.
    Forbidden,
    /// Something else.
    Other(io::Error),
}

/// What came back, from where, and when.
#[derive(Debug)]
pub struct Knock {
    /// Where it was knocked.
    pub address: SocketAddr,
    /// What came back.
    pub answer: Answer,
    /// After how long.
    pub took: Duration,
}

/// Knocks, and waits for what comes back. That a machine is gone the system knows after three seconds; where it was
/// there just before, after eight.
pub async fn knock(address: SocketAddr, patience: Duration) -> Knock {
    let start = Instant::now();
    let answer = match timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => Answer::Open(tcp),
        Ok(Err(error)) => of(error),
        Err(_) => Answer::Silence,
    };
    Knock { address, answer, took: start.elapsed() }
}

fn of(error: io::Error) -> Answer {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Answer::Refused,
        io::ErrorKind::TimedOut => Answer::Silence,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Answer::NoWay,
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
}
