//! Questions on standard error, answers from standard input: a terminal, or whatever speaks like somebody at one.

use std::io::{self, BufRead, IsTerminal, Write};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use crate::secret::Secret;

/// The word for nothing, where a question has another default.
const NONE: &str = "-";
/// Octets of an answer: more than any path or name has.
const LONGEST: u64 = 4096;

pub struct Asker {
    silent: bool,
}

impl Asker {
    pub fn new(silent: bool) -> Self {
        Self { silent }
    }

    /// Nothing is asked.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// What an option says, or else an answer, until it is one. An empty answer is the usual one, where there is one.
    pub fn one<T>(
        &mut self,
        option: &str,
        what: &str,
        given: &Option<String>,
        usual: Option<&str>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, String> {
        if let Some(given) = given {
            return read(given).map_err(|wrong| format!("--{option}: {wrong}"));
        }
        if self.silent {
            let usual = usual.ok_or_else(|| format!("--{option} is missing: {}", lower(what)))?;
            return read(usual).map_err(|wrong| format!("--{option}: {wrong}"));
        }
        let hint = usual.map_or_else(String::new, |usual| format!(" [{usual}]"));
        loop {
            let answer = line(&format!("{what}{hint}: "))?;
            let answer = match (answer.trim(), usual) {
                ("", Some(usual)) => usual,
                ("", None) => continue,
                (answer, _) => answer,
            };
            match read(answer) {
                Ok(value) => return Ok(value),
                Err(wrong) => eprintln!("{wrong}"),
            }
        }
    }

    /// The same of what may be left out, as it is where nothing is asked.
    pub fn maybe<T>(
        &mut self,
        option: &str,
        what: &str,
        given: &Option<String>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        if given.is_none() && self.silent {
            return Ok(None);
        }
        let what = format!("{what}, {NONE} for none");
        self.one(option, &what, given, Some(NONE), |text| match text {
            NONE => Ok(None),
            text => read(text).map(Some),
        })
    }

    /// A secret, which a terminal doesn't show. None when it is to come later.
    pub fn secret(&mut self, what: &str) -> Result<Option<Secret<String>>, String> {
        if self.silent {
            return Ok(None);
        }
        let question = format!("{what} (it is not shown; empty: later): ");
        let input = io::stdin();
        let hidden = if input.is_terminal() { Some(Hidden::begin()?) } else { None };
        let answer = Secret::new(line(&question)?);
        if hidden.is_some() {
            eprintln!();
        }
        // What stands at its ends is part of it, but for the end of the line.
        let text = answer.expose().trim_end_matches(['\r', '\n']);
        // Ctrl-C is one while nothing is shown, so that the terminal is left as it was.
        if text.contains(char::is_control) {
            return Err("a secret has no control characters; nothing was written".to_owned());
        }
        Ok((!text.is_empty()).then(|| Secret::new(text.to_owned())))
    }
}

/// Asks, and gives the line that is answered.
fn line(question: &str) -> Result<String, String> {
    eprint!("{question}");
    let _ = io::stderr().flush();
    let mut answer = String::with_capacity(256);
    let read = io::Read::take(io::stdin().lock(), LONGEST).read_line(&mut answer);
    match read.map_err(|error| format!("reading an answer: {error}"))? {
        0 => {
            eprintln!();
            Err("the answers ended before all was asked, and nothing was written: see `gatepost init --help` for the options".into())
        }
        _ => Ok(answer),
    }
}

fn lower(text: &str) -> String {
    let mut all = text.chars();
    all.next().map_or_else(String::new, |first| first.to_lowercase().chain(all).collect())
}

/// A terminal that shows nothing of what is typed, until this ends.
struct Hidden(nix::sys::termios::Termios);

impl Hidden {
    fn begin() -> Result<Self, String> {
        let failed = |error| format!("a terminal that would show the secret: {error}");
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &quiet).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nothing better can be done about a terminal that is gone.
        let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}
