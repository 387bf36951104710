//! What a hub signs for what was handed in: kept after the push, and checked later.

use std::fs;
use std::path::Path;

use ftx::base::digest::EntryDigest;
use ftx::base::fault::Fault;
use ftx::base::id::{PeerId, TransferId};
use ftx::base::path::{Name, RelPath};
use ftx::flow::ask::Told;
use ftx::flow::greet::Me;
use ftx::flow::handed_in::HandedIn;
use ftx::wire::hub::Verb;
use sha2::{Digest, Sha256};

use crate::house::fake_hub::FakeHub;
use crate::house::home::Home;

const BYTES: &[u8] = b"what was handed in";

fn handed_in(transfer: TransferId, device: PeerId, hub: &Me) -> HandedIn {
    HandedIn {
        hub: hub.name.as_str().into(),
        account: Name::parse("alice").unwrap(),
        device,
        path: RelPath::parse("week3/alice/report.pdf").unwrap(),
        size: BYTES.len() as u64,
        sha256: Sha256::digest(BYTES).into(),
        digest: EntryDigest([3; 32]),
        handed_in: 1_795_269_900,
        deadline: Some(1_795_269_000),
        transfer,
    }
}

/// A hub that answers with these receipts.
fn hub(receipts: fn(TransferId, PeerId, &Me) -> Vec<String>) -> FakeHub {
    FakeHub::new(move |verb, device, me| match verb {
        Verb::Receipts(transfer) => Ok(Told { receipts: receipts(transfer, device, me), ..Told::default() }),
        _ => Err(Fault::protocol("only receipts")),
    })
}

fn kept(home: &Home) -> Vec<String> {
    home.tree(".local/share/ftx/receipts")
}

#[test]
fn a_receipt_is_kept_and_holds_for_the_file_and_for_nothing_else() {
    let home = Home::new("alice");
    let hub = hub(|transfer, device, me| vec![handed_in(transfer, device, me).sign(&me.key)]);
    home.write("report.pdf", BYTES);
    let told = home.run_plain(&["push", "report.pdf", &hub.at("week3")]).done().err;
    let file = format!("20261121T140500Z-{}-report.pdf.json", hub.me().name);
    assert_eq!(kept(&home), [file.as_str()], "{told}");
    assert!(told.contains(&file) && told.contains("too late"), "{told}");
    let receipt = format!(".local/share/ftx/receipts/{file}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(home.path(&receipt)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let listed = home.run(&["receipt", "list"]).done().last();
    assert_eq!((&listed["path"], &listed["late"]), (&"week3/alice/report.pdf".into(), &true.into()));
    let object = home.run(&["receipt", "verify", &receipt]).done().last();
    assert_eq!((&object["fits"], &object["original"]), (&true.into(), &"report.pdf".into()));
    home.write("elsewhere/copy", BYTES);
    home.run(&["receipt", "verify", &receipt, "--of", "elsewhere/copy"]).done();
    let shown = home.run_plain(&["receipt", "verify", &receipt]).done().out;
    assert!(shown.contains("report.pdf is what was handed in") && shown.contains("it had passed"), "{shown}");

    home.write("report.pdf", b"What was handed in");
    let told = home.run(&["receipt", "verify", &receipt]).exits(7).failure();
    assert!(told.contains("report.pdf is not what was handed in"), "{told}");
    home.run(&["receipt", "verify", &receipt, "--of", "elsewhere/copy"]).done();
    home.run(&["receipt", "verify", &receipt, "--of", "elsewhere/none"]).exits(9);
    fs::remove_file(home.path("report.pdf")).unwrap();
    assert!(home.run(&["receipt", "verify", &receipt]).done().last()["fits"].is_null());

    let changed = String::from_utf8(home.read(&receipt)).unwrap().replace("week3/alice", "week3/mallo");
    home.write("changed.json", changed);
    let told = home.run(&["receipt", "verify", "changed.json"]).exits(7).failure();
    assert!(told.contains("signature"), "{told}");
    home.write("nonsense.json", "{}");
    home.run(&["receipt", "verify", "nonsense.json"]).exits(7);
}

#[test]
fn a_receipt_of_a_hub_that_was_never_met_is_told_as_such() {
    let home = Home::new("bob");
    let hub = hub(|_, _, _| vec![]);
    let device = PeerId::of_public_key(&[1; 32]);
    home.write("r.json", handed_in(TransferId::new(), device, hub.me()).sign(&hub.me().key));
    let told = home.run(&["receipt", "verify", "r.json"]).exits(6).failure();
    assert!(told.contains(&hub.me().key.public().id().to_string()), "{told}");
}

#[test]
fn receipts_for_others_or_of_others_are_not_kept() {
    let home = Home::new("alice");
    let hub = hub(|transfer, device, me| {
        let good = handed_in(transfer, device, me);
        let other = ftx::link::key::Key::generate().unwrap();
        let device = PeerId::of_public_key(&[1; 32]);
        vec![
            good.sign(&other),
            HandedIn { device, ..good.clone() }.sign(&me.key),
            HandedIn { transfer: TransferId::new(), ..good.clone() }.sign(&me.key),
            good.sign(&me.key).replace("alice", "mallo"),
            "nonsense".to_owned(),
        ]
    });
    home.write("report.pdf", BYTES);
    let told = home.run(&["push", "report.pdf", &hub.at("week3")]).done().err;
    assert_eq!(told.matches("was not kept").count(), 5, "{told}");
    assert!(kept(&home).is_empty());
    assert!(Path::new(&home.path("report.pdf")).exists());
}

#[test]
fn a_hub_that_gives_no_receipts_gives_no_trouble() {
    let (home, hub) = (Home::new("alice"), hub(|_, _, _| vec![]));
    home.write("report.pdf", BYTES);
    let told = home.run_plain(&["push", "report.pdf", &hub.at("shared")]).done().err;
    assert!(!told.contains("receipt"), "{told}");
    assert!(kept(&home).is_empty());
    assert!(home.run(&["receipt", "list"]).done().out.is_empty());
}
