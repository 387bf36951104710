//! The records of a journal, one by one.

use std::io::{self, BufReader, Read, Seek};

use sha2::{Digest, Sha256};

use super::{MAGIC, Record};

/// The records of a journal, as far as they are whole.
#[derive(Debug)]
pub(super) struct Records<R> {
    file: BufReader<R>,
    /// Where the next one stands.
    at: u64,
}

impl<R: Read + Seek> Records<R> {
    /// Those of a file, and in which boot it was written; `None` where it is no journal.
    pub(super) fn of(mut file: R) -> io::Result<Option<([u8; 16], Self)>> {
        file.rewind()?;
        let mut records = Self { file: BufReader::new(file), at: 0 };
        let (mut magic, mut boot) = ([0; MAGIC.len()], [0; 16]);
        let begins = records.fill(&mut magic)? && magic == MAGIC && records.fill(&mut boot)?;
        Ok(begins.then_some((boot, records)))
    }

    /// Where the next one stands.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Goes on with the one that stands there.
    pub(super) fn go_to(&mut self, at: u64) -> io::Result<()> {
        self.file.seek_relative(at.wrapping_sub(self.at).cast_signed())?;
        self.at = at;
        Ok(())
    }

    /// Whether there are so many bytes.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // Also of what is cut off: from there it is gone on to others.
        self.at += filled as u64;
        Ok(filled == bytes.len())
    }

    fn record(&mut self) -> io::Result<Option<Record<'static>>> {
        let (mut length, mut check) = ([0; 2], [0; 4]);
        if !self.fill(&mut length)? {
            return Ok(None);
        }
        let mut bytes = vec![0; u16::from_be_bytes(length).into()];
        if !self.fill(&mut bytes)? || !self.fill(&mut check)? {
            return Ok(None);
        }
        Ok(match postcard::take_from_bytes(&bytes) {
            Ok((record, [])) if Sha256::digest(&bytes)[..4] == check => Some(record),
            _ => None,
        })
    }
}

impl<R: Read + Seek> Iterator for Records<R> {
    type Item = io::Result<Record<'static>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.record().transpose()
    }
}
