//! The only way to print: results to stdout, talk to stderr, both around the progress bars. Whatever
//! it is given, no control, bidirectional or invisible character gets through: a place that forgets
//! that a name came from a peer, or from a file that others made, is safe all the same.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{MultiProgress, ProgressDrawTarget};
use serde_json::{Value, json};

use super::screen::Screen;
use crate::base::fault::Fault;
use crate::base::text::{deceives, escape, is_deceptive};
use crate::cli::outcome::{Exit, Failure};

/// For whom results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// People.
    Human,
    /// Programs: one JSON object a line.
    Json,
}

/// How much is said besides results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Nothing, not even results.
    Silent,
    /// Errors only.
    Quiet,
    /// What a person wants to know.
    Normal,
    /// Everything.
    Verbose,
}

/// Prints.
#[derive(Debug, Clone)]
pub struct Printer {
    format: Format,
    loudness: Loudness,
    bars: MultiProgress,
    /// Whether a result could not be written.
    lost: Arc<AtomicBool>,
}

impl Printer {
    /// A printer for this process.
    pub fn new(format: Format, loudness: Loudness) -> Self {
        let draw = format == Format::Human && loudness > Loudness::Quiet && io::stderr().is_terminal();
        // Ten times a second: smooth to the eye, nothing to the processor.
        let screen = || ProgressDrawTarget::term_like_with_hz(Box::new(Screen::new()), 10);
        let target = if draw { screen() } else { ProgressDrawTarget::hidden() };
        Self { format, loudness, bars: MultiProgress::with_draw_target(target), lost: Arc::default() }
    }

    /// Prints nothing at all: for what is told another way.
    pub fn silent() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        Self { format: Format::Human, loudness: Loudness::Silent, bars, lost: Arc::default() }
    }

    /// A printer that prints in the same way, and does not hold this one up where nobody reads.
    pub fn apart(&self) -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), ..self.clone() }
    }

    /// For whom.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether a person reads the results: standard output is a terminal.
    pub fn is_seen(&self) -> bool {
        self.format == Format::Human && io::stdout().is_terminal()
    }

    /// Where progress bars live.
    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Takes away the bars of what has not come to its end.
    pub fn clear(&self) {
        // A terminal that is gone shows none.
        let _ = self.bars.clear();
    }

    /// A result: a line for people, or an object for programs.
    pub fn result(&self, line: &str, object: impl FnOnce() -> Value) {
        match self.format {
            Format::Human => self.out(line),
            Format::Json => self.out(&ascii(&object())),
        }
    }

    /// An object for programs; people have been told otherwise.
    pub fn object(&self, object: impl FnOnce() -> Value) {
        if self.format == Format::Json {
            self.out(&ascii(&object()));
        }
    }

    /// Objects for programs, of which there may be very many: they are written together.
    pub fn objects(&self, objects: impl Iterator<Item = Value>) {
        if self.format == Format::Json {
            self.lines(objects.map(|object| ascii(&object)));
        }
    }

    /// A line of a result that has no form for programs.
    pub fn line(&self, line: &str) {
        if self.format == Format::Human {
            self.out(line);
        }
    }

    /// Something a person may want to know.
    pub fn note(&self, line: &str) {
        if self.loudness > Loudness::Quiet && self.format == Format::Human {
            self.err(line);
        }
    }

    /// Something that went otherwise than one would think; told also to programs' logs.
    pub fn warn(&self, line: &str) {
        if self.loudness > Loudness::Quiet {
            self.said("note", line, &format!("note: {line}"));
        }
    }

    /// Something that failed: told also where nothing else is.
    pub fn alert(&self, line: &str) {
        self.said("alert", line, &format!("ftx: {line}"));
    }

    /// Something only the curious want to know.
    pub fn detail(&self, line: &str) {
        if self.loudness == Loudness::Verbose {
            self.said("detail", line, line);
        }
    }

    /// Text of this program as it is, with nothing of others in it: a completion script.
    pub fn raw(&self, bytes: &[u8]) {
        self.written(io::stdout().lock().write_all(bytes));
    }

    /// Results that were written by others, as far as `written` says that they were.
    pub fn written(&self, written: io::Result<()>) {
        self.finish(written.and_then(|()| io::stdout().lock().flush()));
    }

    /// A line of talk as it is to stand there.
    pub fn plain(&self, line: &str) {
        self.err(line);
    }

    /// A question, without an end of line.
    pub(super) fn question(&self, text: &str) {
        self.bars.suspend(|| {
            let mut err = io::stderr().lock();
            let _ = err.write_all(escape(text).as_bytes()).and_then(|()| err.flush());
        });
    }

    /// A failed command.
    pub fn failure(&self, failure: &Failure) -> Exit {
        match self.format {
            Format::Json => self.err(&ascii(&failure.to_json())),
            Format::Human => {
                self.err(&format!("ftx: {}", failure.error));
                if !failure.cause.is_empty() {
                    self.err(&format!("     likely cause: {}", failure.cause));
                }
                if !failure.hint.is_empty() {
                    self.err(&format!("     {}", failure.hint));
                }
            }
        }
        failure.exit
    }

    /// How the program ends that would end with `exit`: not well where a result was lost.
    pub fn end(&self, exit: Exit) -> Exit {
        if exit == Exit::Done && self.lost.load(Ordering::Relaxed) { Exit::Disk } else { exit }
    }

    fn out(&self, line: &str) {
        self.lines([line].into_iter());
    }

    fn lines(&self, mut lines: impl Iterator<Item = impl AsRef<str>>) {
        if self.loudness == Loudness::Silent {
            return;
        }
        let written = self.bars.suspend(|| {
            let mut out = io::BufWriter::new(io::stdout().lock());
            lines.try_for_each(|line| writeln!(out, "{}", escape(line.as_ref())))?;
            out.flush()
        });
        self.finish(written);
    }

    /// A reader that has seen enough closed the pipe: that is success, as for other tools. Anything
    /// else is told once; a node then goes on with what it does.
    fn finish(&self, written: io::Result<()>) {
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(Exit::Done as i32),
            Err(error) if !self.lost.swap(true, Ordering::Relaxed) => {
                let fault = Fault::disk("writing the results", &error);
                let failure = Failure::new(Exit::Disk, fault.to_string());
                self.failure(&failure.hint("make room where standard output goes, or send it elsewhere"));
            }
            Err(_) => {}
        }
    }

    /// The same for people and, under its word, for programs.
    fn said(&self, word: &str, line: &str, shown: &str) {
        match self.format {
            Format::Human => self.err(shown),
            Format::Json => self.err(&ascii(&json!({ word: line }))),
        }
    }

    fn err(&self, line: &str) {
        if self.loudness == Loudness::Silent {
            return;
        }
        // Nobody reads: then there is nobody to tell.
        self.bars.suspend(|| drop(writeln!(io::stderr().lock(), "{}", escape(line))));
    }
}

/// JSON in which everything that could deceive a screen is escaped: same meaning, plain to see.
fn ascii(object: &Value) -> String {
    let text = object.to_string();
    if !deceives(&text) {
        return text;
    }
    let mut line = String::new();
    for c in text.chars() {
        if is_deceptive(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_means_the_same_and_deceives_nobody() {
        let object = json!({ "name": "a\u{1b}[2J\u{202e}\u{e0041}ä" });
        let line = ascii(&object);
        assert!(!line.chars().any(is_deceptive), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), object);
    }
}
