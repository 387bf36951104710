//! The register: what of a hub cannot be rebuilt from its folder. It is in memory, and in `register.toml`.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::account::{Account, bytes, check_name, text};
use super::code::Code;
use super::space::{Kind, Settings, Space, people, shared};
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::Name;
use crate::disk::fit::folded;
use crate::disk::private::{self, Existing, Others};
use crate::flow::secret::{Salt, keyed_salt, random};

/// The version of the file that this software reads and writes.
const VERSION: u32 = 1;

/// Longest file that is read as a register, in bytes.
const LONGEST: u64 = 64 << 20;

/// What is on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// The limits of the hub.
    #[serde(default)]
    pub settings: Settings,
    /// The codes that were made and not used up; also some whose time is over.
    #[serde(default)]
    pub codes: Vec<Code>,
    /// The spaces, [`shared`] and [`people`] always among them.
    #[serde(default)]
    pub spaces: BTreeMap<Name, Space>,
    /// The accounts; no two names differ only in the case of letters.
    #[serde(default)]
    pub accounts: BTreeMap<Name, Account>,
}

impl Default for Records {
    fn default() -> Self {
        let mut records = Self {
            settings: Settings::default(),
            codes: Vec::new(),
            spaces: BTreeMap::new(),
            accounts: BTreeMap::new(),
        };
        records.add_common_spaces();
        records
    }
}

impl Records {
    fn add_common_spaces(&mut self) {
        self.spaces.entry(shared()).or_insert(Space { kind: Kind::Shared, quota: None });
        self.spaces.entry(people()).or_insert(Space { kind: Kind::People, quota: None });
    }

    /// What in a file that was written by hand cannot be.
    fn check(&self) -> Result<(), String> {
        let (mut names, mut devices) = (HashSet::new(), HashSet::new());
        for (name, account) in &self.accounts {
            check_name(name).map_err(|fault| fault.to_string())?;
            if !names.insert(folded(name.as_str())) {
                return Err(format!("there are two accounts {name}"));
            }
            if let Some(id) = account.devices.keys().find(|id| !devices.insert(**id)) {
                return Err(format!("the device {} is in two accounts", id.short()));
            }
        }
        for (name, kind) in [(shared(), Kind::Shared), (people(), Kind::People)] {
            if self.spaces.get(&name).is_some_and(|space| space.kind != kind) {
                return Err(format!("the space {name} is of another kind"));
            }
        }
        Ok(())
    }
}

/// The file; what it is written with, and read with once its version is known.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    /// For the salts of accounts that there are not: 32 bytes as text.
    secret: Zeroizing<String>,
    records: Records,
}

/// What of the file every version has.
#[derive(Deserialize)]
struct AnyFile {
    version: u32,
}

/// The register of a hub. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Register(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    secret: Secret,
    /// What is on the disk; replaced as a whole.
    records: RwLock<Arc<Records>>,
    /// Held by whoever changes something.
    changing: Mutex<()>,
    /// For whoever waits for a change.
    changes: watch::Sender<()>,
}

