//! Of each file: size, time, inode, digests, owner.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row as Line, params};

use super::open::UNNAMEABLE;
use super::{Called, Catalogue, Row, below, in_transaction, joined, key, owner_of, readable, split, unreadable, whole};
use crate::base::digest::EntryDigest;
use crate::base::fault::Fault;
use crate::base::manifest::Stamp;
use crate::base::path::{Name, PathFault, RelPath};

/// The columns of a row, in the order that [`read`] expects.
const COLUMNS: &str = "folder, name, size, seconds, nanos, inode, digest, sha256, owner, since";

/// What a look at the folder found: it only holds while the catalogue still says what it said before the
/// look. Whoever changed it meanwhile knows better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// There is something that no row spoke of.
    Appeared(Row),
    /// What is there is not what its row spoke of.
    Became {
        /// The row.
        before: Row,
        /// What is there.
        after: Row,
    },
    /// What a row spoke of is elsewhere.
    Moved {
        /// The row.
        from: Row,
        /// The row of where it is now.
        over: Option<Row>,
        /// What is there.
        to: Row,
    },
    /// It is gone.
    Gone(Row),
}

/// What becomes of what is kept of something that moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It goes along.
    Along,
    /// It stays where it is, as of something that was removed there.
    Stays,
}

impl Change {
    /// Whether the catalogue says what it said before the look.
    fn holds(&self, rows: &mut Rows<'_>) -> rusqlite::Result<bool> {
        let mut is = |row: &Row| Ok(rows.get(&row.path)?.as_ref() == Some(row));
        match self {
            Self::Became { before: row, .. } | Self::Gone(row) => is(row),
            Self::Moved { from, over: Some(over), .. } => Ok(is(from)? && is(over)?),
            Self::Moved { from, over: None, to } => Ok(is(from)? && rows.get(&to.path)?.is_none()),
            Self::Appeared(row) => Ok(rows.get(&row.path)?.is_none()),
        }
    }
}

