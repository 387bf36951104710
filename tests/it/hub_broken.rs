//! A hub whose own files are lost or broken, or come from a later ftx: what can be made anew is, and
//! is told; what cannot is refused and not touched.

use std::fs;
use std::path::PathBuf;

use crate::house::home::Home;
use crate::house::hub::Hub;
use crate::house::{noise, until};

/// A hub that has run: anna has something in both spaces, and of each a version.
fn used() -> (Hub, Home) {
    let hub = Hub::start();
    let anna = hub.member("anna");
    for text in ["first", "second!"] {
        anna.write("notes.txt", text);
        anna.run(&["push", "notes.txt", &hub.at("shared/week 1/")]).done();
        anna.run(&["push", "notes.txt", &hub.at("people/anna/")]).done();
    }
    (hub, anna)
}

fn catalogue(hub: &Hub) -> PathBuf {
    hub.path(".ftx/catalogue.sqlite")
}

/// Where broken catalogues are put.
fn aside(hub: &Hub) -> Vec<PathBuf> {
    let all = fs::read_dir(hub.path(".ftx")).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.to_str().unwrap().ends_with("-wal") || path.to_str().unwrap().contains(".broken-")).collect()
}

#[test]
fn a_lost_or_broken_catalogue_is_made_anew_from_the_folder_and_that_is_told() {
    type Harm = (&'static str, fn(Vec<u8>) -> Option<Vec<u8>>);
    let harms: [Harm; 6] = [
        ("deleted", |_| None),
        ("emptied", |_| Some(Vec::new())),
        ("cut", |bytes| Some(bytes[..bytes.len() / 2].to_vec())),
        ("cut in its head", |bytes| Some(bytes[..50].to_vec())),
        ("overwritten", |bytes| Some(noise(1, bytes.len()))),
        ("overwritten behind its head", |bytes| Some([&bytes[..200], &noise(1, bytes.len() - 200)].concat())),
    ];
    let (mut hub, anna) = used();
    for (what, harm) in harms {
        hub.stop().done();
        let harmed = harm(fs::read(catalogue(&hub)).unwrap());
        match &harmed {
            Some(bytes) => fs::write(catalogue(&hub), bytes).unwrap(),
            None => fs::remove_file(catalogue(&hub)).unwrap(),
        }
        hub.restart();
        let told = until("it is told", || {
            let lines = hub.process().lines(crate::house::process::Stream::Err).join("\n");
            lines.contains("catalogue").then_some(lines)
        });
        assert!(told.contains("anew"), "{what}: {told}");
        // What it was is not lost, for whoever can mend it.
        if let Some(harmed) = harmed {
            let kept = aside(&hub).into_iter().any(|path| fs::read(path).unwrap() == harmed);
            assert!(kept, "{what}: {told}");
        }
        // What is in one's own folder is one's own; of the rest nobody can know.
        let private = until("the folder was looked at", || {
            let item = hub.list(&anna, "people")["people/anna/notes.txt"].clone();
            (item["owner"] == "anna").then_some(item)
        });
        assert_eq!(private["size"], 7, "{what}");
        let item = hub.list(&anna, "shared")["shared/week 1/notes.txt"].clone();
        assert_eq!((&item["size"], &item["owner"]), (&7.into(), &serde_json::Value::Null), "{what}");
        for path in ["shared/week 1/notes.txt", "people/anna/notes.txt"] {
            until("the version is found", || (hub.versions(&anna, path).len() == 1).then_some(()));
        }
        // Nobody guesses whose it is; it does not give way to anna, and she can go on.
        anna.write("notes.txt", what);
        let pushed = anna.run(&["push", "notes.txt", &hub.at("shared/week 1/")]).done().last();
        assert_eq!(pushed["entries"][0]["outcome"], "placed_as", "{pushed}");
        assert_eq!(fs::read(hub.path("shared/week 1/notes.txt")).unwrap(), b"second!");
        hub.verify();
        anna.run(&["rm", &hub.at("shared/week 1/notes (1).txt")]).done();
    }
}

#[test]
fn a_catalogue_of_a_later_ftx_is_refused_and_not_touched() {
    let (mut hub, anna) = used();
    hub.stop().done();
    let good = fs::read(catalogue(&hub)).unwrap();
    let mut later = good.clone();
    // The place of user_version.
    later[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(catalogue(&hub), &later).unwrap();
    for typed in [&hub.typed()[..], &["hub", "invite", "--dir", "repository"]] {
        let told = hub.home.run(typed).exits(12).failure();
        assert!(told.contains("catalogue.sqlite") && told.contains("later ftx"), "{told}");
    }
    assert!(fs::read(catalogue(&hub)).unwrap() == later);
    fs::write(catalogue(&hub), good).unwrap();
    hub.restart();
    assert_eq!(hub.list(&anna, "shared")["shared/week 1/notes.txt"]["owner"], "anna");
}

#[test]
fn a_broken_register_or_one_of_a_later_ftx_is_refused_and_not_touched() {
    let (mut hub, anna) = used();
    hub.stop().done();
    let register = hub.path(".ftx/register.toml");
    let good = fs::read_to_string(&register).unwrap();
    assert!(good.contains("version = 1"));
    let broken = [
        (good.replace("version = 1", "version = 2\nmore = \"things\""), 12, "update ftx"),
        (good[..good.len() / 2].to_owned(), 9, "mend it"),
        (String::new(), 9, "mend it"),
        (String::from_utf8_lossy(&noise(1, 500)).into_owned(), 9, ""),
    ];
    for (bad, code, words) in broken {
        fs::write(&register, &bad).unwrap();
        for typed in [&hub.typed()[..], &["hub", "accounts", "--dir", "repository"]] {
            let told = hub.home.run(typed).exits(code).failure();
            assert!(told.contains("register.toml") && told.contains(words), "{told}");
        }
        assert_eq!(fs::read_to_string(&register).unwrap(), bad);
    }
    fs::write(&register, good).unwrap();
    hub.restart();
    assert_eq!(hub.list(&anna, "shared")["shared/week 1/notes.txt"]["owner"], "anna");
}
