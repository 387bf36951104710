//! Writing bytes with long runs of zeros: these are left holes, which take no room.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

/// Zeros are looked for in blocks of this many bytes; shorter runs are written.
const BLOCK: usize = 64 * 1024;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// What is known of the file that is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground {
    /// Whether an earlier try may have left bytes in it that no journal speaks for.
    pub(super) used: bool,
    /// How long it will be, if that is known.
    pub(super) size: Option<u64>,
}

/// Writes `bytes` at `offset`, long runs of zeros as holes.
pub(super) fn write(file: &mut File, ground: Ground, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let is_hole = |at: usize| bytes.get(at..at + BLOCK).is_some_and(|block| *block == ZEROS);
    let mut at = 0;
    while at < bytes.len() {
        let (start, hole) = (at, is_hole(at));
        while at < bytes.len() && is_hole(at) == hole {
            at = (at + BLOCK).min(bytes.len());
        }
        let from = offset + start as u64;
        if hole {
            leave_out(file, ground, from, (at - start) as u64)?;
        } else {
            write_at(file, from, &bytes[start..at])?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    io::Write::write_all(&mut file, bytes)
}

/// Sees to it that `length` bytes at `offset` read as zeros.
fn leave_out(file: &mut File, ground: Ground, offset: u64, length: u64) -> io::Result<()> {
    if ground.used && !punch(file, offset, length) {
        file.seek(SeekFrom::Start(offset))?;
        return io::copy(&mut io::Read::take(io::repeat(0), length), file).map(drop);
    }
    match ground.size {
        // What is behind the end is missing, to whoever goes on with it. To set the length it will
        // have cuts nothing off, whatever other writers do meanwhile.
        Some(size) if file.metadata()?.len() < offset + length => file.set_len(size),
        _ => Ok(()),
    }
}

/// Makes a hole where there may be bytes; whether that was possible.
#[cfg(target_os = "linux")]
fn punch(file: &File, offset: u64, length: u64) -> bool {
    use rustix::fs::{FallocateFlags, fallocate};
    fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn punch(_: &File, _: u64, _: u64) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const MIB: usize = 1 << 20;

    fn read(file: &mut File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        io::Read::read_to_end(file, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn long_runs_of_zeros_are_holes_and_everything_reads_back() {
        let mut file = tempfile::tempfile().unwrap();
        let mut bytes = vec![0; MIB];
        bytes[5] = 1;
        bytes[MIB / 2..MIB / 2 + 70_000].fill(2);
        bytes[MIB - 1] = 3;
        write(&mut file, Ground { used: false, size: Some(MIB as u64) }, 0, &bytes).unwrap();
        assert!(read(&mut file) == bytes);
        #[cfg(target_os = "linux")]
        assert!(std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()) * 512 < MIB as u64 / 2);
    }

    #[test]
    fn a_hole_at_the_end_counts_as_there() {
        let mut file = tempfile::tempfile().unwrap();
        let size = Some(3 * MIB as u64);
        write(&mut file, Ground { used: false, size }, MIB as u64, &vec![0; MIB]).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 3 * MIB as u64);
        write(&mut file, Ground { used: false, size }, 0, &vec![1; MIB]).unwrap();
        assert_eq!(read(&mut file)[MIB - 1..=MIB], [1, 0]);
    }

    #[test]
    fn what_was_there_before_does_not_shine_through() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![9; 2 * MIB]).unwrap();
        write(&mut file, Ground { used: true, size: Some(2 * MIB as u64) }, 0, &vec![0; MIB]).unwrap();
        let bytes = read(&mut file);
        assert!(bytes[..MIB].iter().all(|byte| *byte == 0) && bytes[MIB..].iter().all(|byte| *byte == 9));
        assert_eq!(bytes.len(), 2 * MIB);
    }
}
