//! Files of our own that nobody else may read: written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::base::fault::{Fault, FaultKind};

/// What becomes of a file that has the name already.
#[derive(Debug, Clone, Copy)]
pub enum Existing {
    /// It stays, and writing fails with [`io::ErrorKind::AlreadyExists`].
    Keep,
    /// It gives way, in one step.
    Replace,
}

/// Makes a folder, and those above it, that only its owner may enter.
///
/// # Errors
/// As the system says.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Writes a file that only its owner may read, with its folder where that is missing. Its bytes are on the
/// disk when this returns; that its name is, too, takes a [`sync_folder`].
///
/// # Errors
/// As the system says; then whatever was there is there.
pub fn write(path: &Path, bytes: &[u8], existing: Existing) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match existing {
        Existing::Keep => file.persist_noclobber(path)?,
        Existing::Replace => file.persist(path)?,
    };
    Ok(())
}

/// Makes sure that the names in a folder are on the disk.
///
/// # Errors
/// As the system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // NTFS keeps a journal of names; there folders cannot be opened like files.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// That nobody else on this machine may read the file; `what` it is, for the message.
///
/// # Errors
/// [`FaultKind::NotPermitted`] where others may, a disk fault where it cannot be looked at.
#[cfg(unix)]
pub fn check(path: &Path, what: &str) -> Result<(), Fault> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let mode = fs::metadata(path).map_err(|e| Fault::disk(format!("reading {shown}"), &e))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let text = format!("others on this machine may read {what} {shown}; type: chmod 600 {shown}");
    Err(Fault::new(FaultKind::NotPermitted, text))
}

/// Nothing that could be asked so.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn check(_: &Path, _: &str) -> Result<(), Fault> {
    Ok(())
}
