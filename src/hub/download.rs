//! What a member fetches: what of it may be seen, and nothing else.

use super::Hub;
use super::account::Member;
use super::event::{Event, Guest, Moved, NAMED};
use super::space::{Deed, Kind, not_there};
use super::status::Way;
use crate::base::event::Summary;
use crate::base::fault::{Fault, FaultKind};
use crate::base::manifest::EntryKind;
use crate::base::path::RelPath;
use crate::disk::source::Source;
use crate::wire::limits::MAX_WANTED;

impl Hub {
    /// What the hub's owner hands out of it: anything that is in a space. Blocks.
    ///
    /// # Errors
    /// Where one of them is in no space, or is not there.
    pub fn handed_out(&self, paths: &[RelPath]) -> Result<Source, Fault> {
        if paths.is_empty() || paths.len() > MAX_WANTED {
            return Err(Fault::new(FaultKind::Other, format!("1 to {MAX_WANTED} paths can be sent at once")));
        }
        for path in paths {
            if !self.register.read(|records| records.spaces.keys().any(|space| space.as_str() == path.top())) {
                let text = format!("{path} is in no space; ftx hub spaces lists them");
                return Err(Fault::new(FaultKind::NotPermitted, text));
            }
            if self.store.stat(path)?.is_none() {
                return Err(not_there(path));
            }
        }
        self.store.outgoing(paths)
    }

    /// Tells the log what of these paths was sent to somebody.
    pub async fn sent(&self, guest: &Guest, paths: &[RelPath], summary: &Summary) {
        let (mut files, mut bytes) = (0, 0);
        for (entry, outcome) in summary.each() {
            let EntryKind::File { size, .. } = entry.kind else { continue };
            if !outcome.is_good() {
                continue;
            }
            self.activity.sent(size);
            (files, bytes) = (files + 1, bytes + size);
            if !self.events.names(files) {
                continue;
            }
            // The names that travel begin with what was asked for, without the folders above it.
            let whole = paths.iter().find(|path| path.last() == entry.path.top());
            let above = whole.and_then(RelPath::parent);
            let path =
                above.and_then(|above| RelPath::parse(&format!("{}/{}", above.as_str(), entry.path.as_str())).ok());
            let path = path.unwrap_or_else(|| entry.path.clone());
            let file = Moved { guest: guest.clone(), path, size, digest: None };
            self.events.tell(Event::Sent(file)).await;
        }
        if files > NAMED {
            let (guest, path) = (guest.clone(), paths.first().cloned());
            self.events.tell(Event::Whole { guest, way: Way::Out, path, files, bytes }).await;
        }
    }

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
