//! Who may do what at a hub: every verb, by everybody, in every kind of space. What is expected is written
//! here by hand, not taken from the rules themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ftx::base::fault::{Fault, FaultKind};
use ftx::base::id::{Role, TransferId};
use ftx::base::manifest::Outcome;
use ftx::base::path::RelPath;
use ftx::flow::ask::Told;
use ftx::flow::fault::FlowFault;
use ftx::wire::hub::{Answer, Item, Verb};
use ftx::wire::message::{Listing, Opening, Pairing, Receiving, Request, Sending, Ticket};

use crate::house::device::{Device, path};
use crate::house::hostile::{Hostile, NONCE};
use crate::house::hub::Hub;

/// What anna, bob and boss, who manages the hub, may do with a file of whom, in which folder: `y` they may,
/// `n` they are told why not, `-` it is not there for them, `b` theirs comes to lie beside it.
/// What is moved goes to one's private folder, where others' files do not go.
const FILES: &str = "
    folder       whose  look find pull list preview new over rm  mv  to  mkdir versions restore
    shared       anna   yyy  yyy  yyy  yyy  yyy     yyy yby  yny ynn yyy yyy   yyy      yny
    shared/deep  bob    yyy  yyy  yyy  yyy  yyy     yyy byy  nyy nyn yyy yyy   yyy      nyy
    shared       hand   yyy  yyy  yyy  yyy  yyy     yyy bby  nny nnn yyy yyy   yyy      nny
    people/anna  anna   y--  y--  y--  y--  y--     y-- y--  y-- y-- y-- y--   y--      y--
    people/boss  boss   --y  --y  --y  --y  --y     --y --y  --y --y --y --y   --y      --y
    slides       boss   yyy  yyy  yyy  yyy  nny     nny nny  nny nny nny nny   yyy      nny
    essays/anna  anna   y-y  y-y  y-y  y-y  y-y     y-y y-y  y-y y-n y-y y-y   y-y      y-y
    essays/bob   bob    -yy  -yy  -yy  -yy  -yy     -yy -yy  -yy -yn -yy -yy   -yy      -yy
    late/anna    anna   y-y  y-y  y-y  y-y  n-y     n-y n-y  n-y n-n n-y n-y   y-y      n-y
    open         anna   yyy  yyy  yyy  yyy  yyy     yyy yyy  yyy ynn yyy yyy   yyy      yyy
    other        anna   --y  --y  --y  --y  --n     --n --n  --n --n --n --n   --y      --n
";

/// The same of the folders at the top, for bob and boss; `none` is not there, `top.txt` is a file.
const TOPS: &str = "
    top      look list pull preview new rm mv to mkdir versions restore
    shared   yy   yy   yy   yy      yy  nn nn yy yy    yy       ny
    people   yy   yy   nn   yy      yy  nn nn yy yy    yy       -y
    slides   yy   yy   yy   ny      ny  nn nn ny ny    yy       ny
    essays   yy   yy   ny   yy      yy  nn nn yy yy    yy       yy
    late     yy   yy   ny   ny      ny  nn nn ny ny    yy       -y
    open     yy   yy   yy   yy      yy  nn nn yy yy    yy       y-
    other    -y   -y   -y   -n      -n  -n -n nn -n    -y       -n
    none     --   --   --   -n      -n  -- -- nn -n    --       --
    top.txt  -y   -y   -y   -n      -n  -n -n nn -n    -y       --
";

const PEOPLE: [&str; 3] = ["anna", "bob", "boss"];

/// A table: its columns, and of each row the cells.
fn table(text: &'static str) -> (Vec<&'static str>, Vec<Vec<&'static str>>) {
    let mut lines =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|line| !line.is_empty());
    (lines.next().unwrap(), lines.collect())
}

/// What came of something.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Came {
    Done,
    Beside,
    Not(FaultKind, String),
}

impl Came {
    fn of<T>(done: Result<T, FlowFault>) -> Self {
        match done {
            Ok(_) => Self::Done,
            Err(fault) => Self::Not(fault.kind(), fault.to_string()),
        }
    }

    /// As it stands in a table.
    fn cell(&self) -> char {
        match self {
            Self::Done => 'y',
            Self::Beside => 'b',
            Self::Not(FaultKind::NotPermitted, _) => 'n',
            Self::Not(FaultKind::NotFound, _) => '-',
            Self::Not(..) => '?',
        }
    }

