//! Who somebody is says their key and nothing else: not a name, not discovery, not an address.

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;

use ftx::base::id::Role;
use ftx::link::key::Key;
use ftx::wire::hello::Hello;
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use crate::house::home::Home;
use crate::house::hostile::{NONCE, commitment};
use crate::house::process::Ran;

/// The trust that `ftx peers` tells of a name, and how it shows it to a person.
fn trust(home: &Home, name: &str) -> (String, String) {
    let seen = home.run(&["peers"]).done().objects();
    let told = seen.iter().find(|peer| peer["name"] == *name).map(|peer| peer["trust"].as_str().unwrap().to_owned());
    let shown = home.run_plain(&["peers"]).done().out;
    let line = shown.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    (told.unwrap_or_default(), line)
}

#[test]
fn s8_the_four_states_are_told_and_shown() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    let is = |state: &str| {
        let (told, line) = crate::house::until("alice is seen", || {
            Some(trust(&bob, alice.name())).filter(|(_, line)| line.contains("live"))
        });
        assert!(told == state && line.contains(state), "{state}: {told}, {line}");
    };
    is("stranger");
    bob.write("a", "a");
    bob.run(&["push", "a", &node.at()]).done();
    is("known");
    bob.run(&["trust", "--yes", alice.name()]).done();
    is("trusted");
    bob.run(&["block", alice.name()]).done();
    is("blocked");
    bob.run(&["forget", alice.name()]).done();
    is("stranger");
}

/// The key words of a first contact that a command told.
pub(crate) fn words_of(ran: &Ran) -> String {
    let met = ran.objects().into_iter().find(|object| object["event"] == "first_contact");
    met.unwrap_or_else(|| panic!("no first contact: {ran:?}"))["key_words"].as_str().unwrap().to_owned()
}

#[test]
fn s8_a_first_contact_shows_the_same_four_words_on_both_sides_also_where_nobody_is_asked() {
    let (bob, carol, alice) = (Home::new("bob"), Home::new("carol"), Home::new("alice"));
    alice.write("notes/n", "n");
    let node = alice.up(&["--accept", "all", "--share", "notes", "--share-with", "all"]);
    bob.write("a", "a");
    let pushed = words_of(&bob.run(&["push", "a", &node.at()]).done());
    let pulled = words_of(&carol.run(&["pull", &format!("{}:notes", node.at())]).done());
    assert!(pushed.split(' ').count() == 4 && pushed != pulled);
    let told: Vec<_> = node.events("first_contact").into_iter().map(|met| met["key_words"].clone()).collect();
    assert_eq!(told, [pushed, pulled]);
    // A person reads them, too; and those who know each other are spared them.
    let dave = Home::new("dave");
    let listed = dave.run_plain(&["ls", &node.at()]).done();
    assert!(listed.err.contains("first contact with") && listed.err.contains("key words: "), "{listed:?}");
    bob.write("b", "b");
    let again = bob.run(&["push", "b", &node.at()]).done();
    assert!(!again.out.contains("key_words"), "{again:?}");
    assert_eq!(node.events("first_contact").len(), 3);
}

/// Whom the other side has met, it shows no words any more: words on one screen alone are a false alarm.
#[cfg(unix)]
#[test]
fn s8_a_first_contact_is_one_whatever_becomes_of_the_transfer() {
    use crate::house::dam::Dam;
    use crate::house::process::Stream;
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("big", crate::house::noise(1, 20 << 20));
    let dam = Dam::before(node.port(), 4 << 20);
    let pushing = bob.start(&["push", "big", &dam.at(), "--retry", "0"]);
    pushing.wait_for(Stream::Out, "first contact", |line| line.contains("first_contact").then_some(()));
    pushing.kill();
    let again = bob.run(&["push", "big", &node.at()]).done();
    assert!(!again.out.contains("first_contact"), "{again:?}");
    assert_eq!(node.events("first_contact").len(), 1);
    // Who shares nothing has been met all the same, and its key is the one from now on.
    let carol = Home::new("carol");
    let pull = |code| carol.run(&["pull", &node.at()]).exits(code);
    let (first, second) = (words_of(&pull(1)), pull(1));
    assert!(first.split(' ').count() == 4 && second.out.is_empty(), "{second:?}");
    let posing = Home::named(alice.name());
    let posing_node = posing.up_for_all();
    let told = carol.run(&["pull", &posing_node.at()]).exits(6).failure();
    assert!(told.contains("another key"), "{told}");
}

