//! What of a tree is left out because somebody asked for it: by globs, and by what git ignores.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_fs_ext::DirExt;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::open;

/// Longest file of patterns that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Whether what git ignores is left out.
#[derive(Debug, Clone)]
pub enum Ignored {
    /// It is sent.
    Sent,
    /// It is left out, and `.git` with it; these patterns hold everywhere.
    LeftOut(Gitignore),
}

/// What is left out of what is sent.
#[derive(Debug, Clone)]
pub struct Excludes {
    globs: Arc<Gitignore>,
    ignored: Arc<Ignored>,
}

/// A glob that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{glob:?} is no glob: {why}")]
pub struct GlobFault {
    glob: String,
    why: String,
}

impl Default for Excludes {
    fn default() -> Self {
        Self { globs: Arc::new(Gitignore::empty()), ignored: Arc::new(Ignored::Sent) }
    }
}

impl Excludes {
    /// Leaves out what these globs match, written as in a `.gitignore`.
    ///
    /// # Errors
    /// The first that is no glob.
    pub fn new(globs: &[String], ignored: Ignored) -> Result<Self, GlobFault> {
        let mut builder = GitignoreBuilder::new(".");
        builder.allow_unclosed_class(false);
        let fault = |glob: &str, why: String| GlobFault { glob: glob.to_owned(), why };
        for glob in globs {
            if glob.trim_end().is_empty() || glob == "!" || glob.trim_matches('/').is_empty() {
                return Err(fault(glob, "it is empty".to_owned()));
            }
            // Nobody writes a comment on the command line, but Emacs names files #like this#.
            let line = if glob.starts_with('#') { format!("\\{glob}") } else { glob.clone() };
            builder.add_line(None, &line).map_err(|error| fault(glob, why(&error)))?;
        }
        let globs = builder.build().map_err(|error| fault(&globs.join(" "), why(&error)))?;
        Ok(Self { globs: Arc::new(globs), ignored: Arc::new(ignored) })
    }

    /// Whether something that is named itself is left out: by a glob only. What somebody names is
    /// meant, even where git ignores it.
    pub(super) fn name_out(&self, name: &OsStr, is_folder: bool) -> bool {
        self.globs.matched(Path::new(name), is_folder).is_ignore()
    }
}

fn why(error: &ignore::Error) -> String {
    match error {
        ignore::Error::Glob { err, .. } => err.clone(),
        other => other.to_string(),
    }
}

/// What is left out at one place of a walk: the globs, and the ignore files met on the way there.
#[derive(Debug)]
pub(super) struct Rules {
    excludes: Excludes,
    levels: Vec<Level>,
    /// Where the walk is, from the outermost folder whose ignore files count.
    path: PathBuf,
    depth: usize,
    /// How deep the folder is that the globs are relative to.
    base: usize,
}

/// The ignore files of one folder.
#[derive(Debug)]
struct Level {
    depth: usize,
    /// Its `.ignore`.
    own: Gitignore,
    /// Its `.gitignore`.
    git: Gitignore,
    /// `.git/info/exclude`.
    repository: Gitignore,
    /// Whether a repository begins here: what git ignores outside it does not count.
    begins: bool,
}