    /// The same of something else that has the name `one` where this has `other`.
    fn renamed(self, one: &str, other: &str) -> Self {
        match self {
            Self::Not(kind, text) => Self::Not(kind, text.replace(one, other)),
            came => came,
        }
    }
}

/// A hub that has everything, and everybody at it.
struct Class {
    hub: Hub,
    people: Vec<Device>,
    disabled: Device,
    stranger: Device,
    /// What anna handed in.
    handed_in: TransferId,
}

/// The name of the file with which somebody tries something.
fn file(whose: &str, verb: &str, who: &str) -> String {
    format!("{whose}-{verb}-{who}.txt")
}

impl Class {
    async fn new() -> Self {
        let hub = Hub::start();
        let mut people = Vec::new();
        for (account, rank) in [("anna", "member"), ("bob", "member"), ("boss", "manager")] {
            people.push(Device::joined(&hub, account, rank).await);
        }
        let disabled = Device::joined(&hub, "dora", "manager").await;
        hub.manage(&["accounts", "disable", "dora"]).done();
        for (space, kind) in
            [("slides", "read"), ("essays", "drop"), ("late", "drop"), ("open", "open"), ("other", "open")]
        {
            hub.manage(&["spaces", "add", space, "--kind", kind]).done();
        }
        let stranger = Device::stranger(&hub, "mallory");
        let mut class = Self { hub, people, disabled, stranger, handed_in: TransferId::new() };
        class.fill().await;
        class.hub.manage(&["spaces", "set", "late", "--deadline", "2020-01-01"]).done();
        class.hub.manage(&["spaces", "remove", "other", "--yes"]).done();
        std::fs::write(class.hub.path("top.txt"), "by hand").unwrap();
        class
    }

    fn who(&self, name: &str) -> &Device {
        &self.people[PEOPLE.iter().position(|known| *known == name).unwrap()]
    }

    /// Puts a file for each try into place: twice, so that there is a version of each.
    async fn fill(&mut self) {
        let (columns, rows) = table(FILES);
        for row in rows {
            let (folder, whose) = (row[0], row[1]);
            let names = columns[2..].iter().flat_map(|verb| PEOPLE.map(|who| file(whose, verb, who)));
            let texts = |text: &str| names.clone().map(|name| (name, text.to_owned())).collect::<Vec<_>>();
            let restored = PEOPLE.map(|who| path(&format!("{folder}/{}", file(whose, "restore", who))));
            let owner = if whose == "hand" {
                for (name, text) in texts("by hand") {
                    std::fs::write(self.hub.path(folder).join(name), text).unwrap();
                }
                self.who("boss")
            } else {
                for text in ["first", "and second"] {
                    let pushed = self.who(whose).push(Some(folder), &texts(text)).await.unwrap();
                    assert!(pushed.outcomes.iter().all(|(_, outcome)| outcome.is_good()), "{folder}");
                    if folder == "essays/anna" {
                        self.handed_in = pushed.transfer;
                    }
                }
                self.who(whose)
            };
            assert_eq!(owner.ask(Verb::Remove(restored.to_vec())).await.unwrap().files, 3);
        }
        let rows = table(FILES).1.into_iter().chain(table(TOPS).1);
        let places: BTreeSet<String> =
            rows.flat_map(|row| [Some(row[0].to_owned()), ghost(row[0]).map(|ghost| ghost.0)]).flatten().collect();
        for who in PEOPLE {
            let own =
                |place: &String| [None, Some("hand-"), Some("")].map(|name| (source(who, place, name), who.to_owned()));
            let texts: Vec<_> = places.iter().flat_map(own).collect();
            self.who(who).push(Some(&format!("people/{who}/from")), &texts).await.unwrap();
        }
    }

    /// Everything that the hub holds and keeps, without its books.
    fn everything(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        read(&self.hub.path(""), &self.hub.path(""), &mut all);
        all
    }

