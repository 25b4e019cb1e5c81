//! A value that is never printed and is wiped when it is dropped.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// Holds a password, key or token. It has no `Display`, its `Debug` shows nothing, and its memory is wiped on drop.
/// It can be serialised, because secrets do travel between our own processes; it never reaches a log or a file that way.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The one way to the value; search for this name to find every place that uses a secret.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// To fill it in place, so that no copy of the value is left behind.
    pub const fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_when_printed() {
        let secret = Secret::new(String::from("hunter2"));
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret.expose(), "hunter2");
    }
}
