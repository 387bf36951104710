//! The table of ftx-security(7) is true: every test and every file that it names is there, and every line of
//! the promise has a row.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// All sources below a folder of this project, with their text.
pub(super) fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for child in fs::read_dir(folder).unwrap() {
            let path = child.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    found
}

/// The names of all tests, with the files they are in.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in [sources("src"), sources("tests")].concat() {
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            let declared = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            match declared {
                Some(rest) if is_test => {
                    names.extend(rest.split('(').next().map(str::to_owned));
                    is_test = false;
                }
                Some(_) => is_test = false,
                None => is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test"),
            }
        }
    }
    names
}

/// The words of the page that stand in this macro, such as `Pa`.
fn marked(page: &str, mark: &str) -> BTreeSet<String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix('.'));
    let words = lines.flat_map(|line| {
        let mut words = line.split_whitespace().peekable();
        let mut found = Vec::new();
        while let Some(word) = words.next() {
            if word == mark {
                found.extend(words.peek().map(|next| (*next).to_owned()));
            }
        }
        found
    });
    words.collect()
}

/// The tests that the page names; commands have no such stroke in them.
fn named_tests(page: &str) -> BTreeSet<String> {
    marked(page, "Ic").into_iter().filter(|name| name.contains('_')).collect()
}

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/ftx-security.7")).unwrap()
}

#[test]
fn every_test_and_file_that_the_manual_of_security_names_is_there() {
    let (page, tests) = (page(), tests());
    let named = named_tests(&page);
    let missing: Vec<&String> = named.iter().filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
    assert!(named.len() > 40, "{}", named.len());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<String> = marked(&page, "Pa").into_iter().filter(|path| path.ends_with(".rs")).collect();
    let missing: Vec<&String> = files.iter().filter(|path| !root.join(path).is_file()).collect();
    assert!(missing.is_empty(), "no such files: {missing:#?}");
    assert!(files.len() > 20, "{}", files.len());
}

#[test]
fn every_line_of_the_promise_has_a_row_and_every_test_of_one_is_named_in_the_manual() {
    let page = page();
    for number in 1..=17 {
        assert_eq!(page.matches(&format!("\n.Ss S{number}: ")).count(), 1, "S{number}");
    }
    let of_a_line = |name: &String| {
        let number = name.strip_prefix('s').and_then(|rest| rest.split('_').next());
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    let named = named_tests(&page);
    let unnamed: Vec<String> = tests().into_iter().filter(|name| of_a_line(name) && !named.contains(name)).collect();
    assert!(unnamed.is_empty(), "not in man/ftx-security.7: {unnamed:#?}");
}