impl Catalogue {
    /// What is known of one file.
    ///
    /// # Errors
    /// As the disk says.
    pub fn row(&self, path: &RelPath) -> Result<Option<Row>, Fault> {
        let (folder, name) = split(path);
        self.call(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM file WHERE folder = ?1 AND name = ?2");
            connection.prepare_cached(&sql)?.query_row([folder, name], read).optional()
        })
    }

    /// What is known of each of these files: asked for together, many cost little.
    ///
    /// # Errors
    /// As the disk says.
    pub fn rows(&self, paths: Vec<RelPath>) -> Result<HashMap<RelPath, Row>, Fault> {
        // One transaction: the file is locked once, and not for each row.
        self.change(move |connection| {
            let mut rows = Rows::new(connection)?;
            let known = paths.into_iter().map(|path| Ok(rows.get(&path)?.map(|row| (path, row))));
            known.filter_map(Result::transpose).collect()
        })
    }

    /// Another file of the same space that has the same bytes.
    ///
    /// # Errors
    /// As the disk says.
    pub fn twin(&self, row: &Row) -> Result<Option<Row>, Fault> {
        let (Some(sha256), own) = (row.sha256, row.path.clone()) else { return Ok(None) };
        let (first, end) = below(own.top());
        let top = own.top().to_owned();
        self.call(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM file WHERE sha256 = ?1 AND ((folder >= ?2 AND folder < ?3) OR folder = ?4)
                 AND NOT (folder = ?5 AND name = ?6) LIMIT 1"
            );
            let (folder, name) = split(&own);
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_row(params![sha256, first, end, top, folder, name], read).optional()
        })
    }

    /// What is known of each file in a folder, and how many versions of it are kept.
    ///
    /// # Errors
    /// As the disk says.
    pub fn children(&self, folder: Option<&RelPath>) -> Result<HashMap<Name, (Row, u32)>, Fault> {
        let folder = key(folder);
        self.call(move |connection| {
            let mut children = HashMap::new();
            let sql = format!("SELECT {COLUMNS} FROM file WHERE folder = ?1");
            let mut statement = connection.prepare_cached(&sql)?;
            for row in readable(statement.query_map([&folder], read)?)? {
                children.insert(row.path.file_name(), (row, 0));
            }
            let sql = "SELECT name, count(*) FROM version WHERE folder = ?1 GROUP BY name";
            let mut statement = connection.prepare_cached(sql)?;
            let mut lines = statement.query([&folder])?;
            while let Some(line) = lines.next()? {
                let name = Name::parse(line.get_ref(0)?.as_str()?);
                if let Some((_, versions)) = name.ok().and_then(|name| children.get_mut(&name)) {
                    *versions = line.get(1)?;
                }
            }
            Ok(children)
        })
    }

    /// What is known of the files at and below a path, in the order of their folders and names: at most
    /// `most`, those behind `after`.
    ///
    /// # Errors
    /// As the disk says.
    pub fn page(&self, path: Option<&RelPath>, after: Option<&RelPath>, most: u32) -> Result<Vec<Row>, Fault> {
        let (first, end) = path.map_or_else(|| (String::new(), "\u{10ffff}".to_owned()), |path| below(path.as_str()));
        let (own, own_key) = (path.map(split).unwrap_or_default(), key(path));
        let after = after.map(split).unwrap_or_default();
        self.call(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM file WHERE (folder, name) > (?1, ?2)
                 AND ((folder >= ?3 AND folder < ?4) OR folder = ?5 OR (folder = ?6 AND name = ?7))
                 ORDER BY folder, name LIMIT ?8"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = params![after.0, after.1, first, end, own_key, own.0, own.1, most];
            readable(statement.query_map(rows, read)?)
        })
    }

    /// Files of which a digest is still to be found, in order: at most `most`, those behind `after`.
    ///
    /// # Errors
    /// As the disk says.
    pub fn unhashed(&self, after: Option<&RelPath>, most: u32) -> Result<Vec<Row>, Fault> {
        let after = after.map(split).unwrap_or_default();
        self.call(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM file WHERE (digest IS NULL OR sha256 IS NULL) AND (folder, name) > (?1, ?2)
                 ORDER BY folder, name LIMIT ?3"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            readable(statement.query_map(params![after.0, after.1, most], read)?)
        })
    }

    /// The rows of these inodes, whatever their names.
    ///
    /// # Errors
    /// As the disk says.
    pub fn of_inodes(&self, inodes: Vec<u64>) -> Result<HashMap<u64, Vec<Row>>, Fault> {
        self.call(move |connection| {
            let mut found: HashMap<u64, Vec<Row>> = HashMap::new();
            let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM file WHERE inode = ?1"))?;
            for inode in inodes {
                let rows = readable(statement.query_map([whole(inode)], read)?)?;
                found.entry(inode).or_default().extend(rows);
            }
            Ok(found)
        })
    }

    /// Keeps these rows in place of what was known of their paths; on the disk when it returns.
    ///
    /// # Errors
    /// As the disk says; then none is kept.
    pub fn record(&self, rows: Vec<Row>) -> Result<(), Fault> {
        self.begin_record(rows)?.wait()
    }

    /// Has these rows kept in place of what is known of their paths, all or none.
    ///
    /// # Errors
    /// Where the catalogue has stopped.
    pub fn begin_record(&self, mut rows: Vec<Row>) -> Result<Called<()>, Fault> {
        // Neighbours go into the same page of the table.
        rows.sort_unstable_by(|one, other| one.path.as_str().cmp(other.path.as_str()));
        self.begin_call(move |connection| {
            in_transaction(connection, |connection| {
                let mut rows_of = Rows::new(connection)?;
                rows.iter().try_for_each(|row| rows_of.put(row))
            })
        })
    }

    /// Keeps what a look at the folder found, of each only if the catalogue still says what it said before;
    /// those of which it does are given back.
    ///
    /// # Errors
    /// As the disk says; then none is kept.
    pub fn reconcile(&self, changes: Vec<Change>) -> Result<Vec<Change>, Fault> {
        self.change(move |connection| {
            let mut rows = Rows::new(connection)?;
            let mut held = Vec::with_capacity(changes.len());
            for change in changes {
                if change.holds(&mut rows)? {
                    held.push(change);
                }
            }
            // What has changed places with something else is not lost on the way.
            for change in &held {
                if let Change::Moved { from: row, .. } | Change::Gone(row) = change {
                    rows.remove(&row.path)?;
                }
            }
            for change in &held {
                if let Change::Appeared(row) | Change::Became { after: row, .. } | Change::Moved { to: row, .. } =
                    change
                {
                    rows.put(row)?;
                }
            }
            Ok(held)
        })
    }

    /// Forgets these paths; what is kept of them stays.
    ///
    /// # Errors
    /// As the disk says.
    pub fn forget(&self, paths: Vec<RelPath>) -> Result<(), Fault> {
        self.change(move |connection| {
            let mut rows = Rows::new(connection)?;
            paths.iter().try_for_each(|path| rows.remove(path))
        })
    }

    /// Something was moved: what is known of it and of everything below it moves along, and what is kept of
    /// those, if it is to.
    ///
    /// # Errors
    /// As the disk says; where something would get a path that nobody can name. Then nothing moves.
    pub fn moved(&self, from: &RelPath, to: &RelPath, kept: Kept) -> Result<(), Fault> {
        let (old, new) = (split(from), split(to));
        let (from, to) = (from.as_str().to_owned(), to.as_str().to_owned());
        self.change(move |connection| {
            let (first, end) = below(&from);
            let tables: &[&str] = if kept == Kept::Along { &["file", "version"] } else { &["file"] };
            for table in tables {
                let own =
                    format!("UPDATE OR REPLACE {table} SET folder = ?3, name = ?4 WHERE folder = ?1 AND name = ?2");
                connection.execute(&own, [&old.0, &old.1, &new.0, &new.1])?;
                let deep = format!(
                    "UPDATE OR REPLACE {table} SET folder = ?2 || substr(folder, length(?1) + 1)
                     WHERE folder = ?1 OR (folder >= ?3 AND folder < ?4)"
                );
                connection.execute(&deep, [&from, &to, &first, &end])?;
                let (first, end) = below(&to);
                let long = format!(
                    "SELECT 1 FROM {table} WHERE (folder = ?1 OR (folder >= ?2 AND folder < ?3)) AND {UNNAMEABLE}"
                );
                if connection.query_row(&long, [&to, &first, &end], |_| Ok(())).optional()?.is_some() {
                    return Err(unreadable(Box::new(PathFault::Length)));
                }
            }
            Ok(())
        })
    }

    /// Everybody to whom something belongs, in place or kept.
    ///
    /// # Errors
    /// As the disk says.
    pub fn owners(&self) -> Result<Vec<String>, Fault> {
        self.call(|connection| {
            let sql = "SELECT owner FROM file WHERE owner IS NOT NULL
                       UNION SELECT owner FROM version WHERE owner IS NOT NULL";
            connection.prepare_cached(sql)?.query_map([], |line| line.get(0))?.collect()
        })
    }

    /// How many bytes, all together, this account's files have that are in place.
    ///
    /// # Errors
    /// As the disk says.
    pub fn used_by(&self, account: &Name) -> Result<u64, Fault> {
        let account = account.as_str().to_owned();
        self.call(move |connection| {
            let sql = "SELECT coalesce(sum(size), 0) FROM file WHERE owner = ?1";
            connection.prepare_cached(sql)?.query_row([account], |line| line.get::<_, i64>(0)).map(i64::cast_unsigned)
        })
    }

    /// How many bytes, and how many files, are in place in a space.
    ///
    /// # Errors
    /// As the disk says.
    pub fn used_in(&self, space: &Name) -> Result<(u64, u64), Fault> {
        let space = space.as_str().to_owned();
        self.call(move |connection| {
            let (first, end) = below(&space);
            let sql = "SELECT coalesce(sum(size), 0), count(*) FROM file
                       WHERE folder = ?1 OR (folder >= ?2 AND folder < ?3)";
            connection.prepare_cached(sql)?.query_row([space, first, end], |line| {
                Ok((line.get::<_, i64>(0)?.cast_unsigned(), line.get::<_, i64>(1)?.cast_unsigned()))
            })
        })
    }
}

