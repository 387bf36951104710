//! Reading files for their digests: one at a time, and only as long as nothing else wants the disk.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::catalogue::{Catalogue, Change, Row};
use super::store::{Stat, Store};
use crate::base::digest::{CHUNK, ChunkHash, EntryDigest};
use crate::base::fault::Fault;
use crate::disk::source::Go;

/// Rows looked at together.
const PAGE: u32 = 200;

/// What a file's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// How many.
    pub size: u64,
    /// The digest that travels.
    pub digest: EntryDigest,
    /// SHA-256 of all of them.
    pub sha256: [u8; 32],
}

/// Reads to the end; asks after each chunk whether to go on, with its bytes. `None` where not.
///
/// # Errors
/// As what is read says.
pub fn digests(mut from: impl Read, go_on: &mut dyn FnMut(u64) -> Go) -> io::Result<Option<Digests>> {
    let (mut whole, mut hashes, mut size) = (Sha256::new(), Vec::new(), 0);
    let mut chunk = Vec::with_capacity(CHUNK as usize);
    loop {
        chunk.clear();
        let read = (&mut from).take(CHUNK).read_to_end(&mut chunk)? as u64;
        if read == 0 {
            let digest = EntryDigest::over(size, hashes.iter());
            return Ok(Some(Digests { size, digest, sha256: whole.finalize().into() }));
        }
        size += read;
        whole.update(&chunk);
        hashes.push(ChunkHash::of(&chunk));
        if go_on(read) == Go::Stop {
            return Ok(None);
        }
    }
}

/// Finds the digests that the catalogue lacks, of files and of kept versions. `may_go_on` is asked for each
/// MiB, and may wait; `found_of` is told each file whose digests are known now. Gives back the rows of files that are not what their digest says.
///
/// # Errors
/// Where the catalogue cannot be read or written. A file that cannot be read is passed over.
pub fn fill(
    catalogue: &Catalogue,
    store: &dyn Store,
    found_of: &mut dyn FnMut(Row),
    may_go_on: &mut dyn FnMut() -> Go,
) -> Result<Vec<Row>, Fault> {
    let mut rotted = Vec::new();
    let mut last = None;
    loop {
        let page = catalogue.unhashed(last.as_ref(), PAGE)?;
        let Some(row) = page.last() else { break };
        last = Some(row.path.clone());
        let mut changes = Vec::with_capacity(page.len());
        for row in page {
            if may_go_on() == Go::Stop {
                catalogue.reconcile(changes)?;
                return Ok(rotted);
            }
            let fits = || store.stat(&row.path).is_ok_and(|now| now.is_some_and(|now| row.fits(&now)));
            let read = || digests(store.read(&row.path).ok()?, &mut |_| may_go_on()).ok()?;
            let Some(found) = fits().then(read).flatten().filter(|found| found.size == row.size && fits()) else {
                continue;
            };
            if row.digest.is_some_and(|digest| digest != found.digest)
                || row.sha256.is_some_and(|sha256| sha256 != found.sha256)
            {
                rotted.push(row);
                continue;
            }
            let after = Row { digest: Some(found.digest), sha256: Some(found.sha256), ..row.clone() };
            found_of(after.clone());
            changes.push(Change::Became { before: row, after });
        }
        catalogue.reconcile(changes)?;
    }
    fill_versions(catalogue, store, may_go_on)?;
    Ok(rotted)
}

fn fill_versions(catalogue: &Catalogue, store: &dyn Store, may_go_on: &mut dyn FnMut() -> Go) -> Result<(), Fault> {
    let mut last = None;
    loop {
        let page = catalogue.unhashed_versions(last, PAGE)?;
        let Some(version) = page.last() else { return Ok(()) };
        last = Some(version.id);
        for version in page {
            if may_go_on() == Go::Stop {
                return Ok(());
            }
            let stat = || store.stat_version(&version.path, version.id).ok().flatten();
            let is_it = |stat: &Stat| stat.size == version.size && stat.modified == version.modified;
            let Some(stat) = stat().filter(is_it) else { continue };
            let Ok(bytes) = store.read_again(&version.path, Some(version.id)) else { continue };
            if let Ok(Some(found)) = digests(bytes, &mut |_| may_go_on()) {
                catalogue.describe_version(version.id, &stat, found.digest)?;
            }
        }
    }
}
