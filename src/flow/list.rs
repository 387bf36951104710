//! Listing what a peer shares.

use tokio::io::{AsyncRead, AsyncWrite};

use super::fault::FlowFault;
use super::greet::Session;
use super::pages::{Weighed, pages};
use crate::base::manifest::Entry;
use crate::wire::frame;
use crate::wire::limits::{MAX_ENTRIES, MAX_MANIFEST, MAX_PAGE};
use crate::wire::message::Listing;

/// Hears a listing.
///
/// # Errors
/// See [`FlowFault`].
pub async fn hear<S: AsyncRead + AsyncWrite>(mut session: Session<S>) -> Result<Vec<Entry>, FlowFault> {
    let (mut entries, mut weight) = (Vec::new(), 0);
    loop {
        match session.reader.next().await? {
            Listing::Page(page) => {
                weight += page.iter().map(Weighed::weight).sum::<usize>();
                let fits = page.len() <= MAX_PAGE && entries.len() + page.len() <= MAX_ENTRIES;
                if !fits || weight > MAX_MANIFEST || page.is_empty() {
                    return Err(FlowFault::unexpected("a listing of this size"));
                }
                if page.iter().any(|entry| entry.path.depth() > 1) {
                    return Err(FlowFault::unexpected("something below what is listed"));
                }
                entries.extend(page);
            }
            Listing::End => break,
            Listing::Abort(fault) => return Err(FlowFault::Theirs(fault)),
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
