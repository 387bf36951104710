//! Which hub is meant, and how it is asked: by its socket, or by its folder where it does not run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::resting::Resting;
use crate::base::fault::FaultKind;
use crate::base::id::PeerId;
use crate::cli::context::Context;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::ui::prompt::Keyboard;
use crate::disk::state::State;
use crate::hub::control::message::{Answer, Request};
use crate::hub::control::socket::{self, Answers};
use crate::hub::status::About;
use crate::link::key::Key;

/// Which hub is meant.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// The hub of this folder; else the one that runs on this machine
    #[arg(long, value_name = "DIR", global = true)]
    pub dir: Option<PathBuf>,
}

/// Whether a hub must run to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// It must.
    Needed,
    /// Its folder is enough, where that is named.
    Spared,
}

/// A hub that answers.
#[derive(Debug)]
pub enum Reached {
    /// It runs, and this is its socket.
    Runs(PathBuf, About),
    /// It does not run; this process answers for it.
    Rests(Arc<Resting>),
}

impl Reached {
    /// Finds the hub that is meant.
    ///
    /// # Errors
    /// [`Exit::NotFound`] where none runs, or several do and none is named.
    pub async fn find(context: &Context, which: &Which, running: Running) -> Result<Self, Failure> {
        match &which.dir {
            Some(dir) => Self::of_folder(context, dir, running).await,
            None => Self::only_one(context).await,
        }
    }

    async fn only_one(context: &Context) -> Result<Self, Failure> {
        let mut running = socket::running(&context.folders.sockets).await;
        match (running.pop(), running.is_empty()) {
            (Some((path, about)), true) => Ok(Self::Runs(path, about)),
            (Some((_, last)), false) => {
                let all: Vec<String> = running.iter().map(|(_, about)| about).chain([&last]).map(described).collect();
                Err(Failure::new(Exit::NotFound, "several hubs run on this machine")
                    .cause(format!("there are {}", all.join(", ")))
                    .hint("name one by its folder: --dir DIR"))
            }
            (None, _) => Err(Failure::new(Exit::NotFound, "no hub of yours runs on this machine")
                .hint("start one with: ftx hub DIR; or name the folder of one: --dir DIR")),
        }
    }

    async fn of_folder(context: &Context, dir: &Path, running: Running) -> Result<Self, Failure> {
        let id = id_of(dir)?;
        for folder in &context.folders.sockets {
            let path = socket::path(folder, &id);
            if let Ok(Some(Answer::About(about))) = first(&path).await {
                return Ok(Self::Runs(path, about));
            }
        }
        if running == Running::Needed {
            let shown = dir.display();
            return Err(Failure::new(Exit::NotFound, format!("no hub of yours runs in {shown}"))
                .hint(format!("start it with: ftx hub {shown}")));
        }
        let (dir, name) = (dir.to_owned(), context.me.name.clone());
        let opened = tokio::task::spawn_blocking(move || Resting::open(&dir, &name, id)).await;
        match opened {
            Ok(Ok(resting)) => {
                resting.told.iter().for_each(|told| context.printer.warn(told));
                Ok(Self::Rests(Arc::new(resting)))
            }
            Ok(Err(fault)) if fault.kind == FaultKind::Busy => Err(Failure::new(Exit::Unreachable, fault.to_string())
                .cause("its hub is just starting, or somebody else runs it")
                .hint("try again in a moment, as the user who runs it")),
            Ok(Err(fault)) => Err(Failure::local(&fault)),
            Err(_) => Err(Failure::new(Exit::Other, "the folder cannot be opened")),
        }
    }

    /// Which hub it is.
    pub fn about(&self) -> &About {
        match self {
            Self::Runs(_, about) => about,
            Self::Rests(resting) => resting.about(),
        }
    }

    /// Asks it.
    ///
    /// # Errors
    /// Where it has ended meanwhile.
    pub async fn ask(&self, request: Request) -> Result<Answers, Failure> {
        match self {
            Self::Runs(path, _) => socket::ask(path, request).await.map_err(|fault| Failure::local(&fault)),
            Self::Rests(resting) => Ok(Answers::of(resting.clone(), request)),
        }
    }

    /// Asks it, and waits for all that it answers.
    ///
    /// # Errors
    /// What it says that failed.
    pub async fn all(&self, request: Request) -> Result<Vec<Answer>, Failure> {
        let mut answers = self.ask(request).await?;
        let mut all = Vec::new();
        while let Some(answer) = answers.next().await.map_err(|fault| Failure::local(&fault))? {
            all.push(answer);
        }
        Ok(all)
    }
}

async fn first(path: &Path) -> Result<Option<Answer>, crate::base::fault::Fault> {
    socket::ask(path, Request::About).await?.next().await
}

fn id_of(dir: &Path) -> Result<PeerId, Failure> {
    let state = State::new(dir.join(".ftx"));
    if !state.key_file().exists() {
        let shown = dir.display();
        return Err(Failure::new(Exit::NotFound, format!("{shown} is no hub's folder"))
            .hint(format!("make it one with: ftx hub {shown}")));
    }
    let bytes = state.key(|| None).map_err(|fault| Failure::local(&fault))?;
    let key = Key::from_pkcs8(&bytes);
    let broken = |fault| Failure::new(Exit::Disk, format!("{}: {fault}", state.key_file().display()));
    key.map(|key| key.public().id()).map_err(broken)
}

fn described(about: &About) -> String {
    format!("{}~{} in {}", about.name, about.id.short(), about.dir)
}

/// That a person agrees: asked here, or said with the command where there is no terminal.
///
/// # Errors
/// [`Exit::Usage`] where nobody can be asked; [`Exit::Declined`] where the answer is no.
pub async fn agreed(context: &Context, yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let Some(mut keyboard) = Keyboard::open() else {
        return Err(Failure::new(Exit::Usage, "there is no terminal to ask at").hint("say that you mean it: -y"));
    };
    let question = format!("{question} [y] yes  [n] no: ");
    match keyboard.ask(&context.printer, &question, &[("yes", true), ("no", false)]).await {
        Some(true) => Ok(()),
        _ => Err(Failure::new(Exit::Declined, "nothing has changed")),
    }
}
