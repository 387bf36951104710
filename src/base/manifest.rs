//! What is offered: entries, what the receiver has of them, and what became of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::digest::{CHUNK, EntryDigest, chunks_of};
use super::fault::Fault;
use super::link_target::LinkTarget;
use super::path::RelPath;

/// A point in time as file systems keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Whole seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds within the second.
    #[serde(deserialize_with = "nanos")]
    pub nanos: u32,
}

/// Nanoseconds of a peer: fewer than a second has.
fn nanos<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let nanos = u32::deserialize(from)?;
    if nanos < 1_000_000_000 { Ok(nanos) } else { Err(de::Error::custom("a second has fewer nanoseconds")) }
}

impl Stamp {
    /// The stamp of a system time.
    pub fn of(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(d) => Self { seconds: i64::try_from(d.as_secs()).unwrap_or(i64::MAX), nanos: d.subsec_nanos() },
            Err(e) => {
                let d = e.duration();
                let whole = i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
                match d.subsec_nanos() {
                    0 => Self { seconds: -whole, nanos: 0 },
                    n => Self { seconds: -whole - 1, nanos: 1_000_000_000 - n },
                }
            }
        }
    }

    /// The system time, where the system can hold it.
    pub fn to_system(self) -> Option<SystemTime> {
        let whole = Duration::from_secs(self.seconds.unsigned_abs());
        let base = if self.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
        base?.checked_add(Duration::from_nanos(u64::from(self.nanos.min(999_999_999))))
    }

    /// Whether a file that was given the time `given` may show this one: the same, or as much of it
    /// as a file system keeps.
    pub fn shows(self, given: Self) -> bool {
        // All of it; NTFS; UDF and others; exFAT; HFS+ and older ones.
        let kept = [1, 100, 1_000, 10_000_000, 1_000_000_000].map(|grain| given.nanos / grain * grain);
        // FAT keeps every other second.
        let on_fat = self.nanos == 0 && self.seconds == given.seconds - given.seconds.rem_euclid(2);
        on_fat || (self.seconds == given.seconds && kept.contains(&self.nanos))
    }
}

/// One thing of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it belongs below the receiver's folder.
    pub path: RelPath,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is. New kinds go to the end: their place is their number on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A folder.
    Directory {
        /// When it was last changed; nothing where that is not known.
        modified: Option<Stamp>,
    },
    /// A file of known size.
    File {
        /// Its bytes when it was offered.
        size: u64,
        /// When it was last changed.
        modified: Stamp,
        /// Whether its owner may run it.
        executable: bool,
    },
    /// A file whose size shows only at its end: a pipe.
    Stream,
    /// A symbolic link to a place inside the same top entry.
    Link {
        /// Where it points.
        target: LinkTarget,
    },
}

impl EntryKind {
    /// A folder of which no more is known.
    pub const FOLDER: Self = Self::Directory { modified: None };

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }
}

impl Entry {
    /// Bytes announced; 0 for what has none or does not know.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size, .. } => size,
            _ => 0,
        }
    }

    /// Whether it has bytes to send.
    pub fn has_bytes(&self) -> bool {
        matches!(self.kind, EntryKind::File { .. } | EntryKind::Stream)
    }

    /// Whether a peer may offer this at all.
    ///
    /// # Errors
    /// A protocol fault that names what is wrong.
    pub fn check(&self) -> Result<(), Fault> {
        match &self.kind {
            EntryKind::Link { target } if !target.stays_inside(&self.path) => {
                Err(Fault::protocol(format!("the link {} leaves its tree", self.path)))
            }
            EntryKind::File { size, .. } if chunks_of(*size).is_none() => {
                Err(Fault::protocol(format!("{} is too large: {} TiB", self.path, size >> 40)))
            }
            _ => Ok(()),
        }
    }
}

/// A run of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRun {
    /// The first one.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// What the receiver already has of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Have {
    /// Nothing: send all of it.
    Nothing,
    /// An equal file is in place: send none of it.
    Equal,
    /// These chunks, verified, from an earlier try.
    Chunks(Vec<ChunkRun>),
    /// Something else has its name, and the receiver keeps that: send none of it.
    Skipped,
    /// A file in place has this digest, and this size: send nothing if it is the same.
    Digest(EntryDigest),
    /// Nothing any more: an earlier try has left bytes of what had another size or time. Send all of it.
    Outdated,
}

impl Have {
    /// Most runs that are told; further chunks are sent again.
    pub const MAX_RUNS: usize = 1024;

    /// Whether a receiver may say this of an entry: of what has no bytes, only that it has nothing.
    pub fn is_of(&self, entry: &Entry) -> bool {
        *self == Self::Nothing || (entry.has_bytes() && self.fits(entry.size()))
    }

    /// Whether a receiver may say this of a file of `size` bytes: runs in order, apart, inside.
    pub fn fits(&self, size: u64) -> bool {
        let Self::Chunks(runs) = self else { return true };
        let mut free = 0;
        runs.len() <= Self::MAX_RUNS
            && runs.iter().all(|run| {
                let end = u64::from(run.first) + u64::from(run.count);
                let good = run.count > 0 && u64::from(run.first) >= free && end <= size.div_ceil(CHUNK);
                free = end;
                good
            })
    }