    /// Has somebody try something with a folder, or with what has this name in it.
    async fn try_it(&self, who: &str, verb: &str, folder: &str, name: Option<&str>) -> Came {
        let device = self.who(who);
        let text = name.map_or_else(|| folder.to_owned(), |name| format!("{folder}/{name}"));
        let (at, sent) = (path(&text), name.map_or_else(|| format!("sent-{who}.txt"), str::to_owned));
        let moved = path(&format!("people/{who}/moved-{}", text.replace('/', ".")));
        let own = path(&format!("people/{who}/from/{}", source(who, folder, name)));
        match verb {
            "new" | "over" => self.push(device, folder, &sent).await,
            "preview" => Came::of(device.preview(folder, &[(sent, "it".to_owned())]).await),
            "pull" => Came::of(device.pull(&[&text]).await),
            "look" => Came::of(device.ask(Verb::Look { path: Some(at), deep: true, sha256: true }).await),
            "list" => {
                let list = Verb::Look { path: Some(path(folder)), deep: false, sha256: false };
                listed(device.ask(list).await, name.map(|_| &at))
            }
            "find" => listed(device.ask(Verb::Find { text: sent.as_str().into(), below: None }).await, Some(&at)),
            "rm" => Came::of(device.ask(Verb::Remove(vec![at])).await),
            "mv" => Came::of(device.ask(Verb::Move { from: at, to: moved }).await),
            "to" => Came::of(device.ask(Verb::Move { from: own, to: at }).await),
            "mkdir" => Came::of(device.ask(Verb::MakeFolder(at)).await),
            "versions" => Came::of(device.ask(Verb::Versions(at)).await),
            "restore" => Came::of(device.ask(Verb::Restore { path: at, version: None }).await),
            verb => panic!("{verb}"),
        }
    }

    async fn push(&self, device: &Device, folder: &str, name: &str) -> Came {
        match device.push(Some(folder), &[(name.to_owned(), "something of another length".to_owned())]).await {
            Err(fault) => Came::of::<()>(Err(fault)),
            Ok(pushed) => match &pushed.outcomes[0].1 {
                Outcome::Placed | Outcome::Replaced => Came::Done,
                Outcome::PlacedAs(_) => Came::Beside,
                other => panic!("{other:?}"),
            },
        }
    }
}

/// The name of the file that somebody moves from their own folder into this one, or to this.
fn source(who: &str, folder: &str, name: Option<&str>) -> String {
    let what = match name {
        None => "top",
        Some(name) if name.contains("hand-") => "hand",
        Some(_) => "file",
    };
    format!("{what}-of-{who}-{}.txt", folder.replace('/', "."))
}

/// Whether a listing has this; that it has not is as if it were not there.
fn listed(told: Result<Told, FlowFault>, at: Option<&RelPath>) -> Came {
    match told {
        Ok(told) if at.is_some_and(|at| !told.items.iter().any(|item| item.path == *at)) => {
            Came::Not(FaultKind::NotFound, "it is not listed".to_owned())
        }
        told => Came::of(told),
    }
}

fn read(root: &Path, folder: &Path, all: &mut BTreeMap<String, String>) {
    for child in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let at = child.path();
        let shown = at.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if shown.starts_with(".ftx/") && !shown.starts_with(".ftx/versions") {
            continue;
        }
        if child.file_type().unwrap().is_dir() {
            all.insert(format!("{shown}/"), String::new());
            read(root, &at, all);
        } else {
            all.insert(shown, std::fs::read_to_string(at).unwrap());
        }
    }
}

/// A place that is not there, which stands to what is there as one that may not be seen.
fn ghost(text: &str) -> Option<(String, &'static str, &'static str)> {
    [
        ("people/anna", "anna", "anne"),
        ("people/boss", "boss", "bosz"),
        ("essays/anna", "anna", "anne"),
        ("essays/bob", "bob", "bub"),
        ("late/anna", "anna", "anne"),
        ("other", "other", "othex"),
        ("top.txt", "top.txt", "tip.txt"),
    ]
    .into_iter()
    .find(|(place, ..)| *place == text)
    .map(|(place, there, not)| (place.replace(there, not), not, there))
}

/// Verbs that change nothing, whoever may.
const LOOKS: [&str; 6] = ["look", "find", "pull", "list", "preview", "versions"];

/// The tries at a class, and what was not as it should be.
struct Tries<'a> {
    class: &'a Class,
    tried: u32,
    wrong: Vec<String>,
    everything: BTreeMap<String, String>,
}

