//! Joining a hub and leaving it.

use std::fs;

#[cfg(unix)]
use serde_json::{Value, json};

use crate::house::home::Home;
#[cfg(unix)]
use crate::house::{
    hub::Hub,
    process::{Process, Ran, Stream},
};
#[cfg(target_os = "linux")]
use crate::house::{terminal::Terminal, until};

/// What makes no sense is told before anything is sent, and which flag would make sense of it.
#[test]
fn off_a_terminal_what_is_missing_is_named() {
    let anna = Home::new("anna");
    fs::write(anna.path("code"), "apple-banana-cherry\n").unwrap();
    fs::write(anna.path("empty"), "\n").unwrap();
    for (args, told) in [
        (&["--password-file", "code"][..], "--account"),
        (&["--password"], "--account"),
        (&["--account", "anna", "--password"], "--password-file"),
        (&["--account", "anna", "--password", "--code-file", "code"], "--code-file"),
        (&["--code-file", "-", "--password-file", "-"], "standard input"),
        (&["--code-file", "nowhere"], "nowhere: no such file"),
        (&["--code-file", "empty"], "does not begin with"),
    ] {
        let typed = [&["join", "[127.0.0.1:1]"], args].concat();
        let failure = anna.run(&typed).exits(2).failure();
        assert!(failure.contains(told), "{args:?}: {failure}");
    }
    let failure = anna.run(&["leave", "[127.0.0.1:1]"]).exits(2).failure();
    assert!(failure.contains("--yes"), "{failure}");
}

#[test]
fn a_machine_that_is_no_hub_is_not_joined_and_hears_no_code() {
    let (anna, bob) = (Home::new("anna"), Home::new("bob"));
    fs::write(anna.path("code"), "apple-banana-cherry\n").unwrap();
    let node = bob.up_for_all();
    let failure = anna.run(&["join", &node.at(), "--code-file", "code"]).exits(2).failure();
    assert!(failure.contains("is no hub"), "{failure}");
    let failure = anna.run(&["leave", &node.at(), "--yes"]).exits(2).failure();
    assert!(failure.contains("is no hub"), "{failure}");
}

#[test]
fn a_hub_that_is_not_there_is_not_found() {
    let anna = Home::new("anna");
    let failure = anna.run(&["join", "no-such-hub"]).exits(3).failure();
    assert!(failure.contains("no-such-hub is not here"), "{failure}");
}

/// Joins off a terminal with what is typed into standard input.
#[cfg(unix)]
fn join_typing(hub: &Hub, home: &Home, args: &[&str], typed: &str) -> Ran {
    let at = hub.at("");
    let args: Vec<&str> = [&["join", &at, "--json"], args].concat();
    Process::start_with_input(home.command(&args), typed.as_bytes()).end()
}

/// What an account is at the hub, as a device of it is told.
#[cfg(unix)]
fn account(hub: &Hub, home: &Home) -> Value {
    let told = home.run(&["join", &hub.at("")]).done().last();
    assert_eq!((&told["event"], &told["already"]), (&json!("joined"), &json!(true)));
    told["account"].clone()
}

