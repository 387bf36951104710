//! What a transfer would move: the manifest and what is there of it, without a byte written.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::fault::{FlowFault, LAST_WORD, lost_thread};
use super::greet::Session;
use super::hear::{Ear, Heard, hear};
use super::limit::Limit;
use super::outgoing::Outgoing;
use super::pages::pages;
use super::patience::Patience;
use super::speak::{Mouth, Telling, open};
use super::underway::Pulse;
use crate::base::entries::Entries;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::TransferId;
use crate::base::manifest::Have;
use crate::disk::peek::Peek;
use crate::disk::root::Root;
use crate::wire::frame;
use crate::wire::limits::{KEEP_ALIVE, MAX_PAGE};
use crate::wire::message::{Receiving, Sending};

/// What would move.
#[derive(Debug, Default)]
pub struct Preview {
    /// The entries.
    pub entries: Entries,
    /// What the receiver has of each.
    pub haves: Vec<Have>,
    /// What the other side would not send.
    pub left_out: Vec<Fault>,
}

/// Asks what a push would move, over a session that wants a preview.
///
/// # Errors
/// See [`FlowFault`]; declined, where the receiver does not tell without asking a person.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    mut session: Session<S>,
    outgoing: &Outgoing,
) -> Result<Preview, FlowFault> {
    let set = outgoing.set(session.to.as_ref());
    let mut mouth = Mouth::new(session.writer, Limit::none(), Pulse::new());
    let mut lost = open(&mut mouth, outgoing, (TransferId::new(), set), None).await.err();
    let mut telling = Telling::new(outgoing, |_, _| {});
    let (mut haves, mut accepted, mut patience) = (Vec::new(), false, Patience::new());
    'heard: loop {
        if telling.over && haves.len() == outgoing.entries().len() {
            mouth.close().await;
            return Ok(Preview { entries: outgoing.entries(), haves, left_out: Vec::new() });
        }
        // A frame that is being read must not be dropped: what is to be told next is told after it.
        let heard = session.reader.next::<Receiving>();
        tokio::pin!(heard);
        let message = loop {
            if let Some(lost) = lost.take() {
                // What it said says more than that it hung up.
                let said = timeout(LAST_WORD, &mut heard).await.ok().and_then(Result::ok);
                break said.ok_or(lost)?;
            }
            tokio::select! {
                // Heard first: who answers must not wait for us while we wait to be read.
                biased;
                message = &mut heard => break message?,
                frames = telling.next(), if !telling.over => {
                    lost = mouth.frames(frames).await.err();
                    if lost.is_none() && telling.over && haves.len() == outgoing.entries().len() {
                        // Nothing more is to be heard.
                        continue 'heard;
                    }
                }
                // A slow disk on either side is no silence.
                () = sleep(KEEP_ALIVE) => lost = mouth.say(&Sending::KeepAlive).await.err(),
            }
        };
        match message {
            Receiving::KeepAlive => patience.moving(haves.len() as u64)?,
            Receiving::Accept if !accepted => accepted = true,
            Receiving::Have(page) if accepted && !page.is_empty() && page.len() <= MAX_PAGE => {
                // Those that it answers may have been found only while it was waited for.
                let entries = outgoing.entries();
                let fits = page
                    .iter()
                    .enumerate()
                    .all(|(at, have)| entries.get(haves.len() + at).is_some_and(|entry| have.is_of(entry)));
                if !fits {
                    return Err(FlowFault::unexpected("more than was offered"));
                }
                haves.extend(page);
            }
            Receiving::Decline { kind, reason } if !accepted => return Err(FlowFault::Declined { kind, reason }),
            Receiving::Abort(fault) => return Err(FlowFault::Theirs(fault)),
            _ => return Err(FlowFault::unexpected("what the receiver says")),
        }
    }
}

/// Tells a sender what its push would move, until it hangs up. Without a `root`, where its folder is not
/// there yet, all of it would.
///
/// # Errors
/// See [`FlowFault`].
pub async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    session: Session<S>,
    root: Option<&Root>,
) -> Result<(), FlowFault> {
    look(session, root, Tell::Yes).await.map(drop)
}

/// Looks at what a pull would move, over a session that pulls; then lets the sender go. Without a
/// `root`, where its folder is not there yet, all of it would.
///
/// # Errors
/// See [`FlowFault`].
pub async fn pull<S: AsyncRead + AsyncWrite + Unpin>(
    session: Session<S>,
    root: Option<&Root>,
) -> Result<Preview, FlowFault> {
    look(session, root, Tell::No).await
}

/// Whether the sender is told what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tell {
    Yes,
    No,
}

