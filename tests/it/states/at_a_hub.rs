//! The same at a hub, and what only a hub hears.

use ftx::flow::join::about;
use ftx::flow::secret::{Purpose, Terms};
use ftx::wire::hub::{Joining, Secret};

use super::*;
use crate::house::device::{Device, path};
use crate::house::hub::Hub;
use crate::house::vocabulary::{name, requests};

/// What a hub holds, without what it keeps for itself, and how much waits there.
fn held(hub: &Hub) -> (Vec<String>, usize) {
    let (own, held): (Vec<_>, Vec<_>) =
        hub.home.tree("repository").into_iter().partition(|path| path.starts_with(".ftx"));
    (held, own.iter().filter(|path| path.contains(".ftx-partial/")).count())
}

fn port(hub: &Hub) -> u16 {
    u16::try_from(hub.port()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_hears_nothing_out_of_place_of_a_member() {
    let hub = Hub::start();
    let anna = Device::joined(&hub, "anna", "member").await;
    let before = held(&hub).0;
    let request = Request::PushTo(path("shared"));
    for heard in [Heard::Nothing, Heard::Undecided, Heard::Manifest, Heard::Lanes, Heard::End] {
        tries_push(port(&hub), Some(&anna.key()), &request, heard).await;
        until("what was staged is cleared", || (held(&hub) == (before.clone(), 0)).then_some(()));
    }
    let request = Request::PreviewTo(path("shared"));
    for heard in [Heard::Looked, Heard::LookedAtAll] {
        tries_push(port(&hub), Some(&anna.key()), &request, heard).await;
    }
    assert_eq!(held(&hub), (before, 0));
    let pushed = anna.push(Some("shared"), &[("honest".to_owned(), "h".to_owned())]).await.unwrap();
    assert_eq!(pushed.outcomes[0].1, Outcome::Placed);
    hub.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_does_nothing_for_whoever_has_not_joined() {
    let hub = Hub::start();
    let before = held(&hub);
    for request in requests() {
        if matches!(request, Request::Join { .. }) {
            continue;
        }
        // Whatever is said after it.
        for word in everything() {
            let mut peer = wanting(port(&hub), &request).await;
            peer.raw(&framed(&word)).await;
            peer.rest().await;
            if word.what.starts_with("Sending::End") {
                break;
            }
        }
    }
    assert_eq!(held(&hub), before);
    assert!(hub.manage(&["accounts"]).done().objects().iter().all(|object| object["event"] != "account"));
}

/// What a hub that a device wants to join has heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joined {
    /// What it wants.
    Nothing,
    /// A right proof.
    Proof,
}

/// What the device may say.
fn device_may(joined: Joined, message: &Joining) -> bool {
    match message {
        Joining::Proof(_) => joined == Joined::Nothing,
        Joining::Password { .. } | Joining::Done => joined == Joined::Proof,
        Joining::Challenge { .. } | Joining::Welcome { .. } | Joining::Refused(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_joins_and_says_anything_else_has_not_joined() {
    let hub = Hub::start();
    let code = hub.invite(&["--once"]);
    let account = Some(name("mallory"));
    for joined in [Joined::Nothing, Joined::Proof] {
        let mut tried = 0;
        for word in everything().iter().filter(|word| !may(&word.bytes, |message| device_may(joined, message))) {
            let request = Request::Join { account: account.clone(), by: Secret::Code };
            let mut peer = wanting(port(&hub), &request).await;
            assert!(matches!(peer.hear().await, Some(Joining::Challenge { .. })));
            if joined == Joined::Proof {
                let (exporter, first, second) = (peer.exporter.clone(), peer.key.public(), peer.other);
                let terms = Terms { purpose: Purpose::Join, exporter, first, second, about: about(account.as_ref()) };
                let proof = terms.first_proof(&terms.stretch(&code).unwrap());
                peer.say(&Joining::Proof(proof)).await;
                assert!(matches!(peer.hear().await, Some(Joining::Welcome { .. })));
            }
            peer.raw(&framed(word)).await;
            assert!(peer.rest().await.is_empty(), "{joined:?}, {}", word.what);
            tried += 1;
        }
        said_in_vain(&format!("{joined:?}"), tried);
    }
    assert!(hub.events("joined").is_empty(), "nobody has joined");
    // The code that works once still does.
    let anna = Home::new("anna");
    anna.write("code", &code);
    anna.run(&["join", &hub.at(""), "--account", "anna", "--code-file", "code"]).done();
}
