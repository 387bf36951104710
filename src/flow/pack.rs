//! Compression where it helps: frames are packed as long as the link is slower than the packing,
//! and what does not shrink is left alone for a while.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zstd::zstd_safe::{CParameter, find_frame_compressed_size};

use crate::wire::frame;
use crate::wire::limits::MAX_PACKED;
use crate::wire::message::Sending;

/// Whether frames are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compress {
    /// As it helps.
    #[default]
    Auto,
    /// Whatever shrinks.
    On,
    /// Never.
    Off,
}

/// How much trouble the packer takes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Effort {
    /// The level of Zstandard.
    level: i32,
    /// Positions passed over where nothing repeats, and the logarithm of the positions remembered; 0 as the
    /// level has it.
    pass_over: u32,
    remember: u32,
    /// The time that it takes, beside [`USUAL`].
    cost: f64,
}

// What they take and give is measured by `tests/bench/effort.sh`.

/// 560 MB of source code a second, which it makes 6.3 times smaller.
const USUAL: Effort = Effort { level: 1, pass_over: 0, remember: 0, cost: 1.0 };

/// Where the processor cannot keep up with the link: 4.6 times, and a tenth less to do for the receiver, too.
const QUICK: Effort = Effort { pass_over: 3, remember: 13, cost: 0.83, ..USUAL };

/// Where the link leaves the time for them, the hardest first: 7.5 and 6.9 times.
const THOROUGH: [Effort; 2] = [Effort { level: 5, cost: 2.9, ..USUAL }, Effort { level: 3, cost: 1.3, ..USUAL }];

/// Bytes to be packed for each that the link takes: what text shrinks to, and some more.
const SHRINKS: f64 = 8.0;

/// Fewer bytes than this are not worth the trouble.
const WORTH: usize = 256;

/// What is not at least an eighth smaller is sent as it is.
const SHRUNK: f64 = 0.875;

/// Most batches left alone after one that did not shrink.
const MOST_SKIPPED: u32 = 32;

/// Bytes packed a second by one thread, until it is measured.
const GUESS: f64 = 400e6;

/// How long the link's rate is believed without another look at it.
const BELIEVED: Duration = Duration::from_secs(3);

/// The shortest time over which a rate is measured.
const SPAN: Duration = Duration::from_millis(20);

/// The judgement on packing, shared by all threads of one source.
#[derive(Debug)]
pub(super) struct Packing {
    compress: Compress,
    rates: Mutex<Rates>,
}

#[derive(Debug)]
struct Rates {
    /// Bytes a second that packing takes in, with the usual effort.
    packing: f64,
    /// Bytes a second that the link takes, where it is known; nothing, where it takes all it gets.
    link: Option<f64>,
    /// When the link was last seen to be busy throughout.
    seen: Instant,
    /// Since when it has been busy throughout, and the bytes handed on since.
    busy: Option<(Instant, u64)>,
    /// How many of the last batches had to wait for it, from 0 to 1.
    waits: f64,
    /// Batches still to be left alone, and how many that were after the last one that did not shrink.
    skip: u32,
    skipped: u32,
}

impl Packing {
    pub(super) fn new(compress: Compress) -> Self {
        let (packing, seen) = (GUESS, Instant::now());
        let rates = Rates { packing, link: None, seen, busy: None, waits: 1.0, skip: 0, skipped: 0 };
        Self { compress, rates: Mutex::new(rates) }
    }

    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that so many bytes were handed to the link, and whether they had to wait for it: only
    /// while they do is the link's rate to be seen.
    pub(super) fn handed(&self, bytes: usize, waited: bool) {
        if self.compress == Compress::Off {
            return;
        }
        let (mut rates, now) = (self.rates(), Instant::now());
        rates.waits += (f64::from(waited) - rates.waits) / 8.0;
        if !waited {
            rates.busy = None;
            return;
        }
        rates.seen = now;
        let Some((since, before)) = rates.busy else {
            rates.busy = Some((now, 0));
            return;
        };
        let (span, sum) = (now - since, before + bytes as u64);
        if span < SPAN {
            rates.busy = Some((since, sum));
            return;
        }
        let measured = sum as f64 / span.as_secs_f64();
        rates.link = Some(rates.link.map_or(measured, |link| (link + measured) / 2.0));
        rates.busy = Some((now, 0));
    }

    /// Whether the next batch is to be packed.
    pub(super) fn wanted(&self) -> bool {
        match self.compress {
            Compress::Off => false,
            Compress::On => true,
            Compress::Auto => self.rates().wanted(),
        }
    }

    /// Notes whether a batch has shrunk.
    fn tried(&self, shrunk: bool) {
        let mut rates = self.rates();
        rates.skipped = if shrunk { 0 } else { (rates.skipped * 2).clamp(1, MOST_SKIPPED) };
        rates.skip = rates.skipped;
    }

