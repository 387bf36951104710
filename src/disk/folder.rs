//! What a folder holds, for a listing.

use std::io;

use cap_std::fs::Dir;

use super::mode::modified;
use super::root::Root;
use crate::base::fault::{Fault, FaultKind};
use crate::base::link_target::LinkTarget;
use crate::base::manifest::{Entry, EntryKind};
use crate::base::path::{Name, RelPath};

/// What is in the folder at `path` below a root, or the file there itself; sorted by name. Names
/// that cannot travel, and things that are neither file, folder nor link, are left out.
///
/// # Errors
/// Where it is missing or unreadable.
pub fn list(root: &Root, path: Option<&RelPath>) -> Result<Vec<Entry>, Fault> {
    let missing = |error: io::Error| {
        let shown = path.map_or_else(|| "the folder".to_owned(), ToString::to_string);
        match error.kind() {
            io::ErrorKind::NotFound => Fault::new(FaultKind::NotFound, format!("{shown} is not there")),
            _ => Fault::new(FaultKind::NotFound, format!("{shown} cannot be read")),
        }
    };
    let dir = match path {
        None => root.dir().try_clone().map_err(missing)?,
        Some(path) => {
            let metadata = root.dir().metadata(path.as_str()).map_err(missing)?;
            if !metadata.is_dir() {
                let entry = entry_of(root.dir(), path.as_str(), path.file_name());
                return Ok(entry.into_iter().collect());
            }
            root.dir().open_dir(path.as_str()).map_err(missing)?
        }
    };
    let mut entries = Vec::new();
    for child in dir.entries().map_err(missing)? {
        let own = child.map_err(missing)?.file_name();
        let name = own.to_str().and_then(|name| Name::parse(name).ok());
        if let Some(name) = name {
            entries.extend(entry_of(&dir, own.to_str().unwrap_or_default(), name));
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn entry_of(dir: &Dir, local: &str, name: Name) -> Option<Entry> {
    let metadata = dir.symlink_metadata(local).ok()?;
    let kind = if metadata.is_dir() {
        EntryKind::FOLDER
    } else if metadata.is_file() {
        EntryKind::File { size: metadata.len(), modified: modified(&metadata), executable: false }
    } else {
        let target = dir.read_link_contents(local).ok()?;
        EntryKind::Link { target: LinkTarget::parse(target.to_str()?).ok()? }
    };
    Some(Entry { path: RelPath::from(name), kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_a_single_file_are_listed() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("b/c")).unwrap();
        std::fs::write(home.path().join("a"), "abc").unwrap();
        let root = Root::open(home.path()).unwrap();
        let names = |path: Option<&str>| {
            let path = path.map(|p| RelPath::parse(p).unwrap());
            list(&root, path.as_ref()).map(|l| l.iter().map(|e| e.path.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(names(None).unwrap(), ["a", "b"]);
        assert_eq!(names(Some("a")).unwrap(), ["a"]);
        assert_eq!(names(Some("b")).unwrap(), ["c"]);
        assert_eq!(names(Some("d")).unwrap_err().kind, FaultKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_share_is_not_followed() {
        let (home, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(outside.path(), home.path().join("out")).unwrap();
        let root = Root::open(home.path()).unwrap();
        assert!(list(&root, Some(&RelPath::parse("out").unwrap())).is_err());
        assert!(list(&root, Some(&RelPath::parse("out/secret").unwrap())).is_err());
    }
}
