//! A hub's control socket, and the commands that use it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use ftx::base::fault::FaultKind;
use ftx::base::path::RelPath;
use ftx::hub::control::socket::Socket;
use ftx::hub::event::{Guest, Moved};
use serde_json::{Value, json};

use crate::house::desk::{Counter, repository, sockets};
use crate::house::home::Home;
use crate::house::process::Ran;
use crate::house::until;

/// Says `bytes` to the socket and ends; all lines that are answered.
fn say(socket: &Path, bytes: &[u8]) -> Vec<Value> {
    let mut stream = UnixStream::connect(socket).unwrap();
    // A hub that has heard enough closes; what it answers is what counts.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told);
    let lines = told.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// The kind of the failure that is the only answer.
#[track_caller]
fn refused(socket: &Path, bytes: &[u8]) -> String {
    let answers = say(socket, bytes);
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0]["answer"], "failed", "{answers:?}");
    answers[0]["kind"].as_str().unwrap().to_owned()
}

#[track_caller]
fn is_there(socket: &Path) {
    let answers = say(socket, b"{\"version\":1,\"request\":\"about\"}\n");
    assert_eq!((&answers[0]["answer"], &answers[0]["name"]), (&json!("about"), &json!("lab-hub")));
    assert_eq!(answers[1], json!({ "answer": "done" }));
}

/// Runs a command while the hub goes on in this process.
async fn run(home: &Arc, args: &[&str]) -> Ran {
    let (home, args): (Arc, Vec<String>) = (home.clone(), args.iter().map(|arg| (*arg).to_owned()).collect());
    let ended = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        home.run(&args)
    });
    ended.await.unwrap()
}

type Arc = std::sync::Arc<Home>;

fn home() -> Arc {
    Arc::new(Home::new("lab"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_its_owners_alone_and_a_stale_one_gives_way() {
    let home = home();
    let counter = Counter::open(&home, "class").await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&counter.socket), mode(&sockets(&home))), (0o600, 0o700));
    let id = counter.desk.about.id;
    let second = Socket::listen(&[sockets(&home)], &id).await.unwrap_err();
    assert_eq!(second.kind, FaultKind::Busy, "{second}");
    is_there(&counter.socket);
    let socket = counter.socket.clone();
    drop(counter);
    until("the socket goes with its hub", || (!socket.exists()).then_some(()));

    // What a hub leaves behind that was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let counter = Counter::open(&home, "class-again").await;
    drop(Socket::listen(&[sockets(&home)], &id).await.unwrap());
    is_there(&counter.socket);
}

