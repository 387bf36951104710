//! `ftx push`: send files, folders, standard input or a text, to one peer or to several.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::task::JoinSet;

use super::context::Context;
use super::deliver::{Delivery, deliver, preview};
use super::outcome::{Exit, Failure, of_all};
use super::rate::Rate;
use super::receivers::{self, Receiver, Roll};
use super::redial::Connecting;
use super::sources::What;
use crate::disk::source::Source;
use crate::flow::outgoing::{Audience, Equality, Manner, Outgoing};
use crate::flow::pack::Compress;

/// Send files and folders to a peer, to several, or into a hub.
///
/// The receiver is asked, unless it trusts you and accepts trusted peers. What is there already
/// and equal is not sent again; what stopped half-way goes on where it stopped; nothing is ever
/// overwritten, unless the receiver chose so (ftx up --on-conflict). "verified" is said only after
/// the receiver has checked, synced and placed it all. A name that is missing keeps everything from
/// being sent; what cannot be read is named, and the rest goes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ftx push notes.pdf alice-laptop\n  ftx push photos/ report.pdf alice-laptop~k7f3q2mz\n  \
    ftx push slides.pdf alice,bob,carol\n  ftx push report.pdf lab-hub:shared/week3\n  ftx push slides.pdf --all\n  \
    pg_dump school | ftx push - --as school.sql lab-pc\n  \
    ftx push my-project/ lab-pc --gitignore --exclude '*.log'\n  \
    ftx push --text 'https://example.org/paper' alice-laptop"
)]
pub struct Push {
    /// What to send, and last, to whom
    #[arg(
        required_unless_present = "all",
        value_name = "PATH… TARGET",
        help = "What to send (- for standard input), then to whom: a name, name~id, an address, or one with a port \
                as in [10.77.0.1:23547]; several with commas; @GROUP of the configuration; HUB:PATH for a folder of \
                a hub, which is made where it is not there; HUB alone for your own folder there"
    )]
    pub args: Vec<OsString>,
    /// Send to everybody who is here; no target is named then
    #[arg(long)]
    pub all: bool,
    /// What is sent besides files.
    #[command(flatten)]
    pub what: What,
    /// Send nothing; show what would be sent
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Compare what is there by its bytes, not by size and time
    #[arg(long)]
    pub checksum: bool,
    /// Pack what shrinks on its way
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub compress: CompressFlag,
    /// Send no faster than this, all receivers together: bytes a second, as 500K or 20M
    #[arg(long, value_name = "RATE")]
    pub limit: Option<Rate>,
    /// How the network is used.
    #[command(flatten)]
    pub connecting: Connecting,
}

/// Whether bytes are packed on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompressFlag {
    /// As long as it makes it faster
    Auto,
    /// Whatever shrinks
    On,
    /// Never
    Off,
}

/// Sends.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Arc<Context>, command: Push) -> Result<Exit, Failure> {
    let manner = manner(&command);
    let (connecting, dry_run) = (command.connecting, command.dry_run);
    let (to, source) = understand(command, &context.state.key_file())?;
    let receivers = tokio::select! {
        receivers = receivers::find(context, to) => receivers?,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was sent")),
    };
    let audience = if receivers.len() > 1 { Audience::Several } else { Audience::One };
    if audience == Audience::Several && !source.is_repeatable() {
        return Err(Failure::new(Exit::Usage, "standard input can be sent to one receiver only")
            .cause("it can be read once, and receivers take it at their own speed")
            .hint("save it as a file first, and send that"));
    }
    let (outgoing, roll) = (Outgoing::start(source, Manner { audience, ..manner }), Arc::new(Roll::default()));
    // One of several that fails is told at once; a single one by how the command ends.
    let told = |receiver: &Receiver, ended: Result<Option<Exit>, Failure>| {
        if let (Err(failure), Audience::Several) = (&ended, audience) {
            receivers::failed(context, receiver, failure);
        }
        ended.transpose()
    };
    if dry_run {
        let mut ended = Vec::new();
        for receiver in &receivers {
            ended.extend(told(receiver, preview(context, receiver, &outgoing, &roll).await));
        }
        return together(context, audience, ended);
    }
    let mut deliveries = JoinSet::new();
    for receiver in receivers {
        let (context, outgoing, roll) = (context.clone(), outgoing.clone(), roll.clone());
        deliveries.spawn(async move {
            let delivered = deliver(&context, &receiver, Delivery { outgoing, connecting }, &roll).await;
            (receiver, delivered)
        });
    }
    let mut ended = Vec::new();
    while let Some(delivered) = deliveries.join_next().await {
        let lost = |_| Failure::new(Exit::Other, "a task of this program ended unexpectedly");
        let (receiver, delivered) = delivered.map_err(lost)?;
        ended.extend(told(&receiver, delivered));
    }
    together(context, audience, ended)
}

/// How the command ends: with several receivers, done if all are, partly if some are.
fn together(context: &Context, audience: Audience, ended: Vec<Result<Exit, Failure>>) -> Result<Exit, Failure> {
    if audience == Audience::One {
        return ended.into_iter().next().unwrap_or(Ok(Exit::Done));
    }
    if context.stop.is_stopped() {
        return Ok(Exit::Interrupted);
    }
    let exits: Vec<Exit> = ended.into_iter().map(|ended| ended.unwrap_or_else(|failure| failure.exit)).collect();
    Ok(of_all(&exits))
}

fn manner(command: &Push) -> Manner {
    Manner {
        equality: if command.checksum { Equality::Content } else { Equality::SizeAndTime },
        audience: Audience::One,
        compress: match command.compress {
            CompressFlag::Auto => Compress::Auto,
            CompressFlag::On => Compress::On,
            CompressFlag::Off => Compress::Off,
        },
        limit: Rate::limit(command.limit),
    }
}

/// What a push looks like.
const EXAMPLE: &str = "ftx push notes.pdf alice-laptop";

fn usage(text: &str) -> Failure {
    Failure::new(Exit::Usage, text).hint(format!("for example: {EXAMPLE}"))
}

/// What is to be sent, and to whom. Everything named is looked at before anybody is looked for.
fn understand(mut command: Push, private: &Path) -> Result<(receivers::To, Source), Failure> {
    let mut paths = std::mem::take(&mut command.args);
    let to = if command.all {
        receivers::To::All
    } else {
        let target = paths.pop().unwrap_or_default();
        receivers::To::named(target.to_str().ok_or_else(|| usage("the target is not readable text"))?)?
    };
    if paths.is_empty() && command.what.text.is_none() {
        return Err(usage(match to {
            receivers::To::All => "what is to be sent is missing",
            receivers::To::Named(_) => "one name alone: what is to be sent, or to whom, is missing",
        }));
    }
    Ok((to, command.what.source(&paths, EXAMPLE)?.withholding(private)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn everybody_needs_no_target_and_anybody_else_does() {
        assert!(Cli::try_parse_from(["ftx", "push", "--text", "hello", "--all"]).is_ok());
        assert!(Cli::try_parse_from(["ftx", "push", "notes.pdf", "--all"]).is_ok());
        assert!(Cli::try_parse_from(["ftx", "push", "--text", "hello"]).is_err());
    }
}
