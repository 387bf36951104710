//! A peer that breaks the protocol: whatever it says out of place ends its conversation, nothing
//! of it stays, and the node goes on serving others.

use ftx::base::digest::{CHUNK, ChunkHash, EntryDigest};
use ftx::base::fault::{Fault, FaultKind};
use ftx::base::id::{Role, TransferId};
use ftx::base::manifest::Outcome;
use ftx::wire::hello::{Hello, VERSION};
use ftx::wire::message::{ChunkHead, Opening, Receiving, Request, Sending};

use crate::house::home::{Home, Node};
use crate::house::hostile::{Hostile, NONCE, Script, entry_end, file, folder, link, pipe, raw_page};
use crate::house::until;

/// A home with something of its own in it, and its node.
fn victim() -> (Home, Node) {
    let alice = Home::new("alice");
    alice.write("inbox/own", "alice's own");
    alice.write("private", "nobody's business");
    let node = alice.up_for_all();
    (alice, node)
}

/// What is there besides staging and the node's own files.
fn visible(home: &Home) -> Vec<String> {
    let hidden = |path: &String| path.starts_with(".config") || path.starts_with("inbox/.ftx-partial");
    home.tree("").into_iter().filter(|path| !hidden(path)).collect()
}

/// That an honest push still works.
#[track_caller]
fn still_serves(home: &Home, node: &Node) {
    let bob = Home::new("bob");
    bob.write("honest", "h");
    bob.run(&["push", "honest", &node.at()]).done();
    assert_eq!(home.read("inbox/honest"), b"h");
}

/// Plays a script against a node; what the node answered, and as what it told the failure.
async fn play(node: &Node, script: Script) -> (Vec<Receiving>, String) {
    let peer = Hostile::pushing(node.port()).await;
    let name = peer.name.clone();
    let heard = peer.play(script).await;
    let kind = until(&format!("{name} is told"), || {
        let failed = node.events("failed").into_iter().find(|failed| failed["peer"]["name"] == *name);
        let received = node.events("received").into_iter().find(|received| received["peer"]["name"] == *name);
        failed.map(|failed| failed["kind"].as_str().unwrap().to_owned()).or(received.map(|_| "received".to_owned()))
    });
    (heard, kind)
}