struct Secret(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Register {
    /// The register in this folder; a first one, where there is none. The caller sees to it that no other
    /// process has it.
    ///
    /// # Errors
    /// A disk fault; [`FaultKind::Version`] for one that later software wrote; a register that is broken or
    /// that others may read. Nothing is written then.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        let path = folder.join("register.toml");
        let (secret, records) = match private::read(&path, "the register", Others::Nothing, LONGEST)? {
            Some(bytes) => {
                let text = std::str::from_utf8(&bytes).map_err(|_| Wrong::broken("no text"));
                text.and_then(parse).map_err(|wrong| wrong.told(&path))?
            }
            None => {
                let mut secret = Zeroizing::new([0; 32]);
                random(&mut *secret)?;
                let records = Records::default();
                write(&path, &secret, &records, Existing::Keep)?;
                (secret, records)
            }
        };
        let (records, changing) = (RwLock::new(Arc::new(records)), Mutex::new(()));
        let changes = watch::Sender::new(());
        Ok(Self(Arc::new(Inner { path, secret: Secret(secret), records, changing, changes })))
    }

    /// Looks at what is on record now.
    pub fn read<T>(&self, look: impl FnOnce(&Records) -> T) -> T {
        look(&self.now())
    }

    /// Changes what is on record. It is on the disk when this returns; blocks for as long as that takes.
    ///
    /// # Errors
    /// What `change` says, or a disk fault; then nothing has changed.
    pub fn change<T>(&self, change: impl FnOnce(&mut Records) -> Result<T, Fault>) -> Result<T, Fault> {
        let _changing = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.now();
        let mut records = Records::clone(&before);
        let result = change(&mut records)?;
        if records != *before {
            write(&self.0.path, &self.0.secret.0, &records, Existing::Replace)?;
            *self.0.records.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(records);
            self.0.changes.send_replace(());
        }
        Ok(result)
    }

    /// The spaces in which each has a folder of their own to hand in.
    pub fn drops(&self) -> Vec<Name> {
        self.read(|records| {
            let spaces = records.spaces.iter().filter(|(_, space)| matches!(space.kind, Kind::Drop { .. }));
            spaces.map(|(name, _)| name.clone()).collect()
        })
    }

    /// Tells whenever something is another.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// The salt told for an account that there is not, or that has no password: always the same, and
    /// nobody can tell it from a real one.
    pub fn salt_of_nobody(&self, account: &Name) -> Salt {
        keyed_salt(&self.0.secret.0, folded(account.as_str()).as_bytes())
    }

    fn now(&self) -> Arc<Records> {
        self.0.records.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why a file cannot be used.
struct Wrong {
    kind: FaultKind,
    text: String,
}

impl Wrong {
    fn broken(why: impl std::fmt::Display) -> Self {
        Self { kind: FaultKind::Disk, text: format!("is broken: {why}; mend it, or bring back a copy of it") }
    }

    fn told(self, path: &Path) -> Fault {
        Fault::new(self.kind, format!("{} {}", path.display(), self.text))
    }
}

impl From<toml::de::Error> for Wrong {
    /// Without the line itself, which may hold a secret.
    fn from(error: toml::de::Error) -> Self {
        Self::broken(error.message())
    }
}

fn parse(text: &str) -> Result<(Zeroizing<[u8; 32]>, Records), Wrong> {
    let AnyFile { version } = toml::from_str(text)?;
    if version != VERSION {
        let text = format!("is of version {version}, and this software knows version {VERSION}; update ftx");
        return Err(Wrong { kind: FaultKind::Version, text });
    }
    let File { secret, mut records, .. } = toml::from_str(text)?;
    records.check().map_err(Wrong::broken)?;
    records.add_common_spaces();
    Ok((Zeroizing::new(bytes(&secret).map_err(Wrong::broken)?), records))
}

fn write(path: &Path, secret: &[u8; 32], records: &Records, existing: Existing) -> Result<(), Fault> {
    let file = File { version: VERSION, secret: text(secret).into(), records: records.clone() };
    let written = toml::to_string(&file).map(Zeroizing::new);
    let written = written.map_err(|error| Fault::new(FaultKind::Other, format!("writing the register: {error}")))?;
    let done = private::write(path, written.as_bytes(), existing)
        .and_then(|()| path.parent().map_or(Ok(()), private::sync_folder));
    done.map_err(|error| Fault::disk(format!("writing {}", path.display()), &error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::id::PeerId;
    use crate::flow::secret::{Password, Stretched};
    use crate::hub::account::Device;
    use crate::hub::code::Invitation;
    use crate::wire::hub::Rank;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    /// Everything that can be on record.
    fn fill(records: &mut Records) -> Result<(), Fault> {
        let wanted = Invitation { once: true, lasts: None, account: Some(name("Bob")), rank: Rank::Manager };
        records.invite(wanted, 7)?;
        records.spaces.insert(name("exam 1"), Space { kind: Kind::Drop { deadline: Some(9) }, quota: Some(1 << 40) });
        records.settings.largest_file = Some(u64::MAX);
        let account = records.add_account(name("Zoë \"[x]"), Rank::Member, 5);
        assert!(account.is_err());
        let account = records.add_account(name("Zoë \"x\" = #1"), Rank::Member, 5)?;
        let device = Device { name: "a\u{1b}]0;x\u{7}\"\n[records]".into(), since: 6 };
        account.devices.insert(PeerId::of_public_key(&[1; 32]), device);
        account.password = Some(Password { salt: [1; 16], stretched: Stretched::from_bytes([2; 32]) });
        account.quota = Some(0);
        Ok(())
    }

    #[test]
    fn everything_is_read_back() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("dir/.ftx");
        let register = Register::open(&folder).unwrap();
        assert!(register.read(|records| records.spaces.contains_key(&shared()) && records.spaces.len() == 2));
        register.change(fill).unwrap();
        let again = Register::open(&folder).unwrap();
        assert_eq!(again.now(), register.now());
        assert_eq!(again.salt_of_nobody(&name("Eve")), register.salt_of_nobody(&name("eve")));
        assert_ne!(again.salt_of_nobody(&name("Eve")), register.salt_of_nobody(&name("Eva")));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            let file = folder.join("register.toml");
            assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
            fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
            assert_eq!(Register::open(&folder).unwrap_err().kind, FaultKind::NotPermitted);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_change_that_fails_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let register = Register::open(home.path()).unwrap();
        let before = fs::read(home.path().join("register.toml")).unwrap();
        let failed = register.change(|records| {
            fill(records)?;
            Err::<(), _>(Fault::new(FaultKind::Other, "no"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no");
        assert_eq!(register.now(), Arc::new(Records::default()));
        assert_eq!(fs::read(home.path().join("register.toml")).unwrap(), before);

        // What the disk does not take.
        fs::remove_dir_all(home.path()).unwrap();
        fs::write(home.path(), "").unwrap();
        assert_eq!(register.change(fill).unwrap_err().kind, FaultKind::Disk);
        assert_eq!(register.now(), Arc::new(Records::default()));
        fs::remove_file(home.path()).unwrap();
    }

    #[test]
    fn a_broken_or_newer_register_is_told_and_left_alone() {
        let home = tempfile::tempdir().unwrap();
        Register::open(home.path()).unwrap().change(fill).unwrap();
        let file = home.path().join("register.toml");
        let good = fs::read_to_string(&file).unwrap();
        let two = format!("{good}\n[records.accounts.'zOË \"x\" = #1']\nrank = 'member'\nsince = 1\n");
        let cases = [
            (good.replace("version = 1", "version = 2\nmore = 1"), FaultKind::Version, "update ftx"),
            (good.replace("version = 1", ""), FaultKind::Disk, "mend it"),
            (good.replace("[records", "[more"), FaultKind::Disk, "mend it"),
            (good.replace("rank = ", "wing = "), FaultKind::Disk, "mend it"),
            (good.replace("0202", "02"), FaultKind::Disk, "hexadecimal"),
            (good.replace("\"drop\"", "\"drip\""), FaultKind::Disk, "mend it"),
            (good[..good.len() / 2].to_owned(), FaultKind::Disk, "mend it"),
            (two, FaultKind::Disk, "two accounts"),
            (String::new(), FaultKind::Disk, "mend it"),
        ];
        for (text, kind, told) in cases {
            assert_ne!(text, good);
            fs::write(&file, &text).unwrap();
            let refused = Register::open(home.path()).unwrap_err();
            assert_eq!(refused.kind, kind, "{refused}");
            assert!(refused.to_string().contains(told), "{refused}");
            assert!(!refused.to_string().contains("0202"), "{refused}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }
}
