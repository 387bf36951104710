//! Two people compare key words and trust each other's node. Both sides do the same: each tells its
//! own person's answer, and each hears the other's before anything is trusted.

use std::future::Future;

use tokio::io::{AsyncRead, AsyncWrite, ReadHalf};
use tokio::time::timeout;

use super::fault::FlowFault;
use super::greet::Session;
use crate::base::fault::{Fault, FaultKind};
use crate::wire::frame::{self, FrameReader};
use crate::wire::limits::{KEEP_ALIVE, PROMPT};
use crate::wire::message::Pairing;

/// What one side answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// The words are the same there.
    Agreed,
    /// They are not, or nobody could look.
    Refused(Fault),
}

/// What both sides answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// This side.
    pub ours: Agreement,
    /// The other side.
    pub theirs: Agreement,
}

/// Has the person here asked, tells the answer, and waits for the other side's. `asked` is dropped
/// where the other side has refused already.
///
/// # Errors
/// See [`FlowFault`].
pub async fn compare<S: AsyncRead + AsyncWrite>(
    mut session: Session<S>,
    asked: impl Future<Output = Agreement>,
) -> Result<Compared, FlowFault> {
    let compared = timeout(PROMPT, both(&mut session, asked)).await;
    let compared = compared.unwrap_or_else(|_| {
        Err(FlowFault::Ours(Fault::new(FaultKind::TimedOut, "nobody answered at the other side")))
    })?;
    session.close().await;
    Ok(compared)
}

async fn both<S: AsyncRead + AsyncWrite>(
    session: &mut Session<S>,
    asked: impl Future<Output = Agreement>,
) -> Result<Compared, FlowFault> {
    let writer = &mut session.writer;
    let heard = hear(&mut session.reader);
    tokio::pin!(heard, asked);
    let (mut ours, mut theirs) = (None, None);
    loop {
        if let (Some(ours), Some(theirs)) = (&ours, &theirs) {
            return Ok(Compared { ours: Agreement::clone(ours), theirs: Agreement::clone(theirs) });
        }
        tokio::select! {
            biased;
            answer = &mut heard, if theirs.is_none() => {
                let answer = answer?;
                if ours.is_none() && matches!(answer, Agreement::Refused(_)) {
                    // Whoever refused waits for a last word, too.
                    let fault = Fault::new(FaultKind::Declined, "not asked any more");
                    frame::write(writer, &Pairing::Refused(fault.clone())).await?;
                    ours = Some(Agreement::Refused(fault));
                }
                theirs = Some(answer);
            }
            answer = &mut asked, if ours.is_none() => {
                let message = match &answer {
                    Agreement::Agreed => Pairing::Agreed,
                    Agreement::Refused(fault) => Pairing::Refused(fault.clone()),
                };
                frame::write(writer, &message).await?;
                ours = Some(answer);
            }
            () = tokio::time::sleep(KEEP_ALIVE) => frame::write(writer, &Pairing::Asking).await?,
        }
    }
}

async fn hear<S>(reader: &mut FrameReader<ReadHalf<S>>) -> Result<Agreement, FlowFault>
where
    ReadHalf<S>: AsyncRead + Unpin,
{
    loop {
        match reader.next().await? {
            Pairing::Asking => {}
            Pairing::Agreed => return Ok(Agreement::Agreed),
            Pairing::Refused(fault) => return Ok(Agreement::Refused(fault)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;

    use super::*;
    use crate::base::id::Role;
    use crate::flow::greet::{Greeted, Me, Proof};
    use crate::link::key::Key;
    use crate::wire::message::Request;

    fn me(name: &str) -> Me {
        Me { key: Arc::new(Key::generate().unwrap()), name: name.to_owned(), role: Role::Peer }
    }

    #[tokio::test]
    async fn a_refusal_is_heard_by_the_other_side_and_withdraws_its_question() {
        let (one, two) = tokio::io::duplex(1 << 16);
        let (alice, bob) = (me("alice"), me("bob"));
        let proof = |of: &Me| Proof { peer: of.key.public(), exporter: [7; 32].into() };
        let (to_bob, to_alice) = (proof(&bob), proof(&alice));
        let dialling = async {
            let session = Greeted::dialled(one, to_bob, &alice).await.unwrap().ask(Request::Pair).await.unwrap();
            let words = session.words.clone();
            let no = Agreement::Refused(Fault::new(FaultKind::Identity, "they differ"));
            (words, compare(session, ready(no)).await.unwrap())
        };
        let answering = async {
            let (session, request) = Session::answered(two, to_alice, &bob).await.unwrap();
            assert_eq!(request, Request::Pair);
            (session.words.clone(), compare(session, pending()).await.unwrap())
        };
        let ((words, dialled), (same, answered)) = tokio::join!(dialling, answering);
        assert_eq!(words, same, "both screens show the same words");
        assert!(matches!(&answered.theirs, Agreement::Refused(fault) if fault.kind == FaultKind::Identity));
        assert!(matches!(&dialled.ours, Agreement::Refused(fault) if fault.kind == FaultKind::Identity));
        assert!(matches!(dialled.theirs, Agreement::Refused(_)));
    }
}
