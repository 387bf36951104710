//! Somebody who uses a hub, and knows exactly what has to be there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::Field;
use crate::house::dice::Dice;
use crate::house::home::Home;
use crate::house::hub::Hub;
use crate::house::until;

/// Most files that are in place; then some go.
const MOST: usize = 40;

/// How often the same push is typed again.
const MOST_TRIES: usize = 4;

/// What has to be kept at one path.
#[derive(Default)]
struct File {
    now: Option<Vec<u8>>,
    /// What gave way, the newest last.
    past: Vec<Vec<u8>>,
}

/// An account with one device. Only it changes what is its own, one thing after the other.
pub(super) struct User {
    home: Home,
    account: &'static str,
    dice: Dice,
    next: usize,
    files: BTreeMap<String, File>,
    done: usize,
    cut: usize,
}

impl User {
    pub(super) fn new(home: Home, account: &'static str, dice: Dice) -> Self {
        Self { home, account, dice, next: 0, files: BTreeMap::new(), done: 0, cut: 0 }
    }

    /// How it went.
    pub(super) fn told(&self) -> String {
        let versions: usize = self.files.values().map(|file| file.past.len()).sum();
        let Self { account, done, cut, .. } = self;
        format!("{account} {done} done, {cut} cut, {} in place, {versions} kept", self.in_place().count())
    }

