//! What a member fetches: what of it may be seen, and nothing else.

use super::Hub;
use super::account::Member;
use super::space::{Deed, Kind, not_there};
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::RelPath;
use crate::disk::source::Source;
use crate::wire::limits::MAX_WANTED;

impl Hub {
    /// What is sent to somebody who asks for these paths; everything that is theirs to see where they
    /// name none. Blocks.
    ///
    /// # Errors
    /// Where one of them is not there for them.
    pub(super) fn outgoing(&self, member: &Member, wanted: &[RelPath]) -> Result<Source, Fault> {
        if wanted.len() > MAX_WANTED {
            return Err(Fault::protocol("too many paths at once"));
        }
        let paths = if wanted.is_empty() { self.everything(member)? } else { wanted.to_vec() };
        for path in &paths {
            self.with_access(member, |access| {
                access.may(Deed::See, path, None)?;
                let own = matches!(access.kind(path), Some(Kind::People | Kind::Drop { .. }));
                // Else others' folders would go with it.
                if own && path.depth() == 1 && !access.sees_all(path) {
                    let text = format!("name your own folder there: {path}/{}", member.account);
                    return Err(Fault::new(FaultKind::NotPermitted, text));
                }
                Ok(())
            })?;
            if self.store.stat(path)?.is_none() {
                return Err(not_there(path));
            }
        }
        self.store.outgoing(&paths)
    }

    /// Every folder that may be seen as a whole.
    fn everything(&self, member: &Member) -> Result<Vec<RelPath>, Fault> {
        let mut paths = Vec::new();
        for (name, _) in self.store.list(None)? {
            let top = RelPath::from(name);
            let own = self.with_access(member, |access| match access.may(Deed::See, &top, None) {
                Ok(()) if access.sees_all(&top) => Some(top.clone()),
                Ok(()) => access.destination(&top).ok(),
                Err(_) => None,
            });
            if let Some(path) = own
                && self.store.stat(&path)?.is_some()
            {
                paths.push(path);
            }
        }
        match paths.is_empty() {
            true => Err(Fault::new(FaultKind::NotFound, "nothing is there for you yet")),
            false => Ok(paths),
        }
    }
}