async fn look<S: AsyncRead + AsyncWrite + Unpin>(
    mut session: Session<S>,
    root: Option<&Root>,
    tell: Tell,
) -> Result<Preview, FlowFault> {
    let (told, mut heard) = mpsc::channel(4);
    // Without an intake, bytes have no place.
    let ear = Ear { intake: Arc::default(), limit: Limit::none(), pulse: Pulse::new() };
    let hearing = hear(&mut session.reader, told, &ear);
    tokio::pin!(hearing);
    let (mut preview, mut peek, mut by_content) = (Preview::default(), None, false);
    let patience = Patience::new();
    let mut quiet = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    quiet.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            biased;
            message = heard.recv() => message,
            fault = &mut hearing => return if tell == Tell::Yes && fault.kind() == FaultKind::Lost { Ok(preview) } else { Err(fault) },
            _ = quiet.tick() => {
                patience.offering()?;
                frame::write(&mut session.writer, &Receiving::KeepAlive).await?;
                continue;
            }
        };
        match message {
            Some(Heard::Offer { set, .. }) => {
                let look = |root| Arc::new(Peek::open(root, session.peer.id(), &set));
                peek = Some(root.map(look));
                if tell == Tell::Yes {
                    frame::write(&mut session.writer, &Receiving::Accept).await?;
                }
            }
            Some(Heard::ByContent) => by_content = true,
            Some(Heard::Page(page)) => {
                let Some(peek) = peek.clone() else { return Err(FlowFault::unexpected("a page before the offer")) };
                let mut looked = tokio::task::spawn_blocking(move || {
                    let nothing = || vec![Have::Nothing; page.len()];
                    (peek.map_or_else(nothing, |peek| peek.haves(&page, by_content)), page)
                });
                let looked = loop {
                    tokio::select! {
                        looked = &mut looked => break looked,
                        _ = quiet.tick() => frame::write(&mut session.writer, &Receiving::KeepAlive).await?,
                    }
                };
                let (haves, page) = looked.map_err(|_| FlowFault::Ours(lost_thread()))?;
                if tell == Tell::Yes {
                    for page in pages(haves) {
                        frame::write(&mut session.writer, &Receiving::Have(page)).await?;
                    }
                } else {
                    preview.entries.push(page);
                    preview.haves.extend(haves);
                }
            }
            Some(Heard::LeftOut(fault)) => preview.left_out.push(fault),
            Some(Heard::PagesEnd) if tell == Tell::No => {
                let decline = Receiving::Decline { kind: FaultKind::Declined, reason: "only looked at".into() };
                frame::write(&mut session.writer, &decline).await?;
                return Ok(preview);
            }
            Some(Heard::PagesEnd) => {}
            // Who is served may attach lanes, and does not; who would send has none to let in.
            Some(Heard::Ticket(_)) if tell == Tell::No => {}
            Some(Heard::Ticket(_)) => return Err(FlowFault::unexpected("a ticket")),
            Some(Heard::End { .. }) | None => return Err(FlowFault::unexpected("an end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Role;
    use crate::disk::item::Item;
    use crate::disk::source::Source;
    use crate::flow::greet::{Greeted, Me, Proof};
    use crate::flow::outgoing::Manner;
    use crate::link::key::Key;
    use crate::wire::limits::IDLE;
    use crate::wire::message::Request;

    /// Two sides that have greeted each other: the one that sends, and the one that receives.
    async fn sessions() -> (Session<tokio::io::DuplexStream>, Session<tokio::io::DuplexStream>) {
        let (one, two) = tokio::io::duplex(1 << 16);
        let me = |name: &str| Me { key: Arc::new(Key::generate().unwrap()), name: name.into(), role: Role::Peer };
        let (alice, bob) = (me("alice"), me("bob"));
        let proof = |of: &Me| Proof { peer: of.key.public(), exporter: [7; 32].into() };
        let (to_bob, to_alice) = (proof(&bob), proof(&alice));
        let dialling = async {
            let greeted = Greeted::dialled(one, to_bob, &alice).await.unwrap();
            greeted.ask(Request::Preview).await.unwrap()
        };
        let (sender, receiver) = tokio::join!(dialling, Session::answered(two, to_alice, &bob));
        (sender, receiver.unwrap().0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_waits_for_an_answer_keeps_the_connection_alive() {
        let (sender, mut receiver) = sessions().await;
        let text = Item::Text { name: crate::base::path::Name::parse("t").unwrap(), bytes: Arc::from(&b"t"[..]) };
        let outgoing = Outgoing::start(Source::new(vec![text]), Manner::default());
        let hearing = async {
            frame::write(&mut receiver.writer, &Receiving::Accept).await.unwrap();
            let begun = Instant::now();
            while begun.elapsed() < IDLE * 3 {
                receiver.reader.next::<Sending>().await.unwrap();
                frame::write(&mut receiver.writer, &Receiving::KeepAlive).await.unwrap();
            }
        };
        tokio::select! {
            result = ask(sender, &outgoing) => panic!("{result:?}"),
            () = hearing => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_waits_for_more_keeps_the_connection_alive() {
        let home = tempfile::tempdir().unwrap();
        let root = Root::open(home.path()).unwrap();
        let (mut sender, receiver) = sessions().await;
        let hearing = async {
            let begun = Instant::now();
            while begun.elapsed() < IDLE * 3 {
                assert_eq!(sender.reader.next::<Receiving>().await.unwrap(), Receiving::KeepAlive);
                frame::write(&mut sender.writer, &Sending::KeepAlive).await.unwrap();
            }
        };
        tokio::select! {
            result = pull(receiver, Some(&root)) => panic!("{result:?}"),
            () = hearing => {}
        }
    }
}
