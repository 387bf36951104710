//! Questions to the person at the terminal.

use std::io::{self, BufRead, IsTerminal};

use tokio::sync::mpsc;

use super::printer::Printer;

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
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
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
