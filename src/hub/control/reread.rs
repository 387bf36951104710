//! Everything that a hub holds read again, as its owner is told of it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::desk::Verifier;
use super::holdings::Repository;
use super::message::Answer;
use crate::base::fault::Fault;
use crate::base::text::PeerText;
use crate::disk::source::Go;
use crate::hub::rebuild::Rebuild;
use crate::hub::register::Register;
use crate::hub::verify::{Damage, Fix, Step, Wrong, verify};
use crate::node::serve::now;

/// How often is told how far it is; so soon is also noticed that nobody listens any more.
const EACH: Duration = Duration::from_millis(250);

/// Reads everything again.
#[derive(Debug)]
pub struct Reread {
    /// What there is.
    pub repository: Repository,
    /// Which spaces there are.
    pub register: Register,
}

impl Verifier for Reread {
    fn verify(&self, fix: bool, told: &mut dyn FnMut(Answer) -> ControlFlow<()>) -> Result<(), Fault> {
        let drops = self.register.drops();
        let Repository { catalogue, store } = &self.repository;
        let (now, since) = (now(), now() * 1000);
        let hub = Rebuild { catalogue, store: &**store, drops: &drops, now, since };
        let fix = if fix { Fix::Catalogue } else { Fix::Nothing };
        let (mut files, mut bytes, mut last) = (0, 0, Instant::now());
        let done = verify(&hub, fix, &mut |step| {
            let answer = match step {
                Step::Damaged(damage) => Some(finding(damage)),
                Step::Whole => {
                    files += 1;
                    None
                }
                Step::Read(more) => {
                    bytes += more;
                    None
                }
            };
            let due = (last.elapsed() >= EACH).then(|| {
                last = Instant::now();
                Answer::Checked { files, bytes }
            });
            let goes_on = [answer, due].into_iter().flatten().all(|answer| told(answer).is_continue());
            if goes_on { Go::On } else { Go::Stop }
        })?;
        let _ = told(Answer::Checked { files: done.files + done.versions, bytes: done.bytes });
        Ok(())
    }
}

/// What was put there by hand, or is gone by hand, is no damage; what nobody can have wanted is.
fn finding(Damage { path, version, wrong }: Damage) -> Answer {
    let of = version.map_or_else(String::new, |id| format!(" (kept version {id})"));
    let (what, text, damage) = match (wrong, version.is_some()) {
        (Wrong::Rotted, _) => ("damaged", "its bytes are others, and nobody changed them".to_owned(), true),
        (Wrong::Unreadable(fault), _) => ("unreadable", fault.to_string(), true),
        (Wrong::Missing, true) => ("missing", "it is gone and cannot be restored".to_owned(), true),
        (Wrong::Missing, false) => ("missing", "it is gone, by hand".to_owned(), false),
        (Wrong::Unknown, true) => ("unknown", "it was not known".to_owned(), false),
        (Wrong::Unknown, false) => ("unknown", "put there or changed by hand, or not read before".to_owned(), false),
    };
    Answer::Finding { path, what: what.into(), text: PeerText::new(format!("{text}{of}")), damage }
}
