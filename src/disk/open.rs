//! Opening a folder's files by their names: never through a link, never out of the folder.
//!
//! On Unix with `openat` itself: what a whole path needs to stay below its root (`openat2`), a single
//! name does not, and making a file takes a tenth less.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::is_separator;

use cap_std::fs::Dir;

/// Opens a file to read. A pipe that has taken its place is not waited for.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for what is not a single name; else as the file system says.
pub(super) fn to_read(dir: &Dir, name: impl AsRef<OsStr>) -> io::Result<File> {
    let name = single(name.as_ref())?;
    #[cfg(unix)]
    return unix::open(dir, name, rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK);
    #[cfg(not(unix))]
    return elsewhere::open(dir, name, cap_std::fs::OpenOptions::new().read(true));
}

/// Opens a file to write, which is made where it is not there.
///
/// # Errors
/// As for [`to_read`].
pub(super) fn to_write(dir: &Dir, name: impl AsRef<OsStr>) -> io::Result<File> {
    let name = single(name.as_ref())?;
    #[cfg(unix)]
    return unix::open(dir, name, rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE);
    #[cfg(not(unix))]
    return elsewhere::open(dir, name, cap_std::fs::OpenOptions::new().write(true).create(true));
}

/// Opens a file to give it another time, or mode. On Windows only who may write to it can; elsewhere its
/// owner can, also where nobody may.
///
/// # Errors
/// As for [`to_read`].
pub(super) fn to_change(dir: &Dir, name: impl AsRef<OsStr>) -> io::Result<File> {
    #[cfg(unix)]
    return to_read(dir, name);
    #[cfg(not(unix))]
    return elsewhere::open(dir, single(name.as_ref())?, cap_std::fs::OpenOptions::new().read(true).write(true));
}

/// What names something in a folder, and nothing elsewhere.
fn single(name: &OsStr) -> io::Result<&OsStr> {
    match name.as_encoded_bytes() {
        b"" | b"." | b".." => Err(io::ErrorKind::InvalidInput.into()),
        name if name.iter().any(|byte| is_separator(char::from(*byte))) => Err(io::ErrorKind::InvalidInput.into()),
        _ => Ok(name),
    }
}

#[cfg(unix)]
mod unix {
    use rustix::fs::{Mode, OFlags, openat};

    use super::*;

    pub(super) fn open(dir: &Dir, name: &OsStr, flags: OFlags) -> io::Result<File> {
        // As far as the umask lets it be.
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
        Ok(openat(dir, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)?.into())
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
    use cap_std::fs::OpenOptions;

    use super::*;

    pub(super) fn open(dir: &Dir, name: &OsStr, options: &mut OpenOptions) -> io::Result<File> {
        dir.open_with(name, options.follow(FollowSymlinks::No)).map(cap_std::fs::File::into_std)
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn only_what_is_in_the_folder_itself_is_opened() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("in")).unwrap();
        for file in ["outside", "in/file"] {
            std::fs::write(home.path().join(file), file).unwrap();
        }
        let dir = Dir::open_ambient_dir(home.path().join("in"), ambient_authority()).unwrap();
        assert_eq!(io::read_to_string(to_read(&dir, "file").unwrap()).unwrap(), "in/file");
        let absolute = home.path().join("outside");
        for odd in ["", ".", "..", "../outside", "./file", "in/file", absolute.to_str().unwrap()] {
            for opened in [to_read(&dir, odd), to_write(&dir, odd)] {
                assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::InvalidInput, "{odd:?}");
            }
        }
        to_write(&dir, "made").unwrap();
        assert!(home.path().join("in/made").is_file());
    }

    #[cfg(unix)]
    #[test]
    fn no_link_is_followed_and_no_pipe_waited_for() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink("file", home.path().join("link")).unwrap();
        std::os::unix::fs::symlink("nothing", home.path().join("dangling")).unwrap();
        let dir = Dir::open_ambient_dir(home.path(), ambient_authority()).unwrap();
        for link in ["link", "dangling"] {
            assert!(to_read(&dir, link).is_err() && to_write(&dir, link).is_err(), "{link}");
        }
        assert!(!home.path().join("nothing").exists());
        let made = std::process::Command::new("mkfifo").arg(home.path().join("pipe")).status();
        assert!(made.is_ok_and(|status| status.success()));
        assert!(to_read(&dir, "pipe").is_ok());
    }
}
