//! Answering an offer: whether it is accepted, and what of it is there already.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::Speaker;
use crate::base::entries::Entries;
use crate::base::event::Stage;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::{Entry, Have};
use crate::disk::partial::Partial;
use crate::disk::root::Root;
use crate::flow::consent::{Answer, Proposal, Verdict};
use crate::flow::fault::FlowFault;
use crate::flow::intake::Intake;
use crate::flow::pages::pages;
use crate::flow::room::Room;
use crate::flow::underway::{Underway, WAITING_EACH};
use crate::wire::limits::PROGRESS;
use crate::wire::message::Receiving;

impl<S> Speaker<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Takes room for more of the manifest, or declines the offer. What is accepted already ends.
    pub(super) async fn make_room(&mut self, bytes: usize) -> Result<(), FlowFault> {
        let Some(Err(Fault { kind, text: reason })) = self.room.as_mut().map(|room| room.take(bytes)) else {
            return Ok(());
        };
        if self.partial.is_some() {
            return Err(FlowFault::Ours(Fault { kind, text: reason }));
        }
        self.voice.say(&Receiving::Decline { kind, reason: reason.clone() }).await?;
        Err(FlowFault::Declined { kind, reason })
    }

    /// Has the offer decided on, while the sender is kept waiting in good order.
    pub(super) async fn ask(
        &mut self,
        question: Box<dyn FnOnce(Proposal) -> Answer + Send>,
        entries: Entries,
    ) -> Result<(), FlowFault> {
        let (transfer, _) = self.offer.ok_or_else(|| FlowFault::unexpected("an answer before the offer"))?;
        let mut answer = question(Proposal { transfer, entries: entries.clone() });
        self.progress.send_modify(|p| p.stage = Stage::Asking);
        let verdict = match timeout(PROGRESS, &mut answer).await {
            Ok(verdict) => verdict,
            Err(_) => {
                self.voice.say(&Receiving::Asking).await?;
                self.voice.alive_until(answer).await?
            }
        };
        match verdict {
            Verdict::Accept(root) => self.accept_all(root, &entries).await,
            Verdict::Decline { kind, reason } => {
                self.voice.say(&Receiving::Decline { kind, reason: reason.clone() }).await?;
                Err(FlowFault::Declined { kind, reason })
            }
        }
    }

    /// Opens the staging and says yes.
    pub(super) async fn accept(&mut self, root: Root) -> Result<(), FlowFault> {
        self.open(root).await?;
        // Ready before the sender can know that it may go on.
        self.begin();
        self.say_accept().await
    }

    /// Says yes, and what lets further connections in.
    async fn say_accept(&mut self) -> Result<(), FlowFault> {
        self.voice.say(&Receiving::Accept).await?;
        match self.lanes.place.as_ref().map(|place| place.ticket) {
            Some(ticket) => self.voice.say(&Receiving::Ticket(ticket)).await,
            None => Ok(()),
        }
    }

    /// Says yes to a whole manifest, if there is room for what is missing of it.
    pub(super) async fn accept_all(&mut self, root: Root, entries: &Entries) -> Result<(), FlowFault> {
        self.open(root).await?;
        let haves = match self.admit(entries.iter().cloned().collect()).await {
            Err(FlowFault::Ours(Fault { kind: kind @ (FaultKind::Disk | FaultKind::NotPermitted), text: reason })) => {
                self.voice.say(&Receiving::Decline { kind, reason: reason.clone() }).await?;
                return Err(FlowFault::Declined { kind, reason });
            }
            haves => haves?,
        };
        self.begin();
        self.say_accept().await?;
        self.tell_haves(haves).await
    }

    async fn open(&mut self, root: Root) -> Result<(), FlowFault> {
        let (transfer, set) = self.offer.ok_or_else(|| FlowFault::unexpected("an answer before the offer"))?;
        let sender = self.sender;
        self.free = root.spare_space();
        let opened = self.patiently(move || Partial::open(&root, sender, &set, transfer)).await?;
        self.partial = Some(Arc::new(opened));
        Ok(())
    }

    /// From now on bytes may come.
    fn begin(&mut self) {
        self.progress.send_modify(|p| p.stage = Stage::Moving);
        self.room.iter_mut().for_each(Room::accepted);
        self.lanes.place.iter().for_each(|place| place.moves.begin());
        if let Some(partial) = &self.partial {
            let underway = self.lanes.underway.as_ref().map(|(underway, _)| underway);
            let waiting = underway.map_or(WAITING_EACH, Underway::waiting);
            let buffers = underway.map(Underway::buffers).unwrap_or_default();
            if let Some(failed) = self.failed.take() {
                let _ = self.ear.intake.set(Intake::start(partial, &failed, waiting, buffers));
            }
        }
    }

    async fn admit(&mut self, page: Vec<Entry>) -> Result<Vec<Have>, FlowFault> {
        let partial = self.partial.clone().ok_or_else(|| FlowFault::unexpected("a page before the offer"))?;
        let sizes: Vec<u64> = page.iter().map(Entry::size).collect();
        if self.by_content {
            partial.compare_contents();
        }
        let admitted = self.patiently(move || {
            let haves = partial.admit(page)?;
            let kept: u64 = sizes.iter().zip(&haves).map(|(size, have)| have.bytes_of(*size)).sum();
            let missing = sizes.iter().sum::<u64>() - kept;
            if let Some(keeper) = partial.keeper() {
                keeper.expect(missing)?;
            }
            // Of what is only compared most needs no room; where it does, it is looked for before it is written.
            let is_compared = |have: &Have| matches!(have, Have::Digest(_));
            let compared: u64 =
                sizes.iter().zip(&haves).filter(|(_, have)| is_compared(have)).map(|(size, _)| size).sum();
            Ok((haves, kept, missing - compared))
        });
        let (haves, kept, missing) = admitted.await?;
        self.progress.send_modify(|p| p.bytes_kept += kept);
        let outdated = haves.iter().zip(self.admitted..).filter(|(have, _)| **have == Have::Outdated);
        self.anew.extend(outdated.map(|(_, place)| place));
        self.admitted += haves.len() as u32;
        if let Some(free) = &mut self.free {
            if *free < missing {
                let mib = |bytes: u64| bytes.div_ceil(1 << 20);
                let text =
                    format!("not enough room: {} MiB more are needed, {} MiB are free", mib(missing), mib(*free));
                return Err(FlowFault::Ours(Fault::new(FaultKind::Disk, text)));
            }
            *free -= missing;
        }
        Ok(haves)
    }

    pub(super) async fn answer_page(&mut self, page: Vec<Entry>) -> Result<(), FlowFault> {
        let haves = self.admit(page).await?;
        self.tell_haves(haves).await
    }

    async fn tell_haves(&mut self, haves: Vec<Have>) -> Result<(), FlowFault> {
        for page in pages(haves) {
            self.voice.say(&Receiving::Have(page)).await?;
        }
        Ok(())
    }
}
