//! Having something done at a hub: one verb, and what comes of it in pages.

use std::future::Future;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use super::fault::FlowFault;
use super::greet::{Greeted, Session};
use super::pages::{Weighed, pages};
use super::patience::Patience;
use crate::base::fault::Fault;
use crate::base::path::RelPath;
use crate::wire::frame;
use crate::wire::hub::{Answer, Item, Standing, Verb, Version};
use crate::wire::limits::{KEEP_ALIVE, MAX_ENTRIES, MAX_MANIFEST, MAX_PAGE, MAX_RECEIPT};
use crate::wire::message::Request;

/// What a hub tells of what was done; a verb fills what it is about, and the rest is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Of [`Verb::Standing`].
    pub standing: Option<Standing>,
    /// Of [`Verb::Look`] and [`Verb::Find`].
    pub items: Vec<Item>,
    /// Of [`Verb::Versions`].
    pub versions: Vec<Version>,
    /// Of [`Verb::Receipts`], each of at most [`MAX_RECEIPT`] bytes.
    pub receipts: Vec<String>,
    /// How many files it concerned.
    pub files: u64,
    /// What came of it, where that is not what was named.
    pub path: Option<RelPath>,
}

/// Has something done at a hub and hears what came of it, however long it takes there.
///
/// # Errors
/// See [`FlowFault`]; the hub's own word as [`FlowFault::Theirs`].
pub async fn ask<S: AsyncRead + AsyncWrite>(greeted: Greeted<S>, verb: Verb) -> Result<Told, FlowFault> {
    let mut session = greeted.ask(Request::Ask(verb.clone())).await?;
    let (mut hearing, mut patience) = (Hearing::default(), Patience::new());
    loop {
        let answer = session.reader.next().await?;
        if !answers(&answer, &verb) {
            return Err(FlowFault::unexpected("what the hub says"));
        }
        match answer {
            Answer::KeepAlive => patience.moving(hearing.count as u64)?,
            Answer::Standing(standing) if hearing.told.standing.is_none() => hearing.told.standing = Some(standing),
            Answer::Standing(_) => return Err(FlowFault::unexpected("the same again")),
            Answer::Items(page) => hearing.page(page, |told| &mut told.items)?,
            Answer::Versions(page) => hearing.page(page, |told| &mut told.versions)?,
            Answer::Receipts(page) => hearing.page(page, |told| &mut told.receipts)?,
            Answer::Done { files, path } => {
                session.close().await;
                return Ok(Told { files, path, ..hearing.told });
            }
            Answer::Abort(fault) => return Err(FlowFault::Theirs(fault)),
        }
    }
}

/// Whether a hub may say this to a verb.
fn answers(answer: &Answer, verb: &Verb) -> bool {
    match answer {
        Answer::Standing(_) => matches!(verb, Verb::Standing),
        Answer::Items(_) => matches!(verb, Verb::Look { .. } | Verb::Find { .. }),
        Answer::Versions(_) => matches!(verb, Verb::Versions(_)),
        Answer::Receipts(_) => matches!(verb, Verb::Receipts(_)),
        Answer::Done { .. } | Answer::KeepAlive | Answer::Abort(_) => true,
    }
}

/// What has been told so far, and how much of it there is.
#[derive(Default)]
struct Hearing {
    told: Told,
    count: usize,
    weight: usize,
}

impl Hearing {
    fn page<T: Weighed>(&mut self, page: Vec<T>, list: fn(&mut Told) -> &mut Vec<T>) -> Result<(), FlowFault> {
        self.count += page.len();
        self.weight += page.iter().map(Weighed::weight).sum::<usize>();
        if page.is_empty() || page.len() > MAX_PAGE || self.count > MAX_ENTRIES || self.weight > MAX_MANIFEST {
            return Err(FlowFault::unexpected("an answer of this size"));
        }
        list(&mut self.told).extend(page);
        Ok(())
    }
}

