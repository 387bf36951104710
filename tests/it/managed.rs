//! A hub that runs, looked after from its own machine while devices use it.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::house::home::Home;
use crate::house::hub::Hub;
use crate::house::process::{Process, Stream};
use crate::house::terminal::Terminal;
use crate::house::{noise, until};

/// Changes bytes of a file as a failing disk does: nothing else of it is another.
fn rot(path: &Path) {
    let mut file = File::options().write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.rewind().unwrap();
    file.write_all(b"ROT").unwrap();
    file.set_modified(modified).unwrap();
}

fn findings(objects: &[Value]) -> Vec<(&str, &str, bool)> {
    let findings = objects.iter().filter(|object| object["event"] == "finding");
    let told = findings
        .map(|one| (one["path"].as_str().unwrap(), one["what"].as_str().unwrap(), one["damage"].as_bool().unwrap()));
    told.collect()
}

#[test]
fn everything_is_read_again_at_a_hub_that_runs_and_at_its_folder() {
    let mut hub = Hub::start();
    let anna = hub.member("anna");
    for name in ["good", "rotten", "gone"] {
        anna.write(name, format!("the text of {name}"));
    }
    anna.run(&["push", "good", "rotten", "gone", &hub.at("shared")]).done();
    let all = hub.manage(&["verify"]).done().last();
    assert_eq!((&all["files"], &all["damaged"], &all["noted"]), (&json!(3), &json!(0), &json!(0)));

    rot(&hub.path("shared/rotten"));
    let rotten = ("shared/rotten", "damaged", true);
    assert_eq!(findings(&hub.manage(&["verify"]).exits(7).objects()), [rotten]);
    hub.stop().done();
    fs::remove_file(hub.path("shared/gone")).unwrap();
    fs::write(hub.path("shared/stray"), "by hand").unwrap();
    let told = hub.manage(&["verify"]).exits(7).objects();
    assert_eq!(findings(&told), [("shared/gone", "missing", false), rotten, ("shared/stray", "unknown", false)]);
    let fixed = hub.manage(&["verify", "--fix-catalogue"]).exits(7).objects();
    assert_eq!(findings(&fixed).len(), 3, "it is named what is fixed");
    let all = hub.manage(&["verify"]).done().last();
    assert_eq!((&all["files"], &all["noted"]), (&json!(3), &json!(0)));
}

#[test]
fn a_hub_sends_what_it_holds_in_its_own_name() {
    let hub = Hub::start();
    let name = hub.home.name();
    let anna = hub.member("anna");
    anna.write("slides/week1.pdf", noise(1, 300_000));
    anna.run(&["push", "slides", &hub.at("shared")]).done();
    fs::write(hub.path("stray"), "in no space").unwrap();
    let (bob, carol) = (Home::new("bob"), Home::new("carol"));
    let nodes = [bob.up_for_all(), carol.up_for_all()];
    let both = format!("{},{}", nodes[0].at(), nodes[1].at());

    let sent = hub.manage(&["send", &format!("{name}:shared/slides"), &both]).done().objects();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent.iter().all(|one| one["event"] == "sent" && one["code"] == 0 && one["files"] == 1), "{sent:?}");
    for (home, node) in [&bob, &carol].into_iter().zip(&nodes) {
        assert_eq!(home.read("inbox/slides/week1.pdf"), noise(1, 300_000));
        assert_eq!(node.event("received")["peer"]["id"], hub.up()["id"], "it came from the hub");
    }
    let logged = hub.event("sent");
    assert_eq!((&logged["path"], &logged["account"]), (&json!("shared/slides/week1.pdf"), &Value::Null));

    let nobody = "[127.0.0.1:1]";
    let some = format!("{},{nobody}", nodes[0].at());
    let told = hub.manage(&["send", ":shared/slides/week1.pdf", &some]).exits(8).objects();
    assert_eq!(told.iter().map(|one| one["code"].as_u64().unwrap()).sum::<u64>(), 4, "{told:?}");
    hub.manage(&["send", "shared/slides", nobody]).exits(4);
    let at = nodes[0].at();
    assert!(hub.manage(&["send", "stray", &at]).exits(10).failure().contains("in no space"));
    hub.manage(&["send", ".ftx/key", &at]).exits(2).failure();
    hub.manage(&["send", "shared/nothing", &at]).exits(1).failure();
    hub.manage(&["send", "shared/slides", "@nobody"]).exits(2);
    assert!(hub.manage(&["status"]).done().last()["moving"].as_array().unwrap().is_empty());
}