/// Every message where it has no place, and what else a sender must not say.
fn violations() -> Vec<(&'static str, Script)> {
    let small = || Script::offer(&[file("a", 5)]).ready();
    let piped = || Script::offer(&[pipe("p")]).ready();
    let chunk = |entry, index, length| Sending::Chunk(ChunkHead { entry, index, length });
    let gone = Sending::EntryGone { entry: 0, fault: Fault::new(FaultKind::Other, "x") };
    let offer = Sending::Offer { transfer: TransferId::new(), set: [2; 32] };
    let many: Vec<_> = (0..1025).map(|n| file(&format!("f{n}"), 1)).collect();
    vec![
        ("a page before the offer", Script::new().say(&Sending::Page(vec![file("a", 5)]))),
        ("an end before the offer", Script::new().end()),
        ("a chunk before the offer", Script::new().chunk(0, 0, b"hello")),
        ("the offer twice", Script::opened().say(&offer)),
        ("a chunk of an entry not yet offered", Script::opened().accepted().chunk(0, 0, b"hello")),
        ("an end before the manifest is complete", Script::offer_of(&[file("a", 5)]).ready().end()),
        (
            "a manifest that adds up wrong",
            Script::offer_of(&[file("a", 5)]).ready().say(&Sending::PagesEnd { entries: 1, bytes: 6 }),
        ),
        ("a manifest that counts wrong", Script::opened().say(&Sending::PagesEnd { entries: 1, bytes: 0 })),
        ("the end of the manifest twice", small().say(&Sending::PagesEnd { entries: 1, bytes: 5 })),
        ("a page after the end of the manifest", small().say(&Sending::Page(vec![file("b", 1)]))),
        ("the offer again, later", small().say(&offer)),
        ("a page of too many entries", Script::opened().say(&Sending::Page(many))),
        ("bytes of another entry", small().chunk(7, 0, b"hello")),
        ("an end of another entry", small().say(&entry_end(7, b"hello"))),
        ("an empty chunk", small().chunk(0, 0, b"")),
        ("a chunk that is too long", small().say(&chunk(0, 0, CHUNK as u32 + 1))),
        ("a chunk of four gigabytes", small().say(&chunk(0, 0, u32::MAX))),
        ("a chunk longer than the file", small().chunk(0, 0, b"hello!")),
        ("a chunk shorter than the file", small().chunk(0, 0, b"hell")),
        ("a chunk behind the end of the file", small().chunk(0, 1, b"hello")),
        ("a chunk far behind the end of the file", small().chunk(0, u32::MAX, b"hello")),
        ("a chunk twice", small().chunk(0, 0, b"hello").chunk(0, 0, b"hello")),
        ("a chunk after the end of its entry", small().whole(0, b"hello").chunk(0, 0, b"hello")),
        ("an entry that ends twice", small().whole(0, b"hello").entry_end(0, b"hello")),
        ("an entry of another size than announced", small().entry_end(0, b"hello!")),
        ("an entry that is gone after its end", small().whole(0, b"hello").say(&gone)),
        ("an entry that is gone twice", small().say(&gone).say(&gone)),
        ("bytes of a folder", Script::offer(&[folder("d")]).ready().chunk(0, 0, b"hello")),
        ("the end of a folder", Script::offer(&[folder("d")]).ready().entry_end(0, b"")),
        ("bytes of a link", Script::offer(&[folder("d"), link("d/l", "x")]).ready().chunk(1, 0, b"hello")),
        ("a short chunk inside a pipe", piped().chunk(0, 0, b"hel").chunk(0, 1, b"lo")),
        ("a chunk of a pipe far ahead", piped().chunk(0, 300, b"hello")),
        ("a pipe that ends before its last chunk", piped().chunk(0, 1, b"x").entry_end(0, b"hello")),
        ("a pipe that ends twice", piped().whole(0, b"hello").entry_end(0, b"hello")),
        ("a chunk of a pipe behind its end", piped().whole(0, b"hello").chunk(0, 1, b"x")),
        ("one path twice", Script::offer(&[file("a", 5), file("a", 5)])),
        ("one path as a file and a folder", Script::offer(&[folder("a"), file("a", 5)])),
        ("one path twice, on two pages", Script::offer_of(&[file("a", 5)]).say(&Sending::Page(vec![file("a", 5)]))),
        ("something below a file", Script::offer_of(&[file("a", 5), file("a/b", 5)])),
        ("something below a pipe", Script::offer_of(&[pipe("a"), file("a/b/c", 5)])),
        ("something below a link", Script::offer_of(&[folder("d"), link("d/l", "x"), file("d/l/f", 5)])),
        ("a file above something", Script::offer_of(&[file("a/b", 5)]).say(&Sending::Page(vec![file("a", 5)]))),
        ("a link that leaves its tree", Script::offer_of(&[folder("d"), link("d/l", "../private")])),
        ("a link that climbs far", Script::offer_of(&[folder("d"), link("d/l", "../../../../etc/passwd")])),
        ("a link at the top", Script::offer_of(&[link("l", "own")])),
        ("a file of an exabyte", Script::offer_of(&[file("a", 1 << 60)])),
        ("a climbing path", Script::opened().say(&raw_page("../private2", None))),
        ("an absolute path", Script::opened().say(&raw_page("/tmp/ftx-private2", None))),
        ("an absolute link", Script::opened().say(&raw_page("d/l", Some("/etc/passwd")))),
        ("a frame of four gigabytes", Script::opened().raw(&[0xff; 4])),
        ("a frame one byte too long", Script::opened().raw(&(256 * 1024 + 1u32).to_be_bytes())),
        ("an empty frame", Script::opened().raw(&[0; 4])),
        ("a message nobody knows", Script::opened().raw(&[0, 0, 0, 1, 99])),
        ("a byte after a message", Script::opened().raw(&[0, 0, 0, 2, 7, 0])),
        ("a receiver's message", Script::opened().say(&Receiving::Settling)),
    ]
}

