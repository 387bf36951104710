//! Frames: a big-endian `u32` length, then one postcard message.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::limits::{IDLE, MAX_FRAME};
use crate::base::coding;
use crate::base::fault::plain;

/// Bytes read from the stream at once, as long as frames are small: as many as one TLS record has.
const READ: usize = 16 * 1024;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameFault {
    /// The other side ended the stream.
    #[error("the connection ended")]
    Ended,
    /// Nothing came for too long.
    #[error("nothing came for {} s", .0.as_secs())]
    Silent(Duration),
    /// A frame longer than allowed.
    #[error("a frame of {0} bytes, longer than allowed")]
    TooLong(usize),
    /// Bytes that are no message.
    #[error("bytes that are no message of this protocol")]
    Malformed,
    /// The connection failed.
    #[error("the connection failed: {}", plain(.0))]
    Io(#[source] std::io::Error),
}

impl From<std::io::Error> for FrameFault {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Ended,
            _ => Self::Io(error),
        }
    }
}

/// Appends a message as a frame.
///
/// # Errors
/// [`FrameFault::TooLong`] for what no reader would take; the buffer is then as it was.
pub fn encode(message: &impl Serialize, into: &mut Vec<u8>) -> Result<(), FrameFault> {
    let start = into.len();
    into.extend([0; 4]);
    let result = coding::append(message, into);
    let length = into.len() - start - 4;
    if result.is_err() || length > MAX_FRAME {
        into.truncate(start);
        return Err(FrameFault::TooLong(length));
    }
    into[start..start + 4].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(())
}

/// Writes a message and flushes it.
///
/// # Errors
/// As the stream says, or [`FrameFault::Silent`] where the other side takes nothing for [`IDLE`].
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> Result<(), FrameFault> {
    let mut frame = Vec::new();
    encode(message, &mut frame)?;
    write_raw(stream, &frame).await?;
    flush(stream).await
}

/// Hands everything written to the network.
///
/// # Errors
/// As for [`write()`].
pub async fn flush(stream: &mut (impl AsyncWrite + Unpin)) -> Result<(), FrameFault> {
    timeout(IDLE, stream.flush()).await.map_err(|_| FrameFault::Silent(IDLE))??;
    Ok(())
}

