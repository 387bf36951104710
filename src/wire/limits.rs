//! Every limit of the protocol. A peer raises none of them.

use std::time::Duration;

/// Longest frame, in bytes, without the raw bytes that follow a chunk's header.
pub const MAX_FRAME: usize = 256 * 1024;

/// Longest first message of a connection, in bytes: nobody is authenticated by more.
pub const MAX_HELLO: usize = 4 * 1024;

/// Bytes of the SHA-256 that follow a chunk's own.
pub const CHUNK_HASH: usize = 32;

/// Most entries of one page of a manifest, of a listing or of outcomes.
pub const MAX_PAGE: usize = 1024;

/// A page is closed once it holds this many bytes.
pub const PAGE_BYTES: usize = 48 * 1024;

/// Most entries of an offer.
pub const MAX_ENTRIES: usize = 4_000_000;

/// Most bytes of an offer's manifest, all its pages together.
pub const MAX_MANIFEST: usize = 256 * 1024 * 1024;

/// Most memory that a node takes for the manifests of all offers that it hears at once, in bytes.
pub const MAX_HELD: usize = 384 * 1024 * 1024;

/// Most of it for the offers of one peer.
pub const MAX_HELD_EACH: usize = 320 * 1024 * 1024;

/// Most memory for the manifests of all strangers' offers that nobody has said yes to.
pub const MAX_STRANGE: usize = 32 * 1024 * 1024;

/// Most of it for one stranger, and for one address.
pub const MAX_STRANGE_EACH: usize = 12 * 1024 * 1024;

/// A stranger's offer that takes no more than this does not count among these: few files always find room.
pub const SMALL_OFFER: usize = 64 * 1024;

/// Most notes on what a sender leaves out that a receiver keeps.
pub const MAX_LEFT_OUT: usize = 1000;

/// Most paths that one pull may ask for.
pub const MAX_WANTED: usize = 256;

/// Longest receipt that a hub signs for what was handed in, in bytes.
pub const MAX_RECEIPT: usize = 16 * 1024;

/// Most bytes that are packed together.
pub const MAX_PACKED: usize = 2 * 1024 * 1024;

/// Most further connections of one transfer.
pub const MAX_LANES: usize = 15;

/// How long the TLS handshake may take.
pub const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long the other side may take for its `Hello` and what it wants.
pub const GREETING: Duration = Duration::from_secs(5);

/// How long a connection may be silent. Whoever has nothing to say keeps it alive.
pub const IDLE: Duration = Duration::from_secs(30);

/// How long the other side may take nothing of what it is sent while it says that it is alive: a slow disk
/// has to sync what came before.
pub const STANDING: Duration = Duration::from_secs(10 * 60);

/// How often a side with nothing else to say keeps the connection alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How often a receiver tells how far it is.
pub const PROGRESS: Duration = Duration::from_millis(250);

/// How long an offer that is to be decided on may take until it is complete.
pub const OFFERING: Duration = Duration::from_secs(30 * 60);

/// How long a receiver may take until it says what it decides: with the whole offer, and a person's thinking.
pub const DECIDING: Duration = Duration::from_secs(40 * 60);

/// How long an accepted transfer may go on in which nothing but keep-alives comes: a sender may have a long
/// file to read before it has anything to say, and a pipe may be quiet for hours.
pub const STALLED: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a person may think about a question.
pub const PROMPT: Duration = Duration::from_secs(10 * 60);