#[tokio::test]
async fn every_message_in_a_wrong_state_ends_the_conversation_and_leaves_nothing() {
    let (alice, node) = victim();
    let before = visible(&alice);
    let violations = violations();
    assert!(violations.len() > 40);
    for (what, script) in violations {
        let (heard, kind) = play(&node, script).await;
        assert_eq!(kind, "protocol", "{what}: {heard:?}");
        let receipt = heard.iter().any(|message| matches!(message, Receiving::Receipt(_) | Receiving::Outcomes(_)));
        assert!(!receipt, "{what}: {heard:?}");
        assert_eq!(visible(&alice), before, "{what}");
    }
    still_serves(&alice, &node);
}

#[tokio::test]
async fn s17_croc_localsend_cli_bytes_that_are_not_what_their_hash_says_are_refused() {
    let (alice, node) = victim();
    let before = visible(&alice);
    let head = Sending::Chunk(ChunkHead { entry: 0, index: 0, length: 5 });
    let script = Script::offer(&[file("a", 5)]).ready().say(&head).raw(b"hello").raw(&ChunkHash::of(b"jello").0);
    let (heard, kind) = play(&node, script).await;
    assert_eq!(kind, "integrity");
    assert!(matches!(heard.last(), Some(Receiving::Abort(fault)) if fault.kind == FaultKind::Integrity), "{heard:?}");
    assert_eq!(visible(&alice), before);
    still_serves(&alice, &node);
}

/// Outcomes that a node told.
fn outcomes(heard: &[Receiving]) -> Vec<Outcome> {
    let pages = heard.iter().filter_map(|message| match message {
        Receiving::Outcomes(page) => Some(page.clone()),
        _ => None,
    });
    pages.flatten().collect()
}

#[tokio::test]
async fn a_file_whose_digest_does_not_fit_or_that_is_not_finished_is_not_placed() {
    let (alice, node) = victim();
    let before = visible(&alice);
    let digest = EntryDigest([9; 32]);
    let end = Sending::EntryEnd { entry: 0, size: 5, digest };
    for (what, script) in [
        ("another digest", Script::offer(&[file("a", 5)]).ready().chunk(0, 0, b"hello").say(&end).end()),
        ("no bytes", Script::offer(&[file("b", 5)]).ready().end()),
        ("no end of the entry", Script::offer(&[file("c", 5)]).ready().chunk(0, 0, b"hello").end()),
        ("an end without bytes", Script::offer(&[file("d", 5)]).ready().entry_end(0, b"hello").end()),
        ("the second of two chunks", Script::offer(&[file("e", CHUNK + 5)]).ready().chunk(0, 1, b"hello").end()),
        ("a pipe without its first chunk", Script::offer(&[pipe("f")]).ready().chunk(0, 1, b"hello").end()),
        (
            "less than a pipe ends with",
            Script::offer(&[pipe("g")]).ready().chunk(0, 0, b"hell").say(&entry_end(0, b"hello")).end(),
        ),
        ("a pipe's end without bytes", Script::offer(&[pipe("h")]).ready().entry_end(0, b"hello").end()),
    ] {
        let (heard, _) = play(&node, script).await;
        assert!(matches!(outcomes(&heard).as_slice(), [Outcome::Failed(_)]), "{what}: {heard:?}");
        assert_eq!(visible(&alice), before, "{what}");
    }
    still_serves(&alice, &node);
}

#[tokio::test]
async fn what_is_there_already_cannot_be_changed_by_sending_it_again() {
    let (alice, node) = victim();
    let offer = || Script::offer(&[file("a", 5)]).ready();
    let (heard, _) = play(&node, offer().whole(0, b"hello").end()).await;
    assert_eq!(outcomes(&heard), [Outcome::Placed]);
    let before = visible(&alice);
    let gone = Sending::EntryGone { entry: 0, fault: Fault::new(FaultKind::Other, "x") };
    for (what, script) in [
        ("bytes", offer().chunk(0, 0, b"jello")),
        ("an end", offer().entry_end(0, b"jello")),
        ("a word that it is gone", offer().say(&gone)),
    ] {
        let (heard, kind) = play(&node, script.end()).await;
        assert_eq!(kind, "protocol", "{what}: {heard:?}");
        assert_eq!((alice.read("inbox/a"), visible(&alice)), (b"hello".to_vec(), before.clone()), "{what}");
    }
    still_serves(&alice, &node);
}

