//! Seeds from real encodings. They are checked in, and those missing written only where somebody asks for it:
//! `FTX_FUZZ_SEEDS=write cargo test --test it fuzz::seeds`.

use std::fs;
use std::path::Path;

use data_encoding::HEXLOWER;
use ftx::base::book::Trust;
use ftx::base::digest::{ChunkHash, EntryDigest};
use ftx::base::fault::{Fault, FaultKind};
use ftx::base::id::{PeerId, Role, TransferId};
use ftx::base::link_target::LinkTarget;
use ftx::base::manifest::{ChunkRun, Entry, EntryKind, Have, Outcome, Stamp};
use ftx::base::path::{Name, RelPath};
use ftx::disk::state::State;
use ftx::find::probe;
use ftx::find::record::{Record, SERVICE, host, instance};
use ftx::flow::handed_in::HandedIn;
use ftx::flow::secret::{Password, Stretched};
use ftx::hub::account::Device;
use ftx::hub::catalogue::{Catalogue, Pending, Row};
use ftx::hub::code::Invitation;
use ftx::hub::control::message::{Answer as Told, Ask, Limit, Limits, Request as Wish, VERSION};
use ftx::hub::register::Register;
use ftx::hub::space::{Kind, Space};
use ftx::link::key::Key;
use ftx::wire::frame::encode;
use ftx::wire::give::Giving;
use ftx::wire::hello::Hello;
use ftx::wire::hub::{Answer, Item, Joining, Rank, Secret, Standing, Verb, Version, VersionId};
use ftx::wire::message::{ChunkHead, Listing, Opening, Pairing, Receipt, Receiving, Request, Sending, Ticket};
use serde::Serialize;
use simple_dns::rdata::{A, PTR, RData, SRV, TXT};
use simple_dns::{CLASS, Name as DnsName, Packet, PacketFlag, ResourceRecord};

type Seeds = Vec<(&'static str, Vec<u8>)>;

const WHEN: Stamp = Stamp { seconds: 1_000_000_000, nanos: 5 };

#[test]
fn seeds_are_written_where_somebody_asks_for_it() {
    let all = [messages(), conversations(), network(), files(), control(), words()].concat();
    for (target, seeds) in all {
        assert!(super::Target::named(target).is_some(), "{target}");
        let folder = super::folder().join("seeds").join(target);
        for (name, bytes) in seeds {
            // What is there stays: some have keys in them that are never the same again.
            if std::env::var_os("FTX_FUZZ_SEEDS").is_some_and(|wish| wish == "write") && !folder.join(name).exists() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(name), bytes).unwrap();
            }
            assert!(folder.join(name).is_file(), "{target}/{name} is not checked in");
        }
    }
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn id() -> PeerId {
    PeerId::of_public_key(&[1; 32])
}

fn transfer() -> TransferId {
    TransferId::from_bytes([7; 16])
}

fn file(text: &str, size: u64) -> Entry {
    Entry { path: path(text), kind: EntryKind::File { size, modified: WHEN, executable: false } }
}

fn entries() -> Vec<Entry> {
    vec![
        Entry {
            path: path("tree"),
            kind: EntryKind::Directory { modified: Some(Stamp { seconds: -1, nanos: 999_999_999 }) },
        },
        file("tree/a ä.pdf", 3 << 20),
        Entry { path: path("tree/link"), kind: EntryKind::Link { target: LinkTarget::parse("a ä.pdf").unwrap() } },
        Entry { path: path("tree/pipe"), kind: EntryKind::Stream },
    ]
}

fn fault() -> Fault {
    Fault::new(FaultKind::Disk, "the disk \u{1b}[2J\u{202e}is full")
}

fn post(message: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(message).unwrap()
}

fn frames(messages: &[Sending]) -> Vec<u8> {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| encode(message, &mut bytes).unwrap());
    bytes
}

