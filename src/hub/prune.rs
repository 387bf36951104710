//! Letting go of kept versions: of the old ones, and of the oldest where they take too much room.

use super::catalogue::Catalogue;
use super::store::Store;
use crate::base::fault::Fault;
use crate::wire::hub::Version;

/// Versions that are dropped together.
const PAGE: u32 = 200;

const DAY: u64 = 24 * 60 * 60;

/// What was let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// How many versions.
    pub versions: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Drops the versions that gave way more than `keep_days` days before `now` (in seconds since 1970), then,
/// while all of them together have more than `keep_bytes`, the oldest.
///
/// # Errors
/// Where the catalogue or the store cannot do it; those before are dropped then.
pub fn prune(
    catalogue: &Catalogue,
    store: &dyn Store,
    now: u64,
    keep_days: u32,
    keep_bytes: Option<u64>,
) -> Result<Pruned, Fault> {
    let mut pruned = Pruned::default();
    let end = now.saturating_sub(u64::from(keep_days) * DAY);
    loop {
        let page = catalogue.oldest_versions(end, PAGE)?;
        if page.is_empty() {
            break;
        }
        drop_all(catalogue, store, &page, &mut pruned)?;
    }
    let Some(most) = keep_bytes else { return Ok(pruned) };
    let mut kept = catalogue.kept_bytes()?;
    while kept > most {
        let mut page = catalogue.oldest_versions(i64::MAX.cast_unsigned(), PAGE)?;
        let mut left = kept;
        let needed = page.iter().take_while(|version| {
            let more = left > most;
            left = left.saturating_sub(version.size);
            more
        });
        let needed = needed.count();
        page.truncate(needed);
        if page.is_empty() {
            break;
        }
        drop_all(catalogue, store, &page, &mut pruned)?;
        kept = catalogue.kept_bytes()?;
    }
    Ok(pruned)
}

/// The files first: a row without its file is noticed at the next start.
fn drop_all(catalogue: &Catalogue, store: &dyn Store, page: &[Version], pruned: &mut Pruned) -> Result<(), Fault> {
    for version in page {
        store.drop_version(&version.path, version.id)?;
    }
    catalogue.drop_versions(page.iter().map(|version| version.id).collect())?;
    pruned.versions += page.len() as u64;
    pruned.bytes = page.iter().fold(pruned.bytes, |sum, version| sum.saturating_add(version.size));
    Ok(())
}
