//! What of a file's metadata travels: when it was last written, and whether its owner may run it.

use std::fs::File;
use std::io;

use cap_std::fs::Metadata;

use crate::base::manifest::Stamp;

/// When it was last written; 1970 where the file system does not say.
pub(super) fn modified(metadata: &Metadata) -> Stamp {
    metadata.modified().map_or(Stamp { seconds: 0, nanos: 0 }, |time| Stamp::of(time.into_std()))
}

/// Whether the owner may run it; never where the file system has no such bit.
pub(super) fn is_executable(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use cap_std::fs::MetadataExt;
        metadata.mode() & 0o100 != 0
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        false
    }
}

/// Makes a file one that may be run, or one that may not, where there is such a bit.
pub(super) fn set_executable(file: &File, executable: bool) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata()?.permissions().mode();
        // Whoever may read it may run it: what the umask took away stays away.
        let wanted = if executable { mode | ((mode & 0o444) >> 2) } else { mode & !0o111 };
        if wanted != mode {
            file.set_permissions(PermissionsExt::from_mode(wanted))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (file, executable);
    Ok(())
}
