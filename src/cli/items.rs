//! How what a hub or a peer has is listed.

use std::cmp::{Ordering, Reverse};

use clap::ValueEnum;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::ui::printer::{Format, Printer};
use super::ui::units::{bytes, when};
use crate::base::manifest::{EntryKind, Stamp};
use crate::base::path::RelPath;
use crate::base::text::escape;
use crate::wire::hub::Item;

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Sort {
    /// A before B
    #[default]
    Name,
    /// The newest
    Time,
    /// The largest
    Size,
}

/// How much is shown of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Size, time and name.
    Short,
    /// Also the owner, how many versions are kept, and what is known of the SHA-256.
    Long,
    /// The short form, with the whole SHA-256.
    Sums,
    /// The long form, with the whole SHA-256.
    LongSums,
}

/// Puts items in order, folders first.
pub fn sort(items: &mut [Item], by: Sort) {
    match by {
        Sort::Name => items.sort_by(by_name),
        Sort::Time => items.sort_by(|a, b| ranked(a, b, |item| Reverse(time(item)))),
        Sort::Size => items.sort_by(|a, b| ranked(a, b, |item| Reverse(size(item)))),
    }
}

/// In the order of a tree: in each folder the folders first, then by name as people read it.
fn by_name(a: &Item, b: &Item) -> Ordering {
    let (mut ours, mut theirs) = (parts(a).peekable(), parts(b).peekable());
    while let (Some(one), Some(other)) = (ours.next(), theirs.next()) {
        let files = (ours.peek().is_none() && !is_folder(a), theirs.peek().is_none() && !is_folder(b));
        let order = files.0.cmp(&files.1).then_with(|| one.to_lowercase().cmp(&other.to_lowercase()));
        match order.then_with(|| one.cmp(other)) {
            Ordering::Equal => {}
            order => return order,
        }
    }
    // A folder stands before what is in it.
    a.path.depth().cmp(&b.path.depth())
}

fn parts(item: &Item) -> impl Iterator<Item = &str> {
    item.path.components()
}

fn ranked<K: Ord>(a: &Item, b: &Item, key: fn(&Item) -> K) -> Ordering {
    let folders = is_folder(b).cmp(&is_folder(a));
    folders.then_with(|| if is_folder(a) { Ordering::Equal } else { key(a).cmp(&key(b)) }).then_with(|| by_name(a, b))
}

fn is_folder(item: &Item) -> bool {
    item.kind.is_folder()
}

fn size(item: &Item) -> Option<u64> {
    match item.kind {
        EntryKind::File { size, .. } => Some(size),
        _ => None,
    }
}

fn time(item: &Item) -> Option<(i64, u32)> {
    match item.kind {
        EntryKind::File { modified: Stamp { seconds, nanos }, .. } => Some((seconds, nanos)),
        _ => None,
    }
}

/// Prints items, with their paths as seen from the folder `below`.
pub fn print(printer: &Printer, items: &[Item], below: Option<&RelPath>, form: Form) {
    if printer.format() == Format::Json {
        items.iter().for_each(|item| printer.object(|| object(item)));
        return;
    }
    let (long, sums) = (matches!(form, Form::Long | Form::LongSums), matches!(form, Form::Sums | Form::LongSums));
    let mut rows: Vec<Vec<String>> = Vec::with_capacity(items.len() + 1);
    if long && !items.is_empty() {
        let head = ["OWNER", "SIZE", "MODIFIED", "VERSIONS", "SHA-256", "NAME"];
        rows.push(head.map(str::to_owned).to_vec());
    }
    rows.extend(items.iter().map(|item| row(item, below, (long, sums))));
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let size_column = usize::from(long);
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            // The name, whose width nothing follows.
            _ if column + 1 == row.len() => cell.clone(),
            _ if column == size_column => format!("{cell:>width$}"),
            _ => format!("{cell:width$}"),
        });
        printer.line(&cells.collect::<Vec<_>>().join("  "));
    }
    if items.is_empty() {
        printer.note("nothing in it");
    }
}