/// How a hub stands, once this is so.
fn stands(hub: &Hub, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    until(what, || Some(hub.manage(&["status"]).done().last()).filter(&is))
}

fn moves(status: &Value) -> bool {
    status["moving"].as_array().unwrap().iter().any(|one| one["moved"].as_u64() > Some(0))
}

#[test]
fn its_status_is_true_while_devices_come_send_and_go() {
    let hub = Hub::start();
    let anna = hub.member("anna");
    anna.write("long", noise(1, 8 << 20));
    let pushing = anna.start(&["push", "--limit", "500K", "long", &hub.at("shared")]);
    let status = stands(&hub, "bytes move", moves);
    let moving = &status["moving"][0];
    assert_eq!(
        (&moving["account"], &moving["way"], &moving["path"], &moving["bytes"]),
        (&json!("anna"), &json!("in"), &json!("shared"), &json!(8 << 20))
    );
    assert!(moving["moved"].as_u64() < Some(8 << 20), "{moving}");
    stands(&hub, "there is a rate", |status| status["moving"][0]["rate"].as_u64() > Some(0));
    assert_eq!(status["connected"][0]["account"], "anna");
    assert!(status["received"].as_array().unwrap().is_empty());
    pushing.signal(Signal::INT);
    pushing.end().exits(130);
    let status = stands(&hub, "she has gone", |status| status["connected"].as_array().unwrap().is_empty());
    assert_eq!(status["moving"], json!([]));

    anna.write("short", "12345");
    anna.run(&["push", "short", &hub.at("shared/week1")]).done();
    let status = stands(&hub, "it has come", |status| !status["received"].as_array().unwrap().is_empty());
    assert_eq!(
        (&status["received"][0]["path"], &status["counters"]["received"]),
        (&json!("shared/week1/short"), &json!(1))
    );
    anna.run(&["rm", &hub.at("shared/week1"), "-r", "-y"]).done();
    let shared = |status: &Value| {
        let spaces = status["spaces"].as_array().unwrap();
        spaces.iter().find(|space| space["name"] == "shared").unwrap()["files"].clone()
    };
    stands(&hub, "it is gone", |status| shared(status) == json!(0));
    hub.member("bob");
    let status = stands(&hub, "bob is there", |status| status["accounts"].as_array().unwrap().len() == 2);
    assert_eq!(status["counters"]["refused"], 0);
}

#[test]
fn whoever_is_disabled_is_stopped_and_kept_out_and_files_stay_when_an_account_goes() {
    let hub = Hub::start();
    let (anna, bob) = (hub.member("anna"), hub.member("bob"));
    let bytes = noise(1, 8 << 20);
    anna.write("long", &bytes);
    let push = ["push", "--limit", "500K", "long", &hub.at("shared")];
    let pushing = anna.start(&push);
    stands(&hub, "bytes move", moves);
    // Changes that are not about her leave her alone.
    hub.manage(&["accounts", "disable", "bob"]).done();
    hub.manage(&["spaces", "add", "slides", "--kind", "read"]).done();
    hub.manage(&["settings", "--keep-days", "7"]).done();
    hub.invite(&[]);
    assert!(moves(&hub.manage(&["status"]).done().last()));
    hub.manage(&["accounts", "disable", "anna"]).done();
    let told = pushing.end().exits(4).failure();
    assert!(told.contains("stopped"), "{told}");
    stands(&hub, "nothing moves", |status| status["moving"] == json!([]));
    for home in [&anna, &bob] {
        let told = home.run(&["ls", &hub.at("shared")]).exits(10).failure();
        assert!(told.contains("disabled"), "{told}");
    }
    assert_eq!(hub.event_where("refused", |event| event["verb"] == "ls")["kind"], "not_permitted");
    hub.manage(&["accounts", "enable", "anna"]).done();
    // What came before is not sent again.
    let done = anna.run(&["push", "long", &hub.at("shared")]).done().last();
    assert_eq!(fs::read(hub.path("shared/long")).unwrap(), bytes);
    assert!(done["bytes_moved"].as_u64() < Some(8 << 20), "{done}");
    hub.manage(&["accounts", "remove", "anna", "-y"]).done();
    let told = anna.run(&["ls", &hub.at("shared")]).exits(10).failure();
    assert!(told.contains("joined"), "{told}");
    assert_eq!(fs::read(hub.path("shared/long")).unwrap(), bytes);
}