/// What a disk says here, it says with the folder's whole path.
#[tokio::test]
async fn a_stranger_is_not_told_where_anything_is_on_this_machine() {
    let (alice, node) = victim();
    alice.write("inbox/.ftx-partial", "in the way");
    let (heard, kind) = play(&node, Script::offer(&[file("a", 5)])).await;
    let Some(Receiving::Abort(told)) = heard.last() else { panic!("{heard:?}") };
    let here = alice.path("inbox").display().to_string();
    assert!(kind == "disk" && told.kind == FaultKind::Disk && !told.text.as_raw().contains(['/', '\\']), "{told:?}");
    // Whoever is here is told all of it.
    let failed = node.event("failed");
    assert!(failed["error"].as_str().unwrap().contains(&here), "{failed}");
}

#[cfg(unix)]
#[tokio::test]
async fn links_that_lead_in_circles_are_links_and_lead_nobody() {
    let alice = Home::new("alice");
    let node = alice.up(&["--accept", "all", "--share", "inbox", "--share-with", "all"]);
    let links = [link("t/a", "b"), link("t/b", "a"), link("t/self", "self"), link("t/d/up", "../d")];
    let offer: Vec<_> = [folder("t"), folder("t/d")].into_iter().chain(links).chain([file("t/f", 5)]).collect();
    let (heard, _) = play(&node, Script::offer(&offer).ready().whole(6, b"hello").end()).await;
    let there = ["a -> b", "b -> a", "d/", "d/up -> ../d", "f", "self -> self"];
    assert_eq!(alice.tree("inbox/t"), there, "{heard:?}");
    // What is merged with them, and what is fetched from among them.
    let bob = Home::new("bob");
    bob.write("t/d/g", "g");
    bob.write("t/self/g", "g");
    bob.run(&["push", "t", &node.at()]).done();
    let there = ["a -> b", "b -> a", "d/", "d/g", "d/up -> ../d", "f", "self (1)/", "self (1)/g", "self -> self"];
    assert_eq!(alice.tree("inbox/t"), there);
    bob.run(&["pull", &format!("{}:inbox/t", node.at()), "--to", "here"]).done();
    assert_eq!(bob.tree("here/t"), alice.tree("inbox/t"));
}

#[cfg(unix)]
#[tokio::test]
async fn s2_warpinator_rsync_nothing_is_written_through_a_link() {
    let (alice, node) = victim();
    std::os::unix::fs::symlink(alice.folder("elsewhere"), alice.path("inbox/out")).unwrap();
    // Through a link that was there before.
    let offer = [folder("out"), file("out/f", 5)];
    let (heard, _) = play(&node, Script::offer(&offer).ready().whole(1, b"hello").end()).await;
    assert!(alice.tree("elsewhere").is_empty(), "{heard:?}");
    // Below a link of the same offer, whichever of the two comes first.
    for (tree, first, second) in [("t1", 1, 2), ("t2", 2, 1)] {
        let mut offer = vec![folder(tree), folder(&format!("{tree}/d"))];
        let mut both = [link(&format!("{tree}/l"), "d"), file(&format!("{tree}/l/f"), 5)];
        if first > second {
            both.reverse();
        }
        let at = 2 + both.iter().position(ftx::base::manifest::Entry::has_bytes).unwrap() as u32;
        offer.extend(both);
        let (heard, kind) = play(&node, Script::offer(&offer).ready_or_refused().whole(at, b"hello").end()).await;
        assert_eq!(kind, "protocol", "{heard:?}");
        let through = alice.path("inbox").join(tree).join("d/f").exists();
        assert!(!through, "{tree}: {heard:?} {:?}", alice.tree("inbox"));
    }
    // Through a link that an earlier offer has made.
    let offer = [folder("t3"), folder("t3/d"), link("t3/l", "d")];
    play(&node, Script::offer(&offer).ready().end()).await;
    assert!(alice.tree("inbox").contains(&"t3/l -> d".to_owned()), "{:?}", alice.tree("inbox"));
    let offer = [folder("t3"), folder("t3/l"), file("t3/l/f", 5)];
    let (heard, _) = play(&node, Script::offer(&offer).ready().whole(2, b"hello").end()).await;
    assert!(!alice.path("inbox/t3/d/f").exists(), "{heard:?} {:?}", alice.tree("inbox"));
    still_serves(&alice, &node);
}