impl Tries<'_> {
    /// Somebody tries something; what is expected, and what is there then.
    async fn one(&mut self, who: &str, verb: &str, (folder, name): (&str, Option<&str>), expected: char) {
        let came = self.class.try_it(who, verb, folder, name).await;
        let changed = self.changed();
        let may_change = matches!(expected, 'y' | 'b') && !LOOKS.contains(&verb);
        // A folder that is there may be made again.
        let must_change = may_change && name.is_some();
        self.tried += 1;
        if came.cell() != expected || changed && !may_change || must_change && !changed {
            self.wrong(format!("{who} {verb} {folder}/{name:?}: {expected} expected, {came:?}, changed: {changed}"));
        }
        let Some((place, not, there)) = ghost(folder) else { return };
        // Not there for them, or beside what they see: as what there is not.
        if expected != '-' && (name.is_some() || who == "boss") || name.is_none() && who == "boss" {
            return;
        }
        let nothing = self.class.try_it(who, verb, &place, name).await.renamed(not, there);
        if nothing != came || self.changed() {
            self.wrong(format!("{who} {verb} {folder}/{name:?}: {came:?}; of what is not there: {nothing:?}"));
        }
    }

    fn changed(&mut self) -> bool {
        let before = std::mem::replace(&mut self.everything, self.class.everything());
        before != self.everything
    }

    fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_dufs_617_file_browser_ghsa_3v48_everybody_may_do_what_the_rules_say_and_nothing_else() {
    let class = Class::new().await;
    let mut tries = Tries { class: &class, tried: 0, wrong: Vec::new(), everything: class.everything() };
    let (columns, rows) = table(FILES);
    for row in &rows {
        for (verb, cells) in columns[2..].iter().zip(&row[2..]) {
            for (who, expected) in PEOPLE.iter().zip(cells.chars()) {
                let new = if matches!(*verb, "new" | "to" | "mkdir") { "new-" } else { "" };
                let name = format!("{new}{}", file(row[1], verb, who));
                tries.one(who, verb, (row[0], Some(&name)), expected).await;
            }
        }
    }
    let (columns, rows) = table(TOPS);
    for row in &rows {
        for (verb, cells) in columns[1..].iter().zip(&row[1..]) {
            for (who, expected) in PEOPLE[1..].iter().zip(cells.chars()) {
                tries.one(who, verb, (row[0], None), expected).await;
            }
        }
    }
    let Tries { tried, wrong, .. } = tries;
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 500, "{tried}");
}

