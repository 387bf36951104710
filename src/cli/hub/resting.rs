//! A hub that does not run: this process has its folder, and answers for it.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::run::built_anew;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::PeerId;
use crate::base::text::PeerText;
use crate::hub::activity::Activity;
use crate::hub::catalogue::{Catalogue, Found};
use crate::hub::control::Handler;
use crate::hub::control::desk::Desk;
use crate::hub::control::holdings::Repository;
use crate::hub::control::message::{Answer, Request};
use crate::hub::rebuild::Rebuild;
use crate::hub::register::{Records, Register};
use crate::hub::status::About;
use crate::hub::store::Folder;
use crate::node::serve::now;

/// A hub that does not run.
#[derive(Debug)]
pub struct Resting {
    /// What is to be told of its catalogue.
    pub told: Option<String>,
    desk: Desk,
    _lock: File,
}

impl Resting {
    /// Opens its folder; `name` is what it would be called.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] where another process has it; a disk fault.
    pub fn open(dir: &Path, name: &str, id: PeerId) -> Result<Self, Fault> {
        let own = dir.join(".ftx");
        let failed = |error: std::io::Error| Fault::disk(format!("opening {}", own.display()), &error);
        let lock = File::options().create(true).truncate(false).write(true).open(own.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Fault::new(FaultKind::Busy, format!("somebody uses {}", dir.display())));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let store = Arc::new(Folder::open(dir)?);
        let register = Register::open(&own)?;
        let (catalogue, found) = Catalogue::open(&own)?;
        let told = built_anew(&found, &register);
        if found != Found::Continued {
            // Else the hub would take it for whole when it starts.
            let (drops, left) = (register.read(Records::drops), catalogue.pending()?);
            let since = now() * 1000;
            Rebuild { catalogue: &catalogue, store: &*store, drops: &drops, now: now(), since }
                .at_start(&left, &mut |_| {})?;
        }
        let about = About {
            name: PeerText::new(name),
            id,
            dir: PeerText::new(dir.display().to_string()),
            port: None,
            since: 0,
        };
        let desk = Desk {
            about,
            register,
            holdings: Arc::new(Repository { catalogue, store }),
            activity: Activity::default(),
            verifier: None,
            courier: None,
            events: None,
        };
        Ok(Self { told, desk, _lock: lock })
    }

    /// Which hub it is.
    pub fn about(&self) -> &About {
        &self.desk.about
    }
}

impl Handler for Resting {
    fn answer(
        &self,
        request: Request,
        answers: &mpsc::Sender<Answer>,
    ) -> impl Future<Output = Result<(), Fault>> + Send {
        self.desk.answer(request, answers)
    }
}