    /// The paths of what has to be in place.
    pub(super) fn in_place(&self) -> impl Iterator<Item = String> + '_ {
        self.files.iter().filter(|(_, file)| file.now.is_some()).map(|(path, _)| path.clone())
    }

    /// Does something.
    pub(super) fn step(&mut self, field: &Field) {
        let there: Vec<String> = self.in_place().collect();
        // What never arrived, since each try was cut, is not gone: it was not there.
        let gone = self.files.iter().filter(|(_, file)| file.now.is_none() && !file.past.is_empty());
        let gone: Vec<String> = gone.map(|(path, _)| path.clone()).collect();
        let dice = if there.len() > MOST { 5 } else { self.dice.below(10) };
        let any = |dice: &mut Dice, of: &[String]| of[dice.below(of.len() as u64) as usize].clone();
        match dice {
            3 | 4 if !there.is_empty() => {
                let path = any(&mut self.dice, &there);
                self.push(field, vec![path]);
            }
            5 | 6 if !there.is_empty() => {
                let path = any(&mut self.dice, &there);
                self.remove(field, &path);
            }
            7 if !there.is_empty() => {
                let path = any(&mut self.dice, &there);
                self.rename(field, &path);
            }
            8 if !there.is_empty() => {
                let path = any(&mut self.dice, &there);
                self.pull(field, &path);
            }
            9 if !gone.is_empty() => {
                let path = any(&mut self.dice, &gone);
                self.restore(field, &path);
            }
            _ => {
                let folder = self.folder();
                let many = 1 + self.dice.below(3);
                let paths = (0..many).map(|_| format!("{folder}/{}", self.name())).collect();
                self.push(field, paths);
            }
        }
    }

    fn folder(&mut self) -> String {
        let folder = self.dice.one_of(&["shared", "shared/week 1", "shared/OWN/deep", "people/OWN"]);
        folder.replace("OWN", self.account)
    }

    fn name(&mut self) -> String {
        self.next += 1;
        format!("{}-{}", self.account, self.next)
    }

    fn at(field: &Field, path: &str) -> String {
        format!("[127.0.0.1:{}]:{path}", field.port.load(Ordering::SeqCst))
    }

    /// Runs a command. Whether it was done; if not, a kill has to be the reason, and the hub runs again.
    fn run(&mut self, field: &Field, args: &[&str]) -> bool {
        let starts = field.starts.load(Ordering::SeqCst);
        let ran = self.home.run(args);
        if ran.code == Some(0) {
            self.done += 1;
            return true;
        }
        self.cut += 1;
        // Lost, or nobody there; or gone while it said who it is, which also others do who are no ftx.
        assert!(matches!(ran.code, Some(3 | 4 | 12)), "{}: {ran:?}", self.account);
        until(&format!("a kill is the reason of {ran:?}"), || {
            let again = field.starts.load(Ordering::SeqCst) > starts;
            (again || field.over.load(Ordering::SeqCst)).then_some(())
        });
        false
    }

    /// What the disk has at a path; it has to be one of these two.
    #[track_caller]
    fn settled(field: &Field, path: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> bool {
        let there = fs::read(field.repository.join(path)).ok();
        let there = there.as_deref();
        assert!(there == before || there == after, "{path} has {:?} bytes", there.map(<[u8]>::len));
        there == after
    }

    /// Pushes new bytes to these paths, which are in one folder; the same again until it is done.
    fn push(&mut self, field: &Field, paths: Vec<String>) {
        let (folder, _) = paths[0].rsplit_once('/').unwrap();
        let into = self.home.path("out");
        fs::create_dir_all(&into).unwrap();
        let mut news = Vec::new();
        let mut typed = vec!["push".to_owned()];
        for path in &paths {
            let most = self.dice.one_of(&[100, 50_000, 50_000, 3 << 20]);
            let length = 1 + self.dice.below(most) as usize;
            let bytes = self.dice.bytes(length);
            let local = into.join(path.rsplit_once('/').unwrap().1);
            fs::write(&local, &bytes).unwrap();
            typed.push(local.to_str().unwrap().to_owned());
            news.push(bytes);
        }
        for _ in 0..MOST_TRIES {
            let mut typed = typed.clone();
            typed.push(Self::at(field, &format!("{folder}/")));
            let done = self.run(field, &typed.iter().map(String::as_str).collect::<Vec<_>>());
            for (path, bytes) in paths.iter().zip(&news) {
                let file = self.files.entry(path.clone()).or_default();
                let before = if done { Some(&bytes[..]) } else { file.now.as_deref() };
                if Self::settled(field, path, before, Some(bytes)) && file.now.as_ref() != Some(bytes) {
                    file.past.extend(file.now.replace(bytes.clone()));
                }
            }
            if done || field.over.load(Ordering::SeqCst) {
                break;
            }
        }
        fs::remove_dir_all(into).unwrap();
    }

    fn remove(&mut self, field: &Field, path: &str) {
        let done = self.run(field, &["rm", &Self::at(field, path)]);
        let file = self.files.get_mut(path).unwrap();
        let before = if done { None } else { file.now.as_deref() };
        if Self::settled(field, path, before, None) {
            file.past.extend(file.now.take());
        }
    }

    fn restore(&mut self, field: &Field, path: &str) {
        let done = self.run(field, &["restore", &Self::at(field, path)]);
        let file = self.files.get_mut(path).unwrap();
        let newest = file.past.last().map(Vec::as_slice);
        let before = if done { newest } else { None };
        if Self::settled(field, path, before, newest) {
            file.now = file.past.pop();
        }
    }

    fn rename(&mut self, field: &Field, path: &str) {
        let to = format!("{}/{}", self.folder(), self.name());
        let done = self.run(field, &["mv", &Self::at(field, path), &Self::at(field, &to)]);
        let now = self.files[path].now.as_deref();
        let before = if done { None } else { now };
        if Self::settled(field, path, before, None) {
            assert!(Self::settled(field, &to, now, now), "{path} became {to}");
            let mut file = self.files.remove(path).unwrap();
            if path.split('/').next() != to.split('/').next() {
                // Others see what is there: what was before is not theirs to see.
                let past = std::mem::take(&mut file.past);
                self.files.insert(path.to_owned(), File { now: None, past });
            }
            self.files.insert(to, file);
        } else {
            assert!(Self::settled(field, &to, None, None), "{path} is not yet {to}");
        }
    }

    fn pull(&mut self, field: &Field, path: &str) {
        let into = self.home.path("in");
        let done = self.run(field, &["pull", &Self::at(field, path), "--to", into.to_str().unwrap()]);
        if done {
            let name = Path::new(path).file_name().unwrap();
            assert!(
                fs::read(into.join(name)).unwrap() == self.files[path].now.as_deref().unwrap(),
                "{path} as fetched"
            );
        }
        let _ = fs::remove_dir_all(into);
    }

    /// That the hub has exactly what it has to have of this user's, and tells so.
    pub(super) fn check(&self, hub: &Hub) {
        let mut listed = hub.list(&self.home, "shared");
        listed.extend(hub.list(&self.home, "people"));
        assert!(listed.keys().all(|path| !path.contains(".ftx")), "{listed:?}");
        let mut kept: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for version in ["shared", "people"].iter().flat_map(|space| hub.versions(&self.home, space)) {
            let path = version["path"].as_str().unwrap();
            if !self.files.contains_key(path) {
                assert_ne!(version["owner"], self.account, "{version}");
                continue;
            }
            assert_eq!(version["owner"], self.account, "{version}");
            let file = format!(".ftx/versions/{path}/.ftx-{}", version["id"].as_str().unwrap());
            kept.entry(path.to_owned()).or_default().push(fs::read(hub.path(&file)).unwrap());
        }
        for (path, file) in &self.files {
            let sizes = |some: &[Vec<u8>]| some.iter().map(Vec::len).collect::<Vec<_>>();
            // Those that were told are the newest first.
            let mut kept = kept.remove(path).unwrap_or_default();
            kept.reverse();
            assert!(kept == file.past, "{path}: kept {:?}, expected {:?}", sizes(&kept), sizes(&file.past));
            match &file.now {
                Some(bytes) => {
                    let item = listed.get(path).unwrap_or_else(|| panic!("{path} is not listed"));
                    assert_eq!(item["owner"], self.account, "{item}");
                    assert_eq!(item["size"], bytes.len(), "{item}");
                    assert_eq!(item["versions"], file.past.len(), "{item}");
                    assert!(fs::read(hub.path(path)).unwrap() == *bytes, "{path}");
                    let sha256 = HEXLOWER.encode(&Sha256::digest(bytes));
                    assert!(item["sha256"].is_null() || item["sha256"] == sha256, "{item}: {sha256}");
                }
                None => assert!(!listed.contains_key(path), "{path} is listed"),
            }
        }
    }
}