/// The statements about single rows, prepared once for many.
struct Rows<'c> {
    get: CachedStatement<'c>,
    put: CachedStatement<'c>,
    remove: CachedStatement<'c>,
}

impl<'c> Rows<'c> {
    fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        let get = format!("SELECT {COLUMNS} FROM file WHERE folder = ?1 AND name = ?2");
        let put = format!("INSERT OR REPLACE INTO file ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
        let remove = "DELETE FROM file WHERE folder = ?1 AND name = ?2";
        let (get, put) = (connection.prepare_cached(&get)?, connection.prepare_cached(&put)?);
        Ok(Self { get, put, remove: connection.prepare_cached(remove)? })
    }

    fn get(&mut self, path: &RelPath) -> rusqlite::Result<Option<Row>> {
        let (folder, name) = split(path);
        self.get.query_row([folder, name], read).optional()
    }

    fn put(&mut self, row: &Row) -> rusqlite::Result<()> {
        let (folder, name) = split(&row.path);
        self.put.execute(params![
            folder,
            name,
            whole(row.size),
            row.modified.seconds,
            row.modified.nanos,
            whole(row.inode),
            row.digest.map(|digest| digest.0),
            row.sha256,
            row.owner.as_ref().map(Name::as_str),
            whole(row.since),
        ])?;
        Ok(())
    }

    fn remove(&mut self, path: &RelPath) -> rusqlite::Result<()> {
        let (folder, name) = split(path);
        self.remove.execute([folder, name]).map(drop)
    }
}

fn read(line: &Line<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        path: joined(line.get_ref(0)?.as_str()?, line.get_ref(1)?.as_str()?)?,
        size: line.get::<_, i64>(2)?.cast_unsigned(),
        modified: Stamp { seconds: line.get(3)?, nanos: line.get(4)? },
        inode: line.get::<_, i64>(5)?.cast_unsigned(),
        digest: line.get::<_, Option<[u8; 32]>>(6)?.map(EntryDigest),
        sha256: line.get(7)?,
        owner: owner_of(line.get(8)?)?,
        since: line.get::<_, i64>(9)?.cast_unsigned(),
    })
}