#[cfg(unix)]
#[test]
fn a_device_joins_by_a_code_and_further_ones_by_the_password() {
    let hub = Hub::start();
    let [laptop, phone, tablet] = ["laptop", "phone", "tablet"].map(Home::new);
    laptop.run(&["ls", &hub.at("shared")]).exits(10);
    // As it may be typed by somebody who heard it.
    let code = hub.invite(&[]).to_uppercase().replace('-', "  ");
    laptop.write("code", format!("{code}\nanother line\n"));
    laptop.write("password", "correct horse");
    let args = ["--account", "anna", "--code-file", "code", "--password-file", "password", "--set-password"];
    let joined = laptop.run(&[&["join", &hub.at("")], &args[..]].concat()).done().last();
    assert_eq!(
        (&joined["account"], &joined["rank"], &joined["already"]),
        (&json!("anna"), &json!("member"), &json!(false))
    );
    assert_eq!(account(&hub, &laptop), "anna");
    laptop.run(&["ls", &hub.at("shared")]).done();
    let trusted = laptop.run(&["peers"]).done().objects();
    assert!(trusted.iter().any(|peer| peer["id"] == hub.up()["id"] && peer["trust"] == "trusted"), "{trusted:?}");

    join_typing(&hub, &phone, &["--account", "anna", "--password-file", "-"], "correct horse\n").done();
    assert_eq!(account(&hub, &phone), "anna");
    // A new password, by a device that has joined; the old one is none any more.
    join_typing(&hub, &phone, &["--set-password", "--password-file", "-"], "staple battery").done();
    join_typing(&hub, &tablet, &["--account", "anna", "--password-file", "-"], "correct horse").exits(10);
    join_typing(&hub, &tablet, &["--account", "Anna", "--password-file", "-"], "staple battery").done();
    assert_eq!(account(&hub, &tablet), "anna");
    let short = join_typing(&hub, &phone, &["--set-password", "--password-file", "-"], "short").exits(2).failure();
    assert!(short.contains("at least 8"), "{short}");

    // Whoever has left is a stranger; the account stays, and with it what it has.
    phone.write("notes", "n");
    phone.run(&["push", "notes", &hub.at("people/anna")]).done();
    phone.run(&["leave", &hub.at(""), "--yes"]).done();
    phone.run(&["ls", &hub.at("people/anna")]).exits(10);
    phone.run(&["leave", &hub.at(""), "--yes"]).exits(10);
    assert!(hub.list(&laptop, "people").contains_key("people/anna/notes"));
    join_typing(&hub, &phone, &["--account", "anna", "--password-file", "-"], "staple battery").done();
    assert!(hub.list(&phone, "people").contains_key("people/anna/notes"));
    assert!(hub.event("left")["account"] == "anna" && hub.events("joined").len() == 4, "{:?}", hub.events("joined"));
}

#[cfg(unix)]
#[test]
fn a_code_gives_what_it_is_for_and_nothing_else() {
    let hub = Hub::start();
    let homes: Vec<Home> = (0..6).map(|n| Home::new(&format!("device{n}"))).collect();
    let refused = |ran: Ran, why: &str| {
        let told = ran.exits(10).failure();
        assert!(told.contains(why), "{told}");
    };
    // One that works once.
    let once = hub.invite(&["--once"]);
    join_typing(&hub, &homes[0], &["--account", "anna", "--code-file", "-"], &once).done();
    refused(join_typing(&hub, &homes[1], &["--account", "bob", "--code-file", "-"], &once), "not right");
    assert!(hub.manage(&["invite", "--list"]).done().objects().is_empty());
    // One for an account, whatever is asked for.
    let carols = hub.invite(&["--account", "carol", "--role", "manager"]);
    let joined = join_typing(&hub, &homes[1], &["--account", "bob", "--code-file", "-"], &carols).done();
    assert_eq!((&joined.last()["account"], &joined.last()["rank"]), (&json!("carol"), &json!("manager")));
    // One for everybody makes accounts and gives nobody's.
    let all = hub.invite(&[]);
    refused(join_typing(&hub, &homes[2], &["--account", "Anna", "--code-file", "-"], &all), "there is an account anna");
    hub.home.write("repository/people/Dave/essay", "of somebody of that name");
    refused(join_typing(&hub, &homes[2], &["--account", "dave", "--code-file", "-"], &all), "there are files under");
    let taken_back = hub.manage(&["invite", "--revoke", &all]).done();
    assert_eq!(taken_back.last()["event"], "revoked");
    refused(join_typing(&hub, &homes[2], &["--account", "erin", "--code-file", "-"], &all), "not right");
    // Without a name it is the login name.
    let all = hub.invite(&[]);
    let args = ["join", &hub.at(""), "--json", "--code-file", "-"];
    let mut command = homes[2].command(&args);
    command.env("USER", "frank");
    assert_eq!(Process::start_with_input(command, all.as_bytes()).end().done().last()["account"], "frank");
    // A device has one account.
    let franks = hub.invite(&["--account", "frank"]);
    assert_eq!(join_typing(&hub, &homes[2], &["--code-file", "-"], &franks).done().last()["already"], true);
    // Whose account is disabled is told so only with the right word, and does nothing.
    homes[2].write("password", "franks password");
    homes[2].run(&["join", &hub.at(""), "--set-password", "--password-file", "password"]).done();
    hub.manage(&["accounts", "disable", "frank"]).done();
    homes[2].run(&["ls", &hub.at("shared")]).exits(10);
    refused(join_typing(&hub, &homes[3], &["--account", "grace", "--code-file", "-"], &franks), "frank is disabled");
    let by_password = ["--account", "frank", "--password-file", "-"];
    refused(join_typing(&hub, &homes[3], &by_password, "franks password"), "frank is disabled");
    refused(join_typing(&hub, &homes[3], &by_password, "another password"), "not right");
    hub.manage(&["accounts", "enable", "frank"]).done();
    homes[2].run(&["ls", &hub.at("shared")]).done();
}

