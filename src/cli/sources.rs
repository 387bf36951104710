//! What is sent: files and folders that are named, standard input, a text, and what is left out of it.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use ignore::gitignore::Gitignore;

use super::outcome::{Exit, Failure};
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::Name;
use crate::base::text::PeerText;
use crate::disk::excludes::{Excludes, Ignored};
use crate::disk::item::Item;
use crate::disk::source::Source;

/// What is sent besides files that are named, and what of those is not.
#[derive(Debug, Args)]
pub struct What {
    /// The name for what comes from standard input, or for the text
    #[arg(long = "as", value_name = "NAME")]
    pub rename: Option<String>,
    /// Send this text, as a small file
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Leave out what this glob matches, written as in a .gitignore of each folder that is sent
    /// (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Leave out what git ignores, and .git: by .gitignore and .ignore files, .git/info/exclude
    /// and core.excludesFile
    #[arg(long)]
    pub gitignore: bool,
}

impl What {
    /// What is named with these paths; `example` is what to type instead of what makes no sense.
    ///
    /// # Errors
    /// Where something that is named is not there, or makes no sense.
    pub fn source(&self, paths: &[OsString], example: &str) -> Result<Source, Failure> {
        let usage = |text: &str| Failure::new(Exit::Usage, text).hint(format!("for example: {example}"));
        let name = |otherwise: &str| match &self.rename {
            Some(name) => Name::parse(name).map_err(|fault| usage(&format!("--as: {fault}"))),
            None => Ok(Name::from_local(otherwise).0),
        };
        let mut items = Vec::with_capacity(paths.len() + 1);
        let (mut missing, mut unreadable) = (Vec::new(), Vec::new());
        for path in paths {
            if path == "-" {
                items.push(Item::Stdin { name: name("stdin")? });
                continue;
            }
            match Item::named(Path::new(path)) {
                Ok(item) => items.push(item),
                Err(fault) if fault.kind == FaultKind::Disk => unreadable.push((path, fault)),
                Err(fault) => missing.push((path, fault)),
            }
        }
        let nothing = items.is_empty() && self.text.is_none();
        if !missing.is_empty() || nothing {
            let exit = if missing.is_empty() { Exit::Disk } else { Exit::Other };
            let all = missing.iter().chain(&unreadable);
            let all: Vec<String> = all.map(|(path, fault)| format!("{}: {fault}", Path::new(path).display())).collect();
            return Err(Failure::new(exit, all.join("; "))
                .cause("nothing was sent")
                .hint("check the names and try again"));
        }
        if let Some(text) = &self.text {
            items.push(Item::Text { name: name("text.txt")?, bytes: Arc::from(text.clone().into_bytes()) });
        }
        if self.rename.is_some() && items.iter().all(|item| matches!(item, Item::Path { .. })) {
            return Err(usage("--as names what comes from standard input, or a text; files keep their names"));
        }
        if items.iter().filter(|item| matches!(item, Item::Stdin { .. })).count() > 1 {
            return Err(usage("standard input can be sent once only"));
        }
        // The receiver is told of these, too, and where they are is none of its business.
        let unreadable = unreadable.into_iter().map(|(path, fault)| {
            let own = Path::new(path).file_name().unwrap_or(path);
            Fault::new(fault.kind, format!("{}: {fault}", PeerText::new(own.to_string_lossy())))
        });
        let source = Source::new(items).without(unreadable.collect()).excluding(excludes(self)?);
        if source.names().next().is_none() {
            return Err(Failure::new(Exit::Other, "--exclude leaves out everything that is named; nothing was sent"));
        }
        Ok(source)
    }
}

fn excludes(what: &What) -> Result<Excludes, Failure> {
    Excludes::new(&what.exclude, ignored(what.gitignore)).map_err(|fault| {
        Failure::new(Exit::Usage, format!("--exclude: {fault}")).hint("for example: --exclude '*.o' --exclude target/")
    })
}

/// What `--gitignore` stands for. Where git has a list for this user is read here: it depends on
/// the home folder.
fn ignored(gitignore: bool) -> Ignored {
    if gitignore { Ignored::LeftOut(Gitignore::global().0) } else { Ignored::Sent }
}
