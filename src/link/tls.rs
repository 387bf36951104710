//! TLS 1.3 with raw public keys on both sides (RFC 8446, RFC 7250).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use zeroize::Zeroizing;

use super::key::{Key, PublicKey};
use super::socket::Socket;
use crate::base::fault::plain;

/// What both sides offer as application protocol (RFC 7301).
const ALPN: &[u8] = b"ftx/1";

/// Plaintext that TLS takes before it insists on sending: small enough to stay in the cache until
/// the system has copied it, large enough for few syscalls.
const TLS_BUFFER: usize = 128 * 1024;

/// Both ends of TLS, with the node's own key.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    own: PublicKey,
}

/// An encrypted stream.
pub type Stream = TlsStream<Socket>;

/// A secret of one session, that only its two ends have (RFC 8446, section 7.5). Wiped when it is dropped,
/// never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Exporter(Zeroizing<[u8; 32]>);

impl From<[u8; 32]> for Exporter {
    fn from(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl std::ops::Deref for Exporter {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exporter(…)")
    }
}

/// A stream to a peer who has proven to hold its key.
#[derive(Debug)]
pub struct Link {
    /// The stream.
    pub stream: Stream,
    /// The peer's key.
    pub peer: PublicKey,
    /// The secret of this session.
    pub exporter: Exporter,
    /// The peer's address.
    pub address: SocketAddr,
}

impl Link {
    /// Keeps something until the stream is dropped, wherever that goes.
    pub fn hold(&mut self, what: impl std::any::Any + Send + Sync) {
        self.stream.get_mut().0.hold(what);
    }
}

/// Why there is no authenticated stream.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// The other side does not speak this, or not this version of it.
    #[error("the other side speaks another protocol")]
    Foreign,
    /// The handshake took too long.
    #[error("the other side did not finish the handshake")]
    Slow,
    /// The handshake failed otherwise.
    #[error("the handshake failed: {}", plain(.0))]
    Failed(#[source] io::Error),
}

impl Tls {
    /// TLS with this key.
    ///
    /// # Errors
    /// Where the cryptographic provider refuses the key, which it does not.
    pub fn new(key: &Key) -> Result<Self, Error> {
        let provider = Arc::new(provider());
        let der = PrivatePkcs8KeyDer::from(key.to_pkcs8());
        let signer = aws_lc_rs::sign::any_eddsa_type(&der)?;
        let spki = CertificateDer::from(key.public().to_spki());
        let certified = Arc::new(CertifiedKey::new(vec![spki], signer));
        let verifier = Arc::new(RawKeys(provider.signature_verification_algorithms));

        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier.clone())
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified.clone())));
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.send_tls13_tickets = 0;

        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .dangerous() // The peer's key itself is the identity; who may own it is decided above.
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified)));
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.enable_sni = false;
        client.resumption = Resumption::disabled();

        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
            own: key.public(),
        })
    }

    /// The node's own public key.
    pub fn own(&self) -> PublicKey {
        self.own
    }

    /// The handshake of the side that dialled.
    ///
    /// # Errors
    /// See [`TlsFault`].
    pub async fn connect(&self, tcp: TcpStream, patience: std::time::Duration) -> Result<Link, TlsFault> {
        let address = tcp.peer_addr().map_err(TlsFault::Failed)?;
        let name = ServerName::try_from("ftx").map_err(|_| TlsFault::Foreign)?;
        let stream = self.connector.connect(name, Socket::new(tcp));
        let stream = timeout(patience, stream).await.map_err(|_| TlsFault::Slow)?.map_err(fault)?;
        link(stream.into(), address)
    }

    /// The handshake of the side that was dialled.
    ///
    /// # Errors
    /// See [`TlsFault`].
    pub async fn accept(&self, tcp: TcpStream, patience: std::time::Duration) -> Result<Link, TlsFault> {
        let address = tcp.peer_addr().map_err(TlsFault::Failed)?;
        let stream = self.acceptor.accept(Socket::new(tcp));
        let stream = timeout(patience, stream).await.map_err(|_| TlsFault::Slow)?.map_err(fault)?;
        link(stream.into(), address)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("own", &self.own.id()).finish_non_exhaustive()
    }
}