    fn packed(&self, bytes: usize, effort: Effort, took: Duration) {
        let measured = bytes as f64 * effort.cost / took.as_secs_f64().max(1e-6);
        let mut rates = self.rates();
        rates.packing += (measured - rates.packing) / 8.0;
    }
}

impl Rates {
    /// As much as there is time for. Only while batches wait for the link is there any: a receiver that is busy
    /// looks like a slow link, and would be kept waiting for the harder packing, too.
    fn effort(&self) -> Effort {
        let leaves_time = |effort: &Effort| self.link.is_some_and(|link| link * SHRINKS * effort.cost < self.packing);
        match THOROUGH.into_iter().find(leaves_time) {
            _ if self.waits < 0.25 => QUICK,
            Some(thorough) if self.waits > 0.75 => thorough,
            _ => USUAL,
        }
    }

    /// Whether packing makes it faster, and what came before has shrunk. After a batch that has not some are left
    /// alone, and then one is tried at a time.
    fn wanted(&mut self) -> bool {
        if !self.pays() {
            return false;
        }
        let is_left_alone = self.skip > 0;
        self.skip = if is_left_alone { self.skip - 1 } else { self.skipped };
        !is_left_alone
    }

    /// Whether packing makes it faster, as far as is known.
    fn pays(&mut self) -> bool {
        if self.seen.elapsed() > BELIEVED {
            // Perhaps it is faster by now: it is given more than it can pack.
            self.link = None;
            self.seen = Instant::now();
        }
        self.link.is_some_and(|link| link < self.packing)
    }
}

/// Packs batches of frames, for one thread.
pub(super) struct Packer {
    context: Option<zstd::bulk::Compressor<'static>>,
    packed: Vec<u8>,
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    pub(super) fn new() -> Self {
        Self { context: None, packed: Vec::new() }
    }

    /// Whole frames, of which this is [`Packing::wanted`], packed together as one; `None` where they do not shrink.
    pub(super) fn pack(&mut self, packing: &Packing, frames: &[u8]) -> Option<Vec<u8>> {
        let packed = self.shrink(packing, frames)?;
        let mut together = Vec::with_capacity(packed.len() + 16);
        let head = Sending::Packed { length: frames.len() as u32, packed: packed.len() as u32 };
        frame::encode(&head, &mut together).ok()?;
        together.extend_from_slice(packed);
        Some(together)
    }

    fn shrink(&mut self, packing: &Packing, bytes: &[u8]) -> Option<&[u8]> {
        if !(WORTH..=MAX_PACKED).contains(&bytes.len()) {
            return None;
        }
        let effort = packing.rates().effort();
        if self.context.is_none() {
            self.context = zstd::bulk::Compressor::new(effort.level).ok();
        }
        let context = self.context.as_mut()?;
        context.set_parameter(CParameter::CompressionLevel(effort.level)).ok()?;
        context.set_parameter(CParameter::TargetLength(effort.pass_over)).ok()?;
        context.set_parameter(CParameter::HashLog(effort.remember)).ok()?;
        let begun = Instant::now();
        self.packed.clear();
        // One that does not fit has not shrunk.
        self.packed.reserve_exact((bytes.len() as f64 * SHRUNK) as usize);
        let fits = context.compress_to_buffer(bytes, &mut self.packed).is_ok();
        let shrunk = fits && self.packed.len() as f64 <= bytes.len() as f64 * SHRUNK;
        packing.tried(shrunk);
        if !shrunk {
            return None;
        }
        packing.packed(bytes.len(), effort, begun.elapsed());
        Some(&self.packed)
    }
}

/// What a Zstandard frame begins with (RFC 8878, section 3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Unpacks batches of frames, for one connection.
#[derive(Default)]
pub struct Unpacker(Option<zstd::bulk::Decompressor<'static>>);

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpacker")
    }
}

