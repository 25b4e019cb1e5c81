//! What can't be undone is not done by a slip of the hand: a question on a terminal, and `--yes` where nobody can be asked.

use std::io::{self, BufRead, IsTerminal, Read};

/// Octets of an answer: more than any word has.
const LONGEST: u64 = 256;

/// Asks whether to do it, unless `--yes` says so. `what` goes on behind "this": "gives up ...".
///
/// Errors: nobody says so, and nothing may be done.
pub fn confirm(yes: bool, what: &str) -> Result<(), String> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(format!("this {what}, and nobody is there to be asked: nothing was done. Say it with --yes"));
    }
    eprint!("This {what}. Type yes to do it: ");
    let mut answer = String::new();
    let read = io::stdin().lock().take(LONGEST).read_line(&mut answer);
    match read.map(|_| answer.trim()) {
        Ok(answer) if answer.eq_ignore_ascii_case("yes") => Ok(()),
        Ok(_) => Err("nothing was done".to_owned()),
        Err(error) => Err(format!("reading the answer: {error}; nothing was done")),
    }
}
