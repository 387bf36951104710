//! What is written is read back, and nothing more.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use proptest::prelude::*;

use super::*;
use crate::base::path::RelPath;
use crate::disk::fit::Case;

const WHEN: Stamp = Stamp { seconds: 1, nanos: 2 };

fn written(with_sync: bool) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    let mut journal = Journal::begin(file.try_clone().unwrap()).unwrap();
    let path = RelPath::parse("tree/a.iso").unwrap();
    let number = journal.start(&path, 3 << 20, WHEN).unwrap();
    journal.chunk(number, 2, ChunkHash([2; 32])).unwrap();
    if with_sync {
        journal.synced().unwrap();
    }
    journal.chunk(number, 0, ChunkHash([0; 32])).unwrap();
    journal.flush().unwrap();
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// What a journal says of the files that are used here.
fn parsed(bytes: &[u8], boot: Option<[u8; 16]>, case: Case) -> BTreeMap<RelPath, Kept> {
    let mut left = Left::read(io::Cursor::new(bytes), boot, case).unwrap();
    let mut of = |path: &str| {
        let path = RelPath::parse(path).unwrap();
        let kept = left.as_mut()?.at(&path).unwrap()?;
        Some((path, kept))
    };
    ["tree/a.iso", "a", "b", "t/A", "t/a"].into_iter().filter_map(&mut of).collect()
}

fn load(file: &File, case: Case, trust: Trust) -> BTreeMap<RelPath, Kept> {
    let (mut file, mut bytes) = (file.try_clone().unwrap(), Vec::new());
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    parsed(&bytes, (trust == Trust::Noted).then(boot), case)
}

/// A journal with what is left of another, which is on the disk.
fn successor(of: &File, trust: Trust) -> (File, Journal) {
    let old = Left::of(of.try_clone().unwrap(), Case::Kept, trust).unwrap().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut journal = Journal::begin(file.reopen().unwrap()).unwrap();
    old.carry_over(&mut journal, file.reopen().unwrap()).unwrap();
    journal.synced().unwrap();
    (file.into_file(), journal)
}

/// Which of the chunks up to the last are there.
fn chunks(kept: &BTreeMap<RelPath, Kept>) -> Vec<bool> {
    let there = |kept: &Kept| {
        let last = kept.chunks.last().map_or(0, |(index, _)| index + 1);
        (0..last).map(|index| kept.chunks.iter().any(|(there, _)| *there == index)).collect::<Vec<_>>()
    };
    kept.values().flat_map(there).collect()
}

#[test]
fn what_was_written_is_read_back() {
    assert_eq!(chunks(&parsed(&written(false), Some(boot()), Case::Kept)), [true, false, true]);
}

#[test]
fn after_a_reboot_only_what_was_synced_counts() {
    assert_eq!(chunks(&parsed(&written(true), Some([0; 16]), Case::Kept)), [false, false, true]);
    assert!(parsed(&written(false), Some([0; 16]), Case::Kept).is_empty());
}

#[test]
fn what_is_taken_back_is_what_was_noted_since_the_last_sync() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&written(true)).unwrap();
    assert_eq!(chunks(&load(&file, Case::Kept, Trust::Noted)), [true, false, true]);
    let synced = load(&file, Case::Kept, Trust::Synced);
    assert_eq!(chunks(&synced), [false, false, true]);

    let (file, mut journal) = successor(&file, Trust::Synced);
    let number = journal.start(&RelPath::parse("b").unwrap(), 3 << 20, WHEN).unwrap();
    journal.chunk(number, 0, ChunkHash([0; 32])).unwrap();
    journal.flush().unwrap();
    journal.take_back();
    assert!(journal.chunk(number, 1, ChunkHash([1; 32])).is_err());
    drop(journal);
    assert_eq!(load(&file, Case::Kept, Trust::Noted), synced);
}

#[test]
fn a_journal_begun_from_another_says_the_same() {
    let mut old = tempfile::tempfile().unwrap();
    old.write_all(&written(false)).unwrap();
    let kept = load(&old, Case::Kept, Trust::Noted);
    let (new, _) = successor(&old, Trust::Noted);
    assert_eq!(load(&new, Case::Kept, Trust::Synced), kept);
}

#[test]
fn of_two_spellings_of_one_file_only_the_later_is_believed() {
    let file = tempfile::tempfile().unwrap();
    let mut journal = Journal::begin(file.try_clone().unwrap()).unwrap();
    for path in ["t/a", "t/A"] {
        let number = journal.start(&RelPath::parse(path).unwrap(), 3 << 20, WHEN).unwrap();
        journal.chunk(number, 0, ChunkHash([0; 32])).unwrap();
    }
    drop(journal);
    let paths = |case| load(&file, case, Trust::Noted).into_keys().map(|path| path.to_string()).collect::<Vec<_>>();
    assert_eq!(paths(Case::Kept), ["t/A", "t/a"]);
    assert_eq!(paths(Case::Folded), ["t/A"]);
}

