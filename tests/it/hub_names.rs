//! Names that are made to lead elsewhere, said by a member's device that lies; and links put into the
//! repository by hand, which lead nobody anywhere.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;

use ftx::base::path::RelPath;
use ftx::wire::hub::{Answer, Verb};
use ftx::wire::message::{Receiving, Request, Sending};
use serde::Serialize;

use crate::flaws::s1_names::corpus;
use crate::house::device::{Device, path};
use crate::house::hostile::{Hostile, Script, file, folder, raw_page};
use crate::house::hub::Hub;

/// What is wanted of a hub, as [`Request`], without its checks.
#[derive(Serialize)]
#[expect(dead_code, reason = "a variant's place is its number on the wire")]
enum RawRequest {
    Push,
    Pull(Vec<String>),
    List(Option<String>),
    Pair,
    Attach,
    Preview,
    PushTo(String),
    PreviewTo(String),
    Join,
    Ask(RawVerb),
}

/// As [`Verb`].
#[derive(Serialize)]
#[expect(dead_code, reason = "a variant's place is its number on the wire")]
enum RawVerb {
    Standing,
    Look { path: Option<String>, deep: bool, sha256: bool },
    Find { text: String, below: Option<String> },
    Remove(Vec<String>),
    Move { from: String, to: String },
    MakeFolder(String),
    Versions(String),
    Restore { path: String, version: Option<[u8; 16]> },
}

#[derive(Serialize)]
struct RawOpening {
    nonce: [u8; 32],
    request: RawRequest,
}

/// Everything that can be wanted with a path in it.
fn wanted(text: &str) -> Vec<RawRequest> {
    let path = || text.to_owned();
    let own = || "shared/own".to_owned();
    let verbs = [
        RawVerb::Look { path: Some(path()), deep: true, sha256: true },
        RawVerb::Find { text: "own".to_owned(), below: Some(path()) },
        RawVerb::Remove(vec![path()]),
        RawVerb::Remove(vec![own(), path()]),
        RawVerb::Move { from: path(), to: "shared/taken".to_owned() },
        RawVerb::Move { from: own(), to: path() },
        RawVerb::MakeFolder(path()),
        RawVerb::Versions(path()),
        RawVerb::Restore { path: path(), version: None },
        RawVerb::Restore { path: path(), version: Some([1; 16]) },
    ];
    let others = [
        RawRequest::Pull(vec![path()]),
        RawRequest::List(Some(path())),
        RawRequest::PushTo(path()),
        RawRequest::PreviewTo(path()),
    ];
    others.into_iter().chain(verbs.map(RawRequest::Ask)).collect()
}

/// A hub in whose folder and beside it is something that is nobody's business, and anna.
async fn class() -> (Hub, Device) {
    let hub = Hub::start();
    let anna = Device::joined(&hub, "anna", "member").await;
    hub.home.write("outside/secret", "nobody's business");
    hub.home.write("repository/people/bob/secret", "bob's");
    anna.push(Some("shared"), &[("own".to_owned(), "anna's".to_owned())]).await.unwrap();
    (hub, anna)
}

fn port(hub: &Hub) -> u16 {
    u16::try_from(hub.up()["port"].as_u64().unwrap()).unwrap()
}

