//! Every decoder of ftx, as a function that takes any bytes and panics where a promise is broken. Both
//! `cargo fuzz` and `tests/it/fuzz.rs` run what is in [`TARGETS`].

mod files;
mod messages;
mod network;
mod scratch;
mod talk;
mod words;

/// Whether bytes were what a target reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Took {
    /// They were read.
    Yes,
    /// They were refused.
    No,
}

impl Took {
    fn of(read: bool) -> Self {
        if read { Self::Yes } else { Self::No }
    }
}

/// A decoder.
pub(crate) struct Target {
    /// Its name: of the fuzz target, and of the folder of its seeds.
    pub(crate) name: &'static str,
    /// Reads bytes, and looks at what came of it.
    pub(crate) read: fn(&[u8]) -> Took,
    /// How much of the time of a bounded run it gets: its disk or its threads make some slow.
    pub(crate) share: u32,
}

const fn quick(name: &'static str, read: fn(&[u8]) -> Took) -> Target {
    Target { name, read, share: 40 }
}

const fn slow(name: &'static str, read: fn(&[u8]) -> Took) -> Target {
    Target { name, read, share: 1 }
}

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    quick("frames", messages::frames),
    quick("hello", messages::hello),
    quick("opening", messages::opening),
    quick("sending", messages::sending),
    quick("receiving", messages::receiving),
    quick("listing", messages::listing),
    quick("pairing", messages::pairing),
    quick("joining", messages::joining),
    quick("giving", messages::giving),
    quick("answer", messages::answer),
    quick("manifest", talk::manifest),
    quick("listed", talk::listed),
    quick("told", talk::told),
    slow("received", talk::received),
    quick("unpacked", messages::unpacked),
    quick("mdns", network::mdns),
    quick("record", network::record),
    quick("probe", network::probe),
    slow("book", files::book),
    slow("config", files::config),
    slow("journal", files::journal),
    slow("register", files::register),
    slow("catalogue", files::catalogue),
    quick("handed_in", files::handed_in),
    quick("keys", files::keys),
    quick("asked", files::asked),
    quick("answered", files::answered),
    quick("target", words::target),
    quick("path", words::path),
    quick("text", words::text),
];

/// Most bytes that a target may hold at once beside [`TIMES`] its input's: what is read in one go, buffers,
/// the runtime's own. A list whose length is only claimed gets up to 1 MiB from serde.
const BESIDE: u64 = 8 << 20;

/// Most bytes that a byte of input may become: the smallest item of a list, one byte, becomes 40 of an
/// `Outcome` or a `Have`, and a list that grows is there twice for a moment, the second time twice as long.
const TIMES: u64 = 160;

impl Target {
    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Has it read some bytes; panics where a promise is broken, also that of bounded memory.
    pub(crate) fn run(&self, bytes: &[u8]) -> Took {
        let mut took = Took::No;
        let memory = allocation_counter::measure(|| took = (self.read)(bytes));
        let most = BESIDE + TIMES * bytes.len() as u64;
        assert!(memory.bytes_max <= most, "{} bytes of memory for {}", memory.bytes_max, bytes.len());
        took
    }
}