fn row(item: &Item, below: Option<&RelPath>, (long, sums): (bool, bool)) -> Vec<String> {
    let none = || "-".to_owned();
    let mut cells = Vec::new();
    if long {
        cells.push(item.owner.as_ref().map_or_else(none, ToString::to_string));
    }
    cells.push(size(item).map_or_else(none, bytes));
    cells.push(match item.kind {
        EntryKind::File { modified, .. } => when(modified),
        _ => none(),
    });
    if long {
        cells.push(if item.versions == 0 { none() } else { item.versions.to_string() });
    }
    let sum = item.sha256.map(|sum| HEXLOWER.encode(&sum));
    if sums {
        cells.push(sum.unwrap_or_else(none));
    } else if long {
        cells.push(sum.map_or_else(none, |sum| sum[..12].to_owned()));
    }
    cells.push(name(item, below));
    cells
}

/// The name as seen from a folder: with `/` behind a folder's, and what a space is about.
fn name(item: &Item, below: Option<&RelPath>) -> String {
    let path = item.path.as_str();
    let own = below.and_then(|below| path.strip_prefix(below.as_str())?.strip_prefix('/')).unwrap_or(path);
    // The file itself was named.
    let own = if below == Some(&item.path) { path.rsplit('/').next().unwrap_or(path) } else { own };
    let own = escape(own).into_owned();
    let about = item.about.as_ref().map(|about| format!("   {about}")).unwrap_or_default();
    match &item.kind {
        EntryKind::Directory { .. } => format!("{own}/{about}"),
        EntryKind::Link { target } => format!("{own} -> {target}"),
        EntryKind::File { .. } | EntryKind::Stream => own,
    }
}

/// An item for programs: every field, null where it is not known.
fn object(item: &Item) -> Value {
    let mut object = kind(&item.kind);
    object["path"] = json!(item.path.as_str());
    object["owner"] = json!(item.owner.as_ref().map(|owner| owner.as_str()));
    object["sha256"] = json!(item.sha256.map(|sum| HEXLOWER.encode(&sum)));
    object["versions"] = json!(item.versions);
    if let Some(about) = &item.about {
        object["about"] = json!(about.as_raw());
    }
    object
}

/// What something is, for programs.
pub fn kind(kind: &EntryKind) -> Value {
    match kind {
        EntryKind::Directory { .. } => json!({ "kind": "folder" }),
        EntryKind::File { size, modified, executable } => {
            json!({ "kind": "file", "size": size, "modified": modified.seconds, "executable": executable })
        }
        EntryKind::Stream => json!({ "kind": "file" }),
        EntryKind::Link { target } => json!({ "kind": "link", "target": target.as_str() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(path: &str, file: Option<(u64, i64)>) -> Item {
        let kind = file.map_or(EntryKind::FOLDER, |(size, seconds)| EntryKind::File {
            size,
            modified: Stamp { seconds, nanos: 0 },
            executable: false,
        });
        let path = RelPath::parse(path).unwrap();
        Item { path, kind, owner: None, sha256: None, versions: 0, about: None }
    }

    fn sorted(by: Sort) -> Vec<String> {
        let mut items = vec![
            item("b.txt", Some((1, 30))),
            item("A.txt", Some((2, 10))),
            item("z", None),
            item("z/old", Some((9, 5))),
            item("z/a", None),
            item("z/a/b", Some((3, 20))),
            item("c", None),
        ];
        sort(&mut items, by);
        items.iter().map(|item| item.path.as_str().to_owned()).collect()
    }

    #[test]
    fn folders_come_first_and_in_each_the_names_as_people_read_them() {
        assert_eq!(sorted(Sort::Name), ["c", "z", "z/a", "z/a/b", "z/old", "A.txt", "b.txt"]);
    }

    #[test]
    fn the_newest_or_the_largest_comes_first() {
        assert_eq!(sorted(Sort::Time), ["c", "z", "z/a", "b.txt", "z/a/b", "A.txt", "z/old"]);
        assert_eq!(sorted(Sort::Size), ["c", "z", "z/a", "z/old", "z/a/b", "A.txt", "b.txt"]);
    }

    #[test]
    fn names_are_shown_as_seen_from_the_folder_that_was_named() {
        let below = RelPath::parse("shared/week1").unwrap();
        let shown = |path: &str| name(&item(path, Some((0, 0))), Some(&below));
        assert_eq!(shown("shared/week1/a/b"), "a/b");
        assert_eq!(shown("shared/week1"), "week1");
        assert_eq!(shown("shared/week10"), "shared/week10");
        assert_eq!(name(&item("shared", None), None), "shared/");
    }
}