/// Answers, as the hub: keeps the connection alive while `work` is under way, then tells what came
/// of it, or why it is not done.
///
/// # Errors
/// Where the answer does not reach the device. `work` is dropped where it hangs up before that.
pub async fn answer<S: AsyncRead + AsyncWrite>(
    mut session: Session<S>,
    work: impl Future<Output = Result<Told, Fault>>,
) -> Result<(), FlowFault> {
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            biased;
            done = &mut work => break done,
            () = sleep(KEEP_ALIVE) => frame::write(&mut session.writer, &Answer::KeepAlive).await?,
        }
    };
    match done {
        Ok(told) => tell(&mut session, told).await?,
        Err(fault) => frame::write(&mut session.writer, &Answer::Abort(fault.for_peers())).await?,
    }
    session.close().await;
    Ok(())
}

/// Tells what came of it, page by page.
async fn tell<S: AsyncRead + AsyncWrite>(session: &mut Session<S>, told: Told) -> Result<(), FlowFault> {
    let writer = &mut session.writer;
    if let Some(standing) = told.standing {
        frame::write(writer, &Answer::Standing(standing)).await?;
    }
    for page in pages(told.items) {
        frame::write(writer, &Answer::Items(page)).await?;
    }
    for page in pages(told.versions) {
        frame::write(writer, &Answer::Versions(page)).await?;
    }
    // One too long to be heard would keep the others from being told.
    let receipts = told.receipts.into_iter().filter(|receipt| receipt.len() <= MAX_RECEIPT).collect();
    for page in pages::<String>(receipts) {
        frame::write(writer, &Answer::Receipts(page)).await?;
    }
    frame::write(writer, &Answer::Done { files: told.files, path: told.path }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;

    use tokio::io::DuplexStream;
    use tokio::time::Instant;

    use super::*;
    use crate::base::fault::FaultKind;
    use crate::base::id::{Role, TransferId};
    use crate::base::manifest::{EntryKind, Stamp};
    use crate::base::path::Name;
    use crate::flow::greet::{Me, Proof};
    use crate::link::key::Key;
    use crate::wire::hub::{Rank, VersionId};
    use crate::wire::limits::IDLE;

    /// A device that has greeted a hub and asked it something, and the hub that heard it.
    async fn asked(verb: Verb, hub: impl AsyncFnOnce(Session<DuplexStream>, Verb)) -> Result<Told, FlowFault> {
        let (one, two) = tokio::io::duplex(1 << 12);
        let me = |name: &str, role| Me { key: Arc::new(Key::generate().unwrap()), name: name.into(), role };
        let (device, theirs) = (me("alice", Role::Peer), me("lab-hub", Role::Hub));
        let proof = |of: &Me| Proof { peer: of.key.public(), exporter: [7; 32].into() };
        let (to_hub, to_device) = (proof(&theirs), proof(&device));
        let asking = async { ask(Greeted::dialled(one, to_hub, &device).await.unwrap(), verb).await };
        let answering = async {
            let (session, request) = Session::answered(two, to_device, &theirs).await.unwrap();
            let Request::Ask(verb) = request else { panic!("{request:?}") };
            hub(session, verb).await;
        };
        tokio::join!(asking, answering).0
    }

    fn item(number: u32) -> Item {
        Item {
            path: RelPath::parse(&format!("shared/{}/{number}", "ä".repeat(100))).unwrap(),
            kind: EntryKind::File { size: u64::MAX, modified: Stamp { seconds: i64::MIN, nanos: 9 }, executable: true },
            owner: Some(Name::parse(&"o".repeat(255)).unwrap()),
            sha256: Some([9; 32]),
            versions: u32::MAX,
            about: Some("x".repeat(512).into()),
        }
    }

    fn version(number: u64) -> Version {
        Version {
            id: VersionId::new(),
            path: RelPath::parse("shared/a").unwrap(),
            size: number,
            modified: Stamp { seconds: 1, nanos: 2 },
            owner: None,
            kept: u64::MAX,
            by: Some(Name::parse(&"b".repeat(255)).unwrap()),
            replaced: true,
            digest: None,
        }
    }

    #[tokio::test]
    async fn however_much_is_told_all_of_it_is_heard_in_order() {
        let standing = Standing {
            account: Name::parse("alice").unwrap(),
            rank: Rank::Member,
            used: 5,
            quota: None,
            largest: Some(9),
            spaces: vec![Name::parse("shared").unwrap()],
        };
        let done = || Told { files: 7, path: Some(RelPath::parse("shared/a (1)").unwrap()), ..Told::default() };
        let look = Verb::Look { path: None, deep: true, sha256: true };
        let versions = Verb::Versions(RelPath::parse("shared/a").unwrap());
        let receipts = (0..300).map(|n| format!("{n}{}", "r".repeat(MAX_RECEIPT - 10))).collect();
        for (verb, told) in [
            (Verb::Standing, Told { standing: Some(standing), ..done() }),
            (look, Told { items: (0..3000).map(item).collect(), ..done() }),
            (versions, Told { versions: (0..3000).map(version).collect(), ..done() }),
            (Verb::Receipts(TransferId::new()), Told { receipts, ..done() }),
        ] {
            let (same, wanted) = (told.clone(), verb.clone());
            let heard = asked(verb, async |session, verb| {
                assert_eq!(verb, wanted);
                answer(session, ready(Ok(told))).await.unwrap();
            });
            assert!(heard.await.unwrap() == same);
        }
    }

    #[tokio::test]
    async fn why_it_is_not_done_is_heard_as_the_hub_says_it() {
        let no = Fault::new(FaultKind::NotPermitted, "that is not yours");
        let said = no.clone();
        let heard = asked(Verb::Remove(vec![]), async |session, _| answer(session, ready(Err(said))).await.unwrap());
        assert!(matches!(heard.await, Err(FlowFault::Theirs(fault)) if fault == no));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_long_keeps_the_connection_alive() {
        let begun = Instant::now();
        let work = async {
            sleep(IDLE * 4).await;
            Ok(Told { files: 1, ..Told::default() })
        };
        let heard = asked(Verb::Leave, async |session, _| answer(session, work).await.unwrap()).await;
        assert_eq!(heard.unwrap().files, 1);
        assert!(begun.elapsed() >= IDLE * 4);
    }

    #[tokio::test(start_paused = true)]
    async fn work_for_a_device_that_hung_up_is_dropped() {
        let (kept, mut dropped) = tokio::sync::oneshot::channel::<()>();
        let heard = asked(Verb::Leave, async |session, _| {
            let Session { reader, writer, me, exporter, peer, words, to, stranger } = session;
            let (unread, gone) = tokio::io::duplex(1);
            drop(gone);
            let (read, write) = tokio::io::split(unread);
            drop((reader, writer));
            let session = Session {
                reader: frame::FrameReader::new(read),
                writer: write,
                me,
                exporter,
                peer,
                words,
                to,
                stranger,
            };
            let work = async {
                let _kept = kept;
                pending().await
            };
            assert!(answer(session, work).await.is_err());
        });
        assert!(matches!(heard.await, Err(FlowFault::Lost(_))));
        assert!(dropped.try_recv().is_err_and(|error| error == tokio::sync::oneshot::error::TryRecvError::Closed));
    }

    #[tokio::test]
    async fn a_page_longer_than_allowed_is_refused() {
        let heard = asked(Verb::Receipts(crate::base::id::TransferId::new()), async |mut session, _| {
            let long = vec![String::new(); MAX_PAGE + 1];
            frame::write(&mut session.writer, &Answer::Receipts(long)).await.unwrap();
            session.close().await;
        });
        assert!(matches!(heard.await, Err(FlowFault::Ours(fault)) if fault.kind == FaultKind::Protocol));
    }
}
