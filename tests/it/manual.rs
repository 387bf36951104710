//! The manual pages that are checked in say what the program says.

use std::fs;
use std::path::Path;

const AGAIN: &str = "write them again: cargo run -- completions --man man";

#[test]
fn checked_in_pages_are_what_the_commands_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let pages = ftx::cli::completions::pages();
    assert!(pages.len() > 5, "only {} pages", pages.len());
    for (name, page) in &pages {
        let kept = fs::read(folder.join(name)).unwrap_or_else(|error| panic!("man/{name}: {error}; {AGAIN}"));
        assert!(kept == *page, "man/{name} is not what the program says; {AGAIN}");
    }
    for child in fs::read_dir(folder).unwrap() {
        let name = child.unwrap().file_name().into_string().unwrap();
        let known = !name.ends_with(".1") || pages.iter().any(|(page, _)| *page == name);
        assert!(known, "man/{name} is of no command; remove it");
    }
}
