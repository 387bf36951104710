//! Whoever runs services here: a user's own systemd, launchd, or the task scheduler.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::plan::{Kind, Plan};
use super::{elsewhere, systemd};
use crate::base::text::escape;
use crate::cli::config::Folders;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::ui::printer::Printer;

/// Where the service's file is.
pub(super) fn file(folders: &Folders, kind: Kind) -> PathBuf {
    let name = kind.name();
    if cfg!(target_os = "macos") {
        folders.home.join("Library/LaunchAgents").join(format!("{name}.plist"))
    } else if cfg!(windows) {
        folders.config.join(format!("{name}-service.cmd"))
    } else {
        folders.config.with_file_name("systemd").join("user").join(unit(kind))
    }
}

/// What is in it.
pub(super) fn text(plan: &Plan) -> Result<String, Failure> {
    if cfg!(target_os = "macos") {
        Ok(elsewhere::launchd(plan))
    } else if cfg!(windows) {
        Ok(elsewhere::task(plan))
    } else {
        systemd::text(plan)
    }
}

/// What is typed to start it by hand.
pub(super) fn to_start(kind: Kind, file: &Path) -> Vec<String> {
    let shown = file.display();
    if cfg!(target_os = "macos") {
        vec![format!("launchctl load -w {shown}    (not tried yet)")]
    } else if cfg!(windows) {
        vec![format!("{shown}    (not tried yet)")]
    } else {
        vec!["systemctl --user daemon-reload".to_owned(), format!("systemctl --user enable --now {}", unit(kind))]
    }
}

/// What is typed to stop it by hand.
pub(super) fn to_stop(kind: Kind) -> Vec<String> {
    if cfg!(target_os = "macos") {
        vec![format!("launchctl remove {}", kind.name())]
    } else if cfg!(windows) {
        vec![format!("schtasks /Delete /TN {}", kind.name())]
    } else {
        vec![format!("systemctl --user disable --now {}", unit(kind))]
    }
}

fn unit(kind: Kind) -> String {
    format!("{}.service", kind.name())
}

/// A user's own systemd, if there is one.
#[derive(Debug)]
pub(super) enum Manager {
    /// It runs.
    Systemd,
    /// There is none that we would talk to.
    None,
}

/// How a service stands with it, in its own words.
#[derive(Debug)]
pub(super) struct State {
    /// As "active" or "failed".
    pub(super) active: String,
    /// As "enabled".
    pub(super) enabled: String,
}

impl Manager {
    /// Looks whether it runs: it listens in the folder that goes when this user logs out.
    pub(super) fn find() -> Self {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runs = runtime.is_some_and(|folder| folder.join("systemd/private").exists());
        if cfg!(target_os = "linux") && runs { Self::Systemd } else { Self::None }
    }

    /// Starts the service, now and at every login; whether it did.
    pub(super) fn start(&self, kind: Kind, printer: &Printer) -> Result<bool, Failure> {
        self.reload(printer)?;
        // One that runs already with another file begins anew.
        let done = self.tell(&["enable", &unit(kind)], printer)?;
        Ok(done && self.tell(&["restart", &unit(kind)], printer)?)
    }

    /// Stops it, now and for ever; whether it did.
    pub(super) fn stop(&self, kind: Kind, printer: &Printer) -> Result<bool, Failure> {
        self.tell(&["disable", "--now", &unit(kind)], printer)
    }

    /// Has it read the files again.
    pub(super) fn reload(&self, printer: &Printer) -> Result<bool, Failure> {
        self.tell(&["daemon-reload"], printer)
    }

    /// What it says of the service.
    pub(super) fn state(&self, kind: Kind) -> Option<State> {
        let ask = |what: &str| {
            let output = systemctl(&[what, &unit(kind)]).stderr(Stdio::null()).output().ok()?;
            Some(escape(String::from_utf8_lossy(&output.stdout).trim()).into_owned())
        };
        match self {
            Self::Systemd => Some(State { active: ask("is-active")?, enabled: ask("is-enabled")? }),
            Self::None => None,
        }
    }

    fn tell(&self, args: &[&str], printer: &Printer) -> Result<bool, Failure> {
        if matches!(self, Self::None) {
            return Ok(false);
        }
        let typed = format!("systemctl --user {}", args.join(" "));
        printer.detail(&typed);
        let output = systemctl(args).output();
        let output = output.map_err(|error| Failure::new(Exit::Other, format!("{typed}: {error}")))?;
        if output.status.success() {
            return Ok(true);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = escape(said.trim());
        Err(Failure::new(Exit::Other, format!("{typed} failed: {said}"))
            .hint(format!("systemctl --user status {} tells more", args.last().unwrap_or(&"ftx.service"))))
    }
}

fn systemctl(args: &[&str]) -> Command {
    let mut command = Command::new("systemctl");
    command.arg("--user").args(args).stdin(Stdio::null());
    command
}
