//! What is said when files are handed over by a code, before they move. New messages go to the end: a
//! message's place is its number on the wire.

use serde::{Deserialize, Serialize};

use crate::base::fault::Fault;

/// What either side says about the code. Whoever takes begins; who says nothing learns nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Giving {
    /// The taker: HMAC-SHA-256 under the stretched code; see `man/ftx-protocol.7`.
    Proof([u8; 32]),
    /// The giver: it is right, and this is its own proof of the same code. What is given follows.
    Proven([u8; 32]),
    /// The giver: it is wrong. The code stands so many more wrong ones.
    Wrong {
        /// None left: the code is burnt.
        left: u8,
    },
    /// The giver: no, whatever the code.
    Refused(Fault),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::FaultKind;

    /// The numbers of messages on the wire: a change here is a new protocol.
    #[test]
    fn golden_bytes() {
        let bytes = |message: &Giving| postcard::to_allocvec(message).unwrap();
        assert_eq!(bytes(&Giving::Proof([7; 32])), [&[0][..], &[7; 32]].concat());
        assert_eq!(bytes(&Giving::Proven([8; 32])), [&[1][..], &[8; 32]].concat());
        assert_eq!(bytes(&Giving::Wrong { left: 2 }), [2, 2]);
        assert_eq!(bytes(&Giving::Refused(Fault::new(FaultKind::Declined, "no"))), b"\x03\x02\x02no");
    }
}
