//! Who is accepted, who is asked about, who is refused.

use crate::base::book::Trust;
use crate::base::fault::{Fault, FaultKind};

/// Told among other things where nobody can be asked.
pub const NOBODY: &str = "nobody is at its terminal";

/// Told where the folder that receives has been removed.
pub const GONE: &str = "the folder that receives is gone there";

/// Whose offers are accepted without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// Nobody's: a person decides.
    Ask,
    /// Those of trusted peers.
    Trusted,
    /// Everybody's who is not blocked.
    All,
    /// Nobody's, and nobody is asked.
    None,
}

impl Accept {
    /// The word used on the command line and in announcements.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Trusted => "trusted",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// Whether there is anybody to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Person {
    /// At a terminal.
    Present,
    /// Nobody.
    Absent,
}

/// The rules of a node.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Whom to accept without asking.
    pub accept: Accept,
    /// Whether somebody can be asked.
    pub person: Person,
}

/// What the rules say of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Take it.
    Accept,
    /// Ask the person.
    Ask,
    /// Refuse it.
    Decline(Fault),
}

impl Policy {
    /// What to do with an offer of a peer trusted this far.
    pub fn decide(self, trust: Trust) -> Decision {
        let decline = |text: &str| Decision::Decline(Fault::new(FaultKind::Declined, text));
        match (self.accept, trust, self.person) {
            (_, Trust::Blocked, _) => Decision::Decline(Fault::new(FaultKind::Identity, "you are blocked there")),
            (Accept::None, ..) => decline("nothing is accepted there"),
            (Accept::All, ..) | (Accept::Trusted, Trust::Trusted, _) => Decision::Accept,
            (_, _, Person::Present) => Decision::Ask,
            (Accept::Trusted, ..) => decline(&format!("only trusted peers are accepted there, and {NOBODY}")),
            (Accept::Ask, ..) => decline(&format!("{NOBODY} to ask; start it with --accept trusted or all")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rules_accept_and_nobody_blocked_gets_in() {
        let all = [Trust::Blocked, Trust::Stranger, Trust::Known, Trust::Trusted];
        for person in [Person::Present, Person::Absent] {
            for accept in [Accept::Ask, Accept::Trusted, Accept::All, Accept::None] {
                for trust in all {
                    let decision = Policy { accept, person }.decide(trust);
                    let may = match accept {
                        Accept::All => trust != Trust::Blocked,
                        Accept::Trusted => trust == Trust::Trusted,
                        _ => false,
                    };
                    assert_eq!(decision == Decision::Accept, may, "{accept:?} {trust:?} {person:?}");
                    assert!(decision != Decision::Ask || person == Person::Present);
                }
            }
        }
    }
}