fn messages() -> Vec<(&'static str, Seeds)> {
    let opening = |request| post(&Opening { nonce: [7; 32], request });
    let look = Verb::Look { path: Some(path("shared")), deep: true, sha256: false };
    let sending = [
        ("page", Sending::Page(entries())),
        ("chunk", Sending::Chunk(ChunkHead { entry: 300, index: 1, length: 5 })),
        ("end", Sending::EntryEnd { entry: 1, size: 3 << 20, digest: EntryDigest([7; 32]) }),
        ("gone", Sending::EntryGone { entry: 1, fault: fault() }),
        ("packed", Sending::Packed { length: 300, packed: 10 }),
        ("ticket", Sending::Ticket(Ticket([8; 16]))),
    ];
    let runs = vec![ChunkRun { first: 0, count: 1 }, ChunkRun { first: 2, count: 900 }];
    let digest = Have::Digest(EntryDigest([7; 32]));
    let outcomes = vec![
        Outcome::Placed,
        Outcome::PlacedAs(path("a (1)").into()),
        Outcome::Failed(fault().into()),
        Outcome::Replaced,
    ];
    let receiving = [
        ("decline", Receiving::Decline { kind: FaultKind::Declined, reason: "no \u{202e}".into() }),
        ("have", Receiving::Have(vec![Have::Nothing, Have::Chunks(runs), digest, Have::Skipped, Have::Outdated])),
        ("outcomes", Receiving::Outcomes(outcomes)),
        ("receipt", Receiving::Receipt(Receipt { statement: [1; 32], signature: vec![2; 64] })),
    ];
    let item = Item {
        path: path("shared/a"),
        kind: EntryKind::File { size: 5, modified: WHEN, executable: true },
        owner: Some(name("alice")),
        sha256: Some([3; 32]),
        versions: 2,
        about: Some("what it is for".into()),
    };
    let version = Version {
        id: VersionId(uuid::Uuid::from_bytes([7; 16])),
        path: path("shared/a"),
        size: 5,
        modified: WHEN,
        owner: None,
        kept: 9,
        by: Some(name("bob")),
        replaced: true,
        digest: Some(EntryDigest([1; 32])),
    };
    let standing = Standing {
        account: name("alice"),
        rank: Rank::Manager,
        used: 1 << 40,
        quota: Some(0),
        largest: None,
        spaces: vec![name("shared"), name("exam 1")],
    };
    let welcome = Joining::Welcome { account: name("alice"), rank: Rank::Member, proof: [2; 32] };
    let join = opening(Request::Join { account: Some(name("alice")), by: Secret::Password });
    vec![
        ("frames", vec![("some", frames(&sending.clone().map(|(_, message)| message)))]),
        ("hello", vec![("hello", post(&Hello::ours("alice", Role::Hub, [9; 32])))]),
        (
            "opening",
            vec![
                ("pull", opening(Request::Pull(vec![path("a/b"), path("c")]))),
                ("attach", opening(Request::Attach { transfer: transfer(), ticket: Ticket([8; 16]) })),
                ("join", join),
                ("look", opening(Request::Ask(look))),
            ],
        ),
        ("sending", sending.map(|(name, message)| (name, post(&message))).into()),
        ("receiving", receiving.map(|(name, message)| (name, post(&message))).into()),
        ("listing", vec![("page", post(&Listing::Page(entries()))), ("abort", post(&Listing::Abort(fault())))]),
        ("pairing", vec![("agreed", post(&Pairing::Agreed)), ("refused", post(&Pairing::Refused(fault())))]),
        ("joining", vec![("proof", post(&Joining::Proof([1; 32]))), ("welcome", post(&welcome))]),
        ("giving", vec![("proof", post(&Giving::Proof([3; 32]))), ("wrong", post(&Giving::Wrong { left: 2 }))]),
        (
            "answer",
            vec![
                ("items", post(&Answer::Items(vec![item]))),
                ("versions", post(&Answer::Versions(vec![version]))),
                ("standing", post(&Answer::Standing(standing))),
                ("receipts", post(&Answer::Receipts(vec!["{}".to_owned(); 3]))),
            ],
        ),
        ("unpacked", vec![("text", packed(&b"let the quick brown fox jump\n".repeat(40)))]),
    ]
}

/// Bytes, packed, behind their length.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(bytes, -1).unwrap();
    [&(bytes.len() as u32).to_be_bytes(), &packed[..]].concat()
}

fn offer(entries: Vec<Entry>) -> Vec<Sending> {
    let (count, bytes) = (entries.len() as u64, entries.iter().map(Entry::size).sum());
    let offer = Sending::Offer { transfer: transfer(), set: [1; 32] };
    vec![offer, Sending::Page(entries), Sending::LeftOut(fault()), Sending::PagesEnd { entries: count, bytes }]
}