/// Writes bytes that are frames already; every part must get away within [`IDLE`].
///
/// # Errors
/// As for [`write()`].
pub async fn write_raw(stream: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8]) -> Result<(), FrameFault> {
    while !bytes.is_empty() {
        let written = timeout(IDLE, stream.write(bytes)).await.map_err(|_| FrameFault::Silent(IDLE))??;
        if written == 0 {
            return Err(FrameFault::Ended);
        }
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Reads frames from a stream through one buffer of its own. Not cancel-safe: a reader whose
/// read was dropped half-way must be dropped too.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: BufReader<R>,
    frame: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of this stream.
    pub fn new(stream: R) -> Self {
        Self { stream: BufReader::with_capacity(READ, stream), frame: Vec::new() }
    }

    /// Whether everything that has been read from the stream has been taken.
    pub fn is_drained(&self) -> bool {
        self.stream.buffer().is_empty()
    }

    /// The next message, of at most [`MAX_FRAME`] bytes, within [`IDLE`].
    ///
    /// # Errors
    /// See [`FrameFault`].
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<T, FrameFault> {
        self.next_within(IDLE, MAX_FRAME).await
    }

    /// The next message, of at most `max` bytes, whole within `patience`.
    ///
    /// # Errors
    /// See [`FrameFault`].
    pub async fn next_within<T: DeserializeOwned>(&mut self, patience: Duration, max: usize) -> Result<T, FrameFault> {
        // Of many small ones most are here already: a clock for each would cost more than reading it.
        if let Some(message) = self.buffered(max)? {
            return Ok(message);
        }
        timeout(patience, self.read_frame(max)).await.map_err(|_| FrameFault::Silent(patience))??;
        decode(&self.frame)
    }

    /// The next message, where all of it has been read from the stream.
    fn buffered<T: DeserializeOwned>(&mut self, max: usize) -> Result<Option<T>, FrameFault> {
        let Some((length, rest)) = self.stream.buffer().split_first_chunk() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > max {
            return Err(FrameFault::TooLong(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let message = decode(frame)?;
        self.stream.consume(4 + length);
        Ok(Some(message))
    }

    async fn read_frame(&mut self, max: usize) -> Result<(), FrameFault> {
        let length = self.stream.read_u32().await? as usize;
        if length > max {
            return Err(FrameFault::TooLong(length));
        }
        self.frame.resize(length, 0);
        self.stream.read_exact(&mut self.frame).await?;
        Ok(())
    }

    /// The raw bytes that follow a chunk's header, appended to `into`; `length` is checked by
    /// the caller. Some of them must come within every [`IDLE`].
    ///
    /// # Errors
    /// See [`FrameFault`].
    pub async fn raw(&mut self, length: usize, into: &mut Vec<u8>) -> Result<Came, FrameFault> {
        let end = into.len() + length;
        into.reserve(length);
        let here = self.stream.buffer();
        let here = &here[..here.len().min(length)];
        let took = here.len();
        into.extend_from_slice(here);
        self.stream.consume(took);
        if took == length {
            return Ok(Came::Before);
        }
        let mut rest = (&mut self.stream).take((length - took) as u64);
        while into.len() < end {
            let read = timeout(IDLE, rest.read_buf(into)).await.map_err(|_| FrameFault::Silent(IDLE))??;
            if read == 0 {
                return Err(FrameFault::Ended);
            }
        }
        Ok(Came::Now)
    }
}

/// When bytes were read from the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// With what was read before.
    Before,
    /// Some of them only now.
    Now,
}

/// Takes one frame from the front of bytes that are all there; gives what follows it.
///
/// # Errors
/// See [`FrameFault`].
pub fn split<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), FrameFault> {
    let (length, rest) = bytes.split_first_chunk().ok_or(FrameFault::Malformed)?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_FRAME {
        return Err(FrameFault::TooLong(length));
    }
    let (frame, rest) = rest.split_at_checked(length).ok_or(FrameFault::Malformed)?;
    Ok((decode(frame)?, rest))
}

/// One message and nothing after it.
fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, FrameFault> {
    match postcard::take_from_bytes(frame) {
        Ok((message, [])) => Ok(message),
        _ => Err(FrameFault::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::message::{Receiving, Sending};

    async fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameFault> {
        FrameReader::new(bytes).next().await
    }

    #[tokio::test]
    async fn a_frame_comes_back() {
        let mut frame = Vec::new();
        encode(&Sending::End, &mut frame).unwrap();
        assert_eq!(frame, [0, 0, 0, 1, 6]);
        assert_eq!(read::<Sending>(&frame).await.unwrap(), Sending::End);
    }

    #[tokio::test]
    async fn a_long_frame_is_refused_before_it_is_read() {
        let fault = read::<Sending>(&u32::MAX.to_be_bytes()).await.unwrap_err();
        assert!(matches!(fault, FrameFault::TooLong(_)), "{fault}");
    }

    #[tokio::test]
    async fn a_trailing_byte_is_refused() {
        let fault = read::<Sending>(&[0, 0, 0, 2, 6, 0]).await.unwrap_err();
        assert!(matches!(fault, FrameFault::Malformed), "{fault}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_without_end_is_given_up() {
        let (mut ours, theirs) = tokio::io::duplex(64);
        ours.write_all(&[0, 0, 0, 9, 1]).await.unwrap();
        let fault = FrameReader::new(theirs).next::<Sending>().await.unwrap_err();
        assert!(matches!(fault, FrameFault::Silent(_)), "{fault}");
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Sending>(&bytes);
            let _ = decode::<Receiving>(&bytes);
            let _ = decode::<crate::wire::hello::Hello>(&bytes);
            let _ = decode::<crate::wire::message::Opening>(&bytes);
        }
    }
}
