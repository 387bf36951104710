//! What is asked of a hub, and what it answers.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use super::desk::{Desk, Verifier};
use super::holdings::Holdings;
use super::message::{AccountChange, Answer, Ask, Limit, Limits, Request, VERSION};
use super::socket::Answers;
use crate::base::digest::EntryDigest;
use crate::base::event::Progress;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::PeerId;
use crate::base::path::{Name, RelPath};
use crate::hub::account::Device;
use crate::hub::activity::Activity;
use crate::hub::event::{Event, Guest, Moved};
use crate::hub::events;
use crate::hub::register::Register;
use crate::hub::space::Kind;
use crate::hub::status::{About, Status, Way};
use crate::wire::hub::Rank;

/// A hub that holds 7 bytes of everybody, and one file that has rotted.
#[derive(Debug)]
struct Held;

impl Holdings for Held {
    fn used_by(&self, _: &Name) -> Result<u64, Fault> {
        Ok(7)
    }

    fn used_in(&self, _: &Name) -> Result<(u64, u64), Fault> {
        Ok((7, 1))
    }

    fn free(&self) -> Option<u64> {
        Some(1 << 30)
    }

    fn make_top(&self, name: &Name) -> Result<(), Fault> {
        match name.as_str() {
            "taken" => Err(Fault::new(FaultKind::NotPermitted, "a file is called taken")),
            _ => Ok(()),
        }
    }
}

