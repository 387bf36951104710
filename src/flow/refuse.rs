//! Saying no, in the words of each request.

use tokio::io::{AsyncRead, AsyncWrite};

use super::fault::FlowFault;
use super::greet::Session;
use crate::base::fault::Fault;
use crate::wire::frame;
use crate::wire::give::Giving;
use crate::wire::hub::{Answer, Joining};
use crate::wire::message::{Listing, Pairing, Receiving, Request, Sending};

/// Refuses what the side that dialled wants, and ends the conversation.
///
/// # Errors
/// Where not even that reaches it.
pub async fn refuse<S: AsyncRead + AsyncWrite>(
    mut session: Session<S>,
    request: &Request,
    fault: Fault,
) -> Result<(), FlowFault> {
    let (fault, writer) = (fault.for_peers(), &mut session.writer);
    match request {
        Request::Push | Request::Preview | Request::PushTo(_) | Request::PreviewTo(_) => {
            let (kind, reason) = (fault.kind, fault.text);
            frame::write(writer, &Receiving::Decline { kind, reason }).await?;
        }
        Request::Pull(_) => frame::write(writer, &Sending::Abort(fault)).await?,
        Request::List(_) => frame::write(writer, &Listing::Abort(fault)).await?,
        Request::Pair => frame::write(writer, &Pairing::Refused(fault)).await?,
        Request::Join { .. } => frame::write(writer, &Joining::Refused(fault)).await?,
        Request::Ask(_) => frame::write(writer, &Answer::Abort(fault)).await?,
        Request::Take => frame::write(writer, &Giving::Refused(fault)).await?,
        // Who has no ticket learns nothing.
        Request::Attach { .. } => {}
    }
    session.close().await;
    Ok(())
}