#[tokio::test]
async fn a_folder_that_others_may_enter_is_passed_over() {
    let home = home();
    let (open, own) = (home.folder("open"), home.path("own"));
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let (_, id) = repository(&home.folder("class"));
    let fault = Socket::listen(std::slice::from_ref(&open), &id).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotPermitted, "{fault}");
    let socket = Socket::listen(&[open, own.clone()], &id).await.unwrap();
    assert!(socket.path().starts_with(own));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_told_and_harms_nobody() {
    let home = home();
    let counter = Counter::open(&home, "class").await;
    let socket = &counter.socket;
    assert_eq!(refused(socket, b"{\"version\":2,\"request\":\"of a later one\"}\n"), "version");
    for garbage in
        [&b"\n"[..], b"{}\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff\xfe\n", b"{\"version\":1,\"request\":\"x\"}\n"]
    {
        assert_eq!(refused(socket, garbage), "protocol", "{garbage:?}");
    }
    assert_eq!(refused(socket, b"{\"version\":1,"), "protocol", "it breaks off");
    assert_eq!(refused(socket, b"{\"version\":1,\"request\":\"remove_space\",\"space\":\"../x\"}\n"), "protocol");
    // Nobody waits for its end.
    assert_eq!(refused(socket, &[b'x'; (64 << 10) + 1]), "protocol", "it is too long");
    assert_eq!(say(socket, b""), [Value::Null; 0], "whoever says nothing is told nothing");
    is_there(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_is_told_until_they_hang_up_and_many_may() {
    let home = home();
    let counter = Counter::open(&home, "class").await;
    // More than may ask at once: the hub has to notice who has gone.
    for _ in 0..3 {
        let mut watching = Vec::new();
        while watching.len() < 16 {
            let mut stream = UnixStream::connect(&counter.socket).unwrap();
            // A hub that has too much to do says so before it hears.
            let _ = stream.write_all(b"{\"version\":1,\"request\":\"watch\"}\n");
            let mut line = String::new();
            let mut reader = BufReader::new(stream);
            reader.read_line(&mut line).unwrap();
            let told: Value = serde_json::from_str(&line).unwrap();
            match told["answer"].as_str().unwrap() {
                "status" => watching.push(reader),
                "working" => watching.push(reader),
                // Those of the round before have not all been noticed.
                _ => assert_eq!(told["kind"], "busy", "{told}"),
            }
        }
        let again = std::iter::repeat_with(|| {
            let mut line = String::new();
            watching[15].read_line(&mut line).unwrap();
            serde_json::from_str::<Value>(&line).unwrap()
        });
        // On a loaded machine it may be at it for longer than a moment.
        let told = again.into_iter().find(|told| told["answer"] != "working").unwrap();
        assert_eq!(told["answer"], "status");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_people_and_programs_the_same() {
    let home = home();
    let counter = Counter::open(&home, "class").await;
    let device = ftx::base::id::PeerId::of_public_key(&[1; 32]);
    let guest = Guest { id: device, name: "lap\u{1b}[2Jtop".into(), account: None };
    let _here = counter.desk.activity.connected(guest.clone(), "10.0.0.1:5".parse().unwrap());
    let path = RelPath::parse("shared/a").unwrap();
    counter.desk.activity.received(&Moved { guest, path, size: 5, digest: None });
    let told = run(&home, &["hub", "status"]).await.done().last();
    assert_eq!((&told["hub"]["name"], &told["connected"][0]["id"]), (&json!("lab-hub"), &json!(device.to_string())));
    assert_eq!(told["received"][0]["path"], "shared/a");
    let shown = {
        let home = home.clone();
        tokio::task::spawn_blocking(move || home.run_plain(&["hub", "status"])).await.unwrap().done().out
    };
    for part in
        ["lab-hub~", "1 device", "(not joined)", "lap\\u{1b}[2Jtop~", "10.0.0.1:5", "shared/a", "people", "anna"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_is_managed_by_its_socket() {
    let home = home();
    let _counter = Counter::open(&home, "class").await;
    let made = run(&home, &["hub", "invite", "--once", "--account", "anna"]).await.done().last();
    assert_eq!(
        (&made["once"], &made["account"], &made["join"]),
        (&json!(true), &json!("anna"), &json!("ftx join lab-hub"))
    );
    let code = made["code"].as_str().unwrap();
    assert_eq!(run(&home, &["hub", "invite", "--list"]).await.done().last()["code"], code);
    run(&home, &["hub", "invite", "--revoke", code]).await.done();
    assert_eq!(run(&home, &["hub", "invite", "--list"]).await.done().out, "");

    run(&home, &["hub", "accounts", "quota", "anna", "20G"]).await.done();
    run(&home, &["hub", "accounts", "rank", "anna", "manager"]).await.done();
    let anna = run(&home, &["hub", "accounts"]).await.done().last();
    assert_eq!((&anna["quota"], &anna["role"]), (&json!(20_u64 << 30), &json!("manager")));
    assert!(run(&home, &["hub", "accounts", "remove", "anna"]).await.exits(2).failure().contains("-y"));
    run(&home, &["hub", "accounts", "remove", "anna", "-y"]).await.done();
    assert!(run(&home, &["hub", "accounts", "disable", "anna"]).await.exits(1).failure().contains("anna"));

    let add = ["hub", "spaces", "add", "essays", "--kind", "drop", "--deadline", "2030-01-01", "--quota", "1M"];
    run(&home, &add).await.done();
    let essays = run(&home, &["hub", "spaces", "list"]).await.done().objects().remove(0);
    assert_eq!(
        (&essays["name"], &essays["kind"], &essays["quota"]),
        (&json!("essays"), &json!("drop"), &json!(1 << 20))
    );
    assert!(essays["deadline"].as_u64() > Some(1_893_000_000), "{essays}");
    run(&home, &["hub", "spaces", "set", "essays", "--deadline", "none"]).await.done();
    run(&home, &["hub", "spaces", "set", "essays"]).await.exits(2).failure();
    run(&home, &["hub", "spaces", "add", "x", "--kind", "open", "--deadline", "2030-01-01"]).await.exits(2).failure();
    run(&home, &["hub", "spaces", "remove", "essays"]).await.exits(2).failure();
    run(&home, &["hub", "spaces", "remove", "essays", "--yes"]).await.done();
    run(&home, &["hub", "spaces", "remove", "shared", "--yes"]).await.exits(10).failure();

    let limits = run(&home, &["hub", "settings", "--keep-days", "7", "--largest-file", "4G"]).await.done().last();
    assert_eq!((&limits["keep_days"], &limits["largest_file"]), (&json!(7), &json!(4_u64 << 30)));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_and_ends_with_7_and_sending_tells_of_each() {
    let home = home();
    let _counter = Counter::open(&home, "class").await;
    let told = run(&home, &["hub", "verify"]).await.exits(7).objects();
    assert_eq!(
        (&told[0]["event"], &told[0]["path"], &told[0]["damage"]),
        (&json!("finding"), &json!("shared/rotten"), &json!(true))
    );
    assert_eq!((&told[2]["event"], &told[2]["damaged"], &told[2]["files"]), (&json!("verified"), &json!(1), &json!(2)));
    run(&home, &["hub", "verify", "--fix-catalogue"]).await.done();

    let sent = run(&home, &["hub", "send", "lab-hub:shared/a", "alice"]).await.exits(8).objects();
    assert_eq!(
        sent[0],
        json!({ "event": "sent", "receiver": "alice", "code": 0, "error": null, "files": 1, "bytes": 7 })
    );
    assert_eq!((&sent[1]["code"], &sent[1]["error"]), (&json!(1), &json!("shared/a is not there")));
    assert!(run(&home, &["hub", "send", "other:shared/a", "alice"]).await.exits(3).failure().contains("lab-hub~"));
    run(&home, &["hub", "send", "alice"]).await.exits(2).failure();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_hub_runs_or_several_do_one_must_be_named() {
    let home = home();
    let none = run(&home, &["hub", "status"]).await.exits(3).failure();
    assert!(none.contains("ftx hub DIR"), "{none}");
    let one = Counter::open(&home, "one").await;
    let _two = Counter::open(&home, "two").await;
    let several = run(&home, &["hub", "status"]).await.exits(3).failure();
    assert!(several.contains("--dir") && several.contains("/one") && several.contains("/two"), "{several}");
    let told = run(&home, &["hub", "status", "--dir", "one"]).await.done().last();
    assert_eq!(told["hub"]["id"], one.desk.about.id.to_string());
    let nowhere = run(&home, &["hub", "status", "--dir", "nowhere"]).await.exits(3).failure();
    assert!(nowhere.contains("no hub's folder"), "{nowhere}");
    assert!(!home.path("nowhere").exists());
}

#[test]
fn a_hub_that_does_not_run_is_managed_by_its_folder() {
    let home = home();
    let class = home.folder("class");
    drop(repository(&class));
    let made = home.run(&["hub", "invite", "--dir", "class"]).done().last();
    assert_eq!(made["once"], false);
    home.run(&["hub", "spaces", "--dir", "class", "add", "slides", "--kind", "read"]).done();
    assert!(class.join("slides").is_dir());
    let spaces = home.run(&["hub", "spaces", "--dir", "class"]).done().objects();
    assert_eq!(
        spaces.iter().map(|space| space["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["people", "shared", "slides"]
    );
    home.run(&["hub", "status", "--dir", "class"]).exits(3).failure();
    home.run(&["hub", "send", "lab-hub:shared/a", "alice", "--dir", "class"]).exits(3).failure();

    let lock = fs::File::create(class.join(".ftx/lock")).unwrap();
    lock.lock().unwrap();
    home.run(&["hub", "invite", "--dir", "class"]).exits(4).failure();
    lock.unlock().unwrap();
}
