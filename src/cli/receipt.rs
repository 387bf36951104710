//! `ftx receipt`: what hubs signed for what was handed in.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::context::Context;
use super::outcome::{Exit, Failure};
use super::ui::printer::Format;
use super::ui::units::{bytes, rfc3339, when};
use crate::base::book::Trust;
use crate::base::fault::{Fault, FaultKind};
use crate::base::id::PeerId;
use crate::base::manifest::Stamp;
use crate::base::text::escape;
use crate::disk::receipts::read;
use crate::disk::sum::sum;
use crate::flow::handed_in::{HandedIn, Signed};

/// What hubs signed for what was handed in: list it, or check one.
///
/// After a push into a space for assignments, the hub's receipts are kept in the data folder of this
/// user: who handed in what and when, with its SHA-256, signed with the hub's key.
#[derive(Debug, Args)]
pub struct Receipt {
    /// What to do.
    #[command(subcommand)]
    pub command: ReceiptCommand,
}

/// What can be done with receipts.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "a text here would replace the command's own in its help")]
pub enum ReceiptCommand {
    Verify(Verify),
    List(List),
}

/// Check a receipt: its signature, whose it is, and that a file is what was handed in.
///
/// Exit code 7 says that the signature or the file does not fit, 6 that it is signed by a key that
/// this machine does not know.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx receipt verify 20261121T140500Z-lab-hub-report.pdf.json\n  \
    ftx receipt verify receipt.json --of ~/report.pdf")]
pub struct Verify {
    /// The receipt
    pub file: PathBuf,
    /// The file that was handed in; if not given, one of its name in this folder, where there is one
    #[arg(long, value_name = "ORIGINAL")]
    pub of: Option<PathBuf>,
}

/// List the receipts that are kept here, the oldest first.
#[derive(Debug, Args)]
pub struct List {}

/// Does it.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Receipt) -> Result<Exit, Failure> {
    match command.command {
        ReceiptCommand::Verify(command) => verify(context, command).await,
        ReceiptCommand::List(List {}) => list(context),
    }
}

/// A file that was compared with a receipt.
struct Compared {
    path: PathBuf,
    size: u64,
    sha256: [u8; 32],
}

async fn verify(context: &Context, command: Verify) -> Result<Exit, Failure> {
    let text =
        read(&command.file).map_err(|fault| Failure::local(&fault).hint("ftx receipt list shows those kept here"))?;
    let Signed { what, by } = Signed::read(&text).map_err(|fault| bad(&command.file, &fault))?;
    let compared = compare(context, &what, command.of).await?;
    let fits = compared.as_ref().map(|file| (file.size, file.sha256) == (what.size, what.sha256));
    let known = check_signer(context, &what, by.id())?;
    let printer = &context.printer;
    if printer.format() == Format::Human {
        tell(context, &what, by.id(), compared.as_ref());
    }
    printer.object(|| {
        let mut object = object("receipt", &command.file, &what, by.id());
        object["original"] = json!(compared.as_ref().map(|file| file.path.display().to_string()));
        object["fits"] = json!(fits);
        object["hub_known"] = json!(known);
        object
    });
    if fits == Some(false)
        && let Some(file) = compared
    {
        let text = format!("{} is not what was handed in: its SHA-256 is another", file.path.display());
        return Err(Failure::new(Exit::Integrity, text)
            .cause("it was changed since, or it is another file")
            .hint("name the file that was handed in with --of"));
    }
    if !known {
        let text = format!("the receipt is whole, and this machine does not know the key that signed it ({})", by.id());
        return Err(Failure::new(Exit::Identity, text)
            .cause("this machine never met that hub, or somebody made a receipt of their own")
            .hint(format!("ask for the hub's id, or meet it here: ftx ls {}", what.hub)));
    }
    Ok(Exit::Done)
}

fn bad(file: &Path, fault: &Fault) -> Failure {
    let failure = Failure::local(&Fault::new(fault.kind, format!("{}: {fault}", file.display())));
    match fault.kind {
        FaultKind::Version => failure.hint("update ftx here"),
        _ => failure.cause("it was changed after it was signed, or it is something else"),
    }
}