#[test]
fn its_status_is_drawn_again_and_again_until_a_person_has_seen_enough() {
    let hub = Hub::start();
    let watch = ["hub", "status", "--watch", "--dir", "repository"];
    for by_key in [true, false] {
        let mut terminal = Terminal::start(hub.home.command(&watch));
        terminal.shows_times(3, "received last");
        let (left, screen) = ("\u{1b}[1;1H", terminal.screen());
        assert!(screen.matches(left).count() >= 3, "it is drawn in place: {screen:?}");
        if by_key {
            terminal.types("xq")
        } else {
            terminal.signal(Signal::INT)
        }
        assert_eq!(terminal.end(), Some(0));
    }
    let anna = hub.member("anna");
    let watching = hub.home.start(&watch);
    anna.write("a", "text");
    anna.run(&["push", "a", &hub.at("shared")]).done();
    let object = |line: &str| Some(serde_json::from_str::<Value>(line).unwrap());
    watching
        .wait_for(Stream::Out, "the file", |line| object(line).filter(|one| one["received"][0]["path"] == "shared/a"));
    watching.signal(Signal::INT);
    assert!(watching.end().done().objects().len() > 1);
}

/// Where the socket of a hub is whose folder for it has too long a name.
fn elsewhere(config: &Path) -> PathBuf {
    let name = config.join("ftx/run");
    let digest = Sha256::digest(name.as_os_str().as_encoded_bytes());
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Path::new("/tmp").join(format!("ftx-{digest}"))
}

