//! Handing over by a code: whoever takes shows that it has the code, then whoever gives does, and neither
//! says it. What is given then moves as in a pull.

use tokio::io::{AsyncRead, AsyncWrite};

use super::code::Code;
use super::fault::FlowFault;
use super::greet::{Greeted, Session};
use super::secret::{Purpose, Side, Stretched, Terms, blocking};
use crate::base::fault::{Fault, FaultKind};
use crate::wire::frame;
use crate::wire::give::Giving;
use crate::wire::limits::{GREETING, MAX_HELLO};
use crate::wire::message::Request;

/// What a giver answers to a taker.
#[derive(Debug)]
pub enum Answered<S> {
    /// Both have the same code; what is given follows.
    Proven(Box<Session<S>>),
    /// The code is another one there, which stands so many more wrong ones.
    Wrong {
        /// None left: it is burnt.
        left: u8,
    },
}

/// Shows a giver the code, as the taker, and checks that it has the same before anything else is said.
///
/// # Errors
/// The giver's refusal as [`FlowFault::Theirs`]; [`FaultKind::Identity`] where it says that the code is right
/// and cannot prove that it has it.
pub async fn take<S: AsyncRead + AsyncWrite>(greeted: Greeted<S>, code: &Code) -> Result<Answered<S>, FlowFault> {
    let mut session = greeted.ask(Request::Take).await?;
    let terms = Terms::of(&session, Side::First, Purpose::Give, Vec::new());
    let stretched = stretch(&terms, code).await?;
    frame::write(&mut session.writer, &Giving::Proof(terms.first_proof(&stretched))).await?;
    match session.reader.next().await? {
        Giving::Proven(proof) if terms.second_has(&stretched, &proof) => Ok(Answered::Proven(Box::new(session))),
        Giving::Proven(_) => {
            let text = "somebody who does not know the code answered in the giver's place";
            Err(FlowFault::Ours(Fault::new(FaultKind::Identity, text)))
        }
        Giving::Wrong { left } => Ok(Answered::Wrong { left }),
        Giving::Refused(fault) => Err(FlowFault::Theirs(fault)),
        Giving::Proof(_) => Err(FlowFault::unexpected("what the giver says")),
    }
}

async fn stretch(terms: &Terms, code: &Code) -> Result<Stretched, FlowFault> {
    let (terms, code) = (terms.clone(), code.clone());
    blocking(move || terms.stretch(code.secret())).await
}

/// A taker that has shown something, which is still to be checked.
#[derive(Debug)]
pub struct Candidate<S> {
    session: Session<S>,
    guess: Guess,
}

/// What a taker has shown, to be checked on a thread of its own.
#[derive(Debug, Clone)]
pub struct Guess {
    terms: Terms,
    proof: [u8; 32],
}

/// Hears a taker's proof, as the giver. Nothing has been said to it by then.
///
/// # Errors
/// Where it says nothing in time, or what has no place.
pub async fn hear<S: AsyncRead + AsyncWrite>(mut session: Session<S>) -> Result<Candidate<S>, FlowFault> {
    match session.reader.next_within(GREETING, MAX_HELLO).await? {
        Giving::Proof(proof) => {
            let terms = Terms::of(&session, Side::Second, Purpose::Give, Vec::new());
            Ok(Candidate { session, guess: Guess { terms, proof } })
        }
        _ => Err(FlowFault::unexpected("what the taker says")),
    }
}

impl Guess {
    /// What proves the code in return, where the guess is right. Takes 20 ms and blocks.
    ///
    /// # Errors
    /// Where memory is short.
    pub fn check(&self, code: &Code) -> Result<Option<Stretched>, Fault> {
        let stretched = self.terms.stretch(code.secret())?;
        Ok(Some(stretched).filter(|stretched| self.terms.first_has(stretched, &self.proof)))
    }
}

impl<S> Candidate<S> {
    /// What it has shown.
    pub fn guess(&self) -> Guess {
        self.guess.clone()
    }
}

