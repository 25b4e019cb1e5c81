//! AUTH at the sink: PLAIN and LOGIN, with and without an initial response, and SCRAM-SHA-256 without binding.

use std::io;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::session::Session;
use crate::sasl::{proof, scram};
use crate::secret::Secret;

/// What it asks those to do who log in by SCRAM.
const ITERATIONS: u32 = 4096;
const SALT: &[u8] = b"0123456789abcdef";

impl Session<'_> {
    /// The whole exchange, from the command on.
    pub(super) fn login(&mut self, line: &str) -> io::Result<()> {
        let mut words = line.split(' ').skip(1);
        let (mechanism, initial) = (words.next().unwrap_or_default().to_ascii_uppercase(), words.next());
        self.note_mechanism(&mechanism);
        if !self.options.mechanisms.split(' ').any(|offered| offered == mechanism) {
            return self.say("504 5.5.4 unknown mechanism");
        }
        let given = match (mechanism.as_str(), initial) {
            ("PLAIN", initial) => {
                let response = match initial {
                    Some(initial) => initial.to_owned(),
                    None => self.challenge("")?,
                };
                let response = decoded(&response);
                let mut parts = response.split('\0').skip(1).map(str::to_owned);
                parts.next().zip(parts.next())
            }
            ("LOGIN", None) => {
                let user = self.challenge("VXNlcm5hbWU6")?;
                Some((decoded(&user), decoded(&self.challenge("UGFzc3dvcmQ6")?)))
            }
            ("SCRAM-SHA-256", Some(initial)) => self.scram(&decoded(initial))?,
            _ => return self.say("504 5.5.4 unknown mechanism"),
        };
        if given.is_some() && given == self.options.login {
            self.user = given.map(|(user, _)| user);
            self.say("235 2.7.0 welcome")
        } else {
            self.say("535 5.7.8 bad credentials")
        }
    }

    /// Name and password, if the client has shown that it has them and was shown that we have them, too.
    fn scram(&mut self, first: &str) -> io::Result<Option<(String, String)>> {
        let Some((user, password)) = self.options.login.clone() else { return Ok(None) };
        let Some(first) = scram::first(first.as_bytes()).filter(|first| first.user == user.as_bytes()) else {
            return Ok(None);
        };
        let asked = scram::challenge(first.nonce, "sink", SALT, ITERATIONS);
        let last = decoded(&self.challenge(&STANDARD.encode(&asked))?);
        let Some(last) = scram::last(last.as_bytes()) else { return Ok(None) };
        let words = format!("{},{asked},{}", first.bare, last.unproven);
        let iterations = NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MIN);
        let salted = proof::stretch(&Secret::new(password.clone()), iterations, SALT);
        let stored = proof::stored(&proof::client(&salted));
        let shown = proof::stored(&proof::proven(&stored, words.as_bytes(), &last.proof));
        let same_nonce = last.nonce == format!("{}sink", first.nonce);
        if shown.expose() != stored.expose() || last.binding != first.header_text.as_bytes() || !same_nonce {
            return Ok(None);
        }
        let signature = proof::sign(&proof::server(&salted), words.as_bytes());
        let last = self.challenge(&STANDARD.encode(scram::verdict(&signature)))?;
        Ok(last.is_empty().then_some((user, password)))
    }

    fn challenge(&mut self, text: &str) -> io::Result<String> {
        self.say(&format!("334 {text}"))?;
        self.line()
    }
}

fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&STANDARD.decode(text).unwrap_or_default()).into_owned()
}
