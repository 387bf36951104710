use std::sync::Arc;

use tokio::io::DuplexStream;

use super::*;
use crate::base::id::Role;
use crate::flow::greet::{Me, Proof};
use crate::link::key::Key as OwnKey;
use crate::link::key::PublicKey;

const CODE: &str = "apple-banana-cherry";

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn typed(by: Secret, secret: &str) -> Typed {
    Typed { account: Some(name("Anna")), by, secret: secret.to_owned().into(), password: None }
}

fn codes(codes: &[&str]) -> Lock {
    Lock::Codes(codes.iter().map(|code| (*code).to_owned().into()).collect())
}

type Conversation = Session<DuplexStream>;

/// A device that joins, and a hub that does as it is told; the exporters of their two ends.
async fn between(
    exporters: [[u8; 32]; 2],
    typed: Typed,
    hub: impl AsyncFnOnce(Conversation, Option<Name>),
) -> Result<(Name, Rank), FlowFault> {
    let (one, two) = tokio::io::duplex(1 << 12);
    let me = |name: &str, role| Me { key: Arc::new(OwnKey::generate().unwrap()), name: name.into(), role };
    let (device, theirs) = (me("laptop", Role::Peer), me("lab", Role::Hub));
    let proof =
        |of: &Me, exporter| Proof { peer: of.key.public(), exporter: crate::link::tls::Exporter::from(exporter) };
    let (to_hub, to_device) = (proof(&theirs, exporters[0]), proof(&device, exporters[1]));
    let joining = async { join(Greeted::dialled(one, to_hub, &device).await?, typed).await };
    let answering = async {
        let Ok((session, request)) = Session::answered(two, to_device, &theirs).await else { return };
        let Request::Join { account, .. } = request else { panic!("{request:?}") };
        hub(session, account).await;
    };
    tokio::join!(joining, answering).0
}

async fn joined(typed: Typed, hub: impl AsyncFnOnce(Conversation, Option<Name>)) -> Result<(Name, Rank), FlowFault> {
    between([[7; 32]; 2], typed, hub).await
}

/// A hub as it should be.
async fn honest(session: Conversation, account: Option<Name>, lock: &Lock) -> Option<Password> {
    let candidate = challenge(session, account, lock).await.unwrap();
    match candidate.key().open(lock).unwrap() {
        None => {
            candidate.refuse(Fault::new(FaultKind::NotPermitted, "no")).await.unwrap();
            None
        }
        Some(opened) => {
            let mut welcomed = candidate.welcome(&opened, name("Anna"), Rank::Member).await.unwrap();
            let password = welcomed.password.take();
            welcomed.done().await.unwrap();
            password
        }
    }
}

#[tokio::test]
async fn a_code_is_proven_both_ways_however_it_is_typed_and_the_password_arrives() {
    let lock = codes(&["one-two-three", CODE, "four-five-six"]);
    for secret in [CODE, "APPLE banana  cherry", " Apple-Banana Cherry\n", "applebananacherry"] {
        let typed = Typed { password: Some("pass wörd".to_owned().into()), ..typed(Secret::Code, secret) };
        let mut set = None;
        let told = joined(typed, async |session, account| {
            assert_eq!(account, Some(name("Anna")));
            set = honest(session, account, &lock).await;
        });
        assert_eq!(told.await.unwrap(), (name("Anna"), Rank::Member), "{secret}");
        let password = set.unwrap();
        assert_eq!(password.stretched, Stretched::new("pass wörd", &password.salt).unwrap());
    }
}

#[tokio::test]
async fn a_password_is_the_same_however_its_letters_are_composed() {
    let Password { salt, stretched } = new_password("pass w\u{f6}rd").unwrap();
    let lock = Lock::Password { salt, stretched: Some(stretched) };
    let told = joined(typed(Secret::Password, "pass wo\u{308}rd"), async |session, account| {
        honest(session, account, &lock).await;
    });
    assert_eq!(told.await.unwrap().0, name("Anna"));
}

