//! Handing over by a code: whoever has it gets it, in whatever order they come, and nobody else.

use std::path::Path;

use serde_json::Value;

use crate::house::home::{Home, Node};
use crate::house::noise;
use crate::house::process::{Process, Ran, Stream};
use crate::house::proxy::{Mishap, Proxy, Trouble, Way};

/// Size of what moves where a connection is cut.
const SIZE: usize = 40 << 20;

/// A giver that waits, its code and its port.
pub(crate) struct Giving {
    pub(crate) process: Process,
    pub(crate) code: String,
    pub(crate) port: u16,
}

impl Giving {
    /// Gives to whoever knows where: givers of other tests, and those who try their numbers, are out of the way.
    pub(crate) fn hidden(home: &Home, args: &[&str]) -> Self {
        Self::start(home, &[args, &["--hidden"]].concat())
    }

    /// Gives, and has said the code.
    pub(crate) fn start(home: &Home, args: &[&str]) -> Self {
        Self::of(home.start(&[&["give"], args].concat()))
    }

    pub(crate) fn of(process: Process) -> Self {
        let said = event(&process, "code");
        let first: Value = serde_json::from_str(&process.lines(Stream::Out)[0]).unwrap();
        assert_eq!(first, said, "the code comes first");
        let port = u16::try_from(said["port"].as_u64().unwrap()).unwrap();
        Self { process, code: said["code"].as_str().unwrap().to_owned(), port }
    }

    /// Where it is, as it is typed.
    pub(crate) fn at(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A code of the same number that is not the one.
    pub(crate) fn wrong(&self) -> String {
        let number = self.code.split('-').next().unwrap();
        let wrong = format!("{number}-outpost-sermon-muscular");
        if wrong == self.code { format!("{number}-sermon-outpost-muscular") } else { wrong }
    }

    /// The events of a kind that it has told by its end.
    #[track_caller]
    fn ends(self, code: i32) -> Ran {
        self.process.end().exits(code)
    }
}

/// Waits for an event.
#[track_caller]
pub(crate) fn event(process: &Process, kind: &str) -> Value {
    let of = |line: &str| serde_json::from_str::<Value>(line).ok().filter(|object| object["event"] == kind);
    process.wait_for(Stream::Out, kind, of)
}

/// Begins to take, with the code at standard input.
pub(crate) fn taking(home: &Home, code: &str, args: &[&str]) -> Process {
    let args: Vec<&str> = ["take", "--json", "--code-file", "-"].iter().chain(args).copied().collect();
    Process::start_with_input(home.command(&args), format!("{code}\n").as_bytes())
}

/// Takes to the end.
pub(crate) fn take(home: &Home, code: &str, args: &[&str]) -> Ran {
    taking(home, code, args).end()
}

fn count(ran: &Ran, kind: &str) -> usize {
    ran.objects().iter().filter(|object| object["event"] == kind).count()
}

/// How the address book of this home trusts, by name.
fn trusts(home: &Home, other: &Home) -> bool {
    let book = String::from_utf8(home.read(".config/ftx/peers.toml")).unwrap();
    book.contains(&format!("name = \"{}\"\ntrust = \"trusted\"", other.name()))
}

#[test]
fn files_and_folders_are_given_and_both_sides_trust_each_other() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes.pdf", noise(1, 3_000_000));
    for number in 0..30 {
        alice.write(&format!("tree/{}/{number}", number % 4), noise(number, 500));
    }
    let giving = Giving::start(&alice, &["notes.pdf", "tree", "--text", "a text"]);
    // However it is typed; by somebody who is a stranger.
    let taken = take(&bob, &giving.code.to_uppercase().replace('-', "  "), &["here"]).done();
    assert_eq!(taken.last()["event"], "taken");
    assert_eq!((&taken.last()["verified"], &taken.last()["peer"]["name"]), (&true.into(), &alice.name().into()));
    let offered = taken.objects().into_iter().find(|object| object["event"] == "offered").unwrap();
    assert_eq!((&offered["files"], &offered["bytes"]), (&32.into(), &(3_000_000 + 30 * 500 + 6).into()));
    assert!(Path::new(offered["into"].as_str().unwrap()).is_absolute());
    let given = giving.ends(0);
    assert_eq!((&given.last()["event"], &given.last()["verified"]), (&"given".into(), &true.into()));
    assert_eq!(bob.read("here/notes.pdf"), noise(1, 3_000_000));
    assert_eq!(bob.tree("here/tree"), alice.tree("tree"));
    assert_eq!(bob.read("here/text.txt"), b"a text");
    assert!(trusts(&alice, &bob) && trusts(&bob, &alice));
}

