//! Opening the database: the same again, a first one, or a new one in place of one that is broken.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::fault;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::Stamp;
use crate::disk::private;

/// The file.
const FILE: &str = "catalogue.sqlite";
/// What SQLite puts beside it.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// Says in the file's head that it is a catalogue: `ftxc`.
const APPLICATION: u32 = 0x6674_7863;
/// The form of the tables.
const VERSION: u32 = 1;
/// Bytes of memory for pages that were read.
const CACHE_KIB: i64 = 32 << 10;
/// Statements that are kept prepared: all that there are. To parse one takes longer than to find a row.
const STATEMENTS: usize = 64;

/// Of a line with a folder and a name: that nobody can name what it speaks of, so that nobody could have it
/// told, restored or let go of. The numbers are those of `RelPath`: 4096 bytes, 128 names.
pub(super) const UNNAMEABLE: &str = "(length(CAST(folder AS BLOB)) + length(CAST(name AS BLOB)) >= 4096
    OR length(folder) - length(replace(folder, '/', '')) > 126)";

const TABLES: &str = "
CREATE TABLE file (
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    nanos INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    digest BLOB,
    sha256 BLOB,
    owner TEXT,
    since INTEGER NOT NULL,
    PRIMARY KEY (folder, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_owner ON file (owner, size);
CREATE INDEX file_inode ON file (inode);
CREATE INDEX file_sha256 ON file (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX file_unhashed ON file (folder, name) WHERE digest IS NULL OR sha256 IS NULL;
CREATE TABLE version (
    id BLOB NOT NULL PRIMARY KEY,
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    nanos INTEGER NOT NULL,
    owner TEXT,
    kept INTEGER NOT NULL,
    replacer TEXT,
    replaced INTEGER NOT NULL,
    digest BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX version_path ON version (folder, name);
CREATE INDEX version_kept ON version (kept, size);
CREATE TABLE pending (
    transfer BLOB NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    path TEXT NOT NULL,
    since INTEGER NOT NULL,
    tops TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE receipt (
    transfer BLOB NOT NULL,
    device BLOB NOT NULL,
    place INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (transfer, device, place)
) STRICT, WITHOUT ROWID;
";

/// What was found where the catalogue should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing: this is a first one.
    Fresh,
    /// The one that was left.
    Continued,
    /// The same, but whoever had it last was broken off: not everything may be noted.
    BrokenOff,
    /// One that is broken, which is moved aside. What is wrong with it, and where it is now.
    Rebuild(String),
}

/// Opens the catalogue in this folder.
pub(super) fn open(folder: &Path) -> Result<(Connection, Found), Fault> {
    let file = folder.join(FILE);
    // Whoever closes it leaves nothing there.
    let is_closed = fs::metadata(beside(&file, BESIDE[0])).map_or(true, |log| log.len() == 0);
    let broken = match head(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            move_aside(&file)?;
            return Ok((begin(&file)?, Found::Fresh));
        }
        Err(error) => return Err(Fault::disk(format!("reading {}", file.display()), &error)),
        Ok(Head::Ours(version)) if version > VERSION => {
            let text = format!("{} was written by a later ftx (form {version}); use that", file.display());
            return Err(Fault::new(FaultKind::Version, text));
        }
        Ok(Head::Ours(VERSION)) => match go_on(&file) {
            Ok(connection) if is_closed => return Ok((connection, Found::Continued)),
            Ok(connection) => return Ok((connection, Found::BrokenOff)),
            Err(Trouble::Elsewhere(fault)) => return Err(fault),
            Err(Trouble::Broken(reason)) => reason,
        },
        Ok(Head::Ours(version)) => format!("its form, {version}, is none"),
        Ok(Head::None(reason)) => reason.to_owned(),
    };
    let aside = move_aside(&file)?;
    let aside = aside.as_deref().unwrap_or(&file).display().to_string();
    Ok((begin(&file)?, Found::Rebuild(format!("{broken}; it is now {aside}"))))
}

/// What the first bytes of a file say.
enum Head {
    /// It is a catalogue of this form.
    Ours(u32),
    /// It is none, and why.
    None(&'static str),
}

/// Reads the head without SQLite, which might write: a later version's file must not be touched.
fn head(file: &Path) -> io::Result<Head> {
    let mut head = [0; 100];
    let mut open = File::open(file)?;
    match open.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Head::None("it is cut short")),
        read => read?,
    }
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if !head.starts_with(b"SQLite format 3\0") {
        return Ok(Head::None("it is no database"));
    }
    // The places of user_version and application_id: https://sqlite.org/fileformat2.html
    if number(68) == APPLICATION { Ok(Head::Ours(number(60))) } else { Ok(Head::None("it is another database")) }
}

/// Why a catalogue cannot be gone on with.
enum Trouble {
    /// It is broken.
    Broken(String),
    /// Something that a new one would not mend: no permission, a full disk.
    Elsewhere(Fault),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, SchemaChanged, TypeMismatch, Unknown};
        match error.sqlite_error_code() {
            // Unknown: a table or column that is missing.
            None | Some(DatabaseCorrupt | NotADatabase | SchemaChanged | TypeMismatch | Unknown) => {
                Self::Broken(error.to_string())
            }
            Some(_) => Self::Elsewhere(fault(&error)),
        }
    }
}

fn go_on(file: &Path) -> Result<Connection, Trouble> {
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    set_up(&connection, file)?;
    let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(Trouble::Broken(sound));
    }
    for table in ["file", "version", "pending", "receipt"] {
        connection.prepare(&format!("SELECT 1 FROM {table}"))?;
    }
    for table in ["file", "version"] {
        connection.execute(&format!("DELETE FROM {table} WHERE {UNNAMEABLE}"), [])?;
    }
    // From now on it is open: the log is there.
    connection.pragma_update(None, "user_version", VERSION)?;
    Ok(connection)
}

fn set_up(connection: &Connection, file: &Path) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A hub that is confined to its folder has no other place for what does not fit into memory.
    match file.parent().and_then(Path::to_str) {
        Some(folder) => connection.pragma_update(None, "temp_store_directory", folder)?,
        None => connection.pragma_update(None, "temp_store", "MEMORY")?,
    }
    Ok(())
}

fn begin(file: &Path) -> Result<Connection, Fault> {
    // SQLite would let others read it; what it puts beside it gets the same mode.
    private::make_file(file).map_err(|error| Fault::disk(format!("making {}", file.display()), &error))?;
    let make = || {
        let connection = Connection::open(file)?;
        // Before the log is: so the head is in the file itself from the first moment.
        connection.execute_batch(&format!(
            "BEGIN;\n{TABLES}\nPRAGMA application_id = {APPLICATION};\nPRAGMA user_version = {VERSION};\nCOMMIT;"
        ))?;
        set_up(&connection, file)?;
        Ok(connection)
    };
    make().map_err(|error: rusqlite::Error| fault(&error))
}

/// The path with something at its end.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Gives the file, and what is beside it, another name. `None` where there was no file.
fn move_aside(file: &Path) -> Result<Option<PathBuf>, Fault> {
    let now = Stamp::of(std::time::SystemTime::now());
    let aside = beside(file, &format!(".broken-{}-{:09}", now.seconds, now.nanos));
    let mut moved = None;
    for end in ["", BESIDE[0], BESIDE[1], BESIDE[2]] {
        let to = beside(&aside, end);
        match fs::rename(beside(file, end), &to) {
            Ok(()) if end.is_empty() => moved = Some(to),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Fault::disk(format!("moving {} aside", file.display()), &error)),
        }
    }
    Ok(moved)
}