fn link(mut stream: TlsStream<Socket>, address: SocketAddr) -> Result<Link, TlsFault> {
    let (_, session) = stream.get_ref();
    // rustls lets a peer pass that offers no protocol at all.
    if session.alpn_protocol() != Some(ALPN) {
        return Err(TlsFault::Foreign);
    }
    let der = session.peer_certificates().and_then(|c| c.first()).ok_or(TlsFault::Foreign)?;
    let peer = PublicKey::from_spki(der).ok_or(TlsFault::Foreign)?;
    let mut exporter = Exporter::from([0; 32]);
    let label = b"EXPORTER-ftx session";
    let exported = match &mut stream {
        TlsStream::Client(stream) => {
            let session = stream.get_mut().1;
            session.set_buffer_limit(Some(TLS_BUFFER));
            session.export_keying_material(&mut *exporter.0, label, None)
        }
        TlsStream::Server(stream) => {
            let session = stream.get_mut().1;
            session.set_buffer_limit(Some(TLS_BUFFER));
            session.export_keying_material(&mut *exporter.0, label, None)
        }
    };
    exported.map_err(|error| TlsFault::Failed(io::Error::other(error)))?;
    Ok(Link { stream, peer, exporter, address })
}

/// Tells another protocol from another failure.
fn fault(error: io::Error) -> TlsFault {
    let foreign = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).is_some_and(|error| {
        matches!(
            error,
            Error::InvalidMessage(_)
                | Error::PeerIncompatible(_)
                | Error::NoApplicationProtocol
                | Error::AlertReceived(
                    rustls::AlertDescription::NoApplicationProtocol | rustls::AlertDescription::ProtocolVersion
                )
        )
    });
    if foreign { TlsFault::Foreign } else { TlsFault::Failed(error) }
}

/// The provider, with the cipher first that this processor is fastest at.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    use aws_lc_rs::cipher_suite as suite;
    provider.cipher_suites = if has_aes() {
        vec![suite::TLS13_AES_128_GCM_SHA256, suite::TLS13_CHACHA20_POLY1305_SHA256]
    } else {
        vec![suite::TLS13_CHACHA20_POLY1305_SHA256, suite::TLS13_AES_128_GCM_SHA256]
    };
    provider
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

/// Accepts every Ed25519 key whose owner signs the handshake.
#[derive(Debug)]
struct RawKeys(WebPkiSupportedAlgorithms);

impl RawKeys {
    fn check_key(der: &CertificateDer<'_>) -> Result<(), Error> {
        match PublicKey::from_spki(der) {
            Some(_) => Ok(()),
            None => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(message, &SubjectPublicKeyInfoDer::from(key.as_ref()), signature, &self.0)
    }
}

impl ServerCertVerifier for RawKeys {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Self::check_key(key).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for RawKeys {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Self::check_key(key).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn both_sides_learn_the_others_key_and_share_a_secret() {
        let (alice, bob) = (Key::generate().unwrap(), Key::generate().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Tls::new(&alice).unwrap();
        let accepted = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            server.accept(tcp, PATIENCE).await.unwrap()
        });
        let tcp = TcpStream::connect(address).await.unwrap();
        let there = Tls::new(&bob).unwrap().connect(tcp, PATIENCE).await.unwrap();
        let here = accepted.await.unwrap();
        assert_eq!(there.peer, alice.public());
        assert_eq!(here.peer, bob.public());
        assert_eq!(here.exporter, there.exporter);
    }

    #[tokio::test]
    async fn another_protocol_is_told_as_such() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let _ = tcp.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
            let _ = tcp.shutdown().await;
        });
        let tcp = TcpStream::connect(address).await.unwrap();
        let fault = Tls::new(&Key::generate().unwrap()).unwrap().connect(tcp, PATIENCE).await.unwrap_err();
        assert!(matches!(fault, TlsFault::Foreign), "{fault}");
    }
}
