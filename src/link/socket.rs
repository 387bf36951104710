//! What every connection asks of the system, and the buffer that it is read through.

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes read at once at first: whoever only knocks costs no more.
const FIRST: usize = 16 * 1024;

/// Bytes read at once where many come: a syscall per TLS record costs a third of the speed.
const LARGE: usize = 256 * 1024;

/// Bytes after which a connection is one where many come. Nobody says as many who has not been accepted.
const MANY: usize = 8 << 20;

/// Most connections of this process that are read with large buffers; the others stay with small ones.
const MOST_LARGE: usize = 64;

/// How many there are.
static LARGE_ONES: AtomicUsize = AtomicUsize::new(0);

/// A place among those that are read with large buffers, until it is dropped.
#[derive(Debug)]
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let more = |count| (count < MOST_LARGE).then_some(count + 1);
        LARGE_ONES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok().then_some(Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        LARGE_ONES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A TCP connection, read through a buffer that is small until many bytes have come.
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    buffer: Box<[u8]>,
    /// What of it has been read and not taken.
    unread: std::ops::Range<usize>,
    /// How much has come, up to [`MANY`].
    came: usize,
    large: Option<Place>,
    held: Option<Box<dyn Any + Send + Sync>>,
}

impl Socket {
    /// Small messages leave at once, and where the kernel lets a user have it, BBR decides how fast
    /// bytes go: on Wi-Fi that loses packets it is several times as fast as what is usual.
    pub(super) fn new(tcp: TcpStream) -> Self {
        // Neither is needed: where they are refused, it works all the same.
        let _ = tcp.set_nodelay(true);
        #[cfg(any(target_os = "linux", target_os = "freebsd"))]
        let _ = SockRef::from(&tcp).set_tcp_congestion(b"bbr");
        #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
        let _ = SockRef::from(&tcp);
        Self { tcp, buffer: vec![0; FIRST].into(), unread: 0..0, came: 0, large: None, held: None }
    }

    /// Keeps something until the connection ends, as its place among those that are counted.
    pub(super) fn hold(&mut self, what: impl Any + Send + Sync) {
        self.held = Some(Box::new(what));
    }

    /// Reads more at once from now on, where that has proven worth it. Nothing may be unread.
    fn grow(&mut self) {
        if self.came >= MANY
            && self.large.is_none()
            && let Some(place) = Place::take()
        {
            (self.buffer, self.large) = (vec![0; LARGE].into(), Some(place));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.unread.is_empty() {
            this.grow();
            // What takes as much at once needs no buffer between.
            if into.remaining() >= this.buffer.len() {
                return Pin::new(&mut this.tcp).poll_read(cx, into);
            }
            let mut read = ReadBuf::new(&mut this.buffer);
            ready!(Pin::new(&mut this.tcp).poll_read(cx, &mut read))?;
            this.unread = 0..read.filled().len();
            this.came = MANY.min(this.came + this.unread.len());
        }
        let some = this.buffer.get(this.unread.clone()).unwrap_or_default();
        let some = &some[..some.len().min(into.remaining())];
        into.put_slice(some);
        this.unread.start += some.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn pair() -> (Socket, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Socket::new(tcp), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_connection_does_not_wait_to_gather_bytes() {
        assert!(pair().await.0.tcp.nodelay().unwrap());
    }

    #[tokio::test]
    async fn bytes_come_as_they_were_sent_and_only_many_of_them_get_a_large_buffer() {
        let (mut socket, mut other) = pair().await;
        let sent: Vec<u8> = (0..2 * MANY).map(|n| (n / 7) as u8).collect();
        let writing = async {
            other.write_all(&sent).await.unwrap();
            other.shutdown().await.unwrap();
        };
        let reading = async {
            let mut got = vec![0; 1000];
            socket.read_exact(&mut got).await.unwrap();
            assert_eq!(socket.buffer.len(), FIRST);
            let mut piece = [0; 5000];
            loop {
                match socket.read(&mut piece).await.unwrap() {
                    0 => break got,
                    read => got.extend_from_slice(&piece[..read]),
                }
            }
        };
        let ((), got) = tokio::join!(writing, reading);
        assert!(got == sent, "other bytes came");
        assert_eq!(socket.buffer.len(), LARGE);
    }
}