#[tokio::test]
async fn what_is_wrong_opens_nothing() {
    let password = new_password("right").unwrap();
    let real = Lock::Password { salt: password.salt, stretched: Some(password.stretched) };
    let nobodys = Lock::Password { salt: [3; 16], stretched: None };
    for (by, secret, lock) in [
        (Secret::Code, "apple-banana-cherries", &codes(&[CODE])),
        (Secret::Code, "apple-banana", &codes(&[CODE])),
        (Secret::Code, CODE, &codes(&[])),
        (Secret::Code, "", &codes(&[CODE])),
        (Secret::Password, "Right", &real),
        (Secret::Password, "", &nobodys),
        (Secret::Password, "right", &nobodys),
    ] {
        let told = joined(typed(by, secret), async |session, account| {
            assert_eq!(honest(session, account, lock).await, None);
        });
        let told = told.await.unwrap_err();
        assert!(matches!(&told, FlowFault::Theirs(fault) if fault.kind == FaultKind::NotPermitted), "{told}");
    }
}

/// A proof under nothing, for an account that there is not, is no proof.
#[tokio::test]
async fn an_account_that_is_not_there_cannot_be_proven() {
    let lock = Lock::Password { salt: [3; 16], stretched: None };
    let told = joined(typed(Secret::Password, "x"), async |session, account| {
        let candidate = challenge(session, account, &lock).await.unwrap();
        let proof = candidate.terms.first_proof(&Stretched::from_bytes([0; 32]));
        assert!(Key { proof, ..candidate.key() }.open(&lock).unwrap().is_none());
    });
    assert_eq!(told.await.unwrap_err().kind(), FaultKind::Lost);
}

#[tokio::test]
async fn somebody_in_between_gets_nowhere_with_what_both_sides_say() {
    // Two sessions, as a man in the middle has them: their exporters differ.
    let told = between([[7; 32], [8; 32]], typed(Secret::Code, CODE), async |session, account| {
        // The device asked for account, and the words agree, but for the exporter.
        drop(challenge(session, account, &codes(&[CODE])).await);
    });
    assert_eq!(told.await.unwrap_err().kind(), FaultKind::Identity, "the salt is of another session");

    let told = joined(typed(Secret::Code, CODE), async |session, account| {
        let candidate = challenge(session, account, &codes(&[CODE])).await.unwrap();
        let (terms, proof) = (candidate.terms.clone(), candidate.proof);
        let opens = |terms| Key { terms, proof }.open(&codes(&[CODE])).unwrap().is_some();
        assert!(opens(terms.clone()));
        let other = OwnKey::generate().unwrap().public();
        for wrong in [
            Terms { second: other, ..terms.clone() },
            Terms { first: other, ..terms.clone() },
            Terms { about: about(None), ..terms.clone() },
            Terms { about: about(Some(&name("Ann"))), ..terms.clone() },
            Terms { exporter: [9; 32].into(), ..terms.clone() },
            Terms { purpose: Purpose::Give, ..terms.clone() },
            Terms { first: terms.second, second: terms.first, ..terms.clone() },
        ] {
            assert!(!opens(wrong));
        }
        // What the device proved is no proof of the hub.
        let mut session = candidate.session;
        let welcome = Joining::Welcome { account: name("Anna"), rank: Rank::Manager, proof };
        frame::write(&mut session.writer, &welcome).await.unwrap();
        assert!(session.reader.next::<Joining>().await.is_err(), "the device says no password to it");
    });
    assert_eq!(told.await.unwrap_err().kind(), FaultKind::Identity);
}

/// Everything that can be said.
fn all() -> Vec<Joining> {
    let (account, rank) = (name("Anna"), Rank::Manager);
    vec![
        Joining::Challenge { salt: Purpose::Join.salt(&[7; 32]) },
        Joining::Proof([1; 32]),
        Joining::Welcome { account, rank, proof: [1; 32] },
        Joining::Password { salt: [1; 16], stretched: [1; 32] },
        Joining::Done,
        Joining::Refused(Fault::new(FaultKind::Other, "no")),
    ]
}

/// Says to a device what a hub might, so many messages of the right ones first.
async fn said(right: usize, then: Joining) -> FlowFault {
    let lock = codes(&[CODE]);
    let told = joined(typed(Secret::Code, CODE), async |session, account| {
        let mut session = if right == 0 {
            session
        } else {
            let candidate = challenge(session, account, &lock).await.unwrap();
            if right == 1 {
                candidate.session
            } else {
                let opened = candidate.key().open(&lock).unwrap().unwrap();
                candidate.welcome(&opened, name("Anna"), Rank::Member).await.unwrap().session
            }
        };
        frame::write(&mut session.writer, &then).await.unwrap();
        session.close().await;
    });
    told.await.unwrap_err()
}

