//! How a command ends: the only place that knows exit codes.

use std::process::{ExitCode, Termination};

use serde_json::{Value, json};

use crate::base::event::{Progress, Summary};
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::Outcome;
use crate::flow::fault::FlowFault;
use crate::node::policy::{GONE, NOBODY};
use crate::wire::frame::FrameFault;

/// The exit codes, written down in `ftx(1)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Anything else.
    Other = 1,
    /// What was typed makes no sense.
    Usage = 2,
    /// The peer was not found.
    NotFound = 3,
    /// The peer was found and could not be reached, or was lost.
    Unreachable = 4,
    /// Declined.
    Declined = 5,
    /// An identity was refused.
    Identity = 6,
    /// Bytes did not match.
    Integrity = 7,
    /// Some of it is done.
    Partly = 8,
    /// A disk failed, was full or not writable.
    Disk = 9,
    /// Not permitted, or over quota.
    NotPermitted = 10,
    /// Timed out.
    TimedOut = 11,
    /// The protocol versions do not overlap.
    Version = 12,
    /// Stopped by Ctrl-C or a signal.
    Interrupted = 130,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

impl Exit {
    /// The exit of this code; something else, where there is none.
    pub fn of_code(code: u8) -> Self {
        let all = [
            Self::Done,
            Self::Usage,
            Self::NotFound,
            Self::Unreachable,
            Self::Declined,
            Self::Identity,
            Self::Integrity,
            Self::Partly,
            Self::Disk,
            Self::NotPermitted,
            Self::TimedOut,
            Self::Version,
            Self::Interrupted,
        ];
        all.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Self::Other)
    }

    fn of(kind: FaultKind) -> Self {
        match kind {
            FaultKind::Other | FaultKind::NotFound | FaultKind::Protocol | FaultKind::Busy | FaultKind::Unknown(_) => {
                Self::Other
            }
            FaultKind::Declined => Self::Declined,
            FaultKind::Identity => Self::Identity,
            FaultKind::Integrity => Self::Integrity,
            FaultKind::Disk => Self::Disk,
            FaultKind::NotPermitted | FaultKind::NotJoined => Self::NotPermitted,
            FaultKind::TimedOut => Self::TimedOut,
            FaultKind::Interrupted => Self::Interrupted,
            FaultKind::Lost => Self::Unreachable,
            FaultKind::Version => Self::Version,
        }
    }
}

/// What to do about a transfer that was cut off.
const GO_ON: &str = "type the same again to go on where it stopped";

/// A failed command: what failed, the likely cause, what to type next.
#[derive(Debug, Clone)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// What failed. Never raw text of a peer.
    pub error: String,
    /// The likely cause; may be empty.
    pub cause: String,
    /// What to type or do next; may be empty.
    pub hint: String,
    /// How many bytes the same command goes on from, where it stopped half-way.
    pub kept: Option<u64>,
}

impl Failure {
    /// A failure without a known cause.
    pub fn new(exit: Exit, error: impl Into<String>) -> Self {
        Self { exit, error: error.into(), cause: String::new(), hint: String::new(), kept: None }
    }

