//! Homes of people who do not know one another, and the nodes that run there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Process, Ran, Stream};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_ftx");

/// A scratch home, with a node name that nobody else on this machine has.
pub(crate) struct Home {
    folder: TempDir,
    name: String,
}

/// A node that runs in some home until it is dropped.
pub(crate) struct Node {
    process: Process,
    /// What it said when it was up.
    pub(crate) up: Value,
}

impl Home {
    /// A home of somebody; the name gets something added that makes it unique.
    pub(crate) fn new(who: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("{who}-{:x}x{count:x}", std::process::id()))
    }

    /// A home of somebody of exactly this name.
    pub(crate) fn named(name: &str) -> Self {
        Self { folder: tempfile::tempdir().expect("a scratch folder"), name: name.to_owned() }
    }

    /// The name of its node.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A path in it.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Makes a folder in it.
    pub(crate) fn folder(&self, below: &str) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Writes a file in it.
    pub(crate) fn write(&self, below: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        #[cfg(unix)]
        if below.starts_with(".config/ftx/") {
            // As ftx would make it, whatever the umask of whoever runs the tests.
            let alone = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::set_permissions(path.parent().unwrap(), alone).unwrap();
        }
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Removes a folder in it with everything below.
    #[cfg(unix)]
    pub(crate) fn remove(&self, below: &str) {
        fs::remove_dir_all(self.path(below)).unwrap();
    }

    /// Reads a file in it.
    #[track_caller]
    pub(crate) fn read(&self, below: &str) -> Vec<u8> {
        fs::read(self.path(below)).unwrap_or_else(|error| panic!("{below}: {error}; there is: {:?}", self.tree("")))
    }

    /// Everything below a folder of it, sorted: folders end with `/`, links show their target.
    pub(crate) fn tree(&self, below: &str) -> Vec<String> {
        let mut found = Vec::new();
        let root = self.path(below);
        walk(&root, &root, &mut found);
        found.sort();
        found
    }

    /// The command, as this home's owner would type it, on the loopback interface only.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        self.dress(&mut command);
        command.args(args).args(["--interface", loopback(), "--name", &self.name]);
        command
    }

    /// Makes any command one of this home's owner.
    pub(crate) fn dress(&self, command: &mut Command) {
        let home = self.folder.path();
        command.current_dir(home).env("HOME", home).env("USERPROFILE", home);
        // Where the hubs of whoever runs the tests have their sockets.
        command.env_remove("XDG_RUNTIME_DIR");
        for (variable, folder) in [
            ("XDG_CONFIG_HOME", ".config"),
            ("XDG_DATA_HOME", ".local/share"),
            ("XDG_STATE_HOME", ".local/state"),
            ("XDG_CACHE_HOME", ".cache"),
            ("APPDATA", ".config"),
            ("LOCALAPPDATA", ".local/share"),
        ] {
            command.env(variable, home.join(folder));
        }
    }

    /// Runs a command to its end, for a program to read.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.start(args).end()
    }

    /// Starts a command, for a program to read.
    pub(crate) fn start(&self, args: &[&str]) -> Process {
        let mut command = self.command(args);
        command.arg("--json");
        Process::start(command)
    }

    /// Runs a command to its end, for a person to read.
    pub(crate) fn run_plain(&self, args: &[&str]) -> Ran {
        Process::start(self.command(args)).end()
    }

    /// Runs a node that receives into `inbox`.
    pub(crate) fn up(&self, args: &[&str]) -> Node {
        let args: Vec<&str> = ["up", "--port", "0", "--dir", "inbox"].iter().chain(args).copied().collect();
        Node::new(self.start(&args))
    }

    /// Runs a node that accepts everything.
    pub(crate) fn up_for_all(&self) -> Node {
        self.up(&["--accept", "all"])
    }
}

impl Node {
    /// A node that has been started and says that it is up.
    pub(crate) fn new(process: Process) -> Self {
        let up = process.wait_for(Stream::Out, "the node is up", |line| object(line, "up"));
        Self { process, up }
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        u16::try_from(self.up["port"].as_u64().unwrap()).unwrap()
    }

    /// Its short id.
    pub(crate) fn short(&self) -> &str {
        self.up["short"].as_str().unwrap()
    }

    /// Its address, as it is typed.
    pub(crate) fn at(&self) -> String {
        format!("[127.0.0.1:{}]", self.port())
    }

    /// The first event of this kind; waits for it.
    #[track_caller]
    pub(crate) fn event(&self, kind: &str) -> Value {
        self.process.wait_for(Stream::Out, kind, |line| object(line, kind))
    }

    /// The events of this kind so far.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        self.process.lines(Stream::Out).iter().filter_map(|line| object(line, kind)).collect()
    }

    /// A folder as the node sees it, where that has a file system of its own there.
    #[cfg(target_os = "linux")]
    pub(crate) fn sees(&self, folder: &Path) -> PathBuf {
        Path::new("/proc").join(self.process.id().to_string()).join("root").join(folder.strip_prefix("/").unwrap())
    }

    /// The number of its process.
    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The process.
    pub(crate) fn process(self) -> Process {
        self.process
    }
}

/// The name of the interface that leads nowhere else.
pub(crate) fn loopback() -> &'static str {
    if cfg!(target_os = "macos") { "lo0" } else { "lo" }
}

fn object(line: &str, event: &str) -> Option<Value> {
    serde_json::from_str::<Value>(line).ok().filter(|object| object["event"] == event)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    let Ok(children) = fs::read_dir(folder) else { return };
    for child in children.map(Result::unwrap) {
        let path = child.path();
        let shown = path.strip_prefix(root).unwrap().to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
        let kind = child.file_type().unwrap();
        if kind.is_dir() {
            found.push(format!("{shown}/"));
            walk(root, &path, found);
        } else if kind.is_symlink() {
            found.push(format!("{shown} -> {}", fs::read_link(&path).unwrap().display()));
        } else {
            found.push(shown);
        }
    }
}
