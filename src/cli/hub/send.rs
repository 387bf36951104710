//! `ftx hub send`: hand out what the hub holds.

use clap::Args;
use serde_json::json;

use super::reach::{Reached, Running, Which};
use crate::base::path::RelPath;
use crate::base::target::{PeerRef, Target};
use crate::cli::context::Context;
use crate::cli::outcome::{Exit, Failure, of_all};
use crate::hub::control::message::{Answer, Request};
use crate::hub::status::About;

/// Send what the hub holds to peers, from the hub's own machine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx hub send lab-hub:shared/slides.pdf alice-laptop,bob-desktop\n  \
    ftx hub send lab-hub:slides/week3 @class")]
pub struct Send {
    /// What of the hub, and last, to whom
    #[arg(
        required = true,
        num_args = 2..,
        value_name = "TARGET… RECEIVERS",
        help = "What of the hub, as HUB:PATH, then to whom: names with commas, @GROUP of the configuration"
    )]
    pub args: Vec<String>,
    /// Which hub.
    #[command(flatten)]
    pub which: Which,
}

/// Has the hub send.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Send) -> Result<Exit, Failure> {
    let Some((receivers, targets)) = command.args.split_last() else {
        return Err(usage("nothing is named"));
    };
    let hub = Reached::find(context, &command.which, Running::Needed).await?;
    let paths = targets.iter().map(|target| path_at(target, hub.about())).collect::<Result<_, _>>()?;
    let mut answers = hub.ask(Request::Send { paths, receivers: receivers.clone() }).await?;
    let mut exits = Vec::new();
    while let Some(answer) = answers.next().await.map_err(|fault| Failure::local(&fault))? {
        let Answer::Sent { receiver, failed } = answer else { continue };
        exits.push(if failed.is_some() { Exit::Other } else { Exit::Done });
        let line = match &failed {
            None => format!("→ {receiver}: verified"),
            Some(why) => format!("→ {receiver}: {why}"),
        };
        context.printer.result(&line, || {
            let failed = failed.as_ref().map(|why| why.as_raw());
            json!({ "event": "sent", "receiver": receiver.as_raw(), "error": failed })
        });
    }
    Ok(of_all(&exits))
}

/// The path in the hub that a target names.
fn path_at(text: &str, hub: &About) -> Result<RelPath, Failure> {
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
        assert_eq!(path("other:shared/a"), Err(Exit::NotFound));
        assert_eq!(path("lab-hub"), Err(Exit::Usage));
        assert_eq!(path("lab-hub:../a"), Err(Exit::Usage));
    }
}
