//! What this thread logs, for tests of what is logged and of nothing else.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::subscriber::DefaultGuard;

/// As long as it is there it hears.
pub struct Heard {
    said: Ear,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<u8>>>);

pub fn hear() -> Heard {
    let said = Ear::default();
    let ear = said.clone();
    let subscriber = tracing_subscriber::fmt().with_target(false).with_ansi(false).without_time();
    let subscriber = subscriber.with_writer(move || ear.clone()).finish();
    Heard { said, _guard: tracing::subscriber::set_default(subscriber) }
}

impl Heard {
    /// The lines so far in which all of these stand.
    pub fn lines(&self, words: &[&str]) -> usize {
        let said = self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&said);
        text.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }
}

impl Write for Ear {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
