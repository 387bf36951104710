//! The receipts of hubs that this machine keeps: a folder with a file for each.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{MOST_NUMBERS, private};
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::Name;

/// Longest file that is read as a receipt, in bytes.
const MAX: u64 = 64 * 1024;

/// The folder of the receipts.
#[derive(Debug, Clone)]
pub struct Receipts {
    folder: PathBuf,
}

impl Receipts {
    /// The receipts in this folder, which is made when the first is kept.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a receipt under this name, or a numbered one where another has it; the same is kept once.
    /// Only this user can read it. It is on the disk when this returns.
    ///
    /// # Errors
    /// A disk fault.
    pub fn keep(&self, name: &Name, text: &str) -> Result<PathBuf, Fault> {
        let failed = |error: io::Error| Fault::disk(format!("keeping {} in {}", name, self.folder.display()), &error);
        private::make_folder(&self.folder).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        for n in 0..=MOST_NUMBERS {
            let own = if n == 0 { name.clone() } else { name.numbered(n) };
            let path = self.folder.join(own.as_str());
            if read(&path).is_ok_and(|kept| kept == text) {
                return Ok(path);
            }
            match file.persist_noclobber(&path) {
                Ok(_) => return self.sync().map(|()| path).map_err(failed),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => file = error.file,
                Err(error) => return Err(failed(error.error)),
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// The files of all receipts, by name, which begins with the time.
    ///
    /// # Errors
    /// A disk fault. A folder that is not there holds none.
    pub fn all(&self) -> Result<Vec<PathBuf>, Fault> {
        let failed = |error: io::Error| Fault::disk(format!("reading {}", self.folder.display()), &error);
        let children = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            children => children.map_err(failed)?,
        };
        let paths: io::Result<Vec<PathBuf>> = children.map(|child| Ok(child?.path())).collect();
        let mut paths = paths.map_err(failed)?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        Ok(paths)
    }

    /// Makes a new name last.
    fn sync(&self) -> io::Result<()> {
        if cfg!(unix) { File::open(&self.folder)?.sync_all() } else { Ok(()) }
    }
}

/// Reads a receipt's file.
///
/// # Errors
/// A disk fault; where it is not there; where it is too long to be one, or no text.
pub fn read(path: &Path) -> Result<String, Fault> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Fault::new(FaultKind::NotFound, format!("{shown} is not there")),
        _ => Fault::disk(format!("reading {shown}"), &error),
    })?;
    let mut bytes = Vec::new();
    file.take(MAX + 1).read_to_end(&mut bytes).map_err(|error| Fault::disk(format!("reading {shown}"), &error))?;
    let text = Some(bytes).filter(|bytes| bytes.len() as u64 <= MAX).and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| Fault::new(FaultKind::Integrity, format!("{shown} is no receipt")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_replaces_another_and_the_same_is_kept_once() {
        let home = tempfile::tempdir().unwrap();
        let receipts = Receipts::new(home.path().join("a/receipts"));
        assert!(receipts.all().unwrap().is_empty());
        let name = Name::parse("x.json").unwrap();
        let kept = ["one", "two", "one", "two"].map(|text| receipts.keep(&name, text).unwrap());
        assert_eq!(kept[0], kept[2]);
        assert_eq!(kept[1], kept[3]);
        assert_eq!(receipts.all().unwrap().len(), 2);
        assert_eq!(read(&kept[1]).unwrap(), "two");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&kept[0]), mode(receipts.folder())), (0o600, 0o700));
        }
    }

    #[test]
    fn what_is_too_long_is_not_read_to_its_end() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.json");
        assert_eq!(read(&path).unwrap_err().kind, FaultKind::NotFound);
        let file = File::create(&path).unwrap();
        file.set_len(MAX).unwrap();
        assert!(read(&path).is_ok());
        file.set_len(MAX + 1).unwrap();
        assert_eq!(read(&path).unwrap_err().kind, FaultKind::Integrity);
    }
}
