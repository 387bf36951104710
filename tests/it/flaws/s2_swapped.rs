//! A folder that becomes a link while files are written into it, or served from it: again and again, at any
//! moment, by somebody else on the same machine.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::house::home::Home;

/// How often it is swapped at least.
const SWAPS: usize = 10_000;

/// How many transfers there are at least.
const TRANSFERS: usize = 8;

/// Files of each.
const FILES: usize = 40;

/// Swaps a folder and a link until it is told to stop.
struct Swapper {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Swapper {
    /// `folder` changes places with a link to `target`; `None` where the file system cannot do that in one step.
    fn start(home: &Home, folder: &str, target: &str) -> Option<Self> {
        let (folder, link): (PathBuf, PathBuf) = (home.path(folder), home.path("link"));
        symlink(home.path(target), &link).unwrap();
        let swap = move || renameat_with(CWD, &folder, CWD, &link, RenameFlags::EXCHANGE);
        if let Err(error) = swap() {
            eprintln!("skipped: this file system does not exchange names: {error}");
            return None;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut swaps = 1;
            // Ends with the folder itself in place.
            while !stopped.load(Ordering::Acquire) || swaps % 2 == 1 || swaps < SWAPS {
                swap().unwrap();
                swaps += 1;
                if swaps % 64 == 0 {
                    std::thread::yield_now();
                }
            }
            swaps
        });
        Some(Self { stop, thread })
    }

    /// How often it has swapped.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

#[test]
fn s2_rsync_a_folder_that_is_swapped_for_a_link_10000_times_is_never_written_through() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    alice.folder("inbox/t");
    alice.write("outside/theirs", "nobody's business");
    let node = alice.up_for_all();
    let Some(swapper) = Swapper::start(&alice, "inbox/t", "outside") else { return };
    for round in 0..TRANSFERS {
        for n in 0..FILES {
            bob.write(&format!("t/r{round}/f{n}"), n.to_string());
            bob.write(&format!("t/f{round}x{n}"), n.to_string());
        }
        // Whether it arrives, or under which name, is as it falls; where it must not be is not.
        bob.run(&["push", "t", &node.at(), "--retry", "0"]);
        fs::remove_dir_all(bob.path("t")).unwrap();
    }
    let swaps = swapper.stop();
    assert!(swaps >= SWAPS, "{swaps}");
    assert_eq!(alice.tree("outside"), ["theirs"], "nothing is written through the link");
    assert_eq!(alice.read("outside/theirs"), b"nobody's business");
    // Something arrived, or nothing was tried.
    assert!(alice.tree("inbox").iter().any(|path| path.contains("/f")), "{:?}", alice.tree("inbox"));
    bob.write("after", "a");
    bob.run(&["push", "after", &node.at()]).done();
}

#[test]
fn s2_onionshare_cve_2026_54706_a_folder_that_is_swapped_for_a_link_10000_times_is_never_read_through() {
    let (bob, alice) = (Home::new("bob"), Home::new("alice"));
    for n in 0..FILES {
        alice.write(&format!("notes/d/f{n}"), "shared");
        alice.write(&format!("outside/f{n}"), "secret");
        alice.write(&format!("outside/only{n}"), "secret");
    }
    let node = alice.up(&["--share", "notes", "--share-with", "all"]);
    let Some(swapper) = Swapper::start(&alice, "notes/d", "outside") else { return };
    let mut fetched = 0;
    for round in 0..TRANSFERS {
        let (to, whole) = (format!("got{round}"), format!("{}:notes", node.at()));
        bob.run(&["pull", &whole, "--to", &to, "--retry", "0"]);
        for n in 0..3 {
            let one = format!("{}:notes/d/only{n}", node.at());
            assert_ne!(bob.run(&["pull", &one, "--to", &to, "--retry", "0"]).code, Some(0));
            let listed = bob.run(&["ls", &format!("{}:notes/d", node.at())]);
            assert!(!listed.out.contains("only"), "{listed:?}");
        }
        for path in bob.tree(&to).into_iter().filter(|path| !path.ends_with('/') && !path.contains(".ftx-partial")) {
            if let Ok(file) = File::open(bob.path(&to).join(&path)) {
                let text = std::io::read_to_string(file).unwrap();
                assert_ne!(text, "secret", "{path}");
                fetched += usize::from(text == "shared");
            }
            assert!(!path.contains("only"), "{path}");
        }
    }
    let swaps = swapper.stop();
    assert!(swaps >= SWAPS && fetched > 0, "{swaps} swaps, {fetched} files");
}
