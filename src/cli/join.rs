//! `ftx join`, `ftx leave`: this device and its account at a hub.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::at_hub::{self, require_hub};
use super::context::Context;
use super::outcome::{Exit, Failure};
use super::reach::{note_met, reach};
use super::report;
use super::ui::prompt::{self, Keyboard};
use crate::base::book::Trust;
use crate::base::fault::FaultKind;
use crate::base::naming;
use crate::base::path::Name;
use crate::base::target::PeerRef;
use crate::flow::ask::ask;
use crate::flow::fault::FlowFault;
use crate::flow::greet::Peer;
use crate::flow::join::{self, Typed};
use crate::node::serve::now;
use crate::wire::hub::{Rank, Secret, Standing, Verb};

/// Shortest password that can be set, in characters (NIST SP 800-63B).
const SHORTEST: usize = 8;

/// Longest code or password, in bytes.
const LONGEST: usize = 1024;

/// Link this device to an account at a hub.
///
/// The hub's manager makes a code with ftx hub invite; it works in any case of letters, with spaces or
/// dashes. Further devices join with another code, or with the account's password where it has one. Both
/// sides prove that they have the code or password without saying it, and the hub is trusted from then on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx join lab-hub\n  ftx join lab-hub --account anna --password\n  \
                  ftx join lab-hub --account anna --code-file code.txt\n  ftx join lab-hub --set-password")]
pub struct Join {
    /// The hub: a name, name~id or an address
    pub hub: String,
    /// The account to make or to join; your login name if not given
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// Read the code from this file; - is standard input
    #[arg(long, value_name = "FILE")]
    pub code_file: Option<PathBuf>,
    /// Join with the account's password, which is asked for, instead of a code
    #[arg(long, requires = "account", conflicts_with = "code_file")]
    pub password: bool,
    /// Read the account's password from this file, - is standard input: without --code-file the one to join
    /// with, else the one to set
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Set the account's password, for further devices; also later
    #[arg(long, conflicts_with = "password")]
    pub set_password: bool,
}

/// Unlink this device from its account at a hub.
///
/// The account and what it keeps there stay; another code or its password links the device again.
#[derive(Debug, Args)]
pub struct Leave {
    /// The hub: a name, name~id or an address
    pub hub: String,
    /// Ask nothing
    #[arg(short, long)]
    pub yes: bool,
}

/// Joins.
///
/// # Errors
/// See [`Failure`]; exit 10 where the code or password is wrong, or was too often.
pub async fn join(context: &Context, command: Join) -> Result<Exit, Failure> {
    let joined = async {
        let hub = at_hub::target(&command.hub, "ftx join lab-hub")?.peer;
        check(&command)?;
        let files = Files::read(&command).await?;
        match standing(context, &hub).await? {
            Some(standing) if command.set_password => set_password(context, &hub, &standing, files).await,
            Some(standing) => Ok(tell_already(context, &hub, &standing)),
            None => join_now(context, &hub, &command, files).await,
        }
    };
    tokio::select! {
        joined = joined => joined,
        () = context.interrupted() => {
            Err(Failure::new(Exit::Interrupted, "interrupted").hint("ftx join tells whether this device has joined"))
        }
    }
}

/// Leaves.
///
/// # Errors
/// See [`Failure`]; exit 10 where this device has not joined.
pub async fn leave(context: &Context, command: Leave) -> Result<Exit, Failure> {
    let hub = at_hub::target(&command.hub, "ftx leave lab-hub")?.peer;
    if !command.yes {
        let mut keyboard = Keyboard::open().ok_or_else(|| {
            Failure::new(Exit::Usage, "there is no terminal to ask at").hint("to leave without being asked, add --yes")
        })?;
        let question = format!("unlink this device from its account at {hub}? [y] yes  [n] no: ");
        let answer = tokio::select! {
            answer = keyboard.ask(&context.printer, &question, &[("yes", true), ("no", false)]) => answer,
            () = context.interrupted() => return Err(Failure::new(Exit::Interrupted, "interrupted; nothing has changed")),
        };
        if answer != Some(true) {
            return Err(Failure::new(Exit::Declined, "nothing has changed"));
        }
    }
    let done = at_hub::done(context, &hub, Verb::Leave).await?;
    let line = format!("left {}: this device is of no account there", done.shown);
    context.printer.result(&line, || json!({ "event": "left", "hub": report::peer(&done.hub) }));
    Ok(Exit::Done)
}