#[test]
fn what_is_forgotten_is_no_longer_said() {
    let mut old = tempfile::tempfile().unwrap();
    old.write_all(&written(false)).unwrap();
    let (file, mut journal) = successor(&old, Trust::Noted);
    journal.forget(&RelPath::parse("tree/a.iso").unwrap()).unwrap();
    journal.flush().unwrap();
    assert!(chunks(&load(&file, Case::Kept, Trust::Noted)).is_empty());
}

/// A pipe that nobody reads takes some bytes and then no more, as a full disk does.
#[cfg(unix)]
#[test]
fn a_journal_that_is_taken_in_parts_is_whole_in_the_end() {
    use rustix::fs::{OFlags, fcntl_setfl};
    let (mut reader, writer) = io::pipe().unwrap();
    let writer = File::from(std::os::fd::OwnedFd::from(writer));
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    let mut journal = Journal::begin(writer).unwrap();
    let number = journal.start(&RelPath::parse("a").unwrap(), 20_000 << 20, WHEN).unwrap();
    let noted = (0..20_000).map(|index| journal.chunk(number, index, ChunkHash([7; 32])));
    assert!(noted.filter(Result::is_err).count() > 1, "the pipe is full");
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    });
    while journal.flush().is_err() {
        std::thread::yield_now();
    }
    drop(journal);
    let kept = parsed(&reading.join().unwrap().unwrap(), Some(boot()), Case::Kept);
    assert_eq!(chunks(&kept), [true; 20_000]);
}

proptest! {
    #[test]
    fn a_cut_journal_never_says_more_than_the_whole(cut in 0usize..400) {
        let whole = written(true);
        let cut = cut.min(whole.len());
        let kept = parsed(&whole[..cut], Some(boot()), Case::Kept);
        prop_assert!(chunks(&kept).iter().filter(|c| **c).count() <= 2);
    }

    #[test]
    fn damage_is_not_believed(at in 21usize..200, flip in 1u8..) {
        let mut bytes = written(false);
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= flip;
        for kept in parsed(&bytes, Some(boot()), Case::Kept).values() {
            for (index, hash) in &kept.chunks {
                prop_assert_eq!(*hash, ChunkHash([*index as u8; 32]));
            }
        }
    }
}

/// A million small files must not take more memory where a transfer of them goes on.
#[test]
fn what_is_left_of_many_small_files_takes_little_room() {
    const FILES: u32 = 10_000;
    let file = tempfile::tempfile().unwrap();
    let mut journal = Journal::begin(file.try_clone().unwrap()).unwrap();
    for n in 0..FILES {
        let number = journal.start(&RelPath::parse(&format!("tree/{}/{n:07}", n / 1000)).unwrap(), 1, WHEN).unwrap();
        journal.chunk(number, 0, ChunkHash([1; 32])).unwrap();
    }
    journal.synced().unwrap();
    for trust in [Trust::Noted, Trust::Synced] {
        let taken = allocation_counter::measure(|| drop(successor(&file, trust)));
        assert!(taken.bytes_max < u64::from(FILES) * 80, "{} bytes", taken.bytes_max);
    }
}

/// The chunks of many files come side by side, and not in their order.
#[test]
fn what_is_left_of_each_file_is_read_again_in_any_order() {
    let path = |n: u32| RelPath::parse(&format!("t/{n}")).unwrap();
    let hash = |n: u32, index: u32| ChunkHash([(n * 7 + index) as u8; 32]);
    let kept = |n: u32| Kept {
        size: 1000 << 20,
        modified: WHEN,
        chunks: (0..n % 7).map(|index| (index * 2, hash(n, index))).collect(),
    };
    let old = tempfile::tempfile().unwrap();
    let mut journal = Journal::begin(old.try_clone().unwrap()).unwrap();
    for n in 0..1000 {
        assert_eq!(journal.start(&path(n), 1000 << 20, WHEN).unwrap(), n);
    }
    for index in (0..7).rev() {
        for n in (0..1000).filter(|n| index < n % 7) {
            journal.chunk(n, index * 2, hash(n, index)).unwrap();
        }
    }
    drop(journal);
    let left = || Left::of(old.try_clone().unwrap(), Case::Kept, Trust::Noted).unwrap().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut journal = Journal::begin(file.reopen().unwrap()).unwrap();
    let new = left().carry_over(&mut journal, file.reopen().unwrap()).unwrap();
    for mut left in [left(), new] {
        for n in (0..1000).chain((0..1000).rev()).chain([7, 700, 70]) {
            assert_eq!(left.at(&path(n)).unwrap(), Some(kept(n)));
        }
        assert_eq!(left.at(&path(1000)).unwrap(), None);
    }
}