/// A sender's whole part: the offer behind its length, then the rest.
fn transfer_of(entries: Vec<Entry>, rest: &[u8]) -> Vec<u8> {
    let offer = frames(&offer(entries));
    [&(offer.len() as u16).to_be_bytes(), &offer[..], rest].concat()
}

/// Everything of an entry whose bytes are one chunk.
fn whole(entry: u32, bytes: &[u8]) -> Vec<u8> {
    let head = Sending::Chunk(ChunkHead { entry, index: 0, length: bytes.len() as u32 });
    let (size, hash) = (bytes.len() as u64, ChunkHash::of(bytes));
    let end = Sending::EntryEnd { entry, size, digest: EntryDigest::over(size, [hash].iter()) };
    [&frames(&[head])[..], bytes, &hash.0, &frames(&[end])].concat()
}

fn conversations() -> Vec<(&'static str, Seeds)> {
    let told = |messages: &[Answer]| {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| encode(message, &mut bytes).unwrap());
        bytes
    };
    let listed = |page: Vec<Entry>| {
        let mut bytes = Vec::new();
        let messages = [Listing::Page(page), Listing::Page(vec![file("b", 5)]), Listing::End];
        messages.iter().for_each(|message| encode(message, &mut bytes).unwrap());
        bytes
    };
    let tops = vec![Entry { path: path("tree"), kind: EntryKind::FOLDER }, file("a ä.pdf", 3 << 20)];
    let tree = vec![
        Entry { path: path("t"), kind: EntryKind::FOLDER },
        file("t/a", 5),
        Entry { path: path("t/link"), kind: EntryKind::Link { target: LinkTarget::parse("a").unwrap() } },
        Entry { path: path("t/pipe"), kind: EntryKind::Stream },
    ];
    let end = frames(&[Sending::End]);
    let text = b"the same again ".repeat(40);
    let (inside, text_whole) = (packed(&whole(0, &text)), whole(0, &text).len() as u32);
    let head = Sending::Packed { length: text_whole, packed: inside.len() as u32 - 4 };
    let packed = [&frames(&[head])[..], &inside[4..], &end].concat();
    vec![
        ("manifest", vec![("tree", frames(&offer(entries()))), ("bad-empty", frames(&offer(Vec::new())))]),
        ("listed", vec![("two-pages", listed(tops)), ("bad-below", listed(entries()))]),
        ("told", vec![("standing", told(&[Answer::KeepAlive, Answer::Done { files: 3, path: Some(path("a (1)")) }]))]),
        (
            "received",
            vec![
                ("one-file", transfer_of(vec![file("a", 5)], &[whole(0, b"hello"), end.clone()].concat())),
                ("tree", transfer_of(tree, &[whole(1, b"hello"), whole(3, b"pipe"), end].concat())),
                ("packed", transfer_of(vec![file("a", text.len() as u64)], &packed)),
            ],
        ),
    ]
}

fn record() -> Record {
    Record {
        version: 1,
        name: "alice's laptop ä".into(),
        id: id(),
        role: Role::Hub,
        accept: "trusted".into(),
        boot: "0123456789".into(),
    }
}

fn network() -> Vec<(&'static str, Seeds)> {
    let fields = record().fields().map(|(key, value)| format!("{key}={value}"));
    let txt: Vec<u8> = fields.iter().flat_map(|field| [&[field.len() as u8], field.as_bytes()].concat()).collect();
    let mut answer = probe::answer(ftx::find::Kind::Node, &record(), 23547).unwrap();
    answer[8..16].copy_from_slice(&[5; 8]);
    let instance = format!("{}.{SERVICE}", instance("alice", &id()));
    let (service, own) = (DnsName::new_unchecked(SERVICE.trim_end_matches('.')), instance.trim_end_matches('.'));
    let own = DnsName::new_unchecked(own);
    let host = host(&id());
    let host = DnsName::new_unchecked(host.trim_end_matches('.'));
    let answers = |ttl, full: bool| {
        let one = |name: &DnsName<'_>, data| {
            ResourceRecord::new(name.clone().into_owned(), CLASS::IN, ttl, data).into_owned()
        };
        let mut packet = Packet::new_reply(0);
        packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        packet.answers.push(one(&service, RData::PTR(PTR(own.clone()))));
        if full {
            let mut txt = TXT::new();
            fields.iter().for_each(|field| txt.add_string(field).unwrap());
            let srv = SRV { priority: 0, weight: 0, port: 23547, target: host.clone() };
            packet.additional_records.push(one(&own, RData::SRV(srv)));
            packet.additional_records.push(one(&own, RData::TXT(txt)));
            packet.additional_records.push(one(&host, RData::A(A { address: 0x0a00_0001 })));
        }
        packet.build_bytes_vec_compressed().unwrap()
    };
    vec![
        ("mdns", vec![("whole", answers(120, true)), ("pointer", answers(120, false)), ("goodbye", answers(0, true))]),
        ("record", vec![("hub", txt)]),
        ("probe", vec![("question", probe::request(ftx::find::Kind::Node, [5; 8]).to_vec()), ("answer", answer)]),
    ]
}

