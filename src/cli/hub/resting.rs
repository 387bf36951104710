//! A hub that does not run: this process has its folder, and answers for it.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::opened::Opened;
use crate::base::fault::Fault;
use crate::base::text::PeerText;
use crate::cli::context::Context;
use crate::cli::outcome::Failure;
use crate::hub::activity::Activity;
use crate::hub::control::Handler;
use crate::hub::control::desk::Desk;
use crate::hub::control::holdings::Repository;
use crate::hub::control::message::{Answer, Request};
use crate::hub::control::reread::Reread;
use crate::hub::status::About;

/// A hub that does not run.
#[derive(Debug)]
pub struct Resting {
    desk: Desk,
    _opened: Opened,
}

impl Resting {
    /// Answers for a hub whose folder is open.
    ///
    /// # Errors
    /// Where its key cannot be read.
    pub fn new(context: &Context, opened: Opened) -> Result<Self, Failure> {
        let me = opened.who(context)?;
        let about = About {
            name: PeerText::new(me.name),
            id: me.key.public().id(),
            dir: PeerText::new(opened.dir.display().to_string()),
            port: None,
            since: 0,
        };
        let repository = Repository { catalogue: opened.catalogue.clone(), store: opened.store.clone() };
        let desk = Desk {
            about,
            register: opened.register.clone(),
            holdings: Arc::new(repository.clone()),
            activity: Activity::default(),
            verifier: Some(Arc::new(Reread { repository, register: opened.register.clone() })),
            courier: None,
            events: None,
        };
        Ok(Self { desk, _opened: opened })
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
