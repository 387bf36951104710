//! Cutting long lists into pages that fit a frame.

use crate::base::manifest::{Entry, EntryKind, Have, Outcome};
use crate::base::path::Name;
use crate::wire::hub::{Item, Version};
use crate::wire::limits::{MAX_PAGE, PAGE_BYTES};

/// Something of a list, with about how many bytes it takes on the wire.
pub trait Weighed {
    /// No less than its bytes as a message, as near as is easy to say.
    fn weight(&self) -> usize;
}

impl Weighed for Entry {
    fn weight(&self) -> usize {
        self.path.as_str().len() + of_kind(&self.kind)
    }
}

impl Weighed for Item {
    fn weight(&self) -> usize {
        let about = self.about.as_ref().map_or(0, |about| about.as_raw().len());
        self.path.as_str().len() + of_kind(&self.kind) + of_name(self.owner.as_ref()) + about + 50
    }
}

impl Weighed for Version {
    fn weight(&self) -> usize {
        self.path.as_str().len() + of_name(self.owner.as_ref()) + of_name(self.by.as_ref()) + 110
    }
}

/// A receipt.
impl Weighed for String {
    fn weight(&self) -> usize {
        self.len() + 5
    }
}

fn of_kind(kind: &EntryKind) -> usize {
    match kind {
        EntryKind::Link { target } => target.as_str().len() + 40,
        _ => 40,
    }
}

fn of_name(name: Option<&Name>) -> usize {
    name.map_or(0, |name| name.as_str().len() + 3)
}

impl Weighed for Have {
    fn weight(&self) -> usize {
        match self {
            Self::Chunks(runs) => 4 + 10 * runs.len(),
            _ => 1,
        }
    }
}

impl Weighed for Outcome {
    fn weight(&self) -> usize {
        match self {
            Self::PlacedAs(path) => path.as_str().len() + 4,
            Self::Failed(fault) => fault.text.as_raw().len() + 8,
            _ => 1,
        }
    }
}

/// The list in pages, none of more than [`MAX_PAGE`] items, each closed at [`PAGE_BYTES`].
pub(super) fn pages<T: Weighed>(items: Vec<T>) -> Vec<Vec<T>> {
    let mut pages: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for item in items {
        let weight = item.weight();
        match pages.last_mut() {
            Some(page) if weight <= room && page.len() < MAX_PAGE => {
                room -= weight;
                page.push(item);
            }
            _ => {
                room = PAGE_BYTES.saturating_sub(weight);
                pages.push(vec![item]);
            }
        }
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::manifest::ChunkRun;
    use crate::base::path::RelPath;
    use crate::wire::frame::encode;
    use crate::wire::message::Receiving;

    #[test]
    fn the_longest_pages_fit_a_frame_and_nothing_is_lost() {
        let long = RelPath::parse(&vec!["ä".repeat(100); 20].join("/")).unwrap();
        let outcomes = vec![Outcome::PlacedAs(long.into()); 3000];
        let cut = pages(outcomes.clone());
        assert_eq!(cut.concat(), outcomes);
        let runs = vec![ChunkRun { first: u32::MAX, count: u32::MAX }; Have::MAX_RUNS];
        for page in cut {
            encode(&Receiving::Outcomes(page), &mut Vec::new()).unwrap();
        }
        for page in pages(vec![Have::Chunks(runs); 100]) {
            encode(&Receiving::Have(page), &mut Vec::new()).unwrap();
        }
        assert_eq!(pages(vec![Outcome::Placed; 2500]).len(), 3);
    }
}
