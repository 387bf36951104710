//! `ftx service`: the unit is what systemd understands, and nobody else's file is touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::house::home::{Home, PROGRAM};
use super::house::process::{Process, Ran};

const UNIT: &str = ".config/systemd/user/ftx.service";

/// A user's systemd that notes what it is told, and does it not.
struct Manager {
    home: Home,
    said: PathBuf,
}

impl Manager {
    fn new() -> Self {
        let home = Home::new("anna");
        home.write("run/systemd/private", "");
        let said = home.path("said");
        let script =
            format!("#!/bin/sh\necho \"$@\" >> {}\n[ \"$2\" = is-active ] && echo active\nexit 0\n", said.display());
        let program = home.write("bin/systemctl", script);
        fs::set_permissions(program, PermissionsExt::from_mode(0o755)).unwrap();
        Self { home, said }
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.home.command(args);
        let path = format!("{}:{}", self.home.path("bin").display(), std::env::var("PATH").unwrap());
        command.env("XDG_RUNTIME_DIR", self.home.path("run")).env("PATH", path).arg("--json");
        Process::start(command).end()
    }

    fn told(&self) -> Vec<String> {
        let told = fs::read_to_string(&self.said).unwrap_or_default();
        let _ = fs::remove_file(&self.said);
        told.lines().map(str::to_owned).collect()
    }
}

/// What `systemd-analyze` says of a unit; `None` where there is none.
fn analysed(args: &[&str], unit: &Path) -> Option<String> {
    let output = Command::new("systemd-analyze").args(args).arg(unit).stdin(Stdio::null()).output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no systemd-analyze here");
        return None;
    };
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn it_is_installed_started_told_and_removed_without_a_trace() {
    let manager = Manager::new();
    let home = &manager.home;
    home.folder("my notes");
    manager.run(&["service", "status"]).exits(1);
    let _ = manager.told();
    let args = ["service", "install", "--dir", "in %h", "--share", "my notes", "--accept", "all"];
    let installed = manager.run(&args).done().last();
    assert_eq!((&installed["event"], &installed["started"]), (&"installed".into(), &true.into()));
    assert_eq!(manager.told(), ["--user daemon-reload", "--user enable ftx.service", "--user restart ftx.service"]);
    let unit = fs::read_to_string(home.path(UNIT)).unwrap();
    // What stands there means itself: % and spaces, too. Relative names are whole.
    let folder = |name: &str| home.path(name).display().to_string().replace('%', "%%");
    let runs = format!(
        "ExecStart={PROGRAM} up --dir \"{}\" --share \"{}\" --accept all --name {} --interface lo\n",
        folder("in %h"),
        folder("my notes"),
        home.name()
    );
    assert!(unit.contains(&runs), "{unit}");
    assert!(home.path("in %h").is_dir(), "the folder that receives is there when the service starts");
    for hardened in [
        "NoNewPrivileges=yes",
        "UMask=0077",
        "LimitCORE=0",
        "MemoryDenyWriteExecute=yes",
        "PrivateTmp=yes",
        "ProtectSystem=strict",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "SystemCallFilter=@system-service",
    ] {
        assert!(unit.contains(hardened), "{hardened}: {unit}");
    }
    let status = manager.run(&["service", "status"]).done().objects();
    assert_eq!((&status[0]["active"], &status[0]["installed"]), (&"active".into(), &true.into()));
    assert_eq!(status[1]["installed"], false);
    let _ = manager.told();
    manager.run(&["service", "remove"]).done();
    assert_eq!(manager.told(), ["--user disable --now ftx.service", "--user daemon-reload"]);
    assert!(!home.path(UNIT).exists());
    manager.run(&["service", "status"]).exits(1);
}

#[test]
fn systemd_understands_the_unit() {
    let home = Home::new("anna");
    home.run(&["service", "install", "--hub", "repo", "--", "--limit", "20M"]).done();
    let hub = home.path(".config/systemd/user/ftx-hub.service");
    home.run(&["service", "install"]).done();
    for unit in [hub, home.path(UNIT)] {
        let Some(said) = analysed(&["verify", "--user", "--man=no"], &unit) else { return };
        let about: Vec<&str> = said.lines().filter(|line| line.contains("ftx")).collect();
        assert!(about.is_empty(), "{about:?}");
    }
}

#[test]
fn a_file_that_ftx_did_not_write_is_neither_replaced_nor_removed() {
    let home = Home::new("anna");
    home.write(UNIT, "[Service]\nExecStart=/bin/mine\n");
    assert!(home.run(&["service", "install"]).exits(1).failure().contains("not of ftx's making"));
    assert!(home.run(&["service", "remove"]).exits(1).failure().contains("stays"));
    home.run(&["service", "status"]).exits(1);
    assert_eq!(home.read(UNIT), b"[Service]\nExecStart=/bin/mine\n");
}

#[test]
fn without_a_manager_it_says_what_to_type_and_takes_trusted_peers_only() {
    let home = Home::new("anna");
    let ran = home.run_plain(&["service", "install"]).done();
    assert!(ran.err.contains("systemctl --user enable --now ftx.service"), "{}", ran.err);
    assert!(ran.err.contains("trusted peers"), "{}", ran.err);
    let unit = String::from_utf8(home.read(UNIT)).unwrap();
    assert!(unit.contains("up --accept trusted"), "{unit}");
    // Again, with something else, replaces what is ours.
    home.run(&["service", "install", "--accept", "none"]).done();
    assert!(String::from_utf8(home.read(UNIT)).unwrap().contains("--accept none"));
    let removed = home.run_plain(&["service", "remove"]).done();
    assert!(removed.err.contains("systemctl --user disable --now ftx.service"), "{}", removed.err);
}

#[test]
fn what_the_program_would_not_understand_is_refused_now() {
    let home = Home::new("anna");
    assert!(home.run_plain(&["service", "install", "--", "--acept", "all"]).exits(2).err.contains("--acept"));
    home.run(&["service", "install", "--share", "is-not-there"]).exits(9).failure();
    home.run(&["service", "install", "--hub", "repo", "--share", "x"]).exits(2).failure();
    assert!(!home.path(UNIT).exists());
    let tried = home.run(&["service", "install", "-n"]).done().last();
    assert!(tried["text"].as_str().unwrap().starts_with("# Written by ftx service install"));
    assert!(!home.path(UNIT).exists());
}
