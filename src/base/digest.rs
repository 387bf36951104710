//! Hashes of chunks, and an entry's digest over them.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes of a whole chunk; an entry's last one may be shorter.
pub const CHUNK: u64 = 1 << 20;

/// A chunk of at most so many bytes is hashed as one message; a longer one in pieces, several at once. Each step
/// of SHA-256 waits for the one before, and a processor has nothing else to do meanwhile: with other pieces it
/// does twice as much.
const ALONE: usize = 2 << 10;

/// Pieces of up to so many bytes are few: each costs a step of its own.
const SMALL_PIECE: usize = 4 << 10;

/// The fewest pieces: as many as processors with instructions for SHA-256 take at once.
const FEWEST: usize = 4;

/// The most: as many as the widest processors take.
const MOST: usize = 32;

/// Hash of one chunk's bytes: their SHA-256 (FIPS 180-4), or, where they are many, SHA-256 over a domain tag and
/// their pieces' SHA-256 in order. Into how many pieces follows from the chunk's length, and this from the
/// entry's, which is in the entry's digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChunkHash(pub [u8; 32]);

impl ChunkHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() <= ALONE {
            return Self(Sha256::digest(bytes).into());
        }
        let (mut pieces, mut hashes) = ([&[][..]; MOST], [[0; 32]; MOST]);
        let count = pieces_of(bytes.len());
        let (length, longer) = (bytes.len() / count, bytes.len() % count);
        let mut rest = bytes;
        for (index, piece) in pieces[..count].iter_mut().enumerate() {
            (*piece, rest) = rest.split_at(length + usize::from(index < longer));
        }
        tape_sha256::hash_many(&pieces[..count], &mut hashes[..count]);
        let hashes = hashes[..count].as_flattened();
        Self(Sha256::new_with_prefix(b"ftx chunk v1\0").chain_update(hashes).finalize().into())
    }
}

/// How many pieces so many bytes are cut into. These are as equal as can be: the first of them may have one byte
/// more.
fn pieces_of(length: usize) -> usize {
    let mut count = FEWEST;
    while count < MOST && length > count * SMALL_PIECE {
        count *= 2;
    }
    count
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

    /// Whatever the processor does at once: a wrong hash would be one that only this kind of machine knows.
    #[test]
    fn pieces_hashed_at_once_have_the_sha_256_that_each_has_by_itself() {
        let bytes: Vec<u8> = (0..CHUNK).map(|n| ((n * n) >> 7) as u8).collect();
        let around = |n: usize| [n - 65, n - 56, n - 9, n - 1, n, n + 1, n + 7, n + 55, n + 64];
        let many = [3, 4, 5, 8, 16, 17, 32, 33, 64, 65, 100, 128, 129, 500, 1000].map(|kib| around(kib << 10));
        for length in many.into_iter().flatten().chain([ALONE + 1, CHUNK as usize - 1, CHUNK as usize]) {
            let count = [4, 8, 16, 32].into_iter().find(|count| length <= count * SMALL_PIECE).unwrap_or(32);
            let mut hasher = Sha256::new_with_prefix(b"ftx chunk v1\0");
            let mut rest = &bytes[..length];
            for left in (1..=count).rev() {
                let (piece, others) = rest.split_at(rest.len().div_ceil(left));
                (rest, _) = (others, hasher.update(Sha256::digest(piece)));
            }
            assert_eq!(ChunkHash::of(&bytes[..length]).0, <[u8; 32]>::from(hasher.finalize()), "{length} bytes");
        }
        for length in [0, 1, ALONE - 1, ALONE] {
            assert_eq!(ChunkHash::of(&bytes[..length]).0, <[u8; 32]>::from(Sha256::digest(&bytes[..length])));
        }
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
        assert_eq!(
            HEXLOWER.encode(&ChunkHash::of(&[b'a'; 40_007]).0),
            "0c62ec41d1352dc174b7584c90f9035f1fc9aac95edf16d4002f8fabed4c57c2"
        );
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
