//! What tests are made of: homes, nodes, commands, a person at a terminal, peers that misbehave.

pub(crate) mod dam;
#[cfg(unix)]
pub(crate) mod desk;
#[cfg(unix)]
pub(crate) mod device;
pub(crate) mod dice;
pub(crate) mod fake_hub;
#[cfg(unix)]
pub(crate) mod forest;
pub(crate) mod home;
pub(crate) mod hostile;
#[cfg(unix)]
pub(crate) mod hub;
#[cfg(target_os = "linux")]
pub(crate) mod lan;
pub(crate) mod process;
#[cfg(unix)]
pub(crate) mod proxy;
#[cfg(unix)]
pub(crate) mod sluice;
#[cfg(unix)]
pub(crate) mod terminal;
pub(crate) mod vocabulary;

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Long, because a loaded machine is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// Waits until `look` finds something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes that look random and are the same each time: `seed` tells one sort from another.
pub(crate) fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
