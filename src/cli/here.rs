//! `ftx` alone: who I am, who is here, what to type next.

use serde_json::json;

use super::context::Context;
use super::outcome::{Exit, Failure};
use super::peers;
use crate::find::survey;

/// Tells.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context) -> Result<Exit, Failure> {
    let printer = &context.printer;
    let id = context.me.key.public().id();
    printer.result(
        &format!("this machine: {}", context.shown()),
        || json!({ "self": { "name": context.me.name, "id": id.to_string(), "short": id.short() } }),
    );
    let seen = tokio::select! {
        seen = survey(context.interfaces.clone(), Some(id)) => seen,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    peers::print(context, &seen, &context.book()?);
    let example = seen.first().map_or_else(|| "PEER".to_owned(), |peer| peer.name.to_string());
    printer.note("");
    printer.note("  ftx up                 be visible here, and receive");
    printer.note(&format!("  ftx push FILE {example}     send a file"));
    printer.note("  ftx give FILE          hand it over by a code, to whoever types ftx take");
    printer.note("  ftx help               everything else");
    Ok(Exit::Done)
}
