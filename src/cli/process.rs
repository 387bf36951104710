//! What this process leaves to nobody, and what it needs of the system, from its first moment.

/// Has the system write no image of this process when it crashes, as its key and what was typed would be in
/// it; and lets nobody else of this user look into it, where the system can: a debugger of the same user
/// included, but not root.
///
/// Also gives whoever runs it the rights to what they make, whatever their umask: one that takes them away
/// would leave a key that cannot be read again. What it takes from others it goes on to take.
pub(super) fn guard() {
    #[cfg(unix)]
    {
        use rustix::fs::Mode;
        use rustix::process::{Resource, Rlimit, setrlimit, umask};
        // Neither is refused: a limit may always be lowered.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        let theirs = umask(Mode::RWXG | Mode::RWXO);
        umask(theirs & (Mode::RWXG | Mode::RWXO));
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Files and connections that may be open at once, where the system lets a process have as many: all
/// connections that a node takes, with what each may have open, and some more.
#[cfg(unix)]
const OPEN: u64 = 8192;

/// Takes as many files and connections as may be needed: what is usual, 256 or 1024, is less.
pub(super) fn make_room() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = maximum.map_or(OPEN, |most| most.min(OPEN));
        if current.is_some_and(|current| current < wanted) {
            // Where it is refused there are as many as before.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
        }
    }
}