/// The paths that somebody is told.
fn paths(items: Vec<Item>) -> BTreeSet<String> {
    items.into_iter().map(|item| item.path.as_str().to_owned()).filter(|path| path.ends_with(".txt")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_told_of_all_that_they_may_see_and_of_nothing_else() {
    let class = Class::new().await;
    let (columns, rows) = table(FILES);
    let everything = class.everything();
    let (files, kept): (Vec<_>, Vec<_>) = everything.keys().partition(|path| !path.starts_with(".ftx"));
    assert!(files.len() > 300 && kept.len() > 300);
    for (number, who) in PEOPLE.iter().enumerate() {
        let device = class.who(who);
        let seen: BTreeSet<String> = files
            .iter()
            .filter(|path| {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                let whose = rows.iter().find(|row| row[0] == folder && name.starts_with(&format!("{}-", row[1])));
                let told = whose.is_some_and(|row| row[2].as_bytes()[number] == b'y');
                let own = folder == format!("people/{who}/from") || **path == "top.txt" && *who == "boss";
                path.ends_with(".txt") && (told || own)
            })
            .map(|path| (*path).clone())
            .collect();
        let look = Verb::Look { path: None, deep: true, sha256: false };
        assert_eq!(paths(device.ask(look).await.unwrap().items), seen, "{who}");
        let find = Verb::Find { text: ".TXT".into(), below: None };
        assert_eq!(paths(device.ask(find).await.unwrap().items), seen, "{who}");
        // What is pulled has names that begin with the last of what was asked for: their texts tell.
        let pulled = device.pull(&[]).await.unwrap();
        let count = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let pulled: Vec<String> = pulled.iter().map(|(path, _)| count(path)).collect::<Vec<_>>();
        let mut expected: Vec<String> = seen.iter().map(|path| count(path)).collect();
        let mut pulled = pulled;
        expected.sort();
        pulled.sort();
        assert_eq!(pulled, expected, "{who}");
        for top in ["shared", "people", "slides", "essays", "late", "open", "other"] {
            let told = device.ask(Verb::Versions(path(top))).await.map_or_else(|_| Vec::new(), |told| told.versions);
            let told: BTreeSet<String> = told.into_iter().map(|version| version.path.as_str().to_owned()).collect();
            let expected = kept.iter().filter_map(|path| {
                let path = path.strip_prefix(".ftx/versions/")?.rsplit_once("/.ftx-")?.0;
                let folder = path.rsplit_once('/')?.0;
                let row = rows.iter().find(|row| row[0] == folder)?;
                (path.starts_with(top) && row[columns.len() - 2].as_bytes()[number] == b'y').then(|| path.to_owned())
            });
            assert_eq!(told, expected.collect(), "{who} {top}");
        }
    }
    // What was handed in is told to whose device it was.
    let receipts = async |who: &str, transfer| class.who(who).ask(Verb::Receipts(transfer)).await.unwrap().receipts;
    assert_eq!(receipts("anna", class.handed_in).await.len(), columns[2..].len() * PEOPLE.len());
    for who in ["bob", "boss"] {
        assert_eq!(receipts(who, class.handed_in).await, receipts(who, TransferId::new()).await, "{who}");
    }
}

/// Everything that can be wanted of a hub.
fn everything_wanted(at: &str) -> Vec<Request> {
    let (to, transfer) = (path(at), TransferId::new());
    let verbs = [
        Verb::Standing,
        Verb::Look { path: None, deep: true, sha256: true },
        Verb::Look { path: Some(to.clone()), deep: false, sha256: false },
        Verb::Find { text: "".into(), below: None },
        Verb::Remove(vec![to.clone()]),
        Verb::Move { from: to.clone(), to: path("shared/moved") },
        Verb::MakeFolder(to.clone()),
        Verb::Versions(to.clone()),
        Verb::Restore { path: to.clone(), version: None },
        Verb::Receipts(transfer),
        Verb::Leave,
        Verb::SetPassword { salt: [1; 16], stretched: [2; 32] },
    ];
    let wanted = [
        Request::Push,
        Request::Preview,
        Request::PushTo(to.clone()),
        Request::PreviewTo(to.clone()),
        Request::Pull(vec![]),
        Request::Pull(vec![to.clone()]),
        Request::List(None),
        Request::List(Some(to)),
        Request::Pair,
        Request::Attach { transfer, ticket: Ticket([0; 16]) },
    ];
    wanted.into_iter().chain(verbs.map(Request::Ask)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_not_joined_learns_the_hubs_name_and_nothing_else() {
    let class = Class::new().await;
    let before = class.everything();
    let stranger = Fault::new(FaultKind::NotJoined, format!("this device has not joined {}", class.hub.home.name()));
    // Whose account is disabled is told one thing as well.
    let disabled = match class.disabled.ask(Verb::Standing).await {
        Err(FlowFault::Theirs(fault)) => fault,
        other => panic!("{other:?}"),
    };
    for (device, no) in [(&class.stranger, stranger), (&class.disabled, disabled)] {
        for at in ["shared", "shared/anna-look-anna.txt", "people/anna", "other", "nowhere", "top.txt"] {
            for wanted in everything_wanted(at) {
                let port = class.hub.up()["port"].as_u64().unwrap();
                let mut peer = Hostile::dial_with(device.key(), u16::try_from(port).unwrap()).await;
                let hello = peer.greet().await;
                assert_eq!((hello.name.as_raw(), hello.role), (class.hub.home.name(), Role::Hub));
                peer.say(&Opening { nonce: NONCE, request: wanted.clone() }).await;
                let heard = match &wanted {
                    Request::Push | Request::Preview | Request::PushTo(_) | Request::PreviewTo(_) => {
                        match peer.hear().await {
                            Some(Receiving::Decline { kind, reason }) => Some(Fault { kind, text: reason }),
                            other => panic!("{other:?}"),
                        }
                    }
                    Request::Pull(_) => match peer.hear().await {
                        Some(Sending::Abort(fault)) => Some(fault),
                        other => panic!("{other:?}"),
                    },
                    Request::List(_) => match peer.hear().await {
                        Some(Listing::Abort(fault)) => Some(fault),
                        other => panic!("{other:?}"),
                    },
                    Request::Pair => match peer.hear().await {
                        Some(Pairing::Refused(fault)) => Some(fault),
                        other => panic!("{other:?}"),
                    },
                    Request::Attach { .. } => None,
                    _ => match peer.hear().await {
                        Some(Answer::Abort(fault)) => Some(fault),
                        other => panic!("{other:?}"),
                    },
                };
                assert!(heard.is_none_or(|fault| fault == no), "{wanted:?}");
                assert_eq!(peer.hear::<Sending>().await, None, "{wanted:?}: and then nothing");
            }
        }
    }
    assert!(class.everything() == before);
    // What was tried of the disabled account's has not been done either.
    class.hub.manage(&["accounts", "enable", "dora"]).done();
    let standing = class.disabled.ask(Verb::Standing).await.unwrap().standing.unwrap();
    assert_eq!(standing.account.as_str(), "dora");
}