/// A record of the journal, as [`super::targets`] takes it.
fn noted(bytes: Vec<u8>) -> Vec<u8> {
    [&[bytes.len() as u8], &bytes[..]].concat()
}

fn journal(sealed: bool) -> Vec<u8> {
    let file = |number: u32, path: &str, size: u64| post(&(0u8, number, path, size, (1i64, 2u32)));
    let chunk = |number: u32, index: u32| post(&(1u8, number, index, [7u8; 32]));
    let size = (3 << 20) + 5;
    let records = [file(0, "a", size), chunk(0, 2), chunk(0, 0), file(1, "b/c", 1), chunk(1, 0), vec![2]];
    if sealed {
        return [vec![1], records.map(noted).concat()].concat();
    }
    // Of another boot: what was synced counts.
    let mut bytes = [&[0][..], b"ftxj\x01", &[0; 16]].concat();
    for record in records {
        use sha2::{Digest, Sha256};
        bytes.extend((record.len() as u16).to_be_bytes());
        bytes.extend(&record);
        bytes.extend(&Sha256::digest(&record)[..4]);
    }
    bytes
}

/// A journal that names the last chunk of the longest file: once, memory for all those before it was taken.
fn late() -> Vec<u8> {
    let file = post(&(0u8, 0u32, "a", u64::from(u32::MAX) << 20, (1i64, 2u32)));
    let chunk = |index: u32| post(&(1u8, 0u32, index, [7u8; 32]));
    [vec![1], [file, chunk(0), chunk(u32::MAX - 1)].map(noted).concat()].concat()
}

fn register(home: &Path) -> Vec<u8> {
    let register = Register::open(home).unwrap();
    let fill = register.change(|records| {
        records.invite(Invitation { once: true, lasts: None, account: Some(name("Bob")), rank: Rank::Manager }, 7)?;
        records.spaces.insert(name("exam 1"), Space { kind: Kind::Drop { deadline: Some(9) }, quota: Some(1 << 40) });
        let account = records.add_account(name("Zoë"), Rank::Member, 5)?;
        account.devices.insert(id(), Device { name: "a\u{1b}]0;x\u{7}\"\n[records]".into(), since: 6 });
        account.password = Some(Password { salt: [1; 16], stretched: Stretched::from_bytes([2; 32]) });
        Ok(())
    });
    fill.unwrap();
    fs::read(home.join("register.toml")).unwrap()
}

fn catalogue(home: &Path) -> Vec<u8> {
    let (catalogue, _) = Catalogue::open(home).unwrap();
    let row = |text: &str| Row {
        path: path(text),
        size: 5,
        modified: WHEN,
        inode: 1,
        digest: Some(EntryDigest([1; 32])),
        sha256: None,
        owner: Some(name("alice")),
        since: 3,
    };
    catalogue.record(vec![row("shared/a"), row("shared/b/c")]).unwrap();
    catalogue
        .begin(Pending { transfer: transfer(), account: name("alice"), to: path("shared"), since: 4, tops: Vec::new() })
        .unwrap();
    catalogue.note_receipts(transfer(), id(), vec!["{}".to_owned()]).unwrap();
    drop(catalogue);
    // The same in small pages.
    let small = home.join("small");
    let connection = rusqlite::Connection::open(home.join("catalogue.sqlite")).unwrap();
    connection.pragma_update(None, "journal_mode", "DELETE").unwrap();
    connection.pragma_update(None, "page_size", 512).unwrap();
    connection.execute("VACUUM INTO ?1", [small.to_str().unwrap()]).unwrap();
    fs::read(small).unwrap()
}

