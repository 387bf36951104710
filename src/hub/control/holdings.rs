//! What a hub holds, as far as its management asks.

use std::fmt::Debug;
use std::sync::Arc;

use crate::base::fault::Fault;
use crate::base::path::{Name, RelPath};
use crate::hub::catalogue::Catalogue;
use crate::hub::store::Store;

/// What a hub holds, as far as its management asks. Everything blocks.
pub trait Holdings: Send + Sync + Debug {
    /// Bytes of files in place that are this account's.
    ///
    /// # Errors
    /// A disk fault.
    fn used_by(&self, account: &Name) -> Result<u64, Fault>;

    /// Bytes and files in this space.
    ///
    /// # Errors
    /// A disk fault.
    fn used_in(&self, space: &Name) -> Result<(u64, u64), Fault>;

    /// Bytes free on the disk, where the system says.
    fn free(&self) -> Option<u64>;

    /// Makes a top folder, if it is not there.
    ///
    /// # Errors
    /// A disk fault, or something else of that name.
    fn make_top(&self, name: &Name) -> Result<(), Fault>;
}

/// A store and its catalogue.
#[derive(Debug, Clone)]
pub struct Repository {
    /// What is known of the files.
    pub catalogue: Catalogue,
    /// The files.
    pub store: Arc<dyn Store>,
}

impl Holdings for Repository {
    fn used_by(&self, account: &Name) -> Result<u64, Fault> {
        self.catalogue.used_by(account)
    }

    fn used_in(&self, space: &Name) -> Result<(u64, u64), Fault> {
        self.catalogue.used_in(space)
    }

    fn free(&self) -> Option<u64> {
        self.store.free()
    }

    fn make_top(&self, name: &Name) -> Result<(), Fault> {
        self.store.make_folder(&RelPath::from(name.clone()))
    }
}