/// What is told of a wrong try, without what is not the hub's word.
#[cfg(unix)]
fn told(ran: Ran) -> String {
    ran.exits(10).failure()
}

#[cfg(unix)]
#[test]
fn s9_file_browser_who_is_wrong_is_not_told_where_and_waits_after_five_tries() {
    let mut hub = Hub::start();
    let anna = hub.member("anna");
    hub.member("bob");
    anna.write("password", "annas password");
    anna.run(&["join", &hub.at(""), "--set-password", "--password-file", "password"]).done();
    let code = hub.invite(&[]);
    let by_password = |account: &'static str| ["--account", account, "--password-file", "-"];
    let tries = [
        (["--account", "zoe", "--code-file", "-"], "wrong-words-indeed-here"),
        (["--account", "anna", "--code-file", "-"], "other-wrong-words-here"),
        (by_password("anna"), "wrong password"),
        (by_password("bob"), "he has no password"),
        (by_password("nobody"), "there is no such account"),
    ];
    // Each from another device, as it may be one person with many keys.
    let told: Vec<String> =
        tries.map(|(args, typed)| told(join_typing(&hub, &Home::new("mallory"), &args, typed))).into();
    assert!(told.iter().all(|text| *text == told[0] && text.contains("not right")), "{told:#?}");
    let refused = hub.events("join_refused");
    assert_eq!(refused.len(), tries.len());
    let log = hub.process().lines(Stream::Out).join("\n");
    assert!(
        tries.iter().all(|(_, typed)| !log.contains(typed))
            && !log.contains(&code)
            && log.contains("wrong code or password")
    );
    // Now the right ones do not help either, and it is told for how long.
    for (args, typed) in
        [(["--account", "zoe", "--code-file", "-"], code.as_str()), (by_password("anna"), "annas password")]
    {
        let text = join_typing(&hub, &Home::new("zoe"), &args, typed).exits(10).failure();
        assert!(text.contains("too many wrong codes or passwords; try again in 10 minutes"), "{text}");
    }
    // Those who have joined notice nothing of it.
    anna.run(&["ls", &hub.at("shared")]).done();
    assert!(hub.events("join_refused").len() > tries.len());
    hub.stop().done();
    hub.restart();
    join_typing(&hub, &Home::new("zoe"), &["--account", "zoe", "--code-file", "-"], &code).done();
}

#[cfg(unix)]
#[test]
fn s9_warpinator_a_code_that_works_once_is_taken_back_after_three_wrong_ones() {
    let hub = Hub::start();
    let (once, many) = (hub.invite(&["--once"]), hub.invite(&[]));
    for n in 0..3 {
        let mallory = ["--account", &format!("mallory{n}"), "--code-file", "-"];
        join_typing(&hub, &Home::new("mallory"), &mallory, "wrong-words-here").exits(10);
    }
    let told = hub.event_where("join_refused", |event| event.to_string().contains("taken back"));
    assert!(!told.to_string().contains(&once));
    let zoe = ["--account", "zoe", "--code-file", "-"];
    join_typing(&hub, &Home::new("zoe"), &zoe, &once).exits(10);
    join_typing(&hub, &Home::new("zoe"), &zoe, &many).done();
}