fn files() -> Vec<(&'static str, Seeds)> {
    let home = tempfile::tempdir().unwrap();
    let state = State::new(home.path().join("state"));
    state
        .change_book(|book| {
            book.set_trust(id(), "alice \u{202e}".into(), Trust::Trusted, 5);
            book.meet(id(), "alice".into(), "[fe80::1%3]:9".parse().ok(), 6);
        })
        .unwrap();
    let config = "name = \"lab\"\ndir = \"~/in\"\nshare = [\"notes\"]\naccept = \"trusted\"\non_conflict = \"skip\"\n\
        interfaces = [\"lo\"]\nlimit = \"5M\"\n\n[groups]\nclass = [\"alice~k7f3q2mz\", \"[10.0.0.1:9]\"]\n";
    let handed_in = |deadline| {
        let what = HandedIn {
            hub: "lab-hub".into(),
            account: name("alice"),
            device: id(),
            path: path("week3/alice/report.pdf"),
            size: 5,
            sha256: [2; 32],
            digest: EntryDigest([3; 32]),
            handed_in: 1_795_269_900,
            deadline,
            transfer: transfer(),
        };
        what.sign(&Key::generate().unwrap()).into_bytes()
    };
    let key = Key::generate().unwrap();
    vec![
        ("book", vec![("one-peer", fs::read(state.book_file()).unwrap())]),
        ("config", vec![("all", config.into())]),
        ("journal", vec![("sealed", journal(true)), ("synced", journal(false)), ("late-chunk", late())]),
        ("register", vec![("all", register(&home.path().join("hub")))]),
        ("catalogue", vec![("small-pages", catalogue(home.path()))]),
        ("handed_in", vec![("with-deadline", handed_in(Some(1_795_270_000))), ("without", handed_in(None))]),
        ("keys", vec![("public", key.public().to_spki()), ("private-of-nobody", key.to_pkcs8().to_vec())]),
    ]
}

fn line(value: &impl Serialize) -> Vec<u8> {
    [serde_json::to_vec(value).unwrap(), vec![b'\n']].concat()
}

fn control() -> Vec<(&'static str, Seeds)> {
    let ask = |request| line(&Ask { version: VERSION, request });
    let invite = Wish::Invite { once: true, account: Some(name("Bob")), role: Rank::Member, lasts: Some(60) };
    let space = Wish::AddSpace { space: name("exam"), kind: Kind::Drop { deadline: Some(9) }, quota: None };
    let limits = Limits { largest_file: Some(Limit::None), keep_days: Some(3), ..Limits::default() };
    let send = Wish::Send { paths: vec![path("shared/a")], receivers: Some("alice,@class".to_owned()) };
    let finding =
        Told::Finding { path: path("a"), what: "changed".into(), text: "its \u{9b}bytes".into(), damage: true };
    let failed = Told::Failed { kind: "disk".to_owned(), error: "full \u{202e}".into() };
    vec![
        (
            "asked",
            vec![
                ("invite", ask(invite)),
                ("space", ask(space)),
                ("limits", ask(Wish::Set(limits))),
                ("send", ask(send)),
            ],
        ),
        ("answered", vec![("finding", line(&finding)), ("failed", line(&failed)), ("done", line(&Told::Done))]),
    ]
}

fn words() -> Vec<(&'static str, Seeds)> {
    let all =
        |texts: &[(&'static str, &str)]| texts.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect();
    let nasty = "a\u{1b}]0;x\u{7}\u{9b}2J\u{202e}fdp\u{200d}\u{feff}\u{e0041}\u{fe0f}\\ä\r\n";
    vec![
        (
            "target",
            all(&[
                ("name", "alice-laptop:notes/week 1/a:b.pdf"),
                ("id", "alice~k7f3q2mz:a"),
                ("address", "[[fe80::1%eth0]:99]:notes/"),
                ("host", "lab.local"),
            ]),
        ),
        ("path", all(&[("deep", "a/b c/ä.tar.gz"), ("odd", "CON/aux.txt /x\u{202e}fdp")])),
        ("text", all(&[("nasty", nasty)])),
    ]
}

/// What a journal's boot is called has a form that the seeds rely on.
#[test]
fn seeds_are_not_bound_to_this_machine() {
    let text = HEXLOWER.encode(&journal(false));
    assert!(text.starts_with("006674786a01"), "{text}");
}
