//! Whether the kernel keeps a node to its folders: tried, in a thread that ends with the trial.

use std::path::{Path, PathBuf};

use super::finding::{Area, Finding};
use crate::cli::config::Folders;
use crate::disk::confine::{Held, Trial, trial};
use crate::disk::state::State;

/// Tries it with files of ours, where there are any.
pub(super) fn check(folders: &Folders, state: &State) -> Finding {
    if !cfg!(target_os = "linux") {
        return Finding::note(
            Area::Confinement,
            "ftx up and ftx hub confine themselves to their folders on Linux only",
        );
    }
    let candidates = [state.key_file(), state.book_file(), folders.config.join("config.toml")];
    // Without a file of ours, one that everybody may read.
    let outside = candidates.into_iter().find(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("/etc/passwd"));
    match trial(Path::new("/dev"), &outside) {
        Ok(trial) => told(&trial),
        Err(error) => {
            let error = crate::base::fault::plain(&error);
            Finding::note(Area::Confinement, format!("the confinement could not be tried: {error}"))
        }
    }
}

fn told(trial: &Trial) -> Finding {
    let note = |text: String| Finding::note(Area::Confinement, text);
    match &trial.held {
        Held::No(why) => note(format!("ftx up and ftx hub run unconfined: {why}"))
            .hint("they work all the same; a flaw in ftx could then reach all that you may"),
        Held::Unknown => note("ftx up and ftx hub run unconfined here".to_owned()),
        Held::Yes { version, .. } if !trial.escaped.is_empty() => {
            note(format!("Landlock (version {version}) is there and does not hold: {}", trial.escaped.join("; ")))
                .hint("do not rely on it; please tell the makers of ftx about this kernel")
        }
        Held::Yes { version, lacks, .. } => {
            let text = format!(
                "ftx up and ftx hub are confined to their folders: tried, and it holds (Landlock, version {version})"
            );
            match lacks.as_slice() {
                [] => Finding::ok(Area::Confinement, text),
                _ => note(format!("{text}; this kernel is too old to keep from them: {}", lacks.join(", "))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    #[test]
    fn that_it_does_not_hold_is_never_told_as_well() {
        let held = |lacks: &[&'static str]| Held::Yes { version: 7, lacks: lacks.to_vec(), missing: vec![] };
        let told = |held, escaped: &[&str]| {
            let escaped = escaped.iter().map(|&text| text.to_owned()).collect();
            told(&Trial { held, escaped })
        };
        assert_eq!(told(held(&[]), &[]).level, Level::Ok);
        for finding in
            [told(held(&[]), &["x could be read"]), told(held(&["signals"]), &[]), told(Held::No("old".into()), &[])]
        {
            assert_eq!(finding.level, Level::Note, "{finding:?}");
        }
    }
}
