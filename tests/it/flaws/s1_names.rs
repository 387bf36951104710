//! The corpus of names that broke other tools: none of them creates anything outside.

use std::sync::Arc;

use ftx::base::fault::{Fault, FaultKind};
use ftx::link::key::Key;
use ftx::wire::message::{Receiving, Sending};
use tokio::task::JoinSet;

use crate::house::home::{Home, Node};
use crate::house::hostile::{Hostile, Script, Trap, raw_page, raw_page_of};

/// Names and paths that somebody somewhere took for something else.
pub(crate) fn corpus() -> Vec<String> {
    let mut names: Vec<String> = [
        "",
        ".",
        "..",
        "/",
        "//",
        "\\",
        "../x",
        "..\\x",
        "../../x",
        "..\\..\\x",
        "/x",
        "\\x",
        "//host/share/x",
        "\\\\host\\share\\x",
        "\\\\?\\C:\\x",
        "\\\\.\\PhysicalDrive0",
        "\\??\\C:\\x",
        "C:x",
        "C:\\x",
        "C:/x",
        "c:",
        "file:///etc/x",
        "a/../../x",
        "a/..",
        "a/../x",
        "a/./x",
        "./x",
        "a//x",
        "a/",
        "a/.",
        "../",
        "..x/../../x",
        "x:ads",
        "x::$DATA",
        "x:ads:$DATA",
        ":",
        "CON",
        "con",
        "con.txt",
        "COM1",
        "COM1 ",
        "COM¹",
        "LPT9.txt",
        "NUL",
        "nul.tar.gz",
        "AUX",
        "PRN",
        "CONIN$",
        "x.",
        "x ",
        "x. .",
        " x",
        "...",
        ".. ",
        ". ",
        ".. .",
        "a\0b",
        "\0",
        "../x\0.txt",
        "a\nb",
        "a\rb",
        "a\tb",
        "a\u{7f}b",
        "a\u{85}b",
        "a\u{1b}[2Jb",
        "\u{202e}fdp.exe",
        "\u{200b}",
        "..\u{200b}",
        "\u{ff0e}\u{ff0e}",
        "\u{ff0e}\u{ff0e}/x",
        "\u{ff0e}\u{ff0e}\u{ff0f}x",
        "\u{2024}\u{2024}/x",
        "..\u{2215}x",
        "..\u{2044}x",
        "..%2fx",
        "%2e%2e/x",
        "..%c0%afx",
        "~",
        "~/x",
        "~root/x",
        "$HOME/x",
        "`x`",
        "$(touch x)",
        "-rf",
        "--help",
        "*",
        "?",
        "<x>",
        "x|y",
        "\"x\"",
        "e\u{301}",
        "\u{212b}",
        ".ssh/authorized_keys",
        ".bashrc",
        "desktop.ini",
        "a/b/c/../../../../x",
    ]
    .map(str::to_owned)
    .into();
    names.push("x".repeat(255));
    names.push("x".repeat(256));
    names.push("x".repeat(300));
    names.push("ä".repeat(128));
    names.push("d/".repeat(129) + "x");
    names.push("d/".repeat(2100) + "x");
    names.push("../".repeat(100) + "etc/x");
    names
}

/// Where the node of these tests receives: deep enough that climbing a little stays in its home.
const INBOX: &str = "deep/er/inbox";

/// A home with a node, and what is in it besides what the node receives and knows.
fn victim() -> (Home, Node, Vec<String>) {
    let alice = Home::new("alice");
    alice.write("private", "p");
    let node = Node::new(alice.start(&["up", "--port", "0", "--dir", INBOX, "--accept", "all"]));
    let before = outside(&alice);
    (alice, node, before)
}

fn outside(alice: &Home) -> Vec<String> {
    let ours = |path: &String| !path.starts_with(".config") && !path.starts_with("deep/er/inbox/");
    alice.tree("").into_iter().filter(ours).collect()
}

/// Plays all scripts, some at once, and hears the last word to each.
async fn play_all(node: &Node, scripts: Vec<(String, Script)>) -> Vec<(String, Option<Receiving>)> {
    const AT_ONCE: usize = 16;
    let (port, key) = (node.port(), Arc::new(Key::generate().unwrap()));
    let mut scripts = scripts.into_iter();
    let (mut playing, mut heard) = (JoinSet::new(), Vec::new());
    loop {
        while playing.len() < AT_ONCE
            && let Some((what, script)) = scripts.next()
        {
            let key = key.clone();
            playing.spawn(async move { (what, Hostile::pushing_with(key, port).await.play(script).await.pop()) });
        }
        match playing.join_next().await {
            Some(played) => heard.push(played.unwrap()),
            None => return heard,
        }
    }
}

#[tokio::test]
async fn s1_localsend_cve_2025_27142_croc_cve_2023_43619_no_name_in_a_push_leads_outside() {
    let (alice, node, before) = victim();
    let corpus = corpus();
    assert!(corpus.len() >= 60);
    let paths = corpus.iter().flat_map(|name| [name.clone(), format!("tree/{name}"), format!("{name}/leaf")]);
    let scripts = paths.map(|path| {
        let script = Script::opened().say(&raw_page(&path, None)).say(&Sending::PagesEnd { entries: 1, bytes: 3 });
        (path, script.ready_or_refused().whole(0, b"abc").end())
    });
    let heard = play_all(&node, scripts.collect()).await;
    assert_eq!(outside(&alice), before);
    let taken = |path: &str, last: &Option<Receiving>| {
        let is_good = ftx::base::path::RelPath::parse(path).is_ok();
        let is_taken = matches!(last, Some(Receiving::Receipt(_)));
        assert!(is_good || !is_taken, "{path:?} is no path and was taken");
        is_taken
    };
    let count = heard.iter().filter(|(path, last)| taken(path, last)).count();
    assert!(count > 20 && heard.len() - count > 60, "{count} of {} were taken", heard.len());
    for path in alice.tree(INBOX) {
        let shown = ftx::base::text::escape(&path);
        assert!(!path.contains(['\\', '\n', '\u{1b}', '\u{7f}']), "{shown}");
    }
}

