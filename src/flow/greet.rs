//! How every connection begins: both sides say `Hello`, and the one that dialled what it wants.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::fault::FlowFault;
use super::words::{self, KeyWords};
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::{PeerId, Role};
use crate::base::path::RelPath;
use crate::base::text::PeerText;
use crate::link::key::{Key, PublicKey};
use crate::link::tls::Exporter;
use crate::wire::frame::{self, FrameFault, FrameReader};
use crate::wire::hello::{Hello, MAGIC, OLDEST, VERSION};
use crate::wire::limits::{GREETING, MAX_FRAME, MAX_HELLO};
use crate::wire::message::{Opening, Request};

/// This node, as it introduces itself.
#[derive(Debug, Clone)]
pub struct Me {
    /// Its key.
    pub key: Arc<Key>,
    /// Its name.
    pub name: String,
    /// Peer or hub.
    pub role: Role,
}

/// The other side of a conversation: who it has proven to be, and what it calls itself.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its key, proven by TLS.
    pub key: PublicKey,
    /// What it calls itself.
    pub name: PeerText,
    /// What it says it is.
    pub role: Role,
    /// The software it runs.
    pub software: PeerText,
}

impl Peer {
    /// Who it is.
    pub fn id(&self) -> PeerId {
        self.key.id()
    }
}

/// What TLS proved of a stream.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The other side's key.
    pub peer: PublicKey,
    /// A secret of the session.
    pub exporter: Exporter,
}

/// A conversation under way.
#[derive(Debug)]
pub struct Session<S> {
    /// What the other side says.
    pub(super) reader: FrameReader<ReadHalf<S>>,
    /// Where this side speaks.
    pub(super) writer: WriteHalf<S>,
    /// This side.
    pub(super) me: Me,
    /// A secret of the session, that only its two ends have.
    pub(super) exporter: Exporter,
    /// The other side.
    pub peer: Peer,
    /// The words that both screens show.
    pub words: KeyWords,
    /// Into which folder of a hub this side sends, if it sends into one.
    pub(super) to: Option<RelPath>,
    /// Where the other side is, if it has never been met.
    pub(super) stranger: Option<IpAddr>,
}

/// A conversation in which the side that dialled has not said yet what it wants.
#[derive(Debug)]
pub struct Greeted<S> {
    session: Session<S>,
    nonce: [u8; 32],
}

impl<S> Greeted<S> {
    /// The other side.
    pub fn peer(&self) -> &Peer {
        &self.session.peer
    }
}

impl<S: AsyncRead + AsyncWrite> Greeted<S> {
    /// Greets, as the side that dialled.
    ///
    /// # Errors
    /// Where the other side speaks another version, or does not answer.
    pub async fn dialled(stream: S, proof: Proof, me: &Me) -> Result<Self, FlowFault> {
        let (read, mut writer) = tokio::io::split(stream);
        let mut reader = FrameReader::new(read);
        let nonce = words::nonce().ok_or_else(no_randomness)?;
        frame::write(&mut writer, &Hello::ours(&me.name, me.role, words::commitment(&nonce))).await?;
        let hello: Hello = reader.next_within(GREETING, MAX_HELLO).await?;
        let theirs = hello.words;
        let peer = check(hello, proof.peer)?;
        let pair = words::Session {
            exporter: &proof.exporter,
            dialled: (me.key.public(), &nonce),
            answered: (proof.peer, &theirs),
        };
        let words = pair.words().ok_or_else(no_randomness)?;
        Ok(Self {
            session: Session {
                reader,
                writer,
                me: me.clone(),
                exporter: proof.exporter,
                peer,
                words,
                to: None,
                stranger: None,
            },
            nonce,
        })
    }

    /// Says what is wanted.
    ///
    /// # Errors
    /// Where the connection fails.
    pub async fn ask(mut self, request: Request) -> Result<Session<S>, FlowFault> {
        self.session.to = match &request {
            Request::PushTo(folder) | Request::PreviewTo(folder) => Some(folder.clone()),
            _ => None,
        };
        frame::write(&mut self.session.writer, &Opening { nonce: self.nonce, request }).await?;
        Ok(self.session)
    }
}

impl<S: AsyncRead + AsyncWrite> Session<S> {
    /// Greets, as the side that was dialled, and hears what is wanted.
    ///
    /// # Errors
    /// Where the other side speaks another version, breaks its commitment, or says nothing.
    pub async fn answered(stream: S, proof: Proof, me: &Me) -> Result<(Self, Request), FlowFault> {
        let (read, mut writer) = tokio::io::split(stream);
        let mut reader = FrameReader::new(read);
        let hello: Hello = reader.next_within(GREETING, MAX_HELLO).await?;
        let nonce = words::nonce().ok_or_else(no_randomness)?;
        // Also to a peer of another version: it is to learn ours.
        frame::write(&mut writer, &Hello::ours(&me.name, me.role, nonce)).await?;
        let committed = hello.words;
        let peer = check(hello, proof.peer)?;
        let opening: Opening = reader.next_within(GREETING, MAX_FRAME).await?;
        if words::commitment(&opening.nonce) != committed {
            return Err(FlowFault::Ours(Fault::new(FaultKind::Identity, "the nonce is not the one committed to")));
        }
        let pair = words::Session {
            exporter: &proof.exporter,
            dialled: (proof.peer, &opening.nonce),
            answered: (me.key.public(), &nonce),
        };
        let words = pair.words().ok_or_else(no_randomness)?;
        let (exporter, me) = (proof.exporter, me.clone());
        Ok((Self { reader, writer, me, exporter, peer, words, to: None, stranger: None }, opening.request))
    }

    /// The other side has never been met: what it offers from this address has little room until it is
    /// accepted.
    pub fn is_of_a_stranger(&mut self, at: IpAddr) {
        self.stranger = Some(at);
    }

    /// Ends the conversation in good order; a failure here changes nothing any more.
    pub(super) async fn close(mut self) {
        let _ = tokio::time::timeout(GREETING, self.writer.shutdown()).await;
    }
}

fn no_randomness() -> FlowFault {
    FlowFault::Ours(Fault::new(FaultKind::Other, "the system gives no randomness"))
}

fn check(hello: Hello, key: PublicKey) -> Result<Peer, FlowFault> {
    if hello.magic != MAGIC {
        return Err(FlowFault::Lost(FrameFault::Malformed));
    }
    if hello.agree().is_none() {
        let (theirs, software) = ((hello.oldest, hello.newest), hello.software);
        return Err(FlowFault::Version { ours: (OLDEST, VERSION), theirs, software });
    }
    Ok(Peer { key, name: hello.name, role: hello.role, software: hello.software })
}