impl Rules {
    /// The rules for an item in the folder `above`, if that is known by its path: there what git
    /// ignores is said also by the folders above, up to the repository's own.
    pub(super) fn above(excludes: &Excludes, above: Option<&Path>) -> Self {
        let excludes = excludes.clone();
        let mut rules = Self { excludes, levels: Vec::new(), path: PathBuf::new(), depth: 0, base: 0 };
        let Some(above) = above.filter(|_| rules.minds_git()) else { return rules };
        let top = above.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok());
        let Some(below) = top.and_then(|top| above.strip_prefix(top).ok()) else { return rules };
        let mut folder = top.map(Path::to_owned).unwrap_or_default();
        rules.read_at(&folder);
        for name in below {
            folder.push(name);
            rules.path.push(name);
            rules.depth += 1;
            rules.read_at(&folder);
        }
        rules.base = rules.depth;
        rules
    }

    fn minds_git(&self) -> bool {
        matches!(*self.excludes.ignored, Ignored::LeftOut(_))
    }

    fn read_at(&mut self, folder: &Path) {
        if let Ok(dir) = Dir::open_ambient_dir(folder, ambient_authority()) {
            self.read(&dir);
        }
    }

    /// Goes into the item itself: the globs are relative to it.
    pub(super) fn begin(&mut self, dir: &Dir, name: &OsStr) {
        self.enter(dir, name);
        self.base = self.depth;
    }

    /// Goes into a folder.
    pub(super) fn enter(&mut self, dir: &Dir, name: &OsStr) {
        self.path.push(name);
        self.depth += 1;
        if self.minds_git() {
            self.read(dir);
        }
    }

    /// Comes back out of it.
    pub(super) fn leave(&mut self) {
        self.path.pop();
        self.levels.pop_if(|level| level.depth == self.depth);
        self.depth -= 1;
    }

    /// Whether a child of the folder the walk is in is left out.
    pub(super) fn leave_out(&mut self, name: &OsStr, is_folder: bool) -> bool {
        if self.excludes.globs.is_empty() && !self.minds_git() {
            return false;
        }
        self.path.push(name);
        let out = self.decide(name, is_folder);
        self.path.pop();
        out
    }

    /// A glob typed now beats `.ignore`, that beats `.gitignore`; a deeper file beats the ones above.
    fn decide(&self, name: &OsStr, is_folder: bool) -> bool {
        match verdict(self.excludes.globs.matched(self.below(self.base), is_folder)) {
            Some(out) => return out,
            None if name == ".git" && self.minds_git() => return true,
            None => {}
        }
        let Ignored::LeftOut(everywhere) = &*self.excludes.ignored else { return false };
        let says = |level: &Level, which: fn(&Level) -> &Gitignore| {
            verdict(which(level).matched(self.below(level.depth), is_folder))
        };
        let deepest_first = || self.levels.iter().rev();
        let inside = deepest_first().position(|level| level.begins).map_or(usize::MAX, |at| at + 1);
        let git = || deepest_first().take(inside);
        deepest_first()
            .find_map(|level| says(level, |level| &level.own))
            .or_else(|| git().find_map(|level| says(level, |level| &level.git)))
            .or_else(|| git().find_map(|level| says(level, |level| &level.repository)))
            .or_else(|| verdict(everywhere.matched(&self.path, is_folder)))
            .unwrap_or(false)
    }

    /// The path from a folder that is `depth` deep.
    fn below(&self, depth: usize) -> PathBuf {
        self.path.components().skip(depth).collect()
    }

    fn read(&mut self, dir: &Dir) {
        let git = dir.symlink_metadata(".git");
        let info = git.as_ref().is_ok_and(cap_std::fs::Metadata::is_dir);
        let info = info.then(|| dir.open_dir_nofollow(".git").and_then(|git| git.open_dir_nofollow("info")).ok());
        let level = Level {
            depth: self.depth,
            own: patterns(dir, ".ignore"),
            git: patterns(dir, ".gitignore"),
            repository: info.flatten().map_or_else(Gitignore::empty, |info| patterns(&info, "exclude")),
            begins: git.is_ok(),
        };
        let says_nothing = level.own.is_empty() && level.git.is_empty() && level.repository.is_empty();
        if level.begins || !says_nothing {
            self.levels.push(level);
        }
    }
}

fn verdict<T>(matched: Match<T>) -> Option<bool> {
    match matched {
        Match::None => None,
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
    }
}

