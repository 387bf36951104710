//! What ftx is built from: the rules of `.cargo/deny.toml`, held also where `cargo deny` is not installed, and
//! the reason that stands beside each dependency. Needs no network.

use std::fs;
use std::path::Path;
use std::process::Command;

use toml::{Table, Value};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Bindings of something that is not Rust. The first three bring C with them.
const FOREIGN: [&str; 5] = ["aws-lc-sys", "libsqlite3-sys", "zstd-sys", "inotify-sys", "linux-raw-sys"];

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn table(path: &str) -> Table {
    toml::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names and licences of all that is built here, for the program and its tests, but ftx.
fn built() -> Vec<(String, String)> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args([
        "tree",
        "--offline",
        "--locked",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
    ]);
    let told = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let lines = String::from_utf8(told.stdout).unwrap();
    let lines = lines.lines().filter(|line| !line.is_empty() && !line.starts_with("ftx "));
    let built: Vec<_> = lines
        .map(|line| {
            let (package, licence) = line.trim_end_matches(" (*)").split_once('|').unwrap_or_else(|| panic!("{line}"));
            (package.split(' ').next().unwrap().to_owned(), licence.to_owned())
        })
        .collect();
    assert!(built.len() > 100, "only {} packages", built.len());
    built
}

#[test]
fn every_package_is_one_of_crates_io_and_no_other_than_it_was() {
    for lock in ["Cargo.lock", "tests/fuzz/Cargo.lock"] {
        for package in table(lock)["package"].as_array().unwrap() {
            let package = package.as_table().unwrap();
            let is = |field: &str| package.get(field).and_then(Value::as_str);
            if matches!(is("name"), Some("ftx" | "ftx-fuzz")) {
                continue;
            }
            assert_eq!(is("source"), Some(CRATES_IO), "{lock}: {package}");
            assert_eq!(is("checksum").map(str::len), Some(64), "{lock}: {package}");
        }
    }
}

#[test]
fn every_licence_is_one_that_is_allowed() {
    let deny = table(".cargo/deny.toml");
    let allowed: Vec<&str> = deny["licenses"]["allow"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(!allowed.iter().any(|licence| licence.contains("GPL")));
    for (name, licence) in built() {
        assert!(holds(&licence, &allowed), "{name} comes under {licence}");
    }
}

/// Whether a licence expression (SPDX, also in its old form with `/`) can be met with what is allowed.
fn holds(expression: &str, allowed: &[&str]) -> bool {
    let expression = expression.trim();
    let parts = |word| outside_brackets(expression, word);
    // OR binds more loosely than AND.
    for (word, all) in [(" OR ", false), ("/", false), (" AND ", true)] {
        let parts = parts(word);
        if parts.len() > 1 {
            let mut held = parts.iter().map(|part| holds(part, allowed));
            return if all { held.all(|one| one) } else { held.any(|one| one) };
        }
    }
    match expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => holds(inner, allowed),
        None => allowed.contains(&expression),
    }
}

/// The parts between these words, where they do not stand in brackets.
fn outside_brackets<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut begun, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= begun && text[at..].starts_with(word) => {
                parts.push(&text[begun..at]);
                begun = at + word.len();
            }
            _ => {}
        }
    }
    parts.push(&text[begun..]);
    parts
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "ISC"];
    for good in ["MIT", "GPL-3.0 OR MIT", "X/MIT", "(X OR MIT) AND ISC", "ISC AND (X OR (MIT))", "X OR MIT AND ISC"] {
        assert!(holds(good, &allowed), "{good}");
    }
    for bad in ["", "X", "MIT AND X", "(MIT OR X) AND X", "MIT-0", "X OR MIT AND Y", "MIT WITH X"] {
        assert!(!holds(bad, &allowed), "{bad}");
    }
}

#[test]
fn no_other_cryptography_and_no_c_that_nobody_asked_for_is_built() {
    let deny = table(".cargo/deny.toml");
    let banned: Vec<&str> =
        deny["bans"]["deny"].as_array().unwrap().iter().filter_map(|one| one["crate"].as_str()).collect();
    assert!(banned.contains(&"openssl-sys") && banned.contains(&"ring"));
    for (name, _) in built() {
        assert!(!banned.contains(&name.as_str()), "{name} is built");
        assert!(
            !name.ends_with("-sys") || FOREIGN.contains(&name.as_str()) || cfg!(not(target_os = "linux")),
            "{name}"
        );
    }
}

/// A comment stands above each dependency, alone or with those it belongs to.
#[test]
fn every_dependency_has_its_reason() {
    let (mut inside, mut since_comment, mut checked) = (false, None, 0);
    for line in text("Cargo.toml").lines() {
        if line.starts_with('[') {
            (inside, since_comment) = (line.contains("dependencies]"), None);
        } else if line.starts_with('#') {
            since_comment = Some(0);
        } else if inside && !line.is_empty() {
            let count = since_comment.as_mut().unwrap_or_else(|| panic!("no word on why: {line}"));
            *count += 1;
            checked += 1;
            assert!(*count <= 8, "the reason for {line} is far away");
        }
    }
    let manifest = table("Cargo.toml");
    let wanted = manifest["dependencies"].as_table().unwrap().len();
    assert!(checked > wanted && wanted > 30, "{checked} of {wanted}");
}

#[test]
fn nothing_here_is_unsafe() {
    for root in ["src/lib.rs", "src/main.rs"] {
        assert!(text(root).contains("\n#![forbid(unsafe_code)]\n"), "{root}");
    }
    let lint = &table("Cargo.toml")["lints"]["rust"]["unsafe_code"];
    assert_eq!(lint.as_str(), Some("forbid"), "for the tests, too");
}
