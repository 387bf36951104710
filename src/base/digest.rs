//! SHA-256 of chunks, and an entry's digest over them.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes of a whole chunk; an entry's last one may be shorter.
pub const CHUNK: u64 = 1 << 20;

/// SHA-256 (FIPS 180-4) of one chunk's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChunkHash(pub [u8; 32]);

impl ChunkHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Debug for ChunkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkHash({})", HEXLOWER.encode(&self.0[..4]))
    }
}

/// Digest of a whole entry: SHA-256 over a domain tag, its length and its chunks' hashes in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EntryDigest(pub [u8; 32]);

impl EntryDigest {
    /// The digest of `length` bytes whose chunks have these hashes.
    pub fn over<'a>(length: u64, chunks: impl Iterator<Item = &'a ChunkHash>) -> Self {
        let mut hasher = Sha256::new_with_prefix(b"ftx entry digest v1\0");
        hasher.update(length.to_be_bytes());
        chunks.for_each(|chunk| hasher.update(chunk.0));
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for EntryDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for EntryDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryDigest({})", HEXLOWER.encode(&self.0[..4]))
    }
}

/// A chunk's bytes that have been hashed and found to be what was announced. Only this can be
/// written to the disk.
#[derive(Debug)]
pub struct VerifiedChunk<'a> {
    index: u32,
    bytes: &'a [u8],
    hash: ChunkHash,
}

/// A chunk whose bytes are not what was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunk {index} does not match its SHA-256")]
pub struct Mismatch {
    /// Which chunk of its entry.
    pub index: u32,
}

impl<'a> VerifiedChunk<'a> {
    /// Hashes the bytes.
    ///
    /// # Errors
    /// [`Mismatch`] where they are not what `announced` says.
    pub fn verify(index: u32, bytes: &'a [u8], announced: ChunkHash) -> Result<Self, Mismatch> {
        let hash = ChunkHash::of(bytes);
        if hash == announced { Ok(Self { index, bytes, hash }) } else { Err(Mismatch { index }) }
    }

    /// Which chunk of its entry.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Its hash.
    pub fn hash(&self) -> ChunkHash {
        self.hash
    }

    /// Where it starts in its entry, in bytes.
    pub fn offset(&self) -> u64 {
        u64::from(self.index) * CHUNK
    }
}

/// How many chunks `size` bytes have; `None` past what an index can name (4 PiB).
pub fn chunks_of(size: u64) -> Option<u32> {
    u32::try_from(size.div_ceil(CHUNK)).ok()
}

/// The length of chunk `index` of `size` bytes; 0 past the end.
pub fn chunk_length(size: u64, index: u32) -> u64 {
    size.saturating_sub(u64::from(index) * CHUNK).min(CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_is_no_verified_chunk() {
        let hash = ChunkHash::of(b"lecture notes");
        assert!(VerifiedChunk::verify(3, b"lecture notes", hash).is_ok());
        assert_eq!(VerifiedChunk::verify(3, b"lecture nntes", hash).unwrap_err(), Mismatch { index: 3 });
    }

    #[test]
    fn the_digest_depends_on_length_and_order() {
        let (a, b) = (ChunkHash::of(b"a"), ChunkHash::of(b"b"));
        let digest = |n, c: [ChunkHash; 2]| EntryDigest::over(n, c.iter());
        assert_ne!(digest(2, [a, b]), digest(2, [b, a]));
        assert_ne!(digest(2, [a, b]), digest(3, [a, b]));
    }

    /// A test vector for other implementations; `man/ftx-protocol.7` has it too.
    #[test]
    fn the_digest_of_abc_is_what_the_protocol_page_says() {
        let digest = EntryDigest::over(3, [ChunkHash::of(b"abc")].iter());
        assert_eq!(digest.to_string(), "6ebfb1ee93962d8458457ee9f8d91778e556cc468c4ce05799f8b57dbd68ec46");
    }

    #[test]
    fn chunks_tile_a_file() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK] {
            let n = chunks_of(size).unwrap();
            let sum: u64 = (0..n).map(|i| chunk_length(size, i)).sum();
            assert_eq!(sum, size);
            assert_eq!(chunk_length(size, n), 0);
        }
        assert_eq!(chunks_of(u64::MAX), None);
    }
}
