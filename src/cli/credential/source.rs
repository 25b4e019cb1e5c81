//! Where a command takes a secret from: a file or standard input, never the command line, which everybody can read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::secret::Secret;

/// The longest line: what a frame to the vault takes with all else in it.
const MOST: u64 = 4096;

/// The only line of a file, or of standard input when it is called "-".
///
/// Errors: what is wrong with it; never with a part of it.
pub fn line(path: &Path) -> Result<Secret<String>, String> {
    let name = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let mut text = Secret::new(String::with_capacity(8192));
    let read = match path == Path::new("-") {
        true => io::stdin().take(MOST + 1).read_to_string(text.expose_mut()),
        false => File::open(path).and_then(|file| file.take(MOST + 1).read_to_string(text.expose_mut())),
    };
    let length = read.map_err(|error| format!("{name}: the secret can't be read: {error}"))?;
    let line = text.expose().strip_suffix('\n').unwrap_or(text.expose());
    let line = line.strip_suffix('\r').unwrap_or(line);
    if length as u64 > MOST || line.is_empty() || line.contains('\n') {
        return Err(format!("{name}: one line is expected, with the secret and nothing else"));
    }
    Ok(Secret::new(line.to_owned()))
}
