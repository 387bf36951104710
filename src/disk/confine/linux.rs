//! Landlock: what the kernel is told.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};

use super::{Bounds, Dials, Held, Names};

/// The newest interface that is made use of: files to 3, TCP 4, devices 5, signals and sockets 6.
const NEWEST: ABI = ABI::V6;

/// The oldest that is of use. The first one forbids to move a file from one folder to another, which is how
/// everything that was received gets its place.
const OLDEST: u32 = 2;

/// What the program itself reads wherever it runs, as far as it is there.
const ALWAYS: [&str; 10] = [
    // How many processors there are for us.
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/zoneinfo",
    "/usr/share/zoneinfo",
    "/usr/lib/zoneinfo",
    "/usr/share/lib/zoneinfo",
    "/dev/random",
    "/dev/urandom",
];

/// What it reads of itself: the default route, neighbours, its limits; and which boot this is. Not of others:
/// their environment and arguments are there, too.
const OF_THE_KERNEL: [&str; 2] = ["/proc/self", "/proc/sys/kernel/random/boot_id"];

/// What the system's libraries read to look up a host name.
const LOOKING_UP: [&str; 13] = [
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/ld.so.cache",
    "/run/systemd/resolve",
    "/run/NetworkManager/resolv.conf",
    "/run/resolvconf/resolv.conf",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
];

/// What is written to as well.
const DEVICES: [&str; 2] = ["/dev/null", "/dev/tty"];

/// See [`super::confine`].
pub(super) fn confine(bounds: &Bounds) -> Held {
    let version = match version() {
        Ok(version) if version >= OLDEST => version,
        Ok(version) => {
            let text = "this kernel's Landlock is too old: it would forbid moving files from folder to folder";
            return Held::No(format!("{text} (version {version}; Linux 5.19 has the next)"));
        }
        Err(why) => return Held::No(why),
    };
    let mut missing = Vec::new();
    match restrict(bounds, &mut missing) {
        Ok(_) => Held::Yes { version, lacks: lacks(version), missing },
        Err(error) => Held::No(format!("the kernel refuses: {error}")),
    }
}

/// The version of the kernel's interface, or why there is none. Asked in a thread of its own, for the library
/// tells it only whom it confines.
fn version() -> Result<u32, String> {
    let none = || "the kernel does not say what it has".to_owned();
    let ask = || Ruleset::default().handle_access(AccessFs::Execute)?.create()?.restrict_self();
    let status = std::thread::spawn(ask).join().map_err(|_| none())?.map_err(|_: RulesetError| none())?.landlock;
    match status {
        LandlockStatus::NotImplemented => Err("this kernel has no Landlock (Linux 5.19 or later has)".to_owned()),
        LandlockStatus::NotEnabled => {
            Err("this kernel has Landlock, but it is off: the kernel's option lsm= must name landlock".to_owned())
        }
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            Ok(kernel_abi.and_then(|version| version.try_into().ok()).unwrap_or(effective_abi as u32))
        }
    }
}

/// What a kernel of this version does not keep from us.
fn lacks(version: u32) -> Vec<&'static str> {
    let since = [
        (3, "cutting files short elsewhere"),
        (4, "connecting and listening by TCP elsewhere"),
        (5, "steering devices"),
        (6, "signals and abstract sockets to other programs"),
    ];
    since.iter().filter(|(since, _)| version < *since).map(|(_, what)| *what).collect()
}

fn restrict(bounds: &Bounds, missing: &mut Vec<PathBuf>) -> Result<RestrictionStatus, RulesetError> {
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?.scope(Scope::from_all(NEWEST))?;
    if bounds.dials == Dials::Nobody {
        rules = rules.handle_access(AccessNet::ConnectTcp)?;
    }
    let any_port = bounds.listens.contains(&0);
    if !any_port {
        rules = rules.handle_access(AccessNet::BindTcp)?;
    }
    let mut rules = rules.create()?;
    for path in &bounds.writable {
        rules = allow(rules, path, writing(), missing)?;
    }
    for path in &bounds.readable {
        rules = allow(rules, path, reading(), missing)?;
    }
    let looking_up: &[&str] = if bounds.names == Names::LookedUp { &LOOKING_UP } else { &[] };
    let (mut absent, devices) = (Vec::new(), reading() | AccessFs::WriteFile | AccessFs::IoctlDev);
    for path in ALWAYS.iter().chain(looking_up) {
        rules = allow(rules, Path::new(path), reading(), &mut absent)?;
    }
    for path in OF_THE_KERNEL {
        // A rule is about what a name stands for, and here the kernel makes that anew when it has forgotten it:
        // not while it is open, which it is for as long as this process runs.
        std::mem::forget(PathFd::new(path));
        rules = allow(rules, Path::new(path), reading(), &mut absent)?;
    }
    for path in DEVICES {
        rules = allow(rules, Path::new(path), devices, &mut absent)?;
    }
    for port in bounds.listens.iter().filter(|_| !any_port) {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    rules.restrict_self()
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// Everything but to run programs, to make devices and pipes, and to steer devices.
fn writing() -> BitFlags<AccessFs> {
    let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeFifo | AccessFs::IoctlDev;
    AccessFs::from_all(NEWEST) & !never
}

/// Allows something below a folder, or with a file; notes it where it is not there.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    what: BitFlags<AccessFs>,
    missing: &mut Vec<PathBuf>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(open) = PathFd::new(path) else {
        missing.push(path.to_owned());
        return Ok(rules);
    };
    let what = if path.is_dir() { what & !AccessFs::IoctlDev } else { what & AccessFs::from_file(NEWEST) };
    rules.add_rule(PathBeneath::new(open, what))
}