impl Unpacker {
    /// Unpacks exactly `length` bytes into `into`, for which the caller has found that they are no more than
    /// [`MAX_PACKED`]; `None` where they are not that.
    pub fn unpack(&mut self, packed: &[u8], length: usize, into: &mut Vec<u8>) -> Option<()> {
        if self.0.is_none() {
            self.0 = zstd::bulk::Decompressor::new().ok();
        }
        // One frame, and none that is skipped: these could be without number, and hold anything.
        let whole = packed.starts_with(&MAGIC) && find_frame_compressed_size(packed).ok()? == packed.len();
        if !whole {
            return None;
        }
        into.clear();
        into.reserve_exact(length);
        let unpacked = self.0.as_mut()?.decompress_to_buffer(packed, into).ok()?;
        (unpacked == length && into.len() == length).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Vec<u8> {
        b"let the quick brown fox jump over the lazy dog\n".repeat(3000)
    }

    #[test]
    fn what_shrinks_comes_back_and_what_lies_about_its_length_does_not() {
        let packing = Packing::new(Compress::On);
        let mut packer = Packer::new();
        let packed = packer.shrink(&packing, &text()).unwrap().to_vec();
        let (mut unpacker, mut bytes) = (Unpacker::default(), Vec::new());
        assert!(packed.len() < text().len() / 4);
        unpacker.unpack(&packed, text().len(), &mut bytes).unwrap();
        assert_eq!(bytes, text());
        for length in [0, 1, text().len() - 1, text().len() + 1] {
            assert!(unpacker.unpack(&packed, length, &mut bytes).is_none(), "{length}");
        }
        assert!(unpacker.unpack(b"not packed at all", 10, &mut bytes).is_none());
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        for more in [[&skipped[..], &packed].concat(), [&packed[..], &skipped].concat()] {
            assert!(unpacker.unpack(&more, text().len(), &mut bytes).is_none());
        }
        assert!(unpacker.unpack(&packed.repeat(2), 2 * text().len(), &mut bytes).is_none());
        unpacker.unpack(&packed, text().len(), &mut bytes).unwrap();
    }

    #[test]
    fn the_example_of_the_protocols_page_unpacks() {
        let packed = "28b52ffd20f29d0100b40200000006 03ac0201c80161 c2a908d98f5df987ade41b5fce213067 \
            efbcc21ef2240212a41e54b5e7c28ae5 0100440a7801";
        let packed = data_encoding::HEXLOWER.decode(packed.replace(' ', "").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        Unpacker::default().unpack(&packed, 242, &mut bytes).unwrap();
        let (message, rest): (Sending, _) = frame::split(&bytes).unwrap();
        let head = crate::wire::message::ChunkHead { entry: 300, index: 1, length: 200 };
        assert_eq!(message, Sending::Chunk(head));
        let (chunk, hash) = rest.split_at(200);
        assert_eq!(chunk, [b'a'; 200]);
        assert_eq!(hash, crate::base::digest::ChunkHash::of(chunk).0);
    }

    #[test]
    fn nothing_is_packed_for_a_link_that_takes_everything() {
        let packing = Packing::new(Compress::Auto);
        let mut packer = Packer::new();
        packing.handed(1 << 20, false);
        assert!(!packing.wanted());
        // A slow link is seen by what waits for it.
        packing.handed(1000, true);
        std::thread::sleep(SPAN);
        packing.handed(1000, true);
        assert!(packing.wanted() && packer.shrink(&packing, &text()).is_some());
    }

    #[test]
    fn the_packer_takes_as_much_trouble_as_the_link_leaves_time_for() {
        let packing = Packing::new(Compress::Auto);
        let effort = |link: f64, waited: bool| {
            (0..20).for_each(|_| packing.handed(1 << 20, waited));
            packing.rates().link = Some(link);
            packing.rates().effort()
        };
        for (link, busy) in [(100e6, USUAL), (30e6, THOROUGH[1]), (10e6, THOROUGH[0])] {
            assert_eq!((effort(link, true), effort(link, false)), (busy, QUICK), "{link}");
        }
        // Whatever the effort, what is packed can be unpacked, and the more of it the smaller.
        let code = include_bytes!("pack.rs");
        let (mut packer, mut unpacker, mut bytes) = (Packer::new(), Unpacker::default(), Vec::new());
        let mut lengths = [(10e6, true), (30e6, true), (100e6, true), (100e6, false)].map(|(link, waited)| {
            effort(link, waited);
            let packed = packer.shrink(&packing, code).unwrap();
            unpacker.unpack(packed, code.len(), &mut bytes).unwrap();
            assert_eq!(bytes, code);
            packed.len()
        });
        let before = lengths;
        lengths.sort();
        assert_eq!(lengths, before);
    }

    #[test]
    fn what_does_not_shrink_is_left_alone_and_tried_again_one_at_a_time() {
        let noise: Vec<u8> =
            (0..50_000u32).flat_map(|n| n.wrapping_mul(0x9e37_79b9).rotate_left(n % 31).to_le_bytes()).collect();
        let (packing, mut packer) = (Packing::new(Compress::Auto), Packer::new());
        packing.rates().link = Some(1e6);
        let mut tries = vec![];
        for batch in 0..100 {
            if packing.wanted() {
                tries.push(batch);
                assert!(packer.shrink(&packing, &noise).is_none());
            }
        }
        assert_eq!(tries, [0, 2, 5, 10, 19, 36, 69]);
        while !packing.wanted() {}
        // Nobody knows yet how that goes.
        assert!(!packing.wanted());
        packer.shrink(&packing, &text()).unwrap();
        assert!(packing.wanted() && packing.wanted());
        let packing = Packing::new(Compress::On);
        assert!(packing.wanted() && packer.shrink(&packing, &noise).is_none() && packing.wanted());
    }
}