#[tokio::test]
async fn s1_nobody_writes_into_the_staging_of_others() {
    let (alice, node) = victim();
    // Somebody's staging that is under way.
    alice.write("inbox/.ftx-partial/00112233445566778899aabbccddeeff/journal", "j");
    let before = alice.tree("inbox");
    let area = ".ftx-partial/00112233445566778899aabbccddeeff";
    for path in [format!("{area}/lock"), format!("{area}/data/x"), area.to_uppercase(), ".ftx-partial".to_owned()] {
        let script = Script::opened().say(&raw_page(&path, None));
        let (heard, kind) = play(&node, script.say(&Sending::PagesEnd { entries: 1, bytes: 3 })).await;
        assert_eq!(kind, "protocol", "{path}: {heard:?}");
        assert_eq!(alice.tree("inbox"), before, "{path}");
    }
    still_serves(&alice, &node);
}

/// Who offers nothing has nothing to wait for after the yes.
#[tokio::test]
async fn a_sender_may_go_on_as_soon_as_it_hears_yes() {
    let (alice, node) = victim();
    for _ in 0..50 {
        let script = Script::opened().say(&Sending::PagesEnd { entries: 0, bytes: 0 }).accepted().end();
        let (heard, kind) = play(&node, script).await;
        assert_eq!(kind, "received", "{heard:?}");
    }
    still_serves(&alice, &node);
}

/// What ends before anybody knows what is wanted.
#[tokio::test]
async fn a_greeting_that_is_wrong_ends_the_connection() {
    let (alice, node) = victim();
    let opening = |nonce| Opening { nonce, request: Request::Push };

    let mut peer = Hostile::dial(node.port()).await;
    peer.greet().await;
    peer.say(&opening([8; 32])).await;
    assert_eq!(peer.hear::<Receiving>().await, None, "a nonce that was not committed to");
    let closed = node.event("closed");
    assert!(closed["reason"].as_str().unwrap().contains("committed"), "{closed}");

    let mut peer = Hostile::dial(node.port()).await;
    peer.say(&Hello { magic: *b"ftp\0", ..peer.hello() }).await;
    let answer: Option<Hello> = peer.hear().await;
    assert!(answer.is_none_or(|hello| hello.newest == VERSION));
    peer.say(&opening(NONCE)).await;
    assert_eq!(peer.hear::<Receiving>().await, None, "another magic");

    let mut peer = Hostile::dial(node.port()).await;
    peer.say(&opening(NONCE)).await;
    assert_eq!(peer.hear::<Hello>().await, None, "no Hello");

    let mut peer = Hostile::dial(node.port()).await;
    peer.raw(&(4097u32).to_be_bytes()).await;
    assert_eq!(peer.hear::<Hello>().await, None, "a Hello that is too long");

    let mut peer = Hostile::dial(node.port()).await;
    peer.greet().await;
    peer.say(&peer.hello()).await;
    assert_eq!(peer.hear::<Receiving>().await, None, "two Hellos");

    let mut peer = Hostile::dial(node.port()).await;
    peer.greet().await;
    peer.raw(&[0, 0, 0, 33]).await;
    peer.raw(&NONCE).await;
    peer.raw(&[99]).await;
    assert_eq!(peer.hear::<Receiving>().await, None, "a wish nobody knows");

    assert_eq!(node.events("closed").len(), 1, "told once for each address");
    still_serves(&alice, &node);
}

#[tokio::test]
async fn a_peer_of_another_version_learns_ours_before_the_end() {
    let (alice, node) = victim();
    let mut peer = Hostile::dial(node.port()).await;
    peer.say(&Hello { oldest: 99, newest: 99, software: "ftx 9.9".into(), ..peer.hello() }).await;
    let answer: Hello = peer.hear().await.expect("the node's own Hello");
    assert!(answer.newest == VERSION && answer.role == Role::Peer);
    assert_eq!(peer.hear::<Receiving>().await, None);
    let closed = node.event("closed");
    assert!(closed["reason"].as_str().unwrap().contains("99"), "{closed}");
    still_serves(&alice, &node);
}