/// Everything in the hub's home, but what a hub writes down about what happens.
fn everything(hub: &Hub) -> BTreeMap<String, Vec<u8>> {
    let books = |path: &str| path.contains("catalogue.sqlite") || path.contains(".ftx/partial");
    let files = hub.home.tree("").into_iter().filter(|path| !books(path) && !path.starts_with(".config"));
    files.map(|path| (path.clone(), std::fs::read(hub.home.path(&path)).unwrap_or_default())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_nitroshare_cve_2026_66050_no_name_leads_out_of_a_hub_or_to_what_is_its_own() {
    let own =
        [".ftx", ".ftx/key", ".ftx/register.toml", "shared/.ftx", ".FTX/key", "people/../.ftx/key", "shared/.ftx-x"];
    let names: Vec<String> = corpus().into_iter().chain(own.map(str::to_owned)).collect();
    assert!(names.len() > 60);
    // A hub for each: one takes no more than so many connections from one address at once.
    for place in ["", "shared/", "people/anna/"] {
        let (hub, anna) = class().await;
        let before = everything(&hub);
        let mut said = 0;
        // What is a good name after all is another test's.
        for text in names.iter().map(|name| format!("{place}{name}")).filter(|text| RelPath::parse(text).is_err()) {
            for request in wanted(&text) {
                let mut peer = Hostile::dial_with(anna.key(), port(&hub)).await;
                peer.greet().await;
                peer.say(&RawOpening { nonce: crate::house::hostile::NONCE, request }).await;
                assert_eq!(peer.hear::<Answer>().await, None, "{text:?}");
                said += 1;
            }
            for to in ["shared", "people/anna"] {
                let script =
                    Script::opened().say(&raw_page(&text, None)).say(&Sending::PagesEnd { entries: 1, bytes: 3 });
                let peer = Hostile::wanting(anna.key(), port(&hub), Request::PushTo(path(to))).await;
                let heard = peer.play(script).await;
                assert!(!heard.iter().any(|message| matches!(message, Receiving::Outcomes(_))), "{text:?}: {heard:?}");
                said += 1;
            }
        }
        assert!(said > 500, "{said}");
        assert!(everything(&hub) == before, "{place:?}");
        assert_eq!(anna.pull(&["shared/own"]).await.unwrap(), [("own".to_owned(), "anna's".to_owned())]);
    }
}

/// Good names, that others take for something else, are names of files and of nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn an_odd_name_is_a_name_in_its_folder() {
    let (hub, anna) = class().await;
    let good: Vec<String> = corpus().into_iter().filter(|name| RelPath::parse(name).is_ok()).collect();
    assert!(good.len() > 10);
    for name in good {
        let top = RelPath::parse(&name).unwrap();
        if top.depth() > 1 {
            continue;
        }
        let pushed = anna.push(Some("shared/odd"), &[(name.clone(), name.clone())]).await.unwrap();
        assert!(pushed.outcomes[0].1.is_good(), "{name:?}: {:?}", pushed.outcomes);
        let at = |folder: &str| path(&format!("{folder}/{name}"));
        let told = anna.ask(Verb::Move { from: at("shared/odd"), to: at("shared/even") }).await.unwrap();
        assert_eq!(told.path, Some(at("shared/even")));
        assert_eq!(anna.pull(&[at("shared/even").as_str()]).await.unwrap(), [(name.clone(), name.clone())]);
        anna.ask(Verb::Remove(vec![at("shared/even")])).await.unwrap();
        anna.ask(Verb::Restore { path: at("shared/even"), version: None }).await.unwrap();
        assert_eq!(std::fs::read_to_string(hub.path("shared/even").join(&name)).unwrap(), name);
        // At the top there is nothing but spaces, whatever it is called.
        anna.ask(Verb::MakeFolder(top.clone())).await.unwrap_err();
        anna.ask(Verb::Move { from: at("shared/even"), to: top }).await.unwrap_err();
    }
    assert_eq!(top_level(&hub.path("")), [".ftx", "people", "shared"]);
}

fn top_level(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|child| child.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// That a link may be told of as what it is, and that nothing is done through it.
async fn leads_nowhere(device: &Device, at: &str, through: bool) {
    let (linked, below) = (path(at), path(&format!("{at}/new")));
    let look = Verb::Look { path: Some(linked.clone()), deep: true, sha256: true };
    for verb in [look, Verb::Find { text: "".into(), below: Some(linked.clone()) }] {
        let told = device.ask(verb).await.map_or_else(|_| Vec::new(), |told| told.items);
        assert!(told.iter().all(|item| !through && item.path == linked), "{at}: {told:?}");
    }
    let pulled = device.pull(&[at]).await;
    assert!(pulled.as_ref().map_or(true, Vec::is_empty), "{at}: {pulled:?}");
    let kept = device.ask(Verb::Versions(linked.clone())).await.map_or_else(|_| Vec::new(), |told| told.versions);
    assert!(kept.is_empty(), "{at}");
    assert!(device.push(Some(at), &[("sent".to_owned(), "sent".to_owned())]).await.is_err(), "{at}");
    let moving = |from: &RelPath, to: &RelPath| Verb::Move { from: from.clone(), to: to.clone() };
    let got = path("shared/got");
    let mut verbs = vec![
        Verb::MakeFolder(below.clone()),
        moving(&path("shared/own"), &below),
        moving(&below, &got),
        Verb::Restore { path: below.clone(), version: None },
        Verb::Remove(vec![below]),
    ];
    if through {
        verbs.extend([moving(&linked, &got), Verb::Remove(vec![linked])]);
    }
    for verb in verbs {
        let shown = format!("{verb:?}");
        assert!(device.ask(verb).await.is_err(), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_dufs_670_links_put_into_a_hub_by_hand_lead_nobody_anywhere() {
    let (hub, anna) = class().await;
    let boss = Device::joined(&hub, "boss", "manager").await;
    let outside = hub.home.path("outside");
    let leads = [
        ("out", outside.to_str().unwrap(), "secret"),
        ("up", "../../../outside", "secret"),
        ("bob", "../../people/bob", "secret"),
        ("own", "../../.ftx", "key"),
    ];
    for folder in ["shared/links", "people/anna"] {
        std::fs::create_dir_all(hub.path(folder)).unwrap();
        for (name, to, inner) in leads {
            let link = |name: &str| hub.path(folder).join(name);
            symlink(to, link(name)).unwrap();
            symlink(format!("{to}/{inner}"), link(&format!("{name}-{inner}"))).unwrap();
            assert!(link(&format!("{name}-{inner}")).exists(), "it leads somewhere");
        }
    }
    let before = everything(&hub);
    let mut tried = 0;
    for device in [&anna, &boss] {
        for folder in ["shared/links", "people/anna"] {
            for (name, _, inner) in leads {
                for at in [name.to_owned(), format!("{name}/{inner}"), format!("{name}-{inner}")] {
                    leads_nowhere(device, &format!("{folder}/{at}"), at.contains('/')).await;
                    tried += 1;
                }
            }
        }
    }
    assert!(tried == 48 && everything(&hub) == before);
    // Fetched with the folder that they are in, they are left out.
    let pulled = anna.pull(&["shared"]).await.unwrap();
    assert_eq!(pulled, [("shared/own".to_owned(), "anna's".to_owned())]);
    assert!(anna.pull(&["people/anna"]).await.unwrap().is_empty());
    // What is sent into a folder of that name comes to lie beside the link.
    for (name, _, inner) in leads {
        let offer = [folder(name), file(&format!("{name}/{inner}"), 5)];
        let script = Script::offer(&offer).ready_or_refused().whole(1, b"hello").end();
        let peer = Hostile::wanting(anna.key(), port(&hub), Request::PushTo(path("shared/links"))).await;
        peer.play(script).await;
    }
    let outside = |hub: &Hub| {
        let within = |path: &String| {
            ["outside", "repository/people/bob", "repository/.ftx/key"].iter().any(|at| path.starts_with(at))
        };
        everything(hub).into_iter().filter(|(path, _)| within(path)).collect::<BTreeMap<_, _>>()
    };
    let untouched: BTreeMap<_, _> = before.into_iter().filter(|(path, _)| outside(&hub).contains_key(path)).collect();
    assert!(outside(&hub) == untouched && untouched.len() >= 4, "{:?}", untouched.keys());
    // A manager takes such a link away, and nothing but the link.
    boss.ask(Verb::Remove(vec![path("shared/links/up")])).await.unwrap();
    assert!(hub.path("shared/links/up").symlink_metadata().is_err() && outside(&hub) == untouched);
}