    /// With its likely cause.
    #[must_use]
    pub fn cause(self, cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), ..self }
    }

    /// With what to do next.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// With what is kept of a transfer that stopped half-way.
    #[must_use]
    pub fn keeping(self, progress: &Progress) -> Self {
        let kept = progress.bytes_kept + progress.bytes_safe;
        Self { kept: (kept > 0).then_some(kept), ..self }
    }

    /// What was typed makes no sense.
    pub fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let parts: Vec<String> =
            text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let begins = |word: &str| parts.iter().find(|part| part.starts_with(word)).cloned().unwrap_or_default();
        let what = parts.first().map_or("", |part| part.trim_start_matches("error: "));
        let hint = Some(begins("Usage: ")).filter(|usage| !usage.is_empty());
        Self::new(Exit::Usage, what).cause(begins("tip: ")).hint(hint.unwrap_or_else(|| begins("For more ")))
    }

    /// A failure on this machine.
    pub fn local(fault: &Fault) -> Self {
        let failure = Self::new(Exit::of(fault.kind), fault.to_string());
        match fault.kind {
            FaultKind::Disk => {
                failure.hint("make room, or choose another folder you may write to; then type the same again")
            }
            _ => failure,
        }
    }

    /// What a conversation with `peer` (as shown) ended with.
    pub fn flow(peer: &str, fault: &FlowFault) -> Self {
        match fault {
            FlowFault::Lost(FrameFault::Silent(after)) => {
                Self::new(Exit::TimedOut, format!("{peer} said nothing for {} s", after.as_secs()))
                    .cause("it is asleep, or the network dropped")
                    .hint(GO_ON)
            }
            FlowFault::Lost(FrameFault::TooLong(_) | FrameFault::Malformed) => {
                Self::new(Exit::Other, format!("{peer} said something that is not this protocol: {fault}"))
                    .cause("it runs other software, or a broken version")
            }
            FlowFault::Lost(lost) => Self::new(Exit::Unreachable, format!("the connection to {peer} was lost: {lost}"))
                .cause("it was stopped, or the network dropped")
                .hint(GO_ON),
            FlowFault::Version { .. } => {
                Self::new(Exit::Version, format!("{peer} and this machine do not understand each other: {fault}"))
                    .cause("one of the two is too old")
                    .hint("update ftx on both")
            }
            FlowFault::Declined { kind, reason } => Self::declined(peer, *kind, &reason.to_string()),
            FlowFault::Theirs(fault) => Self::theirs(peer, fault),
            FlowFault::Ours(fault) if fault.kind == FaultKind::Interrupted => {
                Self::new(Exit::Interrupted, "interrupted")
            }
            FlowFault::Ours(fault) => Self::local(fault),
        }
    }

    fn declined(peer: &str, kind: FaultKind, reason: &str) -> Self {
        let failure = Self::new(Exit::of(kind), format!("{peer} did not accept it: {reason}"));
        match kind {
            FaultKind::Declined if reason.contains(NOBODY) => {
                failure.hint(format!("have somebody run ftx up at a terminal of {peer} and say yes"))
            }
            FaultKind::Declined => failure.hint("ask its owner; once it is welcome there, type the same again"),
            FaultKind::Disk if reason.contains(GONE) => {
                failure.hint("have its owner make that folder again, or name another, and start ftx up again")
            }
            FaultKind::Identity => failure.cause("your key is not the one they know, or they blocked you"),
            FaultKind::Disk => failure.cause("its disk is full").hint("have them make room, then type the same again"),
            FaultKind::Busy | FaultKind::TimedOut => failure.hint("try again in a moment"),
            FaultKind::NotJoined => failure.hint(format!("ftx join {peer}")),
            _ => failure,
        }
    }

    fn theirs(peer: &str, fault: &Fault) -> Self {
        let exit = match fault.kind {
            // They stopped, not we.
            FaultKind::Interrupted => Exit::Unreachable,
            kind => Exit::of(kind),
        };
        let failure = Self::new(exit, format!("{peer}: {fault}"));
        match fault.kind {
            FaultKind::Disk => {
                failure.cause("the disk there is full or not writable").hint("type the same again once there is room")
            }
            FaultKind::NotJoined => failure.hint(format!("ftx join {peer}")),
            FaultKind::NotPermitted => {
                failure.hint(format!("compare key words with somebody at {peer}: ftx trust {peer}"))
            }
            FaultKind::Integrity => failure
                .cause("bytes changed on the way or on a disk")
                .hint("type the same again; nothing wrong was kept"),
            FaultKind::Interrupted => failure.hint(GO_ON),
            _ => failure,
        }
    }

    /// As it is to be told where a pipe was sent: it cannot be read again.
    #[must_use]
    pub fn of_a_pipe(self) -> Self {
        if self.hint == GO_ON { self.hint("type the same again; what comes from a pipe starts over") } else { self }
    }

    /// As it is to be told where `hub`, as shown, is a hub: what is permitted there depends on the
    /// account, not on key words.
    #[must_use]
    pub fn at_hub(self, hub: &str) -> Self {
        let joined = !self.hint.starts_with("ftx join");
        match self.exit {
            Exit::NotPermitted if joined => self.hint(format!("ftx ls {hub} shows the spaces and what they are for")),
            _ => self,
        }
    }

    /// The failure for programs.
    pub fn to_json(&self) -> Value {
        let mut object =
            json!({ "code": self.exit as u8, "error": self.error, "cause": self.cause, "hint": self.hint });
        if let Some(kept) = self.kept {
            object["kept"] = json!(kept);
        }
        object
    }
}

/// How a transfer that came to its end is to be judged.
pub fn of_summary(summary: &Summary, unreadable: usize) -> Exit {
    let kinds: Vec<FaultKind> = summary
        .outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Failed(fault) => Some(fault.kind),
            _ => None,
        })
        .collect();
    if kinds.contains(&FaultKind::Integrity) {
        Exit::Integrity
    } else if kinds.is_empty() && unreadable == 0 && !has_unreadable(&summary.left_out) {
        Exit::Done
    } else {
        Exit::Partly
    }
}

/// Whether the other side has something that it could not read and did not send.
pub fn has_unreadable(left_out: &[Fault]) -> bool {
    left_out.iter().any(|fault| fault.kind == FaultKind::Disk)
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.report()
    }
}

/// One exit for several. Where nothing was done, not even partly, why the first of them failed.
pub fn of_all(exits: &[Exit]) -> Exit {
    let first = exits.first().copied().unwrap_or(Exit::Done);
    let something = exits.iter().any(|exit| matches!(exit, Exit::Done | Exit::Partly));
    if something && exits.iter().any(|exit| *exit != first) { Exit::Partly } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_partly_is_said_only_where_somebody_got_something() {
        assert_eq!(of_all(&[Exit::Done, Exit::Done]), Exit::Done);
        assert_eq!(of_all(&[Exit::Declined, Exit::Done]), Exit::Partly);
        assert_eq!(of_all(&[Exit::Declined, Exit::Partly]), Exit::Partly);
        assert_eq!(of_all(&[Exit::NotFound, Exit::Declined]), Exit::NotFound);
    }
}
