//! What the demonstration shows: steps, details, quotes. In colour on a terminal, plain otherwise.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

pub struct Screen {
    colour: bool,
    steps: Cell<u32>,
}

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

impl Screen {
    pub fn new() -> Self {
        // https://no-color.org: any value turns colour off.
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colour, steps: Cell::new(0) }
    }

    pub fn step(&self, text: &str) {
        self.steps.set(self.steps.get() + 1);
        put("");
        self.line(BOLD, &format!("{}. {text}", self.steps.get()));
    }

    pub fn detail(&self, text: &str) {
        put(&format!("   {}", printable(text)));
    }

    /// Something another program said or received.
    pub fn quote(&self, text: &str) {
        self.line(DIM, &format!("   | {}", printable(text)));
    }

    /// A line to be pasted into a shell: alone and unbroken.
    pub fn paste(&self, text: &str) {
        put(&format!("\n{text}"));
    }

    pub fn done(&self, text: &str) {
        put("");
        self.line(GREEN, text);
    }

    fn line(&self, style: &str, text: &str) {
        if self.colour {
            put(&format!("{style}{text}{PLAIN}"));
        } else {
            put(text);
        }
    }
}

/// A reader that has seen enough closes the pipe: the tour goes on, and tidies up.
fn put(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Mail is data: nothing in it may move the cursor or change colours.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}