impl Verifier for Held {
    fn verify(&self, _: bool, told: &mut dyn FnMut(Answer) -> ControlFlow<()>) -> Result<(), Fault> {
        // More than may wait: whoever does not listen is noticed.
        for files in 0..100 {
            if told(Answer::Checked { files, bytes: files }).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn id(number: u8) -> PeerId {
    PeerId::of_public_key(&[number; 32])
}

/// A hub with the account anna, who has a laptop.
fn hub() -> (TempDir, Desk) {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::open(folder.path()).unwrap();
    register
        .change(|records| {
            let device = Device { name: "laptop".into(), since: 5 };
            records.add_account(name("anna"), Rank::Member, 5)?.devices.insert(id(1), device);
            Ok(())
        })
        .unwrap();
    let about = About { name: "lab-hub".into(), id: id(9), dir: "/srv/class".into(), port: Some(23547), since: 3 };
    let (holdings, activity) = (Arc::new(Held), Activity::default());
    (folder, Desk { about, register, holdings, activity, courier: None, verifier: Some(Arc::new(Held)), events: None })
}

async fn ask(desk: &Desk, request: Request) -> Result<Vec<Answer>, Fault> {
    let mut answers = Answers::of(desk.clone(), request);
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await? {
        all.push(answer);
    }
    Ok(all)
}

async fn refused(desk: &Desk, request: Request) -> FaultKind {
    ask(desk, request.clone()).await.expect_err(&format!("{request:?}")).kind
}

#[tokio::test]
async fn codes_are_made_shown_and_taken_back() {
    let (_folder, desk) = hub();
    let wanted = Request::Invite { once: true, account: Some(name("ANNA")), role: Rank::Manager, lasts: None };
    let made = ask(&desk, wanted).await.unwrap();
    let [Answer::Code(code)] = made.as_slice() else { panic!("{made:?}") };
    assert_eq!((code.once, &code.account, code.role), (true, &Some(name("anna")), Rank::Manager));
    assert_eq!(ask(&desk, Request::Codes).await.unwrap(), made);
    ask(&desk, Request::Revoke { code: code.code.to_uppercase() }).await.unwrap();
    assert_eq!(ask(&desk, Request::Codes).await.unwrap(), []);
    assert_eq!(refused(&desk, Request::Revoke { code: code.code.clone() }).await, FaultKind::NotFound);
}

#[tokio::test]
async fn an_account_is_changed_and_the_log_says_how() {
    let (_folder, mut desk) = hub();
    let (events, mut log) = events::way(16, events::Files::Each);
    desk.events = Some(events);
    let change = |change| Request::Account { account: name("anna"), change };
    for (wanted, told) in [
        (AccountChange::Disable, "the account anna is disabled"),
        (AccountChange::Enable, "the account anna is enabled"),
        (AccountChange::Role(Rank::Manager), "the account anna is a manager"),
        (AccountChange::Quota(Limit::Is(5)), "the account anna has another limit"),
        (AccountChange::Unlink("Laptop".into()), "the account anna has no device laptop any more"),
    ] {
        ask(&desk, change(wanted)).await.unwrap();
        let (heard, log_again) = std::thread::spawn(move || (log.next(), log)).join().unwrap();
        assert_eq!(heard, Some(Event::Managed { what: told.to_owned() }));
        log = log_again;
    }
    let accounts = ask(&desk, Request::Accounts).await.unwrap();
    let [Answer::Account(anna)] = accounts.as_slice() else { panic!("{accounts:?}") };
    assert_eq!((anna.rank, anna.quota, anna.bytes, anna.devices.len()), (Rank::Manager, Some(5), 7, 0));
    ask(&desk, change(AccountChange::Remove)).await.unwrap();
    assert_eq!(refused(&desk, change(AccountChange::Disable)).await, FaultKind::NotFound);
}

#[tokio::test]
async fn spaces_are_added_set_and_removed_and_those_of_every_hub_stay() {
    let (_folder, desk) = hub();
    let add = |space: &str, kind| Request::AddSpace { space: name(space), kind, quota: Some(9) };
    ask(&desk, add("essays", Kind::Drop { deadline: Some(5) })).await.unwrap();
    assert_eq!(refused(&desk, add("Essays", Kind::Open)).await, FaultKind::NotPermitted, "only the case differs");
    assert_eq!(refused(&desk, add("mine", Kind::People)).await, FaultKind::NotPermitted);
    assert_eq!(refused(&desk, add("taken", Kind::Read)).await, FaultKind::NotPermitted);
    let set = |space: &str, deadline, quota| Request::SetSpace { space: name(space), deadline, quota };
    ask(&desk, set("essays", Some(Limit::None), Some(Limit::Is(3)))).await.unwrap();
    assert_eq!(refused(&desk, set("shared", Some(Limit::Is(3)), None)).await, FaultKind::NotPermitted);
    assert_eq!(refused(&desk, set("none", None, None)).await, FaultKind::NotFound);
    let spaces = ask(&desk, Request::Spaces).await.unwrap();
    let Some(Answer::Space(essays)) = spaces.first() else { panic!("{spaces:?}") };
    assert_eq!((essays.kind, essays.quota, essays.files), (Kind::Drop { deadline: None }, Some(3), 1));
    ask(&desk, Request::RemoveSpace { space: name("essays") }).await.unwrap();
    for space in ["shared", "people"] {
        assert_eq!(refused(&desk, Request::RemoveSpace { space: name(space) }).await, FaultKind::NotPermitted);
    }
    assert_eq!(ask(&desk, Request::Spaces).await.unwrap().len(), 2);
}

#[tokio::test]
async fn limits_change_as_far_as_they_are_given_and_hold_for_accounts_without_their_own() {
    let (_folder, desk) = hub();
    let before = desk.register.read(|records| records.settings.clone());
    let wanted = Limits { account_quota: Some(Limit::Is(50)), keep_days: Some(7), ..Limits::default() };
    ask(&desk, Request::Set(wanted)).await.unwrap();
    let answers = ask(&desk, Request::Settings).await.unwrap();
    let [Answer::Settings(now)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((now.account_quota, now.keep_days, now.reserve), (Some(50), 7, before.reserve));
    let accounts = ask(&desk, Request::Accounts).await.unwrap();
    assert!(matches!(accounts.as_slice(), [Answer::Account(anna)] if anna.quota == Some(50)), "{accounts:?}");
}

#[tokio::test]
async fn reading_everything_again_is_told_to_its_end_and_stops_where_nobody_listens() {
    let (_folder, desk) = hub();
    assert_eq!(ask(&desk, Request::Verify { fix: false }).await.unwrap().len(), 100);
    let mut answers = Answers::of(desk.clone(), Request::Verify { fix: false });
    answers.next().await.unwrap().unwrap();
    drop(answers);
    let weak = Arc::downgrade(desk.verifier.as_ref().unwrap());
    drop(desk);
    // Its thread lets go of the hub once it has noticed; it would wait for ever else.
    let gone = async {
        while weak.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), gone).await.unwrap();
}

#[tokio::test]
async fn a_hub_that_does_not_run_sends_nothing() {
    let (_folder, desk) = hub();
    let send = Request::Send { paths: vec![], receivers: Some("bob".into()) };
    assert_eq!(refused(&desk, send).await, FaultKind::Other);
}

/// A guest whose name is as long and as awkward as a name may be.
fn guest(number: u8) -> Guest {
    Guest { id: id(number), name: "\u{1b}".repeat(512).into(), account: Some(name("anna")) }
}

async fn status(desk: &Desk) -> Status {
    match ask(desk, Request::Status).await.unwrap().pop() {
        Some(Answer::Status(status)) => *status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_status_always_fits_into_one_answer() {
    let (_folder, desk) = hub();
    let address = "10.0.0.1:5".parse().unwrap();
    let here = |number: u16| {
        let mut guest = guest(1);
        guest.id = PeerId::of_public_key(&[&number.to_be_bytes()[..], &[0; 30]].concat().try_into().unwrap());
        desk.activity.connected(guest, address)
    };
    let few: Vec<_> = (0..10).map(here).collect();
    let status_of_few = status(&desk).await;
    assert_eq!((status_of_few.connected.len(), status_of_few.cut), (10, false));
    let many: Vec<_> = (10..2000).map(here).collect();
    let status = status(&desk).await;
    assert!(status.cut && status.connected.len() > 100, "{}", status.connected.len());
    assert!(serde_json::to_vec(&Answer::Status(Box::new(status))).unwrap().len() <= super::lines::MAX_ANSWER);
    drop((few, many));
}

/// The JSON that programs read, field by field: names never change their meaning.
#[tokio::test]
async fn the_json_of_a_status_is_what_the_manual_says() {
    let (_folder, desk) = hub();
    let guest = Guest { id: id(1), name: "laptop".into(), account: Some(name("anna")) };
    let path = RelPath::parse("shared/a").unwrap();
    let digest = Some(EntryDigest([7; 32]));
    desk.activity.received(&Moved { guest: guest.clone(), path: path.clone(), size: 5, digest });
    let _here = desk.activity.connected(guest.clone(), "10.0.0.1:5".parse().unwrap());
    let (_tell, progress) =
        watch::channel(Progress { bytes: 100, bytes_moved: 40, bytes_kept: 10, ..Progress::default() });
    let _moving = desk.activity.moving(guest, Way::In, Some(path), progress);
    let mut told = serde_json::to_value(Answer::Status(Box::new(status(&desk).await))).unwrap();
    // Moments and rates are others each time.
    for at in ["/connected/0/since", "/moving/0/since", "/moving/0/rate", "/received/0/at"] {
        let value = told.pointer_mut(at).unwrap_or_else(|| panic!("{at}"));
        assert!(value.is_u64(), "{at}: {value}");
        *value = Value::Null;
    }
    let laptop = id(1).to_string();
    let expected = json!({
        "answer": "status",
        "hub": { "name": "lab-hub", "id": id(9).to_string(), "dir": "/srv/class", "port": 23547, "since": 3 },
        "connected": [{
            "id": laptop, "name": "laptop", "account": "anna", "address": "10.0.0.1:5", "connections": 1, "since": null,
        }],
        "moving": [{
            "id": laptop, "name": "laptop", "account": "anna", "way": "in", "path": "shared/a",
            "bytes": 100, "moved": 40, "kept": 10, "rate": null, "since": null,
        }],
        "received": [{
            "name": "laptop", "account": "anna", "path": "shared/a", "size": 5, "digest": "07".repeat(32), "at": null,
        }],
        "counters": {
            "connections": 1, "received": 1, "received_bytes": 5, "sent": 0, "sent_bytes": 0, "refused": 0,
        },
        "spaces": [
            { "name": "people", "kind": "people", "bytes": 7, "files": 1, "quota": null },
            { "name": "shared", "kind": "shared", "bytes": 7, "files": 1, "quota": null },
        ],
        "accounts": [{
            "name": "anna", "role": "member", "disabled": false, "password": false,
            "devices": [{ "id": laptop, "name": "laptop", "since": 5 }],
            "bytes": 7, "quota": null, "since": 5,
        }],
        "codes": 0,
        "free": 1 << 30,
        "cut": false,
    });
    assert_eq!(told, expected);
}

/// Requests as other programs write them; they mean the same for ever.
#[test]
fn requests_are_read_as_the_manual_writes_them() {
    let invite = Request::Invite { once: true, account: None, role: Rank::Member, lasts: Some(60) };
    let add = Request::AddSpace { space: name("essays"), kind: Kind::Drop { deadline: Some(5) }, quota: None };
    let set = Request::SetSpace { space: name("essays"), deadline: Some(Limit::None), quota: Some(Limit::Is(3)) };
    let unlink = Request::Account { account: name("anna"), change: AccountChange::Unlink("laptop".into()) };
    let send = Request::Send { paths: vec![RelPath::parse("shared/a").unwrap()], receivers: Some("bob".into()) };
    for (text, request) in [
        (r#"{"version":1,"request":"status"}"#, Request::Status),
        (r#"{"version":1,"request":"invite","once":true,"role":"member","lasts":60}"#, invite),
        (r#"{"version":1,"request":"account","account":"anna","change":{"unlink":"laptop"}}"#, unlink),
        (r#"{"version":1,"request":"add_space","space":"essays","kind":"drop","deadline":5}"#, add),
        (r#"{"version":1,"request":"set_space","space":"essays","deadline":"none","quota":{"is":3}}"#, set),
        (r#"{"version":1,"request":"send","paths":["shared/a"],"receivers":"bob"}"#, send),
        (
            r#"{"version":1,"request":"set","keep_days":5}"#,
            Request::Set(Limits { keep_days: Some(5), ..Limits::default() }),
        ),
    ] {
        let ask: Ask = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(ask, Ask { version: VERSION, request });
        let again = serde_json::to_string(&ask).unwrap();
        assert_eq!(serde_json::from_str::<Ask>(&again).unwrap(), ask, "{again}");
    }
    for bad in [r#"{"version":1}"#, r#"{"version":1,"request":"remove_space","space":"../x"}"#, "[]", "null"] {
        assert!(serde_json::from_str::<Ask>(bad).is_err(), "{bad}");
    }
}
