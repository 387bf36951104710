//! Files below one root: reading what is sent, staging what comes, putting it into place, and our
//! own small files. Everything here blocks; call it from threads.

pub mod confine;
pub mod excludes;
pub mod fit;
mod flush;
pub mod folder;
pub mod item;
mod journal;
pub mod keeper;
mod mode;
mod open;
pub mod outcomes;
pub mod partial;
pub mod peek;
mod place;
pub mod private;
pub mod reader;
pub mod receipts;
pub mod root;
mod settle;
mod slots;
pub mod source;
mod sparse;
mod staging;
pub mod state;
pub mod sum;
pub mod tree;
mod walk;
pub mod writer;

/// Most numbered names tried: `name (1)` to `name (999)`.
const MOST_NUMBERS: u32 = 999;