/// Whether the signer is somebody this machine knows.
fn check_signer(context: &Context, what: &HandedIn, id: PeerId) -> Result<bool, Failure> {
    let book = context.book()?;
    match book.trust(&id) {
        Trust::Blocked => Err(Failure::new(Exit::Identity, format!("{}~{} is blocked here", what.hub, id.short()))),
        Trust::Stranger => Ok(false),
        Trust::Known | Trust::Trusted => Ok(true),
    }
}

/// Reads the file that was handed in: the one that was named, or one of its name in this folder.
async fn compare(context: &Context, what: &HandedIn, of: Option<PathBuf>) -> Result<Option<Compared>, Failure> {
    let path = match of {
        Some(path) => path,
        None => {
            let here = PathBuf::from(what.path.last());
            if !here.is_file() {
                return Ok(None);
            }
            here
        }
    };
    let reading = path.clone();
    let summed = tokio::task::spawn_blocking(move || sum(&reading));
    let summed = tokio::select! {
        summed = summed => summed,
        () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    let (size, sha256) = summed
        .map_err(|_| Failure::new(Exit::Other, "a thread of this program ended unexpectedly"))?
        .map_err(|fault| Failure::local(&fault))?;
    Ok(Some(Compared { path, size, sha256 }))
}

fn tell(context: &Context, what: &HandedIn, by: PeerId, compared: Option<&Compared>) {
    let printer = &context.printer;
    let line = |name: &str, text: String| printer.line(&format!("{name:<10}  {text}"));
    line("handed in", format!("{}  ({}, SHA-256 {})", what.path, bytes(what.size), HEXLOWER.encode(&what.sha256)));
    line("by", format!("{}, {}", what.account, time(what.handed_in)));
    if let Some(deadline) = what.deadline {
        let judged = if what.is_late() { "it had passed" } else { "kept" };
        line("deadline", format!("{}: {judged}", time(deadline)));
    }
    line("signed by", format!("{}~{}; the signature is good", what.hub, by.short()));
    let same = |file: &Compared| (file.size, file.sha256) == (what.size, what.sha256);
    line(
        "file",
        match compared {
            Some(file) if same(file) => format!("{} is what was handed in", shown(&file.path)),
            Some(file) => format!("{} is NOT what was handed in", shown(&file.path)),
            None => "none was compared: --of FILE names the one that was handed in".to_owned(),
        },
    );
}

fn shown(path: &Path) -> String {
    escape(&path.display().to_string()).into_owned()
}

fn time(seconds: u64) -> String {
    when(Stamp { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos: 0 })
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let receipts = context.folders.receipts();
    let printer = &context.printer;
    let files = receipts.all().map_err(|fault| Failure::local(&fault))?;
    for file in &files {
        let signed = read(file).and_then(|text| Signed::read(&text));
        let Signed { what, by } = match signed {
            Ok(signed) => signed,
            Err(fault) => {
                printer.warn(&format!("{}: {fault}", file.display()));
                continue;
            }
        };
        let late = if what.is_late() { "  (late)" } else { "" };
        let own = file.file_name().unwrap_or_default().to_string_lossy();
        let line = format!("{}  {}:{}{late}  {}", time(what.handed_in), what.hub, what.path, escape(&own));
        printer.result(&line, || object("receipt", file, &what, by.id()));
    }
    match files.is_empty() {
        true => printer.note("no receipts are kept here"),
        false => printer.note(&format!("in {}", receipts.folder().display())),
    }
    Ok(Exit::Done)
}

/// A receipt for programs.
pub fn object(event: &str, file: &Path, what: &HandedIn, by: PeerId) -> Value {
    let mut object = json!({
        "event": event,
        "file": file.display().to_string(),
        "hub": { "name": what.hub.as_raw(), "id": by.to_string() },
        "account": what.account.as_str(),
        "device": what.device.to_string(),
        "path": what.path.as_str(),
        "size": what.size,
        "sha256": HEXLOWER.encode(&what.sha256),
        "digest": what.digest.to_string(),
        "handed_in": rfc3339(what.handed_in),
        "transfer": what.transfer.to_string(),
    });
    if let Some(deadline) = what.deadline {
        object["deadline"] = json!(rfc3339(deadline));
        object["late"] = json!(what.is_late());
    }
    object
}