#[test]
fn s8_kde_connect_cve_2025_32900_a_known_peer_that_takes_on_anothers_name_is_refused_on_both_sides() {
    let (alice, bob, mallory) = (Home::new("alice"), Home::new("bob"), Home::new("mallory"));
    let node = alice.up_for_all();
    for (home, file) in [(&bob, "b"), (&mallory, "m")] {
        home.write(file, file);
        home.run(&["push", file, &node.at()]).done();
    }
    // Alice knows both; one now calls itself as the other.
    let push = |name: &str| {
        let mut command = mallory.command(&["push", "m2", &node.at(), "--json"]);
        let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let at = args.iter().position(|arg| arg == mallory.name()).unwrap();
        command = std::process::Command::new(crate::house::home::PROGRAM);
        mallory.dress(&mut command);
        command.args(args.iter().enumerate().map(|(n, arg)| if n == at { name.into() } else { arg.clone() }));
        crate::house::process::Process::start(command).end()
    };
    mallory.write("m2", "m2");
    let told = push(&bob.name().to_uppercase()).exits(6).failure();
    assert!(told.contains("another key"), "{told}");
    assert_eq!(alice.tree("inbox"), ["b", "m"]);
    // A new name of its own is nobody's.
    push("somebody-else").done();

    // The other way: alice's machine answers under bob's name.
    let bobs = bob.up_for_all();
    let (carol, file) = (Home::new("carol"), "c");
    carol.write(file, file);
    carol.run(&["push", file, &bobs.at()]).done();
    carol.run(&["push", file, &node.at()]).done();
    drop((node, bobs));
    let posing = Home::named(bob.name());
    fs::create_dir_all(posing.path(".config")).unwrap();
    fs::rename(alice.path(".config/ftx"), posing.path(".config/ftx")).unwrap();
    let posing_node = posing.up_for_all();
    carol.write("secret", "s");
    let told = carol.run(&["push", "secret", &posing_node.at()]).exits(6).failure();
    assert!(told.contains("nothing was sent"), "{told}");
    assert!(posing.tree("inbox").is_empty());
}

/// 40 bits of a key can be ground: whoever is meant by a short id is whom the book knows.
#[test]
fn s8_whoever_is_named_by_an_id_that_the_book_knows_must_have_that_key() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    bob.write("a", "a");
    bob.run(&["push", "a", &node.at()]).done();
    // The book as it were if alice had the other key that begins like this one.
    let book = fs::read_to_string(bob.path(".config/ftx/peers.toml")).unwrap();
    let id = node.up["id"].as_str().unwrap();
    let (last, other) = (&id[id.len() - 2..], if id.ends_with("aa") { "ba" } else { "aa" });
    let ground = format!("{}{other}", id.strip_suffix(last).unwrap());
    fs::write(bob.path(".config/ftx/peers.toml"), book.replace(id, &ground)).unwrap();
    for target in [format!("{}~{}", alice.name(), node.short()), format!("~{}", node.short()), node.at()] {
        let ran = bob.run(&["push", "a", &target, "--retry", "0"]).exits(6);
        assert!(ran.failure().contains("key") || ran.failure().contains("address"), "{target}: {ran:?}");
    }
    assert_eq!(alice.tree("inbox"), ["a"]);
}

#[cfg(unix)]
#[test]
fn s8_a_hub_with_another_key_is_not_joined_and_hears_no_proof() {
    let mut hub = crate::house::hub::Hub::start();
    let anna = Home::new("anna");
    hub.join(&anna, "anna", "member");
    hub.stop().done();
    fs::remove_file(hub.path(".ftx/key")).unwrap();
    hub.restart();
    let code = anna.write("code", hub.invite(&[]));
    let told = anna.run(&["join", &hub.at(""), "--code-file", code.to_str().unwrap()]).exits(6).failure();
    assert!(told.contains("another key") && told.contains("ftx forget"), "{told}");
    anna.write("a", "a");
    anna.run(&["push", "a", &hub.at("shared")]).exits(6);
    assert!(hub.events("joined").is_empty() && hub.events("join_refused").is_empty());
}

/// What is signed under any key: zeros, but for what stands for the neutral point. It fits everything under
/// a key of small order.
#[derive(Debug)]
struct Forged;

impl rustls::sign::SigningKey for Forged {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        Some(Box::new(Self))
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        rustls::SignatureAlgorithm::ED25519
    }
}

impl rustls::sign::Signer for Forged {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut signature = vec![0; 64];
        signature[0] = 1;
        Ok(signature)
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Whoever answers is right: it is this side that lies.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Dials under a key and greets; whether a `Hello` comes back.
fn is_greeted(port: u16, key: &[u8], signer: Arc<dyn rustls::sign::SigningKey>) -> bool {
    let certified = Arc::new(rustls::sign::CertifiedKey::new(vec![CertificateDer::from(key.to_vec())], signer));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified)));
    config.alpn_protocols = vec![b"ftx/1".to_vec()];
    let session = rustls::ClientConnection::new(Arc::new(config), ServerName::try_from("ftx").unwrap()).unwrap();
    let tcp = std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).unwrap();
    tcp.set_read_timeout(Some(crate::house::PATIENCE)).unwrap();
    let mut stream = rustls::StreamOwned::new(session, tcp);
    let mut hello = Vec::new();
    ftx::wire::frame::encode(&Hello::ours("mallory", Role::Peer, commitment(&NONCE)), &mut hello).unwrap();
    let said = stream.write_all(&hello).and_then(|()| stream.flush());
    said.and_then(|()| stream.read_exact(&mut [0; 4])).is_ok()
}

/// Whoever trusted such a key would trust everybody.
#[test]
fn s8_a_key_that_everybody_can_sign_for_is_nobodys() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    let key = Key::generate().unwrap();
    let honest = rustls::crypto::aws_lc_rs::sign::any_eddsa_type(&key.to_pkcs8().into()).unwrap();
    assert!(is_greeted(node.port(), &key.public().to_spki(), honest));
    let mut small = key.public().to_spki();
    let at = small.len() - 32;
    small[at..].fill(0);
    small[at] = 1;
    assert!(!is_greeted(node.port(), &small, Arc::new(Forged)));
    // The same signature under a key of somebody is none, either.
    assert!(!is_greeted(node.port(), &key.public().to_spki(), Arc::new(Forged)));
}
