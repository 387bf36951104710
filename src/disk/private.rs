//! Files of our own that nobody else may read: written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

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

/// What others on this machine may do with a file of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Nothing: it is a secret.
    Nothing,
    /// Read it.
    Read,
}

/// Reads a file of ours, of at most `most` bytes; `None` where there is none. What was read is wiped when it
/// is dropped. `what` it is stands in the message.
///
/// It counts whose the file is that was opened, also where the name is a link: whoever keeps their
/// configuration elsewhere may link to it, and nobody else can, as the folder is looked at, too.
///
/// # Errors
/// [`FaultKind::NotPermitted`] where others may do more with it, or with its folder, than they are to, or it is
/// another user's; a disk fault.
pub fn read(path: &Path, what: &str, others: Others, most: u64) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
    let shown = path.display();
    let failed = |error: io::Error| Fault::disk(format!("reading {shown}"), &error);
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    check(path, what, &metadata, others)?;
    if metadata.len() > most {
        return Err(Fault::new(FaultKind::Disk, format!("{shown} is too long to be {what}")));
    }
    // With room for all of it at once, none of it is left behind where it was before.
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// Opens a file for a lock, that only its owner may open; makes it where it is missing.
///
/// # Errors
/// As the system says.
pub fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    own(&mut options);
    options.open(path)
}

/// Makes an empty file that only its owner may read, for somebody else to fill.
///
/// # Errors
/// As the system says; also where there is one.
pub fn make_file(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    options.create_new(true).write(true);
    own(&mut options);
    options.open(path).map(drop)
}

/// A new file is its owner's alone.
fn own(options: &mut fs::OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

/// That nobody else may write to a folder of ours; `what` it is stands in the message.
///
/// # Errors
/// As for [`read`].
pub fn check_folder(folder: &Path, what: &str) -> Result<(), Fault> {
    #[cfg(unix)]
    {
        let found = fs::metadata(folder).map_err(|e| Fault::disk(format!("reading {}", folder.display()), &e))?;
        owned((folder, what), &found, Others::Read)
    }
    #[cfg(not(unix))]
    {
        let _ = (folder, what);
        Ok(())
    }
}

/// Whether a file or folder is this user's, or root's, who may do everything anyway.
#[cfg(unix)]
pub fn is_ours(metadata: &impl std::os::unix::fs::MetadataExt) -> bool {
    [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid())
}

/// That nobody else may do more with the file than they are to, or put another in its place.
#[cfg(unix)]
fn check(path: &Path, what: &str, file: &fs::Metadata, others: Others) -> Result<(), Fault> {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let above = fs::metadata(folder).map_err(|e| Fault::disk(format!("reading {}", folder.display()), &e))?;
    check_folder(folder, &format!("the folder of {what}"))?;
    // Where nobody else gets to it, an editor may have left it open to a group.
    let closed = above.permissions().mode() & 0o077 == 0;
    if closed && others == Others::Read && is_ours(file) {
        return Ok(());
    }
    owned((path, what), file, others)
}

#[cfg(unix)]
fn owned((path, what): (&Path, &str), found: &fs::Metadata, others: Others) -> Result<(), Fault> {
    use std::os::unix::fs::MetadataExt;
    let no = |text: String| Err(Fault::new(FaultKind::NotPermitted, text));
    let shown = path.display();
    if !is_ours(found) {
        let owner = found.uid();
        return no(format!(
            "{what} {shown} belongs to another user, number {owner}; run ftx as that one, or type: \
             sudo chown \"$(id -u)\" {shown}"
        ));
    }
    match others {
        Others::Nothing if found.mode() & 0o077 != 0 => {
            no(format!("others on this machine may read {what} {shown}; type: chmod 600 {shown}"))
        }
        Others::Read if found.mode() & 0o022 != 0 => {
            no(format!("others on this machine may write to {what} {shown}; type: chmod go-w {shown}"))
        }
        _ => Ok(()),
    }
}

/// Nothing that could be asked so.
#[cfg(not(unix))]
fn check(_: &Path, _: &str, _: &fs::Metadata, _: Others) -> Result<(), Fault> {
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_may_do_more_with_than_they_are_to_is_refused_with_the_way_out() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("ftx");
        let file = folder.join("key");
        let look = |others| read(&file, "the key", others, 3).map(|bytes| bytes.map(|bytes| bytes.to_vec()));
        assert_eq!(look(Others::Nothing), Ok(None));
        write(&file, b"abc", Existing::Keep).unwrap();
        // Who may do what, on the folder and the file, and the word of the fix.
        for (above, mode, others, fix) in [
            (0o700, 0o600, Others::Nothing, None),
            (0o755, 0o400, Others::Nothing, None),
            (0o755, 0o644, Others::Read, None),
            (0o700, 0o640, Others::Nothing, Some("chmod 600 ")),
            (0o700, 0o604, Others::Nothing, Some("chmod 600 ")),
            (0o700, 0o601, Others::Nothing, Some("chmod 600 ")),
            (0o700, 0o664, Others::Read, None),
            (0o755, 0o660, Others::Read, Some("chmod go-w ")),
            (0o755, 0o602, Others::Read, Some("chmod go-w ")),
            (0o770, 0o600, Others::Nothing, Some("chmod go-w ")),
            (0o702, 0o600, Others::Read, Some("chmod go-w ")),
        ] {
            set(&file, mode);
            set(&folder, above);
            match (look(others), fix) {
                (Ok(Some(bytes)), None) => assert_eq!(bytes, b"abc"),
                (Err(fault), Some(fix)) => {
                    assert_eq!(fault.kind, FaultKind::NotPermitted);
                    assert!(fault.to_string().contains(fix), "{fault}");
                }
                (found, _) => panic!("{above:o} {mode:o} {others:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_link_counts_as_what_it_leads_to_and_a_long_file_is_not_read() {
        let home = tempfile::tempdir().unwrap();
        let (kept, linked) = (home.path().join("dotfiles"), home.path().join("ftx/key"));
        write(&kept, b"abc", Existing::Keep).unwrap();
        make_folder(linked.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&kept, &linked).unwrap();
        assert_eq!(read(&linked, "the key", Others::Nothing, 3).unwrap().unwrap().as_slice(), b"abc");
        assert_eq!(read(&linked, "the key", Others::Nothing, 2).unwrap_err().kind, FaultKind::Disk);
        set(&kept, 0o644);
        assert_eq!(read(&linked, "the key", Others::Nothing, 3).unwrap_err().kind, FaultKind::NotPermitted);
    }
}
