//! The program, who it is, and its files.

use std::path::Path;

use super::finding::{Area, Finding};
use crate::base::fault::plain;
use crate::cli::config::{Config, Folders};
use crate::cli::outcome::Exit;
use crate::cli::ui::units::bytes;
use crate::disk::root::Root;
use crate::disk::state::State;
use crate::wire::hello::{SOFTWARE, VERSION};

/// Below so many free bytes it is worth knowing.
const LITTLE: u64 = 1 << 30;

/// Before 2026 there was no ftx.
const NEW_YEAR_2026: u64 = 1_767_225_600;

/// The program and the clock.
pub(super) fn program(now: u64) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(Area::Node, format!("{SOFTWARE}, protocol {VERSION}"))];
    if now < NEW_YEAR_2026 {
        let text = "this machine's clock is years behind: times of files, deadlines and receipts will be wrong";
        findings.push(Finding::note(Area::Node, text).hint("set it: sudo timedatectl set-ntp true"));
    }
    findings
}

/// Our own files: whether others may read them.
pub(super) fn files(folders: &Folders, state: &State) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !folders.config.exists() {
        let text = format!("{} is not there yet: ftx makes it at its first start", folders.config.display());
        return vec![Finding::note(Area::Files, text)];
    }
    findings.extend(folder(&folders.config, "the folder of ftx's own files"));
    findings.extend(secret(&state.key_file(), "the private key", Exit::NotPermitted));
    for (path, what) in
        [(state.book_file(), "the address book"), (folders.config.join("config.toml"), "the configuration")]
    {
        findings.extend(unwritable_by_others(&path, what));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(Area::Files, format!("nobody else reads what is in {}", folders.config.display())));
    }
    findings
}

/// The folder that receives.
pub(super) fn inbox(folders: &Folders, config: &Config) -> Finding {
    let path = config.dir.as_ref().unwrap_or(&folders.downloads);
    let shown = path.display();
    let other = "name another: ftx up --dir DIR, or dir = \"…\" in config.toml";
    let wrong = |text: String| Finding::wrong(Area::Files, Exit::Disk, text).hint(other);
    if !path.exists() {
        return Finding::note(
            Area::Files,
            format!("{shown}, where files are received, is made by ftx up when it starts"),
        );
    }
    let root = match Root::open(path) {
        Ok(root) => root,
        Err(error) => return wrong(format!("{shown}, where files are received, cannot be opened: {}", plain(&error))),
    };
    if !is_writable(path) {
        return wrong(format!("{shown}, where files are received, cannot be written to"));
    }
    match root.free_space() {
        Some(free) if free < LITTLE => {
            Finding::note(Area::Files, format!("{shown}, where files are received, has only {} free", bytes(free)))
                .hint("make room, or name another folder: ftx up --dir DIR")
        }
        Some(free) => Finding::ok(Area::Files, format!("files are received into {shown}, {} free", bytes(free))),
        None => Finding::ok(Area::Files, format!("files are received into {shown}")),
    }
}

/// Whether this user may write into a folder; nothing is written to find out.
fn is_writable(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use rustix::fs::{Access, access};
        access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }
    #[cfg(not(unix))]
    !path.metadata().is_ok_and(|found| found.permissions().readonly())
}

#[cfg(unix)]
fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().ok().map(|found| found.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode(_: &Path) -> Option<u32> {
    None
}

fn folder(path: &Path, what: &str) -> Option<Finding> {
    let mode = mode(path).filter(|mode| mode & 0o077 != 0)?;
    let shown = path.display();
    let fix = format!("type: chmod 700 {shown}");
    if mode & 0o022 != 0 {
        let text = format!("others on this machine may change {what}, {shown} (mode {mode:03o})");
        return Some(Finding::wrong(Area::Files, Exit::NotPermitted, text).hint(fix));
    }
    Some(Finding::note(Area::Files, format!("others may see what is in {what}, {shown} (mode {mode:03o})")).hint(fix))
}

fn secret(path: &Path, what: &str, exit: Exit) -> Option<Finding> {
    let mode = mode(path).filter(|mode| mode & 0o077 != 0)?;
    let shown = path.display();
    let text = format!("others on this machine may read {what}, {shown} (mode {mode:03o}): ftx refuses to use it");
    Some(Finding::wrong(Area::Files, exit, text).hint(format!("type: chmod 600 {shown}")))
}

fn unwritable_by_others(path: &Path, what: &str) -> Option<Finding> {
    let mode = mode(path).filter(|mode| mode & 0o022 != 0)?;
    let shown = path.display();
    let text = format!("others on this machine may change {what}, {shown} (mode {mode:03o})");
    Some(Finding::wrong(Area::Files, Exit::NotPermitted, text).hint(format!("type: chmod 600 {shown}")))
}
