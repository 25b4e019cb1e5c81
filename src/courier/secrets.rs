//! What the other side could say back of what it was told: none of it goes into a log, a report or a transcript.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use zeroize::Zeroizing;

/// In the place of what is not shown.
pub const HIDDEN: &str = "[hidden]";

/// Texts that are hidden.
#[derive(Clone, Default)]
pub struct Secrets(Vec<Zeroizing<String>>);

/// Not what they are.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl Secrets {
    /// A password or a token, and what it is when it is sent.
    pub fn of(secret: &str) -> Self {
        Self(Vec::new()).and(secret)
    }

    /// A further one.
    #[must_use]
    pub fn and(mut self, secret: &str) -> Self {
        // The end of base64 depends on what follows; what is before it doesn't.
        let encoded = Zeroizing::new(STANDARD.encode(secret));
        self.0.push(Zeroizing::new(encoded.trim_end_matches('=').to_owned()));
        self.0.push(Zeroizing::new(secret.to_owned()));
        // As some write it in JSON.
        if secret.contains('/') {
            self.0.push(Zeroizing::new(secret.replace('/', "\\/")));
        }
        self.0.retain(|secret| !secret.is_empty());
        self.sorted()
    }

    /// These, and others.
    #[must_use]
    pub fn with(mut self, others: &Self) -> Self {
        self.0.extend(others.0.iter().cloned());
        self.sorted()
    }

    /// One may be within another.
    fn sorted(mut self) -> Self {
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self
    }

    /// The text without them.
    pub fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| match text.contains(secret.as_str()) {
            true => text.replace(secret.as_str(), HIDDEN),
            false => text,
        })
    }

    /// The same for octets, of which most have none.
    pub fn hide_octets(&self, octets: Vec<u8>) -> Vec<u8> {
        self.0.iter().fold(octets, |octets, secret| {
            let secret = secret.as_bytes();
            let (mut kept, mut from) = (Vec::new(), 0);
            for at in memmem::find_iter(&octets, secret) {
                kept.extend_from_slice(octets.get(from..at).unwrap_or_default());
                kept.extend_from_slice(HIDDEN.as_bytes());
                from = at + secret.len();
            }
            if from == 0 {
                return octets;
            }
            kept.extend_from_slice(octets.get(from..).unwrap_or_default());
            kept
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_as_it_is_and_as_it_was_sent() {
        let secrets = Secrets::of("sesame").and("\0gate\0sesame");
        let text = "x sesame, c2VzYW1l and AGdhdGUAc2VzYW1l= sesam";
        let hidden = "x [hidden], [hidden] and [hidden]= sesam";
        assert_eq!(secrets.hide(text), hidden);
        assert_eq!(secrets.hide_octets(text.as_bytes().to_vec()), hidden.as_bytes());
        assert_eq!(Secrets::of("").hide("abc"), "abc");
        assert_eq!(Secrets::of("se/same").hide(r#"{"key":"se\/same"}"#), r#"{"key":"[hidden]"}"#);
    }
}