#[test]
fn whoever_takes_may_start_first_and_waits() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes", "n");
    // A code that both have: of a giver that was ended.
    let ended = Giving::start(&alice, &["notes"]);
    let code = ended.code.clone();
    ended.process.signal(rustix::process::Signal::INT);
    ended.ends(130);
    alice.write("code", &code);
    let waiting = taking(&bob, &code, &[]);
    assert_eq!(event(&waiting, "waiting")["number"].to_string(), code.split('-').next().unwrap());
    let giving = Giving::start(&alice, &["notes", "--code-file", "code"]);
    assert_eq!(giving.code, code);
    waiting.end().done();
    giving.ends(0);
    assert_eq!(bob.read("notes"), b"n");
}

#[test]
fn three_wrong_codes_burn_it_and_both_sides_are_told() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("secret", "s");
    let giving = Giving::hidden(&alice, &["secret"]);
    let (wrong, at) = (giving.wrong(), giving.at());
    for told in ["2 tries left", "1 try left", "the code is burnt"] {
        let failure = take(&bob, &wrong, &["--from", &at]).exits(10).failure();
        assert!(failure.contains(told), "{failure}");
    }
    let ran = giving.ends(10);
    let wrong: Vec<_> = ran.objects().into_iter().filter(|object| object["event"] == "wrong_code").collect();
    assert_eq!(wrong.iter().map(|object| object["left"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 1, 0]);
    assert!(ran.failure().contains("burnt"), "{ran:?}");
    assert!(!bob.path("secret").exists() && !bob.path(".ftx-partial").exists());
}

#[test]
fn a_code_works_once_and_whoever_comes_second_is_turned_away() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let bytes = noise(2, SIZE);
    alice.write("big", &bytes);
    let giving = Giving::hidden(&alice, &["big"]);
    let (code, at) = (giving.code.clone(), giving.at());
    let proxy = Proxy::to(giving.port, vec![Trouble { way: Way::Back, after: 2 << 20, what: Mishap::Held }]);
    let first = taking(&bob, &code, &["--from", &proxy.at(), "--connections", "1"]);
    event(&giving.process, "taking");
    let failure = take(&carol, &code, &["--from", &at]).exits(10).failure();
    assert!(failure.contains("works once"), "{failure}");
    proxy.open();
    first.end().done();
    let ran = giving.ends(0);
    assert_eq!((count(&ran, "wrong_code"), count(&ran, "taking")), (0, 1));
    assert!(bob.read("big") == bytes);
    assert!(carol.tree("").iter().all(|path| path.starts_with(".config/")), "{:?}", carol.tree(""));
}

#[test]
fn a_connection_that_is_cut_goes_on_in_the_same_run() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let bytes = noise(3, SIZE);
    alice.write("big", &bytes);
    let giving = Giving::hidden(&alice, &["big"]);
    let proxy = Proxy::to(giving.port, vec![Trouble { way: Way::Back, after: 26 << 20, what: Mishap::Cut }]);
    let taken = take(&bob, &giving.code, &["--from", &proxy.at(), "--connections", "1"]).done();
    assert_eq!((count(&taken, "reconnecting"), count(&taken, "offered")), (1, 1), "{taken:?}");
    assert!(bob.read("big") == bytes);
    assert_eq!(giving.ends(0).last()["event"], "given");
}

