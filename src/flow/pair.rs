//! Two people compare key words and trust each other's node.

use std::future::Future;

use tokio::io::{AsyncRead, AsyncWrite};

use super::fault::FlowFault;
use super::greet::Session;
use crate::base::fault::{Fault, FaultKind};
use crate::wire::frame;
use crate::wire::limits::{KEEP_ALIVE, PROMPT};
use crate::wire::message::Pairing;

/// What the other side answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// The words are the same there, and it trusts us now.
    Agreed,
    /// They are not, or nobody could look.
    Refused(Fault),
}

/// Waits, as the side that dialled, for what the person there answers.
///
/// # Errors
/// See [`FlowFault`].
pub async fn wait<S: AsyncRead + AsyncWrite>(mut session: Session<S>) -> Result<Agreement, FlowFault> {
    let answer = tokio::time::timeout(PROMPT, async {
        loop {
            match session.reader.next().await? {
                Pairing::Asking => {}
                Pairing::Agreed => return Ok::<_, FlowFault>(Agreement::Agreed),
                Pairing::Refused(fault) => return Ok(Agreement::Refused(fault)),
            }
        }
    });
    let agreement =
        answer.await.map_err(|_| FlowFault::Ours(Fault::new(FaultKind::TimedOut, "nobody answered there")))??;
    session.close().await;
    Ok(agreement)
}

/// Has a person here compare the words and tells the other side.
///
/// # Errors
/// See [`FlowFault`].
pub async fn answer<S: AsyncRead + AsyncWrite>(
    mut session: Session<S>,
    asked: impl Future<Output = Agreement>,
) -> Result<Agreement, FlowFault> {
    tokio::pin!(asked);
    let agreement = loop {
        frame::write(&mut session.writer, &Pairing::Asking).await?;
        tokio::select! {
            agreement = &mut asked => break agreement,
            () = tokio::time::sleep(KEEP_ALIVE) => {}
        }
    };
    let message = match &agreement {
        Agreement::Agreed => Pairing::Agreed,
        Agreement::Refused(fault) => Pairing::Refused(fault.clone()),
    };
    frame::write(&mut session.writer, &message).await?;
    session.close().await;
    Ok(agreement)
}
