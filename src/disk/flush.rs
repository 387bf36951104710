//! Having everything below a folder on the disk, with one call where the system has it.

use std::io;

use cap_std::fs::Dir;

/// Has what is below a folder on the disk. Opened before anything is written there: what could not be
/// written since, also where nobody had asked for it yet, is told to it. Linux tells it once, and to
/// whoever opens the folder later not at all.
#[derive(Debug)]
pub(super) struct Flush {
    #[cfg(target_os = "linux")]
    pub(super) open: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Flush {
    pub(super) fn of(dir: &Dir) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags, openat};
        let open = openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { open })
    }

    /// Everything below `dir`, which it is of.
    pub(super) fn all(&self, _dir: &Dir) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.open)?)
    }
}

#[cfg(not(target_os = "linux"))]
impl Flush {
    pub(super) fn of(_dir: &Dir) -> io::Result<Self> {
        Ok(Self {})
    }

    /// Everything below `dir`, which it is of.
    pub(super) fn all(&self, dir: &Dir) -> io::Result<()> {
        for entry in dir.entries()? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.all(&entry.open_dir()?)?;
            } else if kind.is_file() {
                entry.open_with(cap_std::fs::OpenOptions::new().read(true).write(true))?.sync_all()?;
            }
        }
        Ok(())
    }
}