#[test]
fn the_same_taker_goes_on_with_the_same_code_and_fetches_only_what_is_missing() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let bytes = noise(4, SIZE);
    alice.write("big", &bytes);
    let giving = Giving::hidden(&alice, &["big"]);
    let proxy = Proxy::to(giving.port, vec![Trouble { way: Way::Back, after: 26 << 20, what: Mishap::Cut }]);
    let cut = ["--from", &proxy.at(), "--connections", "1", "--retry", "0"];
    take(&bob, &giving.code, &cut).exits(4);
    event(&giving.process, "stopped");
    take(&carol, &giving.code, &["--from", &giving.at()]).exits(10);
    let again = take(&bob, &giving.code, &["--from", &giving.at()]).done();
    let moved = usize::try_from(again.last()["bytes_moved"].as_u64().unwrap()).unwrap();
    assert!(moved < SIZE - (4 << 20), "{moved} of {SIZE} moved again");
    assert!(bob.read("big") == bytes);
    giving.ends(0);
}

#[test]
fn several_givers_are_told_apart_also_where_two_have_one_number() {
    let (alice, carol, bob) = (Home::new("alice"), Home::new("carol"), Home::new("bob"));
    alice.write("a", "of alice");
    carol.write("c", "of carol");
    let one = Giving::start(&alice, &["a"]);
    let two = Giving::start(&carol, &["c"]);
    let number = |giving: &Giving| giving.code.split('-').next().unwrap().to_owned();
    assert_ne!(number(&one), number(&two), "who starts later takes another number");
    take(&bob, &two.code, &[]).done();
    take(&bob, &one.code, &[]).done();
    assert_eq!((bob.read("a"), bob.read("c")), (b"of alice".to_vec(), b"of carol".to_vec()));
    two.ends(0);
    one.ends(0);

    alice.write("code", "83-outpost-sermon-muscular");
    carol.write("code", "83-squeegee-sermon-muscular");
    let one = Giving::start(&alice, &["a", "--code-file", "code"]);
    let two = Giving::start(&carol, &["c", "--code-file", "code"]);
    take(&bob, &one.code, &["one"]).done();
    take(&bob, &two.code, &["two"]).done();
    one.ends(0);
    two.ends(0);
    assert_eq!((bob.tree("one"), bob.tree("two")), (vec!["a".to_owned()], vec!["c".to_owned()]));
}

#[test]
fn beside_a_running_node_neither_is_disturbed_and_a_giver_is_no_peer() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes", "n");
    let node = alice.up_for_all();
    let giving = Giving::start(&alice, &["notes"]);
    let number = giving.code.split('-').next().unwrap().to_owned();
    let seen = bob.run(&["peers"]).done().objects();
    assert!(seen.iter().any(|peer| peer["name"] == alice.name()), "{seen:?}");
    assert!(seen.iter().all(|peer| peer["name"] != number), "{seen:?}");
    take(&bob, &giving.code, &[]).done();
    giving.ends(0);
    bob.run(&["push", "notes", &Node::at(&node)]).done();
    assert_eq!(alice.read("inbox/notes"), b"n");
}

#[test]
fn what_comes_from_standard_input_is_given() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let command = alice.command(&["give", "-", "--as", "dump.sql", "--json"]);
    let giving = Giving::of(Process::start_with_input(command, &noise(5, 2_000_000)));
    take(&bob, &giving.code, &[]).done();
    giving.ends(0);
    assert_eq!(bob.read("dump.sql"), noise(5, 2_000_000));
}

#[test]
fn what_is_there_already_stays() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes", "a new one");
    bob.write("notes", "old");
    let giving = Giving::start(&alice, &["notes"]);
    take(&bob, &giving.code, &[]).done();
    giving.ends(0);
    assert_eq!((bob.read("notes"), bob.read("notes (1)")), (b"old".to_vec(), b"a new one".to_vec()));
}

/// A code says who somebody is, but gives nobody another's name, and lets nobody in who is blocked.
#[test]
fn s8_a_code_does_not_pin_a_known_name_to_another_key() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let other = Home::named(alice.name());
    for home in [&alice, &other] {
        home.write("notes", "n");
        let giving = Giving::hidden(home, &["notes"]);
        let taken = take(&bob, &giving.code, &["--from", &giving.at()]).done();
        assert_eq!(taken.err.contains("is in your address book"), std::ptr::eq(home, &other), "{taken:?}");
        giving.ends(0);
    }
    let book = String::from_utf8(bob.read(".config/ftx/peers.toml")).unwrap();
    assert_eq!(book.matches("name = ").count(), 1, "{book}");

    for (who, home, told) in [(&bob, &alice, "is blocked"), (&alice, &bob, "you are blocked there")] {
        who.run(&["block", home.name()]).done();
        let giving = Giving::hidden(&alice, &["notes"]);
        let failure = take(&bob, &giving.code, &["--from", &giving.at()]).exits(6).failure();
        assert!(failure.contains(told), "{failure}");
        who.run(&["forget", home.name()]).done();
    }
}

