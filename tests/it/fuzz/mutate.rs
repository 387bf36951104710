//! Small changes to real input, of the kinds that break decoders. The same seed makes the same changes.

/// Longest input made.
const LONGEST: usize = 64 << 10;

/// Makes mutations.
pub(super) struct Mutator(u64);

impl Mutator {
    /// One whose mutations this number alone decides.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// One of these, or several of them, changed in some places.
    pub(super) fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, seeds);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let (at, length) = (self.below(bytes.len() + 1), self.below(17));
        let end = (at + length).min(bytes.len());
        match self.below(9) {
            // A bit.
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            // A byte that means something somewhere.
            2 if at < bytes.len() => bytes[at] = self.one(b"\x00\x01\x7f\x80\xff\x1b/\\.\"\n= "),
            // A length, in either order of bytes or as a varint.
            3 => {
                let extreme = self.one(&[0, 1, 127, 128, 255, 256, 0x7fff, 0xffff, 1 << 20, u32::MAX - 1, u32::MAX]);
                let varint = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
                let forms =
                    [&extreme.to_be_bytes()[..], &extreme.to_le_bytes(), &varint[..5], &varint].map(<[u8]>::to_vec);
                let form = forms[self.below(forms.len())].clone();
                let end = (at + form.len()).min(bytes.len());
                drop(bytes.splice(at..end, form));
            }
            // The rest is missing; some of it is; some comes again.
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..end)),
            6 => {
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            // A part of another.
            7 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                let to = (from + self.below(65)).min(other.len());
                drop(bytes.splice(at..end, other[from..to].to_vec()));
            }
            // Anything.
            _ => {
                let noise: Vec<u8> = (0..length).map(|_| self.next() as u8).collect();
                drop(bytes.splice(at..at, noise));
            }
        }
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}