/// Many machines that try one account, here by its two addresses.
#[cfg(unix)]
#[test]
fn an_account_that_many_try_waits_and_the_others_do_not() {
    let hub = Hub::start();
    let anna = hub.member("anna");
    let code = hub.invite(&[]);
    let six = format!("[[::1]:{}]", hub.up()["port"]);
    let join = |at: &str, account: &str, typed: &str| {
        let home = Home::new("device");
        let args = ["join", at, "--json", "--account", account, "--code-file", "-"];
        Process::start_with_input(home.command(&args), typed.as_bytes()).end()
    };
    for n in 0..5 {
        let at = if n % 2 == 0 { hub.at("") } else { six.clone() };
        join(&at, "anna", "wrong-words-indeed-here").exits(10);
    }
    for at in [hub.at(""), six.clone()] {
        let text = join(&at, "ANNA", &code).exits(10).failure();
        assert!(text.contains("try again in"), "{text}");
        join(&at, if at == six { "six" } else { "four" }, &code).done();
    }
    anna.run(&["ls", &hub.at("shared")]).done();
}

#[cfg(unix)]
#[test]
fn off_a_terminal_nothing_is_asked_for() {
    let (hub, anna) = (Hub::start(), Home::new("anna"));
    let failure = anna.run(&["join", &hub.at("")]).exits(2).failure();
    assert!(failure.contains("--code-file"), "{failure}");
    let failure = anna.run(&["join", &hub.at(""), "--account", "anna", "--password"]).exits(2).failure();
    assert!(failure.contains("--password-file"), "{failure}");
    let code = hub.invite(&[]);
    let failure = join_typing(&hub, &anna, &["--code-file", "-", "--set-password"], &code).exits(2).failure();
    assert!(failure.contains("--password-file"), "{failure}");
    hub.join(&anna, "anna", "member");
    let failure = anna.run(&["join", &hub.at(""), "--set-password"]).exits(2).failure();
    assert!(failure.contains("--password-file"), "{failure}");
    assert_eq!(hub.events("joined").len(), 1);
    assert!(hub.events("join_refused").is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_person_types_code_name_and_a_password_that_nobody_sees() {
    let (hub, anna, phone) = (Hub::start(), Home::new("anna"), Home::new("phone"));
    let code = hub.invite(&[]);
    let mut command = anna.command(&["join", &hub.at("")]);
    command.env("USER", "annalogin");
    let mut terminal = Terminal::start(command);
    terminal.shows("code of");
    terminal.types(&code);
    terminal.shows("your account there [annalogin]: ");
    terminal.types("anna");
    terminal.shows("a password for further devices of anna (empty: none)");
    assert!(!terminal.echoes());
    terminal.types("tooshrt");
    terminal.shows("at least 8 characters");
    terminal.shows_times(2, "a password for further devices");
    terminal.types("unseen words");
    terminal.shows("the same again");
    terminal.types("other words");
    terminal.shows("the two differ");
    terminal.shows_times(3, "a password for further devices");
    terminal.types("unseen words");
    terminal.shows_times(2, "the same again");
    terminal.types("unseen words");
    terminal.shows("joined ");
    assert_eq!(terminal.end(), Some(0));
    let screen = terminal.screen();
    assert!(terminal.echoes() && !screen.contains("unseen words") && !screen.contains("tooshrt"), "{screen}");

    let mut terminal = Terminal::start(phone.command(&["join", &hub.at(""), "--account", "anna", "--password"]));
    terminal.shows("password of anna at");
    terminal.types("unseen words");
    terminal.shows("joined ");
    assert!(terminal.end() == Some(0) && !terminal.screen().contains("unseen words"));
    assert_eq!(account(&hub, &phone), "anna");

    let mut terminal = Terminal::start(phone.command(&["leave", &hub.at("")]));
    terminal.shows("unlink this device");
    terminal.types("n");
    assert_eq!(terminal.end(), Some(5));
    assert_eq!(account(&hub, &phone), "anna");
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_stops_while_a_password_is_asked_for_has_their_terminal_back() {
    let (hub, anna) = (Hub::start(), Home::new("anna"));
    let mut terminal = Terminal::start(anna.command(&["join", &hub.at(""), "--account", "anna", "--password"]));
    terminal.shows("password of anna at");
    until("the echo is off", || (!terminal.echoes()).then_some(()));
    terminal.signal(rustix::process::Signal::INT);
    assert_eq!(terminal.end(), Some(130));
    assert!(terminal.echoes());
    // At the other questions, too.
    let mut terminal = Terminal::start(anna.command(&["join", &hub.at("")]));
    terminal.shows("code of");
    terminal.signal(rustix::process::Signal::INT);
    assert_eq!(terminal.end(), Some(130));
    assert!(terminal.echoes() && hub.events("join_refused").is_empty());
}