impl<S: AsyncRead + AsyncWrite> Candidate<S> {
    /// Tells it that its code is wrong, and how many more the right one stands.
    ///
    /// # Errors
    /// Where not even that reaches it.
    pub async fn wrong(mut self, left: u8) -> Result<(), FlowFault> {
        frame::write(&mut self.session.writer, &Giving::Wrong { left }).await?;
        self.session.close().await;
        Ok(())
    }

    /// Tells it no.
    ///
    /// # Errors
    /// Where not even that reaches it.
    pub async fn refuse(self, fault: Fault) -> Result<(), FlowFault> {
        super::refuse::refuse(self.session, &Request::Take, fault).await
    }

    /// Proves the code to it in return; what is given may follow.
    ///
    /// # Errors
    /// Where that does not reach it.
    pub async fn prove(mut self, stretched: &Stretched) -> Result<Session<S>, FlowFault> {
        let proof = self.guess.terms.second_proof(stretched);
        frame::write(&mut self.session.writer, &Giving::Proven(proof)).await?;
        Ok(self.session)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::DuplexStream;

    use super::*;
    use crate::base::id::Role;
    use crate::flow::greet::{Me, Proof};
    use crate::link::key::{Key, PublicKey};

    const CODE: &str = "17-outpost-sermon-muscular";

    fn code(typed: &str) -> Code {
        typed.parse().unwrap()
    }

    type Conversation = Session<DuplexStream>;

    /// A taker, and a giver that does as it is told; the exporters of their two ends.
    async fn between(
        exporters: [[u8; 32]; 2],
        typed: &str,
        giver: impl AsyncFnOnce(Conversation),
    ) -> Result<Answered<DuplexStream>, FlowFault> {
        let (one, two) = tokio::io::duplex(1 << 12);
        let me = |name: &str| Me { key: Arc::new(Key::generate().unwrap()), name: name.into(), role: Role::Peer };
        let (taker, theirs) = (me("taker"), me("giver"));
        let proof = |of: &Me, exporter: [u8; 32]| Proof { peer: of.key.public(), exporter: exporter.into() };
        let (to_giver, to_taker) = (proof(&theirs, exporters[0]), proof(&taker, exporters[1]));
        let taking = async { take(Greeted::dialled(one, to_giver, &taker).await?, &code(typed)).await };
        let giving = async {
            let (session, request) = Session::answered(two, to_taker, &theirs).await.unwrap();
            assert_eq!(request, Request::Take);
            giver(session).await;
        };
        tokio::join!(taking, giving).0
    }

    #[tokio::test]
    async fn both_prove_the_code_and_a_wrong_one_is_told() {
        let right = between([[7; 32]; 2], CODE, async |session| {
            let candidate = hear(session).await.unwrap();
            let stretched = candidate.guess().check(&code(CODE)).unwrap().unwrap();
            candidate.prove(&stretched).await.unwrap();
        });
        assert!(matches!(right.await, Ok(Answered::Proven(_))));
        let wrong = between([[7; 32]; 2], "17-outpost-sermon-squeegee", async |session| {
            let candidate = hear(session).await.unwrap();
            assert!(candidate.guess().check(&code(CODE)).unwrap().is_none());
            candidate.wrong(2).await.unwrap();
        });
        assert!(matches!(wrong.await, Ok(Answered::Wrong { left: 2 })));
    }

    /// A giver that does not have the code: it says something, or the taker's own proof.
    #[tokio::test]
    async fn a_giver_without_the_code_is_found_out() {
        for back in [false, true] {
            let told = between([[7; 32]; 2], CODE, async |mut session| {
                let Giving::Proof(proof) = session.reader.next().await.unwrap() else { unreachable!() };
                let proof = if back { proof } else { [1; 32] };
                frame::write(&mut session.writer, &Giving::Proven(proof)).await.unwrap();
                // Nothing more is said to it.
                let next = session.reader.next::<Giving>().await;
                assert!(matches!(next, Err(frame::FrameFault::Ended)), "{next:?}");
            });
            assert_eq!(told.await.unwrap_err().kind(), FaultKind::Identity);
        }
    }

    #[tokio::test]
    async fn a_proof_is_of_one_session_and_of_two_keys() {
        // A man in the middle has two sessions, whose exporters differ.
        let told = between([[7; 32], [8; 32]], CODE, async |session| {
            let candidate = hear(session).await.unwrap();
            assert!(candidate.guess().check(&code(CODE)).unwrap().is_none());
        });
        assert_eq!(told.await.unwrap_err().kind(), FaultKind::Lost);
        let told = between([[7; 32]; 2], CODE, async |session| {
            let Guess { terms, proof } = hear(session).await.unwrap().guess();
            let opens = |terms| Guess { terms, proof }.check(&code(CODE)).unwrap().is_some();
            assert!(opens(terms.clone()));
            let other = Key::generate().unwrap().public();
            for wrong in [
                Terms { first: other, ..terms.clone() },
                Terms { second: other, ..terms.clone() },
                Terms { first: terms.second, second: terms.first, ..terms.clone() },
                Terms { purpose: Purpose::Join, ..terms.clone() },
                Terms { about: vec![0], ..terms.clone() },
            ] {
                assert!(!opens(wrong));
            }
        });
        assert_eq!(told.await.unwrap_err().kind(), FaultKind::Lost);
    }

    #[tokio::test]
    async fn what_has_no_place_ends_it() {
        let told = between([[7; 32]; 2], CODE, async |mut session| {
            let proof = session.reader.next::<Giving>().await.unwrap();
            frame::write(&mut session.writer, &proof).await.unwrap();
        });
        assert_eq!(told.await.unwrap_err().kind(), FaultKind::Protocol);
        for message in [Giving::Proven([1; 32]), Giving::Wrong { left: 1 }] {
            let (one, two) = tokio::io::duplex(1 << 12);
            let me = |name: &str| Me { key: Arc::new(Key::generate().unwrap()), name: name.into(), role: Role::Peer };
            let (taker, giver) = (me("taker"), me("giver"));
            let proof = |of: &Me| Proof { peer: of.key.public(), exporter: [7; 32].into() };
            let (to_giver, to_taker) = (proof(&giver), proof(&taker));
            let hostile = async {
                let mut session =
                    Greeted::dialled(one, to_giver, &taker).await.unwrap().ask(Request::Take).await.unwrap();
                frame::write(&mut session.writer, &message).await.unwrap();
                session
            };
            let answering = async { hear(Session::answered(two, to_taker, &giver).await.unwrap().0).await };
            let (_session, told) = tokio::join!(hostile, answering);
            assert_eq!(told.unwrap_err().kind(), FaultKind::Protocol, "{message:?}");
        }
    }

    /// The example of `man/ftx-protocol.7`.
    #[test]
    fn golden_bytes_of_a_proof() {
        let (first, second) = (PublicKey([2; 32]), PublicKey([3; 32]));
        let terms = Terms { purpose: Purpose::Give, exporter: [1; 32].into(), first, second, about: Vec::new() };
        let code = code("17 Outpost Sermon Muscular");
        let stretched = terms.stretch(code.secret()).unwrap();
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let made = [
            hex(&Purpose::Give.salt(&[1; 32])),
            hex(stretched.as_bytes()),
            hex(&terms.first_proof(&stretched)),
            hex(&terms.second_proof(&stretched)),
        ];
        // By other software, but for argon2id.
        let golden = [
            "0516f58c8b3aaf34dde64a71829527a3",
            "f40ccf1239d4375859164d4d722539d305967b0f830358b2dbe2f8ac551de348",
            "9be02f50db9a403cc966551a02775f3f98bf7ff7ae6df41d370b8e59807e9920",
            "e4fcbd044fc0c6128c4986e663408e3f60f97eb1d80452f0a805b9243b13d5df",
        ];
        assert_eq!(made, golden);
    }
}
