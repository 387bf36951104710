//! Lines that are drawn again and again in the same place, where there is a terminal.

use std::io::IsTerminal;

use dialoguer::console::{Term, truncate_str};

use super::printer::{Format, Printer};
use crate::base::text::escape;

/// Draws lines in place; off a terminal, prints them one set after the other.
#[derive(Debug)]
pub struct Board {
    printer: Printer,
    screen: Option<Term>,
    drawn: bool,
}

impl Board {
    /// A board on standard output.
    pub fn new(printer: &Printer) -> Self {
        let terminal = printer.format() == Format::Human && std::io::stdout().is_terminal();
        Self { printer: printer.clone(), screen: terminal.then(Term::stdout), drawn: false }
    }

    /// Draws these lines in place of those before, as many as there is room for.
    pub fn draw(&mut self, lines: &[String]) {
        let Some(screen) = &self.screen else {
            if std::mem::replace(&mut self.drawn, true) {
                self.printer.line("");
            }
            lines.iter().for_each(|line| self.printer.line(line));
            return;
        };
        let (rows, columns) = screen.size();
        let (rows, columns) = (usize::from(rows), usize::from(columns));
        let first = !std::mem::replace(&mut self.drawn, true);
        let drawn = || {
            if first {
                screen.clear_screen()?;
            }
            screen.move_cursor_to(0, 0)?;
            for line in lines.iter().take(rows.saturating_sub(1)) {
                let line = escape(line);
                let line = truncate_str(&line, columns, "…");
                // What stood there before is written over, so that nothing flickers.
                screen.write_line(&format!("{line:columns$}"))?;
            }
            screen.clear_to_end_of_screen()
        };
        self.printer.written(drawn());
    }
}
