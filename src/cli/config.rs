//! Where our files are, and the configuration: flags beat the environment, which beats the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use etcetera::{BaseStrategy, choose_base_strategy};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::outcome::{Exit, Failure};
use crate::disk::private::{self, Others};
use crate::disk::receipts::Receipts;
use crate::disk::root::Conflict;

/// Longest file that is read as a configuration, in bytes.
const LONGEST: u64 = 1 << 20;

/// `config.toml`; every line may be left out.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The node's name.
    pub name: Option<String>,
    /// Where received files go.
    pub dir: Option<PathBuf>,
    /// Folders shared with trusted peers.
    pub share: Vec<PathBuf>,
    /// Whom to accept without asking: ask, trusted, all or none.
    pub accept: Option<super::up::AcceptFlag>,
    /// What becomes of what comes where its name is taken: rename, skip or replace.
    pub on_conflict: Option<ConflictFlag>,
    /// Network interfaces to use, and no others.
    pub interfaces: Vec<String>,
    /// How fast the node may send and receive.
    pub limit: Option<super::rate::Rate>,
    /// Receivers under one name: `ftx push FILE @NAME`.
    pub groups: BTreeMap<String, Vec<String>>,
}

/// What becomes of what comes where something else has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConflictFlag {
    /// It becomes name (1); nothing is ever overwritten
    Rename,
    /// It is not taken; what is there stays
    Skip,
    /// It takes the place of a file or link; a folder is never replaced
    Replace,
}

impl Config {
    /// The rule for names that are taken: the flag beats the file.
    pub fn conflict(&self, flag: Option<ConflictFlag>) -> Conflict {
        match flag.or(self.on_conflict) {
            None | Some(ConflictFlag::Rename) => Conflict::Rename,
            Some(ConflictFlag::Skip) => Conflict::Skip,
            Some(ConflictFlag::Replace) => Conflict::Replace,
        }
    }
}

/// The folders of the person at this machine.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Key, address book, configuration.
    pub config: PathBuf,
    /// What is kept for this user: receipts.
    pub data: PathBuf,
    /// The home folder.
    pub home: PathBuf,
    /// Where downloads go by the system's custom.
    pub downloads: PathBuf,
    /// Where the sockets of running hubs may be, the best first.
    pub sockets: Vec<PathBuf>,
}

impl Folders {
    /// Asks the system.
    ///
    /// # Errors
    /// Where there is no home folder.
    pub fn find() -> Result<Self, Failure> {
        let base = choose_base_strategy()
            .map_err(|_| Failure::new(Exit::Other, "this user has no home folder").hint("set HOME and try again"))?;
        let downloads = xdg_downloads(base.home_dir(), &base.config_dir());
        Ok(Self {
            config: base.config_dir().join("ftx"),
            data: base.data_dir().join("ftx"),
            home: base.home_dir().to_owned(),
            downloads: downloads.unwrap_or_else(|| base.home_dir().join("Downloads")),
            sockets: sockets(&base),
        })
    }

    /// The receipts of hubs.
    pub fn receipts(&self) -> Receipts {
        Receipts::new(self.data.join("receipts"))
    }

    /// Reads the configuration, if there is one.
    ///
    /// # Errors
    /// Where it cannot be read, others may write to it, or it has something in it that ftx does not know.
    pub fn config(&self) -> Result<Config, Failure> {
        let path = self.config.join("config.toml");
        let read = private::read(&path, "the configuration", Others::Read, LONGEST);
        let Some(bytes) = read.map_err(|fault| Failure::local(&fault))? else { return Ok(Config::default()) };
        let wrong = |what: &str| {
            Failure::new(Exit::Usage, format!("{}: {what}", path.display()))
                .hint("mend or remove that line; man ftx lists what may stand there")
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is no text"))?;
        toml::from_str(text).map_err(|error| wrong(error.message()))
    }
}

/// In the folder that goes when this user logs out, where there is one; else beside the configuration.
fn sockets(base: &impl BaseStrategy) -> Vec<PathBuf> {
    let runtime = base.runtime_dir().filter(|folder| folder.is_dir()).map(|folder| folder.join("ftx"));
    runtime.into_iter().chain([short(base.config_dir().join("ftx").join("run"))]).collect()
}

/// The folder, if the name of a socket in it is not too long for the system; else one that is as good:
/// in `/tmp`, which is the same for all of this user's programs, found by the name of this one. Its owner is looked at before it
/// is used.
fn short(folder: PathBuf) -> PathBuf {
    /// Bytes of the name of a socket, with the end that C wants: 104 on macOS, 108 on Linux.
    const MOST: usize = 104;
    const NAME: usize = "/hub-xxxxxxxx.sock".len() + 1;
    let name = folder.as_os_str().as_encoded_bytes();
    if cfg!(windows) || name.len() + NAME <= MOST {
        return folder;
    }
    let digest: String = Sha256::digest(name).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Path::new("/tmp").join(format!("ftx-{digest}"))
}

/// `XDG_DOWNLOAD_DIR` of `user-dirs.dirs` (xdg-user-dirs), where there is one.
fn xdg_downloads(home: &Path, config: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(config.join("user-dirs.dirs")).ok()?;
    parse_downloads(&text, home)
}

fn parse_downloads(text: &str, home: &Path) -> Option<PathBuf> {
    let line = text.lines().rev().find_map(|line| line.trim().strip_prefix("XDG_DOWNLOAD_DIR="))?;
    let path = line.trim_matches('"');
    match path.strip_prefix("$HOME") {
        Some(rest) => Some(home.join(rest.trim_start_matches('/'))),
        None => Some(PathBuf::from(path)).filter(|path| path.is_absolute()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn the_downloads_folder_is_where_the_desktop_says() {
        let parse = |text| parse_downloads(text, Path::new("/home/a"));
        assert_eq!(parse("# x\nXDG_DOWNLOAD_DIR=\"$HOME/Kram\"\n"), Some("/home/a/Kram".into()));
        assert_eq!(parse("XDG_DOWNLOAD_DIR=\"/data/in\""), Some("/data/in".into()));
        assert_eq!(parse("XDG_DOWNLOAD_DIR=\"relative\""), None);
        assert_eq!(parse("XDG_MUSIC_DIR=\"/x\""), None);
    }

    #[test]
    #[cfg(unix)]
    fn a_socket_is_where_its_name_is_short_enough() {
        assert_eq!(short("/home/anna/.config/ftx/run".into()), Path::new("/home/anna/.config/ftx/run"));
        let [one, other] = ["a", "b"].map(|letter| short(format!("/{}/run", letter.repeat(90)).into()));
        assert!(one != other && one.as_os_str().len() < 85, "{}", one.display());
        assert_eq!(one, short(format!("/{}/run", "a".repeat(90)).into()), "whoever looks for it finds it");
    }

    #[test]
    fn an_unknown_line_is_an_error() {
        assert!(toml::from_str::<Config>("nmae = \"x\"").is_err());
        let config: Config = toml::from_str("name = \"lab\"\naccept = \"trusted\"\nshare = [\"a\"]").unwrap();
        assert_eq!(config.name.as_deref(), Some("lab"));
    }

    #[test]
    fn a_flag_beats_the_file_and_nothing_is_replaced_unless_somebody_says_so() {
        let config: Config = toml::from_str("on_conflict = \"replace\"").unwrap();
        assert_eq!(config.conflict(None), Conflict::Replace);
        assert_eq!(config.conflict(Some(ConflictFlag::Skip)), Conflict::Skip);
        assert_eq!(Config::default().conflict(None), Conflict::Rename);
    }
}
