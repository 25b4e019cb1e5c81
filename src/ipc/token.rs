//! A token of Turnstile, on its way from a page to who is asked of it.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Octets of a token: no page is given a longer one.
pub const MAX_TOKEN: usize = 2048;

/// A token as a page shows it, and where it was solved, as far as that is known. Its text is a visitor's, good for one message:
/// it is in no log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Token(Secret<String>);

impl Token {
    /// None: it can't be one.
    pub fn new(text: &str) -> Option<Self> {
        let is_sound = (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic());
        is_sound.then(|| Self(Secret::new(text.to_owned())))
    }

    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// An edge may have made it of anything.
    pub fn is_sound(&self) -> bool {
        Self::new(self.expose()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_short_and_visible_and_is_shown_in_no_log() {
        assert!(Token::new(&"x".repeat(MAX_TOKEN)).is_some());
        for none in ["", "two words", "line\n", "\u{e4}", &"x".repeat(MAX_TOKEN + 1)] {
            assert!(Token::new(none).is_none(), "{none:?}");
        }
        let token = Token::new("0.secret-token").unwrap();
        assert!(!format!("{token:?}").contains("secret-token"));
    }
}