#[test]
fn nobody_waits_for_ever() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes", "n");
    let giving = Giving::start(&alice, &["notes", "--wait", "1"]);
    assert!(giving.ends(11).failure().contains("nobody took it"));
    let failure = take(&bob, "92-outpost-sermon-muscular", &["--wait", "1"]).exits(11).failure();
    assert!(failure.contains("number 92"), "{failure}");
    let failure = take(&bob, "92-outpost-sermon-muscular", &["--wait", "1", "--from", "127.0.0.1:1"]).exits(4);
    assert!(failure.failure().contains("nothing listens"), "{failure:?}");
    // No longer than a code lives.
    alice.run(&["give", "notes", "--wait", "601"]).exits(2);
    bob.run(&["take", "--wait", "601"]).exits(2);
}

#[test]
fn a_signal_ends_either_side_at_once() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes", "n");
    let giving = Giving::start(&alice, &["notes"]);
    giving.process.signal(rustix::process::Signal::INT);
    giving.ends(130);
    let waiting = taking(&bob, "91-outpost-sermon-muscular", &[]);
    event(&waiting, "waiting");
    waiting.signal(rustix::process::Signal::INT);
    waiting.end().exits(130);
}

/// What makes no sense is told before anybody is looked for; a code is never an argument.
#[test]
fn s10_a_code_comes_at_a_prompt_or_from_a_file_only() {
    let bob = Home::new("bob");
    bob.write("code", "17-outpost-sermon-muscluar");
    bob.write("empty", "\n");
    for (args, told) in [
        (&["17-outpost-sermon-muscular"][..], "--code-file"),
        (&["17", "outpost", "sermon", "muscular"], "never an argument"),
        (&[], "--code-file"),
        (&["--code-file", "code"], "misspelt"),
        (&["--code-file", "empty"], "does not begin with"),
        (&["--code-file", "nowhere"], "no such file"),
        (&["--from", "alice"], "--from"),
    ] {
        let failure = bob.run(&[&["take"], args].concat()).exits(2).failure();
        assert!(failure.contains(told), "{args:?}: {failure}");
    }
    assert!(bob.run(&["give", "nowhere"]).exits(1).failure().contains("nowhere"));
    bob.run(&["give"]).exits(2);
    bob.run(&["give", "-", "--code-file", "-"]).exits(2);
    let only = bob.run_plain(&["give", "code", "-q", "--wait", "1"]).exits(11);
    assert_eq!(only.out.split('-').count(), 4, "{only:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn at_a_terminal_the_code_is_asked_for_and_its_words_are_completed() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.write("notes", "n");
    alice.write("code", "84-outpost-sermon-squeegee");
    let mut terminal = crate::house::terminal::Terminal::start(bob.command(&["take", "here"]));
    terminal.shows("Tab completes words");
    terminal.types("otter");
    terminal.shows("a code begins with a number");
    terminal.types("84 outpost sermon squeeg\t");
    terminal.shows("waiting for whoever gives under number 84");
    let giving = Giving::start(&alice, &["notes", "--code-file", "code"]);
    let screen = terminal.shows("verified in");
    assert!(screen.contains("notes  (1 B)") && screen.contains(&bob.path("here").display().to_string()), "{screen}");
    assert_eq!(terminal.end(), Some(0));
    giving.ends(0);
    // Ctrl-C at the question, and the terminal is as it was.
    let mut terminal = crate::house::terminal::Terminal::start(bob.command(&["take"]));
    terminal.shows("Tab completes words");
    terminal.types("17 out\u{3}");
    assert_eq!(terminal.end(), Some(130));
    crate::house::until("the terminal shows what is typed", || terminal.echoes().then_some(()));
}