/// The patterns of a file; as git does, lines that are none are passed over.
fn patterns(dir: &Dir, name: &str) -> Gitignore {
    // Looked at first: opening a pipe of that name would wait for ever.
    if !dir.symlink_metadata(name).is_ok_and(|metadata| metadata.is_file()) {
        return Gitignore::empty();
    }
    let Ok(file) = open::to_read(dir, name) else { return Gitignore::empty() };
    let mut builder = GitignoreBuilder::new(".");
    for line in BufReader::new(file.take(LONGEST)).split(b'\n').map_while(Result::ok) {
        if let Ok(line) = str::from_utf8(&line) {
            let line = line.trim_start_matches('\u{feff}').trim_end_matches('\r');
            let _ = builder.add_line(None, line);
        }
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::item::Item;
    use crate::disk::source::{Go, Passed, Source};

    /// What is sent and what is left out of `home/tree`.
    fn walked(home: &Path, excludes: Excludes) -> (Vec<String>, Vec<String>) {
        let source = Source::new(vec![Item::named(&home.join("tree")).unwrap()]).excluding(excludes);
        let (mut sent, mut out) = (Vec::new(), Vec::new());
        source.walk(|one| {
            match one {
                Ok(found) => sent.push(found.entry.path.to_string()),
                Err(Passed::Excluded { fault }) => out.push(fault.to_string()),
                Err(other) => panic!("{other:?}"),
            }
            Go::On
        });
        (sent, out)
    }

    fn home(files: &[(&str, &str)]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        home
    }

    fn globs(globs: &[&str]) -> Excludes {
        let globs: Vec<String> = globs.iter().map(ToString::to_string).collect();
        Excludes::new(&globs, Ignored::Sent).unwrap()
    }

    fn as_git_does() -> Excludes {
        Excludes::new(&[], Ignored::LeftOut(Gitignore::empty())).unwrap()
    }

    #[test]
    fn globs_are_read_as_in_a_gitignore_of_the_folder_that_is_sent() {
        let files =
            ["tree/a.o", "tree/b", "tree/target/x", "tree/sub/c.o", "tree/sub/keep.o", "tree/sub/b", "tree/#e#"];
        let home = home(&files.map(|path| (path, "")));
        let (sent, out) = walked(home.path(), globs(&["*.o", "!keep.o", "target/", "/b", "#e#"]));
        assert_eq!(sent, ["tree", "tree/sub", "tree/sub/b", "tree/sub/keep.o"]);
        assert_eq!(out, ["tree/#e#", "tree/a.o", "tree/b", "tree/sub/c.o", "tree/target/"]);
        let (sent, _) = walked(home.path(), globs(&["sub/*.o"]));
        assert!(sent.contains(&"tree/a.o".to_owned()) && !sent.contains(&"tree/sub/c.o".to_owned()), "{sent:?}");
    }

    #[test]
    fn what_is_named_itself_is_left_out_by_its_name() {
        let home = home(&[("tree/x", "")]);
        let (sent, out) = walked(home.path(), globs(&["tree/"]));
        assert!(sent.is_empty());
        assert_eq!(out, ["tree"]);
    }

    #[test]
    fn what_is_no_glob_is_told() {
        for bad in ["", "[", "a{b", "!", "/"] {
            assert!(Excludes::new(&[bad.to_owned()], Ignored::Sent).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_git_ignores_is_what_it_says_from_the_repository_down() {
        let home = home(&[
            (".gitignore", "nothing-outside-a-repository\n*.c"),
            ("tree/.gitignore", "\u{feff}*.o\r\n/only-here\n!kept.o\n["),
            ("tree/.git/info/exclude", "private"),
            ("tree/.git/HEAD", "ref"),
            ("tree/.ignore", "!wanted.o"),
            ("tree/a.c", ""),
            ("tree/a.o", ""),
            ("tree/kept.o", ""),
            ("tree/wanted.o", ""),
            ("tree/only-here", ""),
            ("tree/private", ""),
            ("tree/sub/.gitignore", "kept.o"),
            ("tree/sub/kept.o", ""),
            ("tree/sub/only-here", ""),
            ("tree/inner/.git", "gitdir: elsewhere"),
            ("tree/inner/b.o", ""),
        ]);
        let (sent, out) = walked(home.path(), as_git_does());
        let out_too =
            ["tree/.git/", "tree/a.o", "tree/inner/.git", "tree/only-here", "tree/private", "tree/sub/kept.o"];
        assert_eq!(out, out_too);
        for path in ["tree/.gitignore", "tree/a.c", "tree/kept.o", "tree/wanted.o", "tree/sub/only-here"] {
            assert!(sent.contains(&path.to_owned()), "{path}: {sent:?}");
        }
        assert!(sent.contains(&"tree/inner/b.o".to_owned()), "another repository has its own rules: {sent:?}");
    }

    #[test]
    fn folders_above_the_one_that_is_sent_count_up_to_their_repository() {
        let home = home(&[
            (".git/HEAD", ""),
            (".gitignore", "*.o\n/tree/x"),
            ("tree/a.o", ""),
            ("tree/x", ""),
            ("tree/b", ""),
        ]);
        let (sent, out) = walked(home.path(), as_git_does());
        assert_eq!(sent, ["tree", "tree/b"]);
        assert_eq!(out, ["tree/a.o", "tree/x"]);
    }

    #[test]
    fn what_is_typed_now_beats_what_git_ignores() {
        let home = home(&[("tree/.gitignore", "*.o"), ("tree/a.o", ""), ("tree/b.o", "")]);
        let excludes = Excludes::new(&["!a.o".to_owned()], Ignored::LeftOut(Gitignore::empty())).unwrap();
        assert_eq!(walked(home.path(), excludes).1, ["tree/b.o"]);
    }
}
