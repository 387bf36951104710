//! `ftx hub send`: hand out what the hub holds.

use std::collections::HashMap;

use clap::Args;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::reach::{Reached, Running, Which};
use crate::base::event::{Progress, Stage};
use crate::base::path::RelPath;
use crate::base::target::{PeerRef, Target};
use crate::base::text::PeerText;
use crate::cli::context::Context;
use crate::cli::outcome::{Exit, Failure, of_all};
use crate::cli::receivers::To;
use crate::cli::ui::bars;
use crate::cli::ui::units::{bytes, count};
use crate::hub::control::message::{Answer, Request};
use crate::hub::status::About;

/// Send what the hub holds to peers, in the hub's name, from its own machine.
///
/// The hub must run. It sends to all receivers side by side, and tells of each how it ended; the exit
/// code is that of ftx push.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx hub send lab-hub:shared/slides.pdf alice-laptop,bob-desktop\n  \
    ftx hub send lab-hub:slides/week3 @class\n  ftx hub send shared/slides.pdf --all")]
pub struct Send {
    /// What of the hub, and last, to whom
    #[arg(
        required = true,
        value_name = "TARGET… RECEIVERS",
        help = "What of the hub, as HUB:PATH or PATH, then to whom: names with commas, @GROUP of the configuration"
    )]
    pub args: Vec<String>,
    /// Send to everybody who is here; no receivers are named then
    #[arg(long)]
    pub all: bool,
    /// Which hub.
    #[command(flatten)]
    pub which: Which,
}

/// Has the hub send.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, mut command: Send) -> Result<Exit, Failure> {
    let receivers = if command.all { None } else { command.args.pop() };
    if command.args.is_empty() {
        return Err(usage("one name alone: what is to be sent, or to whom, is missing"));
    }
    receivers.as_deref().map(To::named).transpose()?;
    let hub = Reached::find(context, &command.which, Running::Needed).await?;
    let paths = command.args.iter().map(|target| path_at(target, hub.about())).collect::<Result<_, _>>()?;
    let mut answers = hub.ask(Request::Send { paths, receivers }).await?;
    let (mut exits, mut bars) = (Vec::new(), Bars::new());
    while let Some(answer) = answers.next().await.map_err(|fault| Failure::local(&fault))? {
        match answer {
            Answer::Sending { receiver, stage, bytes, moved: bytes_moved, kept: bytes_kept } => {
                let progress = Progress { stage, bytes, bytes_moved, bytes_kept, ..Progress::default() };
                show(context, &mut bars, &receiver, progress);
            }
            Answer::Sent { receiver, code, failed, files, bytes } => {
                if let Some((progress, bar)) = bars.remove(receiver.as_raw()) {
                    drop(progress);
                    let _ = bar.await;
                }
                exits.push(Exit::of_code(code));
                tell(context, &receiver, failed.as_ref(), (code, files, bytes));
            }
            _ => {}
        }
    }
    Ok(of_all(&exits))
}

/// What is drawn of each receiver.
type Bars = HashMap<String, (watch::Sender<Progress>, JoinHandle<()>)>;

fn show(context: &Context, bars: &mut Bars, receiver: &PeerText, progress: Progress) {
    let begin = || {
        let (sender, watched) = watch::channel(Progress::default());
        (sender, bars::draw(&context.printer, format!("→ {receiver}"), watched))
    };
    let (shown, _) = bars.entry(receiver.as_raw().to_owned()).or_insert_with(begin);
    let before = shown.send_replace(progress).stage;
    if progress.stage == Stage::Asking && before != Stage::Asking {
        context.printer.note(&format!("waiting for {receiver} to accept"));
    }
}

fn tell(context: &Context, receiver: &PeerText, failed: Option<&PeerText>, (code, files, size): (u8, u64, u64)) {
    let files_shown = count(usize::try_from(files).unwrap_or(usize::MAX), "file", "files");
    let line = match failed {
        None => format!("→ {receiver}: verified, {files_shown}, {} moved", bytes(size)),
        Some(why) => format!("→ {receiver}: {why}"),
    };
    context.printer.result(&line, || {
        json!({
            "event": "sent",
            "receiver": receiver.as_raw(),
            "code": code,
            "error": failed.map(PeerText::as_raw),
            "files": files,
            "bytes": size,
        })
    });
}

/// The path in the hub that a target names.
fn path_at(text: &str, hub: &About) -> Result<RelPath, Failure> {
    let named = hub.name.as_raw() == text || text.starts_with('~');
    if let Some(path) = text.strip_prefix(':').or(Some(text).filter(|text| !text.contains(':') && !named)) {
        return RelPath::parse(path.trim_matches('/')).map_err(|fault| usage(&format!("{text}: {fault}")));
    }
    let target: Target = text.parse().map_err(|fault| usage(&format!("{text} makes no sense: {fault}")))?;
    let meant = match &target.peer {
        PeerRef::Name(name) => name == hub.name.as_raw(),
        PeerRef::Id { name, prefix } => (name.is_empty() || name == hub.name.as_raw()) && hub.id.starts_with(prefix),
        PeerRef::Address { .. } | PeerRef::Host { .. } => false,
    };
    if !meant {
        let text = format!("the hub that runs here is {}~{}, not {}", hub.name, hub.id.short(), target.peer);
        return Err(Failure::new(Exit::NotFound, text).hint("name it as it is called, or its folder: --dir DIR"));
    }
    target.path.ok_or_else(|| usage("all of a hub is sent to nobody; name a path in it"))
}

fn usage(text: &str) -> Failure {
    Failure::new(Exit::Usage, text).hint("for example: ftx hub send lab-hub:shared/slides.pdf alice-laptop")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::PeerId;

    #[test]
    fn what_is_sent_is_named_with_the_hub_that_has_it() {
        let id = PeerId::of_public_key(&[1; 32]);
        let hub = About { name: "lab-hub".into(), id, dir: "".into(), port: None, since: 0 };
        let path = |text: &str| path_at(text, &hub).map(|path| path.as_str().to_owned()).map_err(|it| it.exit);
        assert_eq!(path("lab-hub:shared/a"), Ok("shared/a".to_owned()));
        assert_eq!(path(&format!("lab-hub~{}:shared/a", id.short())), Ok("shared/a".to_owned()));
        assert_eq!(path(&format!("~{}:shared/a", id.short())), Ok("shared/a".to_owned()));
        assert_eq!(path(":shared/a"), Ok("shared/a".to_owned()));
        assert_eq!(path("shared/a/"), Ok("shared/a".to_owned()));
        assert_eq!(path("/"), Err(Exit::Usage));
        assert_eq!(path("other:shared/a"), Err(Exit::NotFound));
        assert_eq!(path("lab-hub"), Err(Exit::Usage));
        assert_eq!(path("lab-hub:../a"), Err(Exit::Usage));
    }
}