#[test]
fn a_long_name_of_the_home_folder_keeps_nobody_from_its_hub() {
    let home = Home::new("hub");
    let config = home.folder(&format!("{}/config", "long".repeat(30)));
    let command = |args: &[&str]| {
        let mut command = home.command(args);
        command.arg("--json").env("XDG_CONFIG_HOME", &config);
        Process::start(command)
    };
    let folder = elsewhere(&config);
    let hub = command(&["hub", "repository", "--port", "0"]);
    hub.wait_for(Stream::Out, "the hub is up", |line| line.contains(r#""event":"hub""#).then_some(()));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let socket = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    assert_eq!((mode(&folder), mode(&socket)), (0o700, 0o600));
    command(&["hub", "invite"]).end().done();
    command(&["hub", "status", "--dir", "repository"]).end().done();
    hub.signal(Signal::TERM);
    assert_eq!(hub.end().done().err, "");
    // A folder of that name that others may use is nothing for a hub.
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    let hub = command(&["hub", "repository", "--port", "0"]);
    hub.wait_for(Stream::Err, "the warning", |line| line.contains("chmod 700").then_some(()));
    assert!(fs::read_dir(&folder).unwrap().next().is_none());
    fs::remove_dir(&folder).unwrap();
}

#[test]
fn whoever_has_the_folder_is_named_to_whoever_wants_it() {
    let mut hub = Hub::start();
    let sockets = hub.home.path(".config/ftx/run");
    for socket in fs::read_dir(&sockets).unwrap() {
        fs::remove_file(socket.unwrap().path()).unwrap();
    }
    let told = hub.home.run(&["hub", "accounts", "--dir", "repository"]).exits(4).failure();
    assert!(told.contains("runs and does not answer") && told.contains("process"), "{told}");
    hub.stop().done();
    hub.manage(&["accounts"]).done();
    // As if that took long.
    let lock = File::options().read(true).write(true).open(hub.path(".ftx/lock")).unwrap();
    lock.lock().unwrap();
    let told = hub.home.run(&hub.typed()).exits(1).failure();
    assert!(told.contains("a command is at work"), "{told}");
    lock.unlock().unwrap();
    hub.restart();
}

#[test]
fn a_catalogue_that_is_broken_is_told_also_where_no_hub_runs() {
    let mut hub = Hub::start();
    hub.stop().done();
    fs::write(hub.path(".ftx/catalogue.sqlite"), noise(1, 10_000)).unwrap();
    let ran = hub.manage(&["spaces"]).done();
    assert!(ran.err.contains("built anew"), "{}", ran.err);
}

#[test]
fn people_are_told_of_the_first_hundred_files_of_a_transfer_and_programs_of_all() {
    let mut hub = Hub::start();
    let anna = hub.member("anna");
    (0..150).for_each(|number| drop(anna.write(&format!("many/{number}"), "text")));
    anna.run(&["push", "many", &hub.at("shared")]).done();
    let whole = hub.event("received_all");
    assert_eq!((&whole["files"], &whole["bytes"], &whole["path"]), (&json!(150), &json!(600), &json!("shared")));
    assert_eq!(hub.events("received").len(), 150);
    assert_eq!(hub.events("listening").len(), 1);
    hub.stop().done();

    let plain = Process::start(hub.home.command(&hub.typed()));
    let port =
        plain.wait_for(Stream::Out, "its port", |line| line.split(", port ").nth(1).map(|port| port.trim().to_owned()));
    let at = format!("[127.0.0.1:{port}]:shared/again");
    anna.run(&["push", "many", &at]).done();
    anna.run(&["pull", &at]).done();
    plain.wait_for(Stream::Out, "the end of it", |line| line.contains("  sent_all  ").then_some(()));
    let lines = plain.lines(Stream::Out);
    for word in ["  received  ", "  sent  "] {
        assert_eq!(lines.iter().filter(|line| line.contains(word)).count(), 100, "{word}");
    }
    assert!(lines.iter().any(|line| line.contains("received_all") && line.contains("150 files of shared/again")));
}

#[test]
fn a_log_that_nobody_reads_stalls_nobody() {
    let home = Home::new("hub");
    let mut command = home.command(&["hub", "repository", "--port", "0", "--json"]);
    let mut hub = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut log = BufReader::new(hub.stdout.take().unwrap());
    let mut first = String::new();
    log.read_line(&mut first).unwrap();
    let port = serde_json::from_str::<Value>(&first).unwrap()["port"].clone();
    let anna = Home::new("anna");
    let code = home.run(&["hub", "invite", "--dir", "repository"]).done().last()["code"].as_str().unwrap().to_owned();
    let code = anna.write(".code", code);
    let at = |path: &str| format!("[127.0.0.1:{port}]{path}");
    anna.run(&["join", &at(""), "--account", "anna", "--code-file", code.to_str().unwrap()]).done();
    // More than a pipe and the hub's own memory of them hold.
    (0..2500).for_each(|number| drop(anna.write(&format!("many/{number}"), "text")));
    anna.run(&["push", "many", &at(":shared")]).done();
    assert_eq!(anna.run(&["ls", &at(":shared/many")]).done().objects().len(), 2500);
    rustix::process::kill_process(rustix::process::Pid::from_child(&hub), Signal::TERM).unwrap();
    let status = until("it ends", || hub.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(rest.matches(r#""event":"received""#).count() < 2500);
}
