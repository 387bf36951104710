//! What went wrong, as one side tells the other.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::PeerText;

/// The kind of a failure. The command line gives each its exit code; on the wire it is its
/// place in this list, so new kinds go to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum FaultKind {
    /// Anything without a kind of its own.
    Other,
    /// What was asked for is not there.
    NotFound,
    /// The receiver, or its policy, said no.
    Declined,
    /// An identity is not the one expected, or is blocked.
    Identity,
    /// Bytes are not what their hash says.
    Integrity,
    /// A local disk: full, read-only, not permitted, failing.
    Disk,
    /// The rules do not allow it.
    NotPermitted,
    /// Nobody answered in time.
    TimedOut,
    /// A person stopped it.
    Interrupted,
    /// The other side broke the protocol.
    Protocol,
    /// Too much at once; later it may work.
    Busy,
    /// The connection ended in the middle.
    Lost,
    /// Protocol versions do not overlap.
    Version,
    /// The device has not joined the hub that it asks something.
    NotJoined,
    /// One that only later versions know; kept as it came.
    Unknown(u8),
}

impl FaultKind {
    /// All kinds, in the order of their numbers.
    const ALL: [(Self, &str); 14] = [
        (Self::Other, "other"),
        (Self::NotFound, "not_found"),
        (Self::Declined, "declined"),
        (Self::Identity, "identity"),
        (Self::Integrity, "integrity"),
        (Self::Disk, "disk"),
        (Self::NotPermitted, "not_permitted"),
        (Self::TimedOut, "timed_out"),
        (Self::Interrupted, "interrupted"),
        (Self::Protocol, "protocol"),
        (Self::Busy, "busy"),
        (Self::Lost, "lost"),
        (Self::Version, "version"),
        (Self::NotJoined, "not_joined"),
    ];

    /// The kind that has this word.
    pub fn of_word(word: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == word).map_or(Self::Other, |(kind, _)| *kind)
    }

    /// The word for programs.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("other", |(_, word)| word)
    }
}

impl From<u8> for FaultKind {
    fn from(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).map_or(Self::Unknown(number), |(kind, _)| *kind)
    }
}

impl From<FaultKind> for u8 {
    fn from(kind: FaultKind) -> Self {
        match kind {
            FaultKind::Unknown(number) => number,
            // There are 14 of them.
            kind => FaultKind::ALL.iter().position(|(one, _)| *one == kind).unwrap_or(0) as Self,
        }
    }
}

/// A failure that travels: its kind and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What kind of failure.
    pub kind: FaultKind,
    /// What happened, for a person.
    pub text: PeerText,
}

impl Fault {
    /// A failure of this kind.
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self { kind, text: PeerText::new(text) }
    }

    /// A failure of a local disk, with what was being done.
    pub fn disk(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(FaultKind::Disk, format!("{doing}: {}", plain(error)))
    }

    /// The same for a peer, who is not told where anything is on this machine: of a text with an absolute
    /// path what stands before it, and after it the cause.
    pub fn for_peers(self) -> Self {
        let text = self.text.as_raw();
        let is_path = |word: &str| {
            let word = word.trim_start_matches(['"', '\'', '(']);
            let on_drive = matches!(word.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
            on_drive || word.starts_with(['/', '\\'])
        };
        let begins = text.split_inclusive(' ').scan(0, |at, word| {
            *at += word.len();
            Some((*at - word.len(), word))
        });
        let Some((at, _)) = begins.into_iter().find(|(_, word)| is_path(word)) else { return self };
        let (before, path) = text.split_at(at);
        let cause = path.split_once(": ").map_or("", |(_, cause)| cause);
        let told = [before.trim_end(), cause].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        Self::new(self.kind, if told.is_empty() { "it failed there".to_owned() } else { told.join(": ") }).for_peers()
    }

    /// The other side said what it must not say here.
    pub fn protocol(text: impl Into<String>) -> Self {
        Self::new(FaultKind::Protocol, text)
    }
}

/// An I/O error in plain words, without `(os error 28)`.
pub fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        std::io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or(&text).to_owned()
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_not_told_where_anything_is_here() {
        let told = |text: &str| Fault::new(FaultKind::Disk, text).for_peers().text.as_raw().to_owned();
        for (text, expected) in [
            ("preparing /home/alice/in box/.ftx-partial: the disk is full", "preparing: the disk is full"),
            ("writing C:\\Users\\alice\\peers.toml: permission denied", "writing: permission denied"),
            ("/srv/hub is gone: reading \"/srv/hub\": no such file", "reading: no such file"),
            ("/etc/x is no book", "it failed there"),
            ("reading b: permission denied", "reading b: permission denied"),
            ("reading notes/a b: permission denied", "reading notes/a b: permission denied"),
            ("not enough room: 5 MiB more are needed", "not enough room: 5 MiB more are needed"),
        ] {
            assert_eq!(told(text), expected);
        }
    }

    #[test]
    fn every_kind_has_its_number_and_an_unknown_one_is_kept() {
        for (number, (kind, _)) in FaultKind::ALL.iter().enumerate() {
            assert_eq!(u8::from(*kind) as usize, number);
            assert_eq!(FaultKind::from(number as u8), *kind);
            assert_eq!(FaultKind::of_word(kind.as_str()), *kind);
        }
        assert_eq!(u8::from(FaultKind::from(200)), 200);
    }
}
