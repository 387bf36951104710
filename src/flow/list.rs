//! Listing what a peer shares.

use tokio::io::{AsyncRead, AsyncWrite};

use super::fault::FlowFault;
use super::greet::Session;
use super::pages::pages;
use crate::base::manifest::Entry;
use crate::wire::frame;
use crate::wire::limits::{MAX_ENTRIES, MAX_PAGE};
use crate::wire::message::Listing;

/// Hears a listing.
///
/// # Errors
/// See [`FlowFault`].
pub async fn hear<S: AsyncRead + AsyncWrite>(mut session: Session<S>) -> Result<Vec<Entry>, FlowFault> {
    let mut entries = Vec::new();
    loop {
        match session.reader.next().await? {
            Listing::Page(page) if page.len() <= MAX_PAGE && entries.len() + page.len() <= MAX_ENTRIES => {
                entries.extend(page);
            }
            Listing::End => break,
            Listing::Abort(fault) => return Err(FlowFault::Theirs(fault)),
            Listing::Page(_) => return Err(FlowFault::unexpected("a listing of this size")),
        }
    }
    session.close().await;
    Ok(entries)
}

/// Tells a listing.
///
/// # Errors
/// See [`FlowFault`].
pub async fn tell<S: AsyncRead + AsyncWrite>(mut session: Session<S>, entries: Vec<Entry>) -> Result<(), FlowFault> {
    for page in pages(entries) {
        frame::write(&mut session.writer, &Listing::Page(page)).await?;
    }
    frame::write(&mut session.writer, &Listing::End).await?;
    session.close().await;
    Ok(())
}