/// That the flags go together.
fn check(command: &Join) -> Result<(), Failure> {
    let is_input = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
    if is_input(&command.code_file) && is_input(&command.password_file) {
        return Err(Failure::new(Exit::Usage, "standard input can be one file only"));
    }
    let by_password = command.password_file.is_some() && command.code_file.is_none() && !command.set_password;
    if by_password && command.account.is_none() {
        return Err(Failure::new(Exit::Usage, "a password is of an account")
            .hint("name it with --account; or give a code, too, with --code-file"));
    }
    if command.password && command.password_file.is_none() && !prompt::is_there() {
        return Err(Failure::new(Exit::Usage, "there is no terminal to ask for the password at")
            .hint("give it with --password-file FILE; - is standard input"));
    }
    Ok(())
}

/// What was given in files.
struct Files {
    code: Option<Zeroizing<String>>,
    password: Option<Zeroizing<String>>,
}

impl Files {
    async fn read(command: &Join) -> Result<Self, Failure> {
        let (code, password) = (command.code_file.clone(), command.password_file.clone());
        let read = tokio::task::spawn_blocking(move || {
            Ok(Self { code: code.map(read).transpose()?, password: password.map(read).transpose()? })
        });
        read.await.unwrap_or_else(|_| Err(Failure::new(Exit::Other, "reading failed")))
    }
}