#[tokio::test]
async fn a_device_takes_only_what_has_its_place() {
    for (right, fit) in [(0, 0), (1, 2), (2, 4)] {
        for (number, message) in all().into_iter().enumerate().filter(|(number, _)| *number != fit) {
            let told = said(right, message.clone()).await;
            match number {
                5 => assert!(matches!(told, FlowFault::Theirs(_)), "{right} {message:?}: {told}"),
                _ => assert_eq!(told.kind(), FaultKind::Protocol, "{right} {message:?}: {told}"),
            }
        }
    }
    assert_eq!(said(1, all().remove(2)).await.kind(), FaultKind::Identity);
}

/// Says to a hub what a device might, instead of its proof or of its last word.
#[tokio::test]
async fn a_hub_takes_only_what_has_its_place() {
    let lock = codes(&[CODE]);
    for (state, fit) in [(0, vec![1]), (1, vec![3, 4])] {
        for (number, message) in all().into_iter().enumerate() {
            let (one, two) = tokio::io::duplex(1 << 12);
            let me = |name: &str, role| Me { key: Arc::new(OwnKey::generate().unwrap()), name: name.into(), role };
            let (device, hub) = (me("laptop", Role::Peer), me("lab", Role::Hub));
            let proof = |of: &Me| Proof { peer: of.key.public(), exporter: [7; 32].into() };
            let (to_hub, to_device) = (proof(&hub), proof(&device));
            let message = &message;
            let hostile = async {
                let request = Request::Join { account: None, by: Secret::Code };
                let greeted = Greeted::dialled(one, to_hub, &device).await.unwrap();
                let mut session = greeted.ask(request).await.unwrap();
                session.reader.next::<Joining>().await.unwrap();
                if state == 1 {
                    let terms = Terms::of(&session, Side::First, Purpose::Join, about(None));
                    let secret = terms.stretch(CODE).unwrap();
                    let proof = Joining::Proof(terms.first_proof(&secret));
                    frame::write(&mut session.writer, &proof).await.unwrap();
                    session.reader.next::<Joining>().await.unwrap();
                }
                frame::write(&mut session.writer, message).await.unwrap();
                session
            };
            let answering = async {
                let (session, _) = Session::answered(two, to_device, &hub).await.unwrap();
                let candidate = challenge(session, None, &lock).await?;
                if state == 0 {
                    return Ok(());
                }
                let opened = candidate.key().open(&lock).unwrap().unwrap();
                candidate.welcome(&opened, name("Anna"), Rank::Member).await.map(drop)
            };
            let (_session, told) = tokio::join!(hostile, answering);
            if fit.contains(&number) {
                told.unwrap();
            } else {
                assert_eq!(told.unwrap_err().kind(), FaultKind::Protocol, "{state} {message:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_side_that_says_nothing_is_not_waited_for() {
    let mut silent = None;
    let told = joined(typed(Secret::Code, CODE), async |session, _| silent = Some(session));
    assert_eq!(told.await.unwrap_err().kind(), FaultKind::TimedOut);
}

/// The example of `man/ftx-protocol.7`.
#[test]
fn golden_bytes_of_a_proof() {
    let salt = Purpose::Join.salt(&[1; 32]);
    let stretched = Stretched::new(&plain_code("Apple Banana Cherry"), &salt).unwrap();
    let anna = name("anna");
    let (first, second) = (PublicKey([2; 32]), PublicKey([3; 32]));
    let terms = Terms { purpose: Purpose::Join, exporter: [1; 32].into(), first, second, about: about(Some(&anna)) };
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let made = [
        hex(&salt),
        hex(stretched.as_bytes()),
        hex(&terms.first_proof(&stretched)),
        hex(&terms.second_proof(&stretched)),
    ];
    // By other software, but for argon2id.
    let golden = [
        "f859997d6f1adb644ab690433bca7759",
        "59b9f776a0ef03751d3e0b80b900a14a15c29b7933c8780d1899a74a3d484bb0",
        "ceb218e8c2ac80245170144e386c7b93ebe281760cbcab7484b9f92c1e46bd8f",
        "e8e8e5d59e4fc4c89b9cca0eaa6ef6a61501f022d97bd5a1d408df75def906c8",
    ];
    assert_eq!(made, golden);
}
