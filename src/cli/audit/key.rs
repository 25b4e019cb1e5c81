//! The log's verifier key as it is given to a command: itself, or in a file.

use std::fs;
use std::io;
use std::path::Path;

use crate::merkle::note::Verifier;
use crate::vault::audit::archive::{unreadable, usage};
use crate::vault::audit::verify::{Fault, plain};

/// `name+0123abcd+AbC...`, or the path of a file that holds it.
pub fn read(key: &str) -> Result<Verifier, Fault> {
    match key.contains('+') && !Path::new(key).exists() {
        true => parse(key),
        false => parse_file(Path::new(key), fs::read_to_string(key)),
    }
}

/// The one that lies in the state directory, where it is a file.
pub fn read_own(path: &Path) -> Result<Verifier, Fault> {
    parse_file(path, plain(path).and_then(io::read_to_string))
}

fn parse_file(path: &Path, text: io::Result<String>) -> Result<Verifier, Fault> {
    parse(&text.map_err(|error| unreadable(format!("reading the log key {}: {error}", path.display())))?)
}

fn parse(text: &str) -> Result<Verifier, Fault> {
    text.trim().parse().map_err(|error| usage(format!("the log key can't be read: {error}")))
}
