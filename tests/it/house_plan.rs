//! The house stands as `src/lib.rs` draws it.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors, from the ground up, each with its rooms.
const FLOORS: [&[&str]; 6] = [&["base"], &["wire", "disk", "link", "find"], &["flow"], &["node"], &["hub"], &["cli"]];

/// Most lines of a file, its tests included.
const MOST_LINES: usize = 500;

/// A source file: its path below `src`, and its text.
struct File {
    path: PathBuf,
    text: String,
}

impl File {
    /// The room it is in; `None` for `lib.rs` and `main.rs`.
    fn room(&self) -> Option<&str> {
        let mut parts = self.path.components();
        let first = parts.next()?.as_os_str().to_str()?;
        parts.next().map(|_| first)
    }

    /// Its lines with their numbers, without those that are comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        lines.filter(|(_, line)| !line.starts_with("//"))
    }
}

fn files() -> Vec<File> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for child in fs::read_dir(folder).unwrap() {
            let path = child.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push(File { path: path.strip_prefix(&src).unwrap().to_owned(), text });
            }
        }
    }
    assert!(files.len() > 30, "only {} files were found", files.len());
    files
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms that a piece of code names: what follows `crate::` or `ftx::`, also in braces.
fn rooms_named(code: &str) -> Vec<&str> {
    let mut named = Vec::new();
    for (at, _) in code.match_indices("::") {
        let before = &code[..at];
        let word = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        if !matches!(word, "crate" | "ftx") {
            continue;
        }
        let after = &code[at + 2..];
        match after.strip_prefix('{') {
            Some(group) => named.extend(group.split([',', '}']).map(first_word)),
            None => named.push(first_word(after)),
        }
    }
    named.retain(|room| !room.is_empty());
    named
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[test]
fn imports_point_down_and_rooms_of_one_floor_do_not_know_one_another() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for file in files() {
        let Some(room) = file.room() else { continue };
        let own = floor(room).unwrap_or_else(|| panic!("{} is on no floor", file.path.display()));
        for (number, line) in file.code() {
            for named in rooms_named(line) {
                checked += 1;
                let allowed = named == room || floor(named).is_some_and(|other| other < own);
                if !allowed {
                    wrong.push(format!("src/{}:{number}: {room} must not know {named}", file.path.display()));
                }
            }
        }
    }
    assert!(checked > 100, "only {checked} imports were found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_room_of_the_house_is_declared() {
    let lib = files().into_iter().find(|file| file.path == Path::new("lib.rs")).unwrap();
    let declared = lib.code().filter_map(|(_, line)| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for room in declared {
        assert!(floor(room).is_some(), "{room} has no floor");
    }
}

#[test]
fn only_the_printer_prints() {
    const PRINTING: [&str; 9] = [
        "println!",
        "print!",
        "dbg!",
        "io::stdout",
        "io::stderr",
        "process::exit",
        "Term::",
        "ProgressBar",
        "dialoguer::",
    ];
    let inside = |file: &File| file.path.starts_with("cli/ui");
    let prints = |line: &str| PRINTING.iter().any(|word| line.contains(word));
    let mut wrong = Vec::new();
    let mut printers = 0;
    for file in files() {
        for (number, line) in file.code().filter(|(_, line)| prints(line)) {
            if inside(&file) {
                printers += 1;
            } else {
                wrong.push(format!("src/{}:{number}: {line}", file.path.display()));
            }
        }
    }
    assert!(printers > 0, "the printer itself was not recognised");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = files()
        .iter()
        .map(|file| (file.path.display().to_string(), file.text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "more than {MOST_LINES} lines: {long:?}");
}

#[test]
fn main_only_parses_runs_and_ends() {
    let main = files().into_iter().find(|file| file.path == Path::new("main.rs")).unwrap();
    assert!(main.text.lines().count() <= 60);
}

/// The plan is only as good as the eye that reads the imports.
#[test]
fn imports_are_read_in_every_form() {
    assert_eq!(rooms_named("use crate::wire::{frame, message};"), ["wire"]);
    assert_eq!(rooms_named("use crate::{base, cli};"), ["base", "cli"]);
    assert_eq!(rooms_named("let x = crate::cli::run(ftx::node::X);"), ["cli", "node"]);
    assert!(rooms_named("use super::x; pub(crate) fn a() -> std::io::Result<()>").is_empty());
}
