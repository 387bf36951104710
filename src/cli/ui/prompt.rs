//! Questions to the person at the terminal.

use std::io::{self, BufRead, IsTerminal};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::printer::Printer;
use crate::base::text::escape;

/// Lines that are typed, read by a thread of their own so that a question can be withdrawn.
#[derive(Debug)]
pub struct Keyboard {
    lines: mpsc::Receiver<String>,
}

/// Longest line taken from the keyboard, in bytes; what follows is another line.
const MAX_LINE: usize = 4096;

impl Keyboard {
    /// The keyboard, where there is a person: standard input and standard error are a terminal.
    pub fn open() -> Option<Self> {
        if !is_there() {
            return None;
        }
        let (typed, lines) = mpsc::channel(1);
        std::thread::spawn(move || {
            loop {
                let mut line = String::new();
                let read = io::Read::take(io::stdin().lock(), MAX_LINE as u64).read_line(&mut line);
                match read {
                    Ok(0) | Err(_) => return,
                    Ok(_) if typed.blocking_send(line).is_err() => return,
                    Ok(_) => {}
                }
            }
        });
        Some(Self { lines })
    }

    /// Asks until one of `answers` is typed, its first letter being enough; `None` when the
    /// input ends.
    pub async fn ask<T: Copy>(&mut self, printer: &Printer, question: &str, answers: &[(&str, T)]) -> Option<T> {
        // What was typed before the question was not meant for it.
        while self.lines.try_recv().is_ok() {}
        loop {
            printer.question(question);
            let line = self.lines.recv().await?;
            let typed = line.trim().to_lowercase();
            let chosen = answers.iter().find(|(word, _)| !typed.is_empty() && word.starts_with(&typed));
            if let Some((_, answer)) = chosen {
                return Some(*answer);
            }
        }
    }
}

/// Whether there is a person to ask: standard input and standard error are a terminal.
pub fn is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line, once; `None` when the input ends. It may be a secret. Not beside a [`Keyboard`], which
/// reads, too.
pub async fn line(printer: &Printer, question: &str) -> Option<Zeroizing<String>> {
    printer.question(question);
    let read = spawn_blocking(|| {
        // With room for all of it at once, none of it is left behind where it was before.
        let mut line = Zeroizing::new(String::with_capacity(MAX_LINE));
        let read = io::Read::take(io::stdin().lock(), MAX_LINE as u64).read_line(&mut line);
        read.ok().filter(|read| *read > 0).map(|_| Zeroizing::new(line.trim().to_owned()))
    });
    read.await.ok().flatten()
}

/// Asks for a line that nobody sees; `None` when the input ends. Where it is not waited for to its end, the
/// terminal shows again what is typed. Not beside a [`Keyboard`].
pub async fn unseen(question: &str) -> Option<Zeroizing<String>> {
    let _shown_again = ShownAgain::new();
    let question = escape(question).into_owned();
    let asking = spawn_blocking(move || {
        let asking = dialoguer::Password::new().with_prompt(question).allow_empty_password(true).report(false);
        asking.interact().ok().map(Zeroizing::new)
    });
    asking.await.ok().flatten()
}

/// Completes what has been typed, if it can.
struct Completed(fn(&str) -> Option<String>);

impl dialoguer::Completion for Completed {
    fn get(&self, input: &str) -> Option<String> {
        (self.0)(input)
    }
}

/// Asks for a line until it is good, with Tab completing what has been typed; `None` when the input ends.
/// Where it is not waited for to its end, the terminal is as it was. Not beside a [`Keyboard`].
pub async fn completing(
    question: &str,
    complete: fn(&str) -> Option<String>,
    wrong: fn(&str) -> Option<String>,
) -> Option<Zeroizing<String>> {
    let _shown_again = ShownAgain::new();
    let question = question.to_owned();
    let asking = spawn_blocking(move || {
        let complete = Completed(complete);
        let asking = dialoguer::Input::<String>::new().with_prompt(question).report(false).completion_with(&complete);
        let asking = asking.validate_with(move |typed: &String| wrong(typed).map_or(Ok(()), Err));
        asking.interact_text()
    });
    match asking.await.ok()? {
        // Ctrl-C: it has been passed on as the signal, which ends whatever asks.
        Err(dialoguer::Error::IO(error)) if error.kind() == io::ErrorKind::Interrupted => std::future::pending().await,
        typed => typed.ok().map(Zeroizing::new),
    }
}

/// The terminal as it is now, and will be again when this is dropped.
struct ShownAgain {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl ShownAgain {
    fn new() -> Self {
        Self {
            #[cfg(unix)]
            before: rustix::termios::tcgetattr(io::stdin()).ok(),
        }
    }
}

impl Drop for ShownAgain {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(before) = &self.before {
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, before);
        }
    }
}
