//! Of each kept version: what it was, when it gave way, and to whom.

use rusqlite::{OptionalExtension, Row as Line, params};
use uuid::Uuid;

use super::{Catalogue, Stat, below, joined, owner_of, readable, split, whole};
use crate::base::digest::EntryDigest;
use crate::base::fault::Fault;
use crate::base::manifest::Stamp;
use crate::base::path::{Name, RelPath};
use crate::wire::hub::{Version, VersionId};

/// The columns of a version, in the order that [`read`] expects.
const COLUMNS: &str = "id, folder, name, size, seconds, nanos, owner, kept, replacer, replaced, digest";

impl Catalogue {
    /// Notes a version that is kept; on the disk when it returns.
    ///
    /// # Errors
    /// As the disk says.
    pub fn kept(&self, version: Version) -> Result<(), Fault> {
        self.kept_all(vec![version])
    }

    /// Notes versions that are kept, in place of what was noted of them before; on the disk when it returns.
    ///
    /// # Errors
    /// As the disk says; then none is noted.
    pub fn kept_all(&self, versions: Vec<Version>) -> Result<(), Fault> {
        self.note_versions("REPLACE", versions)
    }

    /// Notes versions that were found, each only where nothing is noted of it.
    ///
    /// # Errors
    /// As for [`Catalogue::kept_all`].
    pub fn found_kept(&self, versions: Vec<Version>) -> Result<(), Fault> {
        self.note_versions("IGNORE", versions)
    }

    fn note_versions(&self, over: &'static str, versions: Vec<Version>) -> Result<(), Fault> {
        self.change(move |connection| {
            let sql = format!(
                "INSERT OR {over} INTO version ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            for version in versions {
                let (folder, name) = split(&version.path);
                statement.execute(params![
                    version.id.0.as_bytes(),
                    folder,
                    name,
                    whole(version.size),
                    version.modified.seconds,
                    version.modified.nanos,
                    version.owner.as_ref().map(Name::as_str),
                    whole(version.kept),
                    version.by.as_ref().map(Name::as_str),
                    version.replaced,
                    version.digest.map(|digest| digest.0),
                ])?;
            }
            Ok(())
        })
    }

    /// What is kept of a file, or of everything that was below a folder; the newest first.
    ///
    /// # Errors
    /// As the disk says.
    pub fn versions(&self, path: &RelPath) -> Result<Vec<Version>, Fault> {
        let (own, path) = (split(path), path.as_str().to_owned());
        self.call(move |connection| {
            let (first, end) = below(&path);
            let sql = format!(
                "SELECT {COLUMNS} FROM version WHERE (folder = ?1 AND name = ?2) OR folder = ?3
                 OR (folder >= ?4 AND folder < ?5) ORDER BY id DESC"
            );
            readable(connection.prepare_cached(&sql)?.query_map([own.0, own.1, path, first, end], read)?)
        })
    }

    /// One version.
    ///
    /// # Errors
    /// As the disk says.
    pub fn version(&self, id: VersionId) -> Result<Option<Version>, Fault> {
        self.call(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM version WHERE id = ?1");
            connection.prepare_cached(&sql)?.query_row([id.0.as_bytes()], read).optional()
        })
    }

    /// All versions, the oldest first: at most `most`, those made after `after`.
    ///
    /// # Errors
    /// As the disk says.
    pub fn page_of_versions(&self, after: Option<VersionId>, most: u32) -> Result<Vec<Version>, Fault> {
        let after = after.map_or(Uuid::nil(), |id| id.0);
        self.call(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM version WHERE id > ?1 ORDER BY id LIMIT ?2");
            readable(connection.prepare_cached(&sql)?.query_map(params![after.as_bytes(), most], read)?)
        })
    }

    /// Versions of which the digest is still to be found, the oldest first: at most `most`, those made after
    /// `after`.
    ///
    /// # Errors
    /// As the disk says.
    pub fn unhashed_versions(&self, after: Option<VersionId>, most: u32) -> Result<Vec<Version>, Fault> {
        let after = after.map_or(Uuid::nil(), |id| id.0);
        self.call(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM version WHERE digest IS NULL AND id > ?1 ORDER BY id LIMIT ?2");
            readable(connection.prepare_cached(&sql)?.query_map(params![after.as_bytes(), most], read)?)
        })
    }

    /// Notes what a version is, if it is still kept.
    ///
    /// # Errors
    /// As the disk says.
    pub fn describe_version(&self, id: VersionId, stat: &Stat, digest: EntryDigest) -> Result<(), Fault> {
        let (size, modified) = (stat.size, stat.modified);
        self.change(move |connection| {
            let sql = "UPDATE version SET size = ?2, seconds = ?3, nanos = ?4, digest = ?5 WHERE id = ?1";
            let values = params![id.0.as_bytes(), whole(size), modified.seconds, modified.nanos, digest.0];
            connection.execute(sql, values).map(drop)
        })
    }

    /// The versions that gave way first: at most `most`, of those that did before `before` (in seconds
    /// since 1970).
    ///
    /// # Errors
    /// As the disk says.
    pub fn oldest_versions(&self, before: u64, most: u32) -> Result<Vec<Version>, Fault> {
        self.call(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM version WHERE kept < ?1 ORDER BY kept, id LIMIT ?2");
            readable(connection.prepare_cached(&sql)?.query_map(params![whole(before), most], read)?)
        })
    }

    /// Bytes of all that is kept.
    ///
    /// # Errors
    /// As the disk says.
    pub fn kept_bytes(&self) -> Result<u64, Fault> {
        self.call(|connection| {
            let sql = "SELECT coalesce(sum(size), 0) FROM version";
            connection.prepare_cached(sql)?.query_row([], |line| line.get::<_, i64>(0)).map(i64::cast_unsigned)
        })
    }

    /// Forgets these versions.
    ///
    /// # Errors
    /// As the disk says.
    pub fn drop_versions(&self, ids: Vec<VersionId>) -> Result<(), Fault> {
        self.change(move |connection| {
            let mut statement = connection.prepare_cached("DELETE FROM version WHERE id = ?1")?;
            ids.iter().try_for_each(|id| statement.execute([id.0.as_bytes()]).map(drop))
        })
    }
}

fn read(line: &Line<'_>) -> rusqlite::Result<Version> {
    Ok(Version {
        id: VersionId(Uuid::from_bytes(line.get(0)?)),
        path: joined(line.get_ref(1)?.as_str()?, line.get_ref(2)?.as_str()?)?,
        size: line.get::<_, i64>(3)?.cast_unsigned(),
        modified: Stamp { seconds: line.get(4)?, nanos: line.get(5)? },
        owner: owner_of(line.get(6)?)?,
        kept: line.get::<_, i64>(7)?.cast_unsigned(),
        by: owner_of(line.get(8)?)?,
        replaced: line.get(9)?,
        digest: line.get::<_, Option<[u8; 32]>>(10)?.map(EntryDigest),
    })
}
