//! `ftx versions` and `ftx restore`: what a hub kept, and bringing it back.

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::at_hub::{self, Done};
use super::context::Context;
use super::outcome::{Exit, Failure};
use super::ui::units::{bytes, count, when};
use crate::base::manifest::Stamp;
use crate::base::path::{Name, RelPath};
use crate::base::target::PeerRef;
use crate::wire::hub::{Verb, Version, VersionId};

/// Fewest characters of an id that are shown.
const SHORT: usize = 8;

/// Characters of a whole id.
const WHOLE: usize = 32;

/// List what a hub kept of a file, or of what was in a folder.
///
/// What is replaced or removed at a hub is kept for a time. Newest first; ftx restore brings one back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx versions lab-hub:shared/report.pdf\n  ftx versions lab-hub:shared/week1")]
pub struct Versions {
    /// Of what: HUB:PATH
    pub target: String,
}

/// Bring back what a hub kept of a file or folder.
///
/// The newest version, or one of those that ftx versions shows. What is there now is kept in turn.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ftx restore lab-hub:shared/report.pdf\n  ftx restore lab-hub:shared/report.pdf --version 01993f2a"
)]
pub struct Restore {
    /// What: HUB:PATH
    pub target: String,
    /// Which: the beginning of its id, as ftx versions shows it
    #[arg(long = "version", value_name = "ID")]
    pub which: Option<String>,
}

/// Lists versions.
///
/// # Errors
/// See [`Failure`].
pub async fn versions(context: &Context, command: Versions) -> Result<Exit, Failure> {
    let (peer, path) = at_hub::place(&command.target, "ftx versions lab-hub:shared/report.pdf")?;
    let Done { told, .. } = at_hub::done(context, &peer, Verb::Versions(path.clone())).await?;
    let printer = &context.printer;
    let shown = distinct(&told.versions);
    for version in &told.versions {
        printer.result(&line(version, &path, shown), || object(version));
    }
    if told.versions.is_empty() {
        printer.note("nothing is kept of it");
    }
    Ok(Exit::Done)
}

/// How many characters of an id tell all of them apart: those of one minute begin alike.
fn distinct(versions: &[Version]) -> usize {
    let mut ids: Vec<String> = versions.iter().map(|version| version.id.to_string()).collect();
    ids.sort_unstable();
    let alike = |(one, other): (&String, &String)| one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    ids.iter().zip(ids.iter().skip(1)).map(|pair| alike(pair) + 1).max().unwrap_or(0).clamp(SHORT, WHOLE)
}

fn line(version: &Version, asked: &RelPath, shown: usize) -> String {
    let none = || "-".to_owned();
    let id = version.id.to_string();
    let name = |name: &Option<Name>| name.as_ref().map_or_else(none, ToString::to_string);
    let what = if version.replaced { "replaced" } else { "removed" };
    let by = version.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let kept = when(Stamp { seconds: i64::try_from(version.kept).unwrap_or(i64::MAX), nanos: 0 });
    let path = if version.path == *asked { String::new() } else { format!("  {}", version.path) };
    format!(
        "{}  {:>10}  of {}, {}'s, {what} {kept}{by}{path}",
        &id[..shown.min(id.len())],
        bytes(version.size),
        when(version.modified),
        name(&version.owner),
    )
}

fn object(version: &Version) -> Value {
    let name = |name: &Option<Name>| name.as_ref().map(|name| name.as_str().to_owned());
    json!({
        "id": version.id.to_string(),
        "path": version.path.as_str(),
        "size": version.size,
        "modified": version.modified.seconds,
        "owner": name(&version.owner),
        "kept": version.kept,
        "by": name(&version.by),
        "replaced": version.replaced,
        "digest": version.digest.map(|digest| digest.to_string()),
    })
}

/// Brings something back.
///
/// # Errors
/// See [`Failure`].
pub async fn restore(context: &Context, command: Restore) -> Result<Exit, Failure> {
    let (peer, path) = at_hub::place(&command.target, "ftx restore lab-hub:shared/report.pdf")?;
    let (path, version) = match &command.which {
        None => (path, None),
        Some(which) => {
            let prefix = prefix(which)?;
            let (path, id) = meant(context, &peer, path, &prefix).await?;
            (path, Some(id))
        }
    };
    let done = at_hub::done(context, &peer, Verb::Restore { path: path.clone(), version }).await?;
    let (files, now) = (done.told.files, done.told.path.as_ref().unwrap_or(&path));
    let number = count(usize::try_from(files).unwrap_or(usize::MAX), "file", "files");
    let line = format!("restored at {}: {now} ({number})", done.shown);
    let object = json!({
        "path": now.as_str(),
        "files": files,
        "version": version.map(|version| version.to_string()),
    });
    context.printer.result(&line, || done.object("restored", object));
    Ok(Exit::Done)
}

/// The beginning of an id, or all of it, however it was written.
fn prefix(text: &str) -> Result<String, Failure> {
    let plain: String = text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if plain.is_empty() || plain.len() > WHOLE || !plain.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(Failure::new(Exit::Usage, "--version: that is no beginning of an id")
            .cause("an id has up to 32 characters of 0-9 and a-f")
            .hint("ftx versions shows them"));
    }
    Ok(plain)
}

/// The version that is meant, and what it was.
async fn meant(
    context: &Context,
    peer: &PeerRef,
    path: RelPath,
    prefix: &str,
) -> Result<(RelPath, VersionId), Failure> {
    if prefix.len() == WHOLE
        && let Ok(id) = Uuid::parse_str(prefix)
    {
        return Ok((path, VersionId(id)));
    }
    let Done { told, shown, .. } = at_hub::done(context, peer, Verb::Versions(path.clone())).await?;
    let meant: Vec<&Version> =
        told.versions.iter().filter(|version| version.id.to_string().starts_with(prefix)).collect();
    match meant.as_slice() {
        [one] => Ok((one.path.clone(), one.id)),
        [] => {
            Err(Failure::new(Exit::Other, format!("{shown} keeps no version of {path} whose id begins with {prefix}"))
                .hint(format!("ftx versions {peer}:{path} shows what it keeps")))
        }
        several => {
            let ids: Vec<String> = several.iter().take(8).map(|version| version.id.to_string()).collect();
            Err(Failure::new(Exit::Usage, format!("{prefix} is ambiguous: {}", ids.join(", ")))
                .hint("type more of the id"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(id: &str) -> Version {
        Version {
            id: VersionId(Uuid::parse_str(id).unwrap()),
            path: RelPath::parse("shared/a").unwrap(),
            size: 5,
            modified: Stamp { seconds: 0, nanos: 0 },
            owner: None,
            kept: 0,
            by: None,
            replaced: true,
            digest: None,
        }
    }

    #[test]
    fn as_much_of_an_id_is_shown_as_tells_them_apart() {
        let one = version("01993f2a-0000-7000-8000-000000000001");
        let other = version("02993f2a-0000-7000-8000-000000000001");
        let soon = version("01993f2a-0001-7000-8000-000000000001");
        assert_eq!(distinct(&[]), SHORT);
        assert_eq!(distinct(&[one.clone(), other.clone()]), SHORT);
        assert_eq!(distinct(&[soon, other, one]), 12);
    }

    #[test]
    fn an_id_is_typed_with_or_without_its_strokes() {
        assert_eq!(prefix("01993F2A-00").unwrap(), "01993f2a00");
        for bad in ["", "-", "xyz", &"0".repeat(33)] {
            assert_eq!(prefix(bad).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }
}