#[tokio::test]
async fn s2_warpinator_cve_2022_42725_no_target_of_a_link_leads_outside() {
    let (alice, node, before) = victim();
    let mut scripts = Vec::new();
    for (number, target) in corpus().into_iter().enumerate() {
        let places = [(format!("t{number}/l"), target.clone()), (format!("t{number}/a/l"), format!("../{target}"))];
        for (place, target) in places.into_iter().chain([(format!("l{number}"), target)]) {
            let page = raw_page(&place, Some(&target));
            let script = Script::opened().say(&page).say(&Sending::PagesEnd { entries: 1, bytes: 0 });
            scripts.push((target, script.ready_or_refused().end()));
        }
    }
    play_all(&node, scripts).await;
    assert_eq!(outside(&alice), before);
    let links: Vec<String> = alice.tree(INBOX).into_iter().filter(|path| path.contains(" -> ")).collect();
    assert!(links.len() > 10, "{links:?}");
    for line in links {
        let (place, target) = line.split_once(" -> ").unwrap();
        assert!(!target.starts_with('/'), "{line}");
        let mut depth = place.matches('/').count();
        for part in target.split('/') {
            depth = match part {
                ".." => depth.checked_sub(1).unwrap_or_else(|| panic!("{line} leaves the inbox")),
                _ => depth + 1,
            };
        }
    }
}

/// The same from the honest side: names that cannot travel as they are arrive under others.
#[cfg(target_os = "linux")]
#[test]
fn odd_names_of_our_own_files_travel_rewritten_and_are_told() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    let node = alice.up_for_all();
    for name in ["back\\slash", "new\nline", "esc\u{1b}[2J", "plain"] {
        bob.write(&format!("tree/{name}"), name);
    }
    let pushed = bob.run(&["push", "tree", &node.at()]).done().last();
    assert_eq!(alice.tree("inbox/tree"), ["back_slash", "esc_[2J", "new_line", "plain"]);
    assert_eq!(alice.read("inbox/tree/back_slash"), b"back\\slash");
    assert_eq!(pushed["notes"].as_array().unwrap().len(), 3, "{pushed}");
}

/// What is on its way has names, too: nothing of it is anywhere but in staging.
#[tokio::test]
async fn s1_croc_cve_2023_43619_no_name_leads_out_of_staging() {
    const HALF: usize = 1 << 20;
    let (alice, node, before) = victim();
    let (port, key) = (node.port(), Arc::new(Key::generate().unwrap()));
    let chunk = vec![7; HALF];
    let mut begun = 0;
    for name in corpus() {
        let page = raw_page_of(&name, None, 2 * HALF as u64);
        let script = Script::opened().say(&page).say(&Sending::PagesEnd { entries: 1, bytes: 2 * HALF as u64 });
        // One of its two chunks, and then nothing more: it stays where it is staged.
        let script = script.ready_or_refused().chunk(0, 0, &chunk).say(&Sending::Abort(gone()));
        let heard = Hostile::pushing_with(key.clone(), port).await.play(script).await;
        begun += usize::from(heard.iter().any(|message| matches!(message, Receiving::Have(_))));
    }
    assert!(begun > 20, "{begun} were begun");
    assert_eq!(outside(&alice), before);
    let inbox = alice.tree(INBOX);
    let staged = inbox.iter().filter(|path| path.contains("/data/")).count();
    assert!(staged > 0 && inbox.iter().all(|path| path.starts_with(".ftx-partial/")), "{inbox:?}");
}

fn gone() -> Fault {
    Fault::new(FaultKind::Interrupted, "no more")
}

/// The same names, said by whoever is pulled from.
#[tokio::test(flavor = "multi_thread")]
async fn s1_magic_wormhole_cve_2026_32116_no_name_in_the_answer_to_a_pull_leads_outside() {
    const AT_ONCE: usize = 6;
    let bob = Arc::new(Home::new("bob"));
    bob.write("private", "p");
    bob.folder(INBOX);
    // Whoever answers to another name than before would not be heard at all.
    let key = Arc::new(Key::generate().unwrap());
    let before = outside(&bob);
    let names: Vec<String> = corpus().into_iter().flat_map(|name| [format!("tree/{name}"), name]).collect();
    let (mut pulling, mut names) = (JoinSet::new(), names.into_iter());
    let mut taken = 0;
    loop {
        while pulling.len() < AT_ONCE
            && let Some(name) = names.next()
        {
            let (bob, key) = (bob.clone(), key.clone());
            pulling.spawn(async move {
                let trap = Trap::set_with(key).await;
                let process = bob.start(&["pull", &trap.at(), "--to", INBOX, "--retry", "0", "--connections", "1"]);
                let (peer, _) = trap.greeted().await;
                let page = raw_page(&name, None);
                let script = Script::opened().say(&page).say(&Sending::PagesEnd { entries: 1, bytes: 3 });
                peer.play(script.ready_or_refused().whole(0, b"abc").end()).await;
                tokio::task::spawn_blocking(|| process.end()).await.unwrap().code
            });
        }
        match pulling.join_next().await {
            Some(ended) => taken += usize::from(ended.unwrap() == Some(0)),
            None => break,
        }
    }
    assert!(taken > 20, "{taken} came");
    assert_eq!(outside(&bob), before);
}
