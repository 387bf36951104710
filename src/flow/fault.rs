//! Why a conversation did not come to its end.

use std::time::Duration;

use crate::base::fault::{Fault, FaultKind};
use crate::base::text::PeerText;
use crate::wire::frame::FrameFault;

/// How long the other side's last word is waited for where a stream takes, or brings, nothing more.
pub(super) const LAST_WORD: Duration = Duration::from_secs(2);

/// What ended a conversation early.
#[derive(Debug, thiserror::Error)]
pub enum FlowFault {
    /// The connection ended, fell silent or carried nonsense.
    #[error("{0}")]
    Lost(#[from] FrameFault),
    /// The other side gave up and said why.
    #[error("{0}")]
    Theirs(Fault),
    /// This side gave up.
    #[error("{0}")]
    Ours(Fault),
    /// The other side said no.
    #[error("{reason}")]
    Declined {
        /// Of which kind.
        kind: FaultKind,
        /// Why.
        reason: PeerText,
    },
    /// The protocol versions do not overlap.
    #[error("this side speaks protocol {}–{}, the other ({software}) {}–{}", .ours.0, .ours.1, .theirs.0, .theirs.1)]
    Version {
        /// Oldest and newest of ours.
        ours: (u16, u16),
        /// Oldest and newest of theirs.
        theirs: (u16, u16),
        /// What the other side runs.
        software: PeerText,
    },
}

impl FlowFault {
    /// The kind of failure.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Lost(FrameFault::Silent(_)) => FaultKind::TimedOut,
            Self::Lost(FrameFault::Ended | FrameFault::Io(_)) => FaultKind::Lost,
            Self::Lost(FrameFault::TooLong(_) | FrameFault::Malformed) => FaultKind::Protocol,
            Self::Theirs(fault) | Self::Ours(fault) => fault.kind,
            Self::Declined { kind, .. } => *kind,
            Self::Version { .. } => FaultKind::Version,
        }
    }

    /// What to tell the other side, if this side is the one that ends it: nothing of where it is here.
    pub(super) fn to_tell(&self) -> Option<Fault> {
        match self {
            Self::Ours(fault) => Some(fault.clone().for_peers()),
            Self::Lost(FrameFault::TooLong(_) | FrameFault::Malformed) => Some(Fault::protocol(self.to_string())),
            _ => None,
        }
    }

    /// The other side said what has no place here.
    pub(super) fn unexpected(message: &str) -> Self {
        Self::Ours(Fault::protocol(format!("{message} has no place here")))
    }
}

pub(super) fn lost_thread() -> Fault {
    Fault::new(FaultKind::Other, "a thread of this program ended unexpectedly")
}
