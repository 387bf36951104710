//! Dice that fall the same way each time: what a test calls random can be had again.

/// What is thrown unless `FTX_SEED` says otherwise.
const SEED: u64 = 2026;

/// Dice of one worker of one test. Where it panics they say how to have the same again.
pub(crate) struct Dice {
    seed: u64,
    number: u64,
    state: u64,
}

impl Dice {
    /// The dice of this number; each number has its own.
    pub(crate) fn numbered(number: u64) -> Self {
        let seed = std::env::var("FTX_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
        let mut dice = Self { seed, number, state: seed };
        dice.state = dice.next() ^ number;
        dice
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of these.
    pub(crate) fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.below(these.len() as u64) as usize]
    }

    /// Bytes that nobody else has.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        super::noise(self.next() as u32, length)
    }

    /// Splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Drop for Dice {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the dice that fell: number {} of FTX_SEED={}", self.number, self.seed);
        }
    }
}

/// How often a test does what it does `times` times: more where `FTX_SOAK` has a factor.
pub(crate) fn soaked(times: usize) -> usize {
    times * std::env::var("FTX_SOAK").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}
