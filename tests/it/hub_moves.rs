//! Moving at a hub: nobody loses anything by it, and nothing comes to lead out.

use ftx::base::fault::FaultKind;
use ftx::wire::hub::Verb;
use ftx::wire::message::Request;

use crate::house::device::{Device, path};
use crate::house::hostile::{Hostile, Script, file, folder, link};
use crate::house::hub::Hub;

fn text(name: &str) -> [(String, String); 1] {
    [(name.to_owned(), "text".to_owned())]
}

fn moving(from: &str, to: &str) -> Verb {
    Verb::Move { from: path(from), to: path(to) }
}

/// The kind of the refusal, and its text.
async fn refused(device: &Device, verb: Verb) -> (FaultKind, String) {
    let fault = device.ask(verb).await.unwrap_err();
    (fault.kind(), fault.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn somebodys_own_folder_is_a_folder_also_before_it_is_there() {
    let hub = Hub::start();
    hub.manage(&["spaces", "add", "essays", "--kind", "drop"]).done();
    let anna = Device::joined(&hub, "anna", "member").await;
    for (name, to) in [("a", "people"), ("b", "people/anna"), ("c", "essays"), ("d", "essays/anna")] {
        anna.push(Some("shared"), &text(name)).await.unwrap();
        let told = anna.ask(moving(&format!("shared/{name}"), to)).await.unwrap();
        let there = format!("{}/anna/{name}", to.split('/').next().unwrap());
        assert_eq!(told.path, Some(path(&there)));
        assert_eq!(std::fs::read(hub.path(&there)).unwrap(), b"text");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_others_stays_in_their_reach() {
    let hub = Hub::start();
    let (anna, bob) = (Device::joined(&hub, "anna", "member").await, Device::joined(&hub, "bob", "member").await);
    anna.push(Some("shared/week1"), &text("annas")).await.unwrap();
    bob.push(Some("shared/week1"), &text("bobs")).await.unwrap();
    bob.ask(Verb::Remove(vec![path("shared/week1/bobs")])).await.unwrap();
    anna.ask(moving("shared/week1", "shared/week2")).await.unwrap();
    // All that is there is hers; what he may restore is not, and stays where he can.
    anna.ask(moving("shared/week2", "people/anna/mine")).await.unwrap();
    assert_eq!(anna.ask(Verb::Versions(path("people/anna/mine"))).await.unwrap().versions, []);
    bob.ask(Verb::Restore { path: path("shared/week2/bobs"), version: None }).await.unwrap();
    assert_eq!(std::fs::read(hub.path("shared/week2/bobs")).unwrap(), b"text");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_private_is_not_had_by_whoever_gets_what_became_of_it() {
    let hub = Hub::start();
    let (anna, bob) = (Device::joined(&hub, "anna", "member").await, Device::joined(&hub, "bob", "member").await);
    for text in ["secret", "for all"] {
        anna.push(Some("people/anna"), &[("f".to_owned(), text.to_owned())]).await.unwrap();
    }
    anna.ask(moving("people/anna/f", "shared/f")).await.unwrap();
    assert_eq!(bob.ask(Verb::Versions(path("shared/f"))).await.unwrap().versions, []);
    let kept = anna.ask(Verb::Versions(path("people/anna/f"))).await.unwrap().versions;
    assert_eq!(kept.len(), 1);
    let taken = Verb::Restore { path: path("shared/f"), version: Some(kept[0].id) };
    assert_eq!(refused(&bob, taken.clone()).await.0, FaultKind::NotFound);
    assert_eq!(refused(&anna, taken).await.0, FaultKind::NotFound);
    anna.ask(Verb::Restore { path: path("people/anna/f"), version: None }).await.unwrap();
    assert_eq!(std::fs::read(hub.path("people/anna/f")).unwrap(), b"secret");
    assert_eq!(std::fs::read(hub.path("shared/f")).unwrap(), b"for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_does_not_come_to_lead_out_by_being_moved() {
    let hub = Hub::start();
    let anna = Device::joined(&hub, "anna", "member").await;
    let port = u16::try_from(hub.up()["port"].as_u64().unwrap()).unwrap();
    let links = [link("d/e/g/up", "../../f"), link("d/e/g/beside", "f")];
    let offer: Vec<_> = ["d", "d/e", "d/e/g"].map(folder).into_iter().chain(links).chain([file("d/f", 5)]).collect();
    let script = Script::offer(&offer).ready().whole(5, b"hello").end();
    Hostile::wanting(anna.key(), port, Request::PushTo(path("people/anna"))).await.play(script).await;
    assert!(hub.path("people/anna/d/e/g/up").is_symlink());
    for (from, to) in [
        ("people/anna/d/e/g/up", "people/anna/up"),
        ("people/anna/d/e/g/up", "people/anna/d/up"),
        ("people/anna/d/e/g/up", "shared"),
        ("people/anna/d/e/g", "people/anna"),
        ("people/anna/d/e/g", "shared/g"),
    ] {
        let (kind, told) = refused(&anna, moving(from, to)).await;
        assert!(kind == FaultKind::NotPermitted && told.contains("would lead out"), "{from} -> {to}: {told}");
        assert!(hub.path(from).symlink_metadata().is_ok());
    }
    // With what it leads to, and where it leads to something else of hers.
    anna.ask(moving("people/anna/d/e/g/beside", "people/anna/beside")).await.unwrap();
    anna.ask(moving("people/anna/d", "shared/d")).await.unwrap();
    assert_eq!(std::fs::read_link(hub.path("shared/d/e/g/up")).unwrap().to_str(), Some("../../f"));
    // What is kept of it goes along with its folder, and does not come back to lead out.
    anna.ask(Verb::Remove(vec![path("shared/d/e/g/up")])).await.unwrap();
    anna.ask(moving("shared/d/e/g", "shared/g")).await.unwrap();
    let restore = |at: &str| Verb::Restore { path: path(at), version: None };
    let (kind, told) = refused(&anna, restore("shared/g/up")).await;
    assert!(kind == FaultKind::NotPermitted && told.contains("would lead out"), "{told}");
    anna.ask(moving("shared/g", "shared/d/e/g")).await.unwrap();
    anna.ask(restore("shared/d/e/g/up")).await.unwrap();
    assert_eq!(std::fs::read_link(hub.path("shared/d/e/g/up")).unwrap().to_str(), Some("../../f"));
}