    /// Whether the receiver has this chunk, or does not want it.
    pub fn contains(&self, index: u32) -> bool {
        match self {
            Self::Nothing | Self::Outdated | Self::Digest(_) => false,
            Self::Equal | Self::Skipped => true,
            Self::Chunks(runs) => {
                let after = runs.partition_point(|run| run.first <= index);
                after.checked_sub(1).is_some_and(|at| index - runs[at].first < runs[at].count)
            }
        }
    }

    /// Bytes of a file of `size` that need not travel.
    pub fn bytes_of(&self, size: u64) -> u64 {
        match self {
            Self::Nothing | Self::Outdated | Self::Digest(_) => 0,
            Self::Equal | Self::Skipped => size,
            Self::Chunks(runs) => runs
                .iter()
                .map(|r| {
                    let start = (u64::from(r.first) * CHUNK).min(size);
                    let end = ((u64::from(r.first) + u64::from(r.count)) * CHUNK).min(size);
                    end - start
                })
                .sum(),
        }
    }
}

/// What became of an entry at the receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Verified, synced, in place under its own name.
    Placed,
    /// The same, under another name: something else has its own, or the file system cannot hold it.
    PlacedAs(Box<RelPath>),
    /// One with the same bytes was there before; nothing was written.
    Equal,
    /// Not there, and why.
    Failed(Box<Fault>),
    /// One with the same size and time was there before; nothing was sent or compared.
    Unchanged,
    /// Not taken: something else has its name, and the receiver chose to keep that.
    Skipped,
    /// Verified, synced, in place under its own name; what had that before is gone, as the
    /// receiver chose.
    Replaced,
}

impl Outcome {
    /// Whether the receiver has the entry now.
    pub fn is_good(&self) -> bool {
        !matches!(self, Self::Failed(_) | Self::Skipped)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stamp_survives_the_system_clock(seconds in -4_000_000_000i64..4_000_000_000, tenths in 0u32..10_000_000) {
            // Clocks of Windows tick every 100 nanoseconds.
            let stamp = Stamp { seconds, nanos: tenths * 100 };
            prop_assert_eq!(Stamp::of(stamp.to_system().unwrap()), stamp);
        }
    }

    #[test]
    fn a_time_is_known_again_by_what_a_file_system_kept_of_it() {
        let given = Stamp { seconds: 1_000_000_001, nanos: 123_456_789 };
        for (seconds, nanos) in [(1, 123_456_789), (1, 123_456_700), (1, 123_456_000), (1, 120_000_000), (1, 0), (0, 0)]
        {
            assert!(Stamp { seconds: 1_000_000_000 + seconds, nanos }.shows(given), "{seconds} {nanos}");
        }
        for (seconds, nanos) in [(1, 123_456_788), (1, 100_000_000), (2, 0), (0, 123_456_789), (2, 123_456_789)] {
            assert!(!Stamp { seconds: 1_000_000_000 + seconds, nanos }.shows(given), "{seconds} {nanos}");
        }
    }

    #[test]
    fn runs_count_their_bytes_up_to_the_end() {
        let have = Have::Chunks(vec![ChunkRun { first: 0, count: 1 }, ChunkRun { first: 2, count: 9 }]);
        assert_eq!(have.bytes_of(2 * CHUNK + 5), CHUNK + 5);
        assert!(have.contains(0) && !have.contains(1) && have.contains(10) && !have.contains(11));
    }

    #[test]
    fn only_runs_in_order_and_inside_fit() {
        let have =
            |runs: &[(u32, u32)]| Have::Chunks(runs.iter().map(|&(first, count)| ChunkRun { first, count }).collect());
        assert!(have(&[(0, 1), (2, 1)]).fits(3 * CHUNK));
        for bad in [&[(0, 4)][..], &[(1, 1), (0, 1)], &[(0, 2), (1, 1)], &[(0, 0)], &[(u32::MAX, u32::MAX)]] {
            assert!(!have(bad).fits(3 * CHUNK), "{bad:?}");
        }
        let of = |kind| Entry { path: RelPath::parse("a").unwrap(), kind };
        let (folder, pipe) = (of(EntryKind::FOLDER), of(EntryKind::Stream));
        assert!(Have::Nothing.is_of(&folder) && Have::Skipped.is_of(&pipe) && !have(&[(0, 1)]).is_of(&pipe));
        for bad in [have(&[]), Have::Skipped, Have::Equal, Have::Digest(EntryDigest([0; 32]))] {
            assert!(!bad.is_of(&folder), "{bad:?}");
        }
    }

    #[test]
    fn a_time_with_more_nanoseconds_than_a_second_has_is_none() {
        let bytes = |nanos| postcard::to_allocvec(&Stamp { seconds: 1, nanos }).unwrap();
        assert!(postcard::from_bytes::<Stamp>(&bytes(999_999_999)).is_ok());
        for nanos in [1_000_000_000, u32::MAX] {
            assert!(postcard::from_bytes::<Stamp>(&bytes(nanos)).is_err(), "{nanos}");
        }
    }

    #[test]
    fn a_runs_count_cannot_overflow() {
        let have = Have::Chunks(vec![ChunkRun { first: u32::MAX, count: u32::MAX }]);
        assert_eq!(have.bytes_of(u64::from(u32::MAX)), 0);
        assert!(!have.contains(3));
    }
}
