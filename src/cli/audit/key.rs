//! The log's verifier key as it is given to a command: itself, or in a file.

use std::fs;
use std::path::Path;

use crate::merkle::note::Verifier;
use crate::vault::audit::archive::usage;
use crate::vault::audit::verify::Fault;

/// `name+0123abcd+AbC...`, or the path of a file that holds it.
pub fn read(key: &str) -> Result<Verifier, Fault> {
    match key.contains('+') && !Path::new(key).exists() {
        true => parse(key),
        false => read_file(Path::new(key)),
    }
}

pub fn read_file(path: &Path) -> Result<Verifier, Fault> {
    let text = fs::read_to_string(path);
    parse(&text.map_err(|error| usage(format!("reading the log key {}: {error}", path.display())))?)
}

fn parse(text: &str) -> Result<Verifier, Fault> {
    text.trim().parse().map_err(|error| usage(format!("the log key can't be read: {error}")))
}