/// The first line of a file, or of standard input.
///
/// # Errors
/// Exit 2 where there is none.
pub(super) fn read(file: PathBuf) -> Result<Zeroizing<String>, Failure> {
    let shown = file.to_string_lossy();
    let mut text = Zeroizing::new(String::with_capacity(LONGEST + 2));
    let read = if file == Path::new("-") {
        io::stdin().take(LONGEST as u64 + 2).read_to_string(&mut text)
    } else {
        File::open(&file).and_then(|file| file.take(LONGEST as u64 + 2).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::new(Exit::Usage, format!("{shown}: {}", crate::base::fault::plain(&error))))?;
    let line = text.lines().next().unwrap_or_default();
    if line.trim().is_empty() || line.len() > LONGEST {
        return Err(Failure::new(Exit::Usage, format!("{shown} does not begin with a code or password")));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// What this device is at a hub; nothing, where it has not joined.
async fn standing(context: &Context, hub: &PeerRef) -> Result<Option<Standing>, Failure> {
    let reached = reach(context, hub).await?;
    require_hub(reached.peer(), &reached.shown)?;
    match ask(reached.greeted, Verb::Standing).await {
        Ok(told) => Ok(told.standing),
        Err(FlowFault::Theirs(fault)) if fault.kind == FaultKind::NotJoined => Ok(None),
        Err(fault) => Err(failed(&reached.shown, &fault)),
    }
}

fn tell_already(context: &Context, hub: &PeerRef, standing: &Standing) -> Exit {
    let (account, rank) = (&standing.account, standing.rank.as_str());
    let line = format!("this device has joined {hub} already, as {account} ({rank})");
    context.printer.result(&line, || {
        let hub = json!({ "name": hub.to_string() });
        json!({ "event": "joined", "already": true, "hub": hub, "account": account.as_str(), "rank": rank })
    });
    Exit::Done
}

async fn set_password(context: &Context, hub: &PeerRef, standing: &Standing, files: Files) -> Result<Exit, Failure> {
    let typed = match files.password {
        Some(password) => long_enough(password)?,
        None => chosen(context, &standing.account, Need::Must).await?.unwrap_or_default(),
    };
    let made = tokio::task::spawn_blocking(move || join::new_password(&typed)).await;
    let made = made.map_err(|_| Failure::new(Exit::Other, "stretching the password failed"))?;
    let made = made.map_err(|fault| Failure::local(&fault))?;
    let verb = Verb::SetPassword { salt: made.salt, stretched: *made.stretched.as_bytes() };
    let done = at_hub::done(context, hub, verb).await?;
    let line = format!("the password of {} at {} is set", standing.account, done.shown);
    context.printer.result(
        &line,
        || json!({ "event": "password_set", "hub": report::peer(&done.hub), "account": standing.account.as_str() }),
    );
    Ok(Exit::Done)
}

async fn join_now(context: &Context, hub: &PeerRef, command: &Join, files: Files) -> Result<Exit, Failure> {
    let typed = typed(context, hub, command, files).await?;
    let asked = typed.account.clone();
    // Asking took its time: a connection of its own.
    let reached = reach(context, hub).await?;
    require_hub(reached.peer(), &reached.shown)?;
    let (peer, shown, address) = (reached.peer().clone(), reached.shown, reached.address);
    let joined = join::join(reached.greeted, typed).await;
    let (account, rank) = joined.map_err(|fault| failed(&shown, &fault))?;
    note_met(context, &peer, address);
    trust(context, &peer);
    if asked.is_some_and(|asked| asked != account) {
        context.printer.note(&format!("the code is for the account {account}"));
    }
    tell_joined(context, &peer, &shown, &account, rank);
    Ok(Exit::Done)
}

/// Both sides have proven the same secret to each other's keys: nobody is in between.
fn trust(context: &Context, hub: &Peer) {
    let trusted = context.state.change_book(|book| book.set_trust(hub.id(), hub.name.clone(), Trust::Trusted, now()));
    if let Err(fault) = trusted {
        context.printer.warn(&format!("the address book was not updated: {fault}"));
    }
}

fn tell_joined(context: &Context, hub: &Peer, shown: &str, account: &Name, rank: Rank) {
    let rank = rank.as_str();
    let line = format!("joined {shown}~{} as {account} ({rank})", hub.id().short());
    context.printer.result(&line, || {
        json!({ "event": "joined", "already": false, "hub": report::peer(hub), "account": account.as_str(), "rank": rank })
    });
    context.printer.note(&format!("ftx ls {shown} shows what is there"));
}

/// What to join with: from files, else from the person at the terminal.
async fn typed(context: &Context, hub: &PeerRef, command: &Join, files: Files) -> Result<Typed, Failure> {
    let account = command.account.as_deref().map(account_name).transpose()?;
    match (files, account) {
        (Files { code: None, password: Some(secret) }, account @ Some(_)) if !command.set_password => {
            Ok(Typed { account, by: Secret::Password, secret, password: None })
        }
        (_, Some(account)) if command.password => {
            let secret = prompt::unseen(&format!("password of {account} at {hub}")).await;
            let secret = secret.filter(|secret| !secret.is_empty()).ok_or_else(nothing)?;
            Ok(Typed { account: Some(account), by: Secret::Password, secret, password: None })
        }
        (Files { code: Some(secret), password }, account) => {
            if command.set_password && password.is_none() && !prompt::is_there() {
                return Err(Failure::new(Exit::Usage, "there is no terminal to ask for the new password at")
                    .hint("give it with --password-file FILE"));
            }
            let account = account.or_else(login).ok_or_else(no_account)?;
            let password = match password {
                Some(password) => Some(long_enough(password)?),
                None if command.set_password => chosen(context, &account, Need::Must).await?,
                None => None,
            };
            Ok(Typed { account: Some(account), by: Secret::Code, secret, password })
        }
        (Files { code: None, password }, account) => asked(context, hub, account, password, command.set_password).await,
    }
}

/// Asks the person for everything that was not given.
async fn asked(
    context: &Context,
    hub: &PeerRef,
    account: Option<Name>,
    password: Option<Zeroizing<String>>,
    set_password: bool,
) -> Result<Typed, Failure> {
    if !prompt::is_there() {
        return Err(Failure::new(Exit::Usage, "there is no terminal to ask for the code at")
            .hint("give it with --code-file FILE; - is standard input"));
    }
    let printer = &context.printer;
    let code = prompt::line(printer, &format!("code of {hub}, from whoever runs it: ")).await;
    let secret = code.filter(|code| !code.is_empty() && code.len() <= LONGEST).ok_or_else(nothing)?;
    let account = match (account, login()) {
        (Some(account), _) => account,
        (None, login) => {
            let default = login.as_ref().map(|name| format!(" [{name}]")).unwrap_or_default();
            let line = prompt::line(printer, &format!("your account there{default}: ")).await.ok_or_else(nothing)?;
            if line.is_empty() { login.ok_or_else(no_account)? } else { account_name(&line)? }
        }
    };
    let password = match password {
        Some(password) => Some(long_enough(password)?),
        None => chosen(context, &account, if set_password { Need::Must } else { Need::May }).await?,
    };
    Ok(Typed { account: Some(account), by: Secret::Code, secret, password })
}

/// Whether a password has to be set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Must,
    May,
}

/// Asks for a new password, twice.
async fn chosen(context: &Context, account: &Name, need: Need) -> Result<Option<Zeroizing<String>>, Failure> {
    if !prompt::is_there() {
        return Err(Failure::new(Exit::Usage, "there is no terminal to ask for the new password at")
            .hint("give it with --password-file FILE; - is standard input"));
    }
    let more = if need == Need::May { " (empty: none)" } else { "" };
    loop {
        let question = format!("a password for further devices of {account}{more}");
        let first = prompt::unseen(&question).await.ok_or_else(nothing)?;
        if first.is_empty() && need == Need::May {
            return Ok(None);
        }
        if first.chars().count() < SHORTEST {
            context.printer.alert(&format!("a password has at least {SHORTEST} characters"));
            continue;
        }
        if prompt::unseen("the same again").await.ok_or_else(nothing)? == first {
            return long_enough(first).map(Some);
        }
        context.printer.alert("the two differ");
    }
}

fn long_enough(password: Zeroizing<String>) -> Result<Zeroizing<String>, Failure> {
    if password.chars().count() >= SHORTEST && password.len() <= LONGEST {
        return Ok(password);
    }
    let text = format!("a password has at least {SHORTEST} characters, and at most {LONGEST} bytes");
    Err(Failure::new(Exit::Usage, text))
}

fn account_name(text: &str) -> Result<Name, Failure> {
    let name = Some(Name::from_local(text.trim()).0).filter(|name| naming::is_good(name.as_str()));
    name.ok_or_else(|| Failure::new(Exit::Usage, "that is no name for an account").cause(naming::RULE))
}

/// The name that this person has on this machine.
fn login() -> Option<Name> {
    let given = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|variable| std::env::var(variable).ok());
    given.and_then(|name| naming::cleaned(&name)).map(|name| Name::from_local(&name).0)
}

fn no_account() -> Failure {
    Failure::new(Exit::Usage, "this machine does not say who you are").hint("name the account with --account")
}

fn nothing() -> Failure {
    Failure::new(Exit::Usage, "nothing was typed; nothing has changed")
}

fn failed(shown: &str, fault: &FlowFault) -> Failure {
    let FlowFault::Theirs(told) = fault else { return Failure::flow(shown, fault) };
    let failure = |hint: &str| Failure::new(Exit::NotPermitted, format!("{shown}: {told}")).hint(hint);
    match told.kind {
        FaultKind::NotPermitted => failure("check it; a manager of the hub makes a new code with: ftx hub invite"),
        FaultKind::Busy => failure("nothing is wrong with this device; wait, then type the same again"),
        _ => Failure::flow(shown, fault),
    }
}
