//! `ftx rm`: remove at a hub, where it stays restorable for a time.

use clap::Args;
use serde_json::json;

use super::at_hub::{self, Done};
use super::context::Context;
use super::outcome::{Exit, Failure, of_all};
use super::ui::prompt::Keyboard;
use super::ui::units::count;
use crate::base::path::RelPath;
use crate::base::target::PeerRef;
use crate::wire::hub::Verb;
use crate::wire::limits::{MAX_WANTED, PAGE_BYTES};

/// What is typed instead of nonsense.
const EXAMPLE: &str = "ftx rm lab-hub:shared/old.pdf";

/// Remove files and folders at a hub.
///
/// What was removed stays restorable for a time: ftx restore. A folder needs -r, and at a terminal you
/// are asked once.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ftx rm lab-hub:shared/old.pdf\n  ftx rm -r lab-hub:shared/week1 lab-hub:shared/week2"
)]
pub struct Rm {
    /// What: HUB:PATH
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Also folders, with everything in them
    #[arg(short, long)]
    pub recursive: bool,
    /// Ask nothing
    #[arg(short, long)]
    pub yes: bool,
}

/// Removes.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Rm) -> Result<Exit, Failure> {
    let all = at_hub::places(&command.targets, EXAMPLE)?;
    let keyboard = if command.recursive && !command.yes { Keyboard::open() } else { None };
    if !command.recursive || keyboard.is_some() {
        let mut folders = Vec::new();
        for (peer, paths) in &all {
            for path in paths {
                if is_folder(context, peer, path).await? {
                    folders.push(format!("{peer}:{path}"));
                }
            }
        }
        if !folders.is_empty() {
            agree(context, &folders, keyboard).await?;
        }
    }
    let (several, mut exits) = (all.len() > 1, Vec::new());
    for (peer, paths) in all {
        exits.push(match remove(context, &peer, paths).await {
            // What one of several hubs refuses does not keep the others from it.
            Err(failure) if several && failure.exit != Exit::Interrupted => context.printer.failure(&failure),
            removed => removed.map(|()| Exit::Done)?,
        });
    }
    Ok(of_all(&exits))
}

/// Whether a path at a hub is a folder.
async fn is_folder(context: &Context, peer: &PeerRef, path: &RelPath) -> Result<bool, Failure> {
    let look = Verb::Look { path: Some(path.clone()), deep: false, sha256: false };
    let Done { told, .. } = at_hub::done(context, peer, look).await?;
    let itself = told.items.iter().find(|item| item.path == *path);
    // Of a folder what is in it is told.
    Ok(itself.is_none_or(|item| item.kind.is_folder()))
}

async fn agree(context: &Context, folders: &[String], keyboard: Option<Keyboard>) -> Result<(), Failure> {
    let named = folders.join(", ");
    let Some(mut keyboard) = keyboard else {
        let is = if folders.len() == 1 { "is a folder" } else { "are folders" };
        return Err(Failure::new(Exit::Usage, format!("{named} {is}; nothing was removed"))
            .hint("with -r a folder is removed with everything in it"));
    };
    let question = format!("remove {named} with everything in it? [y] yes  [n] no: ");
    let answer = tokio::select! {
        answer = keyboard.ask(&context.printer, &question, &[("yes", true), ("no", false)]) => answer,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was removed")),
    };
    if answer == Some(true) { Ok(()) } else { Err(Failure::new(Exit::Declined, "nothing was removed")) }
}

async fn remove(context: &Context, peer: &PeerRef, paths: Vec<RelPath>) -> Result<(), Failure> {
    for some in requests(paths) {
        let done = at_hub::done(context, peer, Verb::Remove(some.clone())).await?;
        let files = done.told.files;
        let named = count(usize::try_from(files).unwrap_or(usize::MAX), "file", "files");
        let line = format!("removed at {}: {named}; ftx restore brings back what you miss", done.shown);
        let paths: Vec<&str> = some.iter().map(RelPath::as_str).collect();
        context.printer.result(&line, || done.object("removed", json!({ "paths": paths, "files": files })));
    }
    Ok(())
}

/// As many at once as fit one request.
fn requests(paths: Vec<RelPath>) -> Vec<Vec<RelPath>> {
    let mut requests: Vec<Vec<RelPath>> = Vec::new();
    let mut room = 0;
    for path in paths {
        let weight = path.as_str().len() + 3;
        match requests.last_mut() {
            Some(request) if weight <= room && request.len() < MAX_WANTED => {
                room -= weight;
                request.push(path);
            }
            _ => {
                room = PAGE_BYTES.saturating_sub(weight);
                requests.push(vec![path]);
            }
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_are_named_each_request_has_room_for_its_paths() {
        let path = |n: usize| RelPath::parse(&format!("{}/{n}", "d".repeat(n % 250 + 1))).unwrap();
        let paths: Vec<RelPath> = (0..1000).map(path).collect();
        let cut = requests(paths.clone());
        assert_eq!(cut.concat(), paths);
        assert!(cut.len() > 3);
        for request in cut {
            assert!(request.len() <= MAX_WANTED);
            assert!(request.iter().map(|path| path.as_str().len() + 3).sum::<usize>() <= PAGE_BYTES);
        }
    }
}
