//! JSON lines with an end: none is longer than it may be, and nobody waits for ever.

use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::base::fault::{Fault, FaultKind};

/// Longest request, in bytes.
pub const MAX_REQUEST: usize = 64 << 10;

/// Longest answer, in bytes.
pub const MAX_ANSWER: usize = 1 << 20;

/// Reads a line of at most `most` bytes; none where the other side has ended.
///
/// # Errors
/// A line that is too long, broken off, or does not come within `wait`; a connection that fails.
pub async fn read(
    reader: &mut (impl AsyncBufRead + Unpin),
    most: usize,
    wait: Duration,
) -> Result<Option<Vec<u8>>, Fault> {
    timeout(wait, line(reader, most)).await.unwrap_or_else(|_| Err(silent(wait)))
}

async fn line(reader: &mut (impl AsyncBufRead + Unpin), most: usize) -> Result<Option<Vec<u8>>, Fault> {
    let mut line = Vec::new();
    loop {
        let read = reader.fill_buf().await.map_err(|error| lost(&error))?;
        if read.is_empty() {
            return if line.is_empty() { Ok(None) } else { Err(Fault::protocol("the line breaks off")) };
        }
        let end = read.iter().position(|byte| *byte == b'\n');
        let (taken, used) = end.map_or((read.len(), read.len()), |end| (end, end + 1));
        if line.len() + taken > most {
            return Err(Fault::protocol(format!("a line is longer than {most} bytes")));
        }
        line.extend_from_slice(&read[..taken]);
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

/// Writes `value` as a line of at most `most` bytes.
///
/// # Errors
/// A line that would be too long; a connection that fails, or takes nothing for as long as `wait`.
pub async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    value: &impl Serialize,
    most: usize,
    wait: Duration,
) -> Result<(), Fault> {
    let mut line = encode(value)?;
    if line.len() > most {
        return Err(Fault::protocol(format!("a line would be longer than {most} bytes")));
    }
    line.push(b'\n');
    let written = async {
        writer.write_all(&line).await?;
        writer.flush().await
    };
    timeout(wait, written).await.map_err(|_| silent(wait))?.map_err(|error| lost(&error))
}

/// `value` as it goes into a line.
///
/// # Errors
/// A value that JSON has no form for.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value).map_err(|error| Fault::new(FaultKind::Other, error.to_string()))
}

fn silent(wait: Duration) -> Fault {
    Fault::new(FaultKind::TimedOut, format!("nothing came for {} s", wait.as_secs()))
}

fn lost(error: &std::io::Error) -> Fault {
    Fault::new(FaultKind::Lost, format!("the connection was lost: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    async fn all(text: &[u8], most: usize) -> Result<Vec<Vec<u8>>, FaultKind> {
        let mut reader = tokio::io::BufReader::with_capacity(3, text);
        let mut lines = Vec::new();
        while let Some(line) = read(&mut reader, most, WAIT).await.map_err(|fault| fault.kind)? {
            lines.push(line);
        }
        Ok(lines)
    }

    #[tokio::test]
    async fn lines_are_read_up_to_their_bound_and_not_beyond() {
        assert_eq!(all(b"abcd\n\nef\n", 4).await.unwrap(), [&b"abcd"[..], b"", b"ef"]);
        assert_eq!(all(b"abcde\n", 4).await, Err(FaultKind::Protocol));
        assert_eq!(all(b"ab", 4).await, Err(FaultKind::Protocol), "it breaks off");
        assert_eq!(all(b"", 4).await.unwrap(), Vec::<Vec<u8>>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_for_a_line_or_for_room() {
        let (mut near, far) = tokio::io::duplex(16);
        let mut reader = tokio::io::BufReader::new(far);
        assert_eq!(read(&mut reader, 4, WAIT).await.unwrap_err().kind, FaultKind::TimedOut);
        let long = "x".repeat(100);
        assert_eq!(write(&mut near, &long, 200, WAIT).await.unwrap_err().kind, FaultKind::TimedOut);
        assert_eq!(write(&mut near, &long, 99, WAIT).await.unwrap_err().kind, FaultKind::Protocol);
    }
}
