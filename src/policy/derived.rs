//! Keys that were derived from a secret, so that a client can show by SCRAM that it has the secret and never say it.
//!
//! As text they are `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, the form in which PostgreSQL keeps and takes
//! them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Secret;

/// How often a secret is hashed here (RFC 7677 section 4: 4096 at least, some 15,000 where clients are no small devices).
///
/// The work is the client's, at each login, and a printer has no time for the hundreds of thousands that are asked for where
/// keys are made of what people can remember. Secrets here have 256 bits: whoever has stolen the keys doesn't find the secret
/// whatever a guess costs.
pub const ITERATIONS: u32 = 16_384;
/// RFC 7677 section 4.
const LEAST_ITERATIONS: u32 = 4096;
/// More would keep each of the credential's own clients busy for seconds.
const MOST_ITERATIONS: u32 = 1_000_000;
/// Octets of a salt. Another length would tell whoever asks that the name exists.
pub const SALT: usize = 16;

const BEGINS: &str = "SCRAM-SHA-256$";
const SHAPE: &str = "is not SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>";

const HEAD: &str = "is not <iterations>:<salt>, which stand between SCRAM-SHA-256$ and the next $";

pub type Salt = [u8; SALT];

/// What a login is checked against. Whoever has them can pretend to be the server to the secret's owner, and who also hears a
/// login can log in as the owner; the secret itself is not in them.
#[derive(Clone, Debug)]
pub struct Keys {
    pub iterations: u32,
    pub salt: Salt,
    pub stored: Secret<[u8; 32]>,
    pub server: Secret<[u8; 32]>,
}

impl Keys {
    /// The text is never repeated: it may be a password in the wrong place.
    ///
    /// Errors: what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (begin, keys) = text.strip_prefix(BEGINS).and_then(|rest| rest.split_once('$')).ok_or(SHAPE)?;
        let (stored, server) = keys.split_once(':').ok_or(SHAPE)?;
        let (iterations, salt) = head(begin).map_err(|why| if why == HEAD { SHAPE } else { why })?;
        Ok(Self { iterations, salt, stored: key(stored).ok_or(SHAPE)?, server: key(server).ok_or(SHAPE)? })
    }

    pub fn text(&self) -> Secret<String> {
        let encode = |octets: &[u8]| Secret::new(STANDARD.encode(octets));
        let (stored, server) = (encode(self.stored.expose()), encode(self.server.expose()));
        let salt = STANDARD.encode(self.salt);
        Secret::new(format!("{BEGINS}{}:{salt}${}:{}", self.iterations, stored.expose(), server.expose()))
    }

    /// Whether a client that was told how to stretch one secret has thereby stretched the other.
    pub fn is_beside(&self, other: &Self) -> bool {
        (self.iterations, self.salt) == (other.iterations, other.salt)
    }
}

fn key(text: &str) -> Option<Secret<[u8; 32]>> {
    let octets = Secret::new(STANDARD.decode(text).ok()?);
    octets.expose().as_slice().try_into().ok().map(Secret::new)
}

/// How a secret is stretched, `<iterations>:<salt>`: all of the text that is no secret.
///
/// Errors: what is wrong with it.
pub fn head(text: &str) -> Result<(u32, Salt), &'static str> {
    let (iterations, salt) = text.split_once(':').ok_or(HEAD)?;
    let digits = !iterations.starts_with('0') && iterations.bytes().all(|octet| octet.is_ascii_digit());
    let iterations: u32 = iterations.parse().ok().filter(|_| digits).ok_or(HEAD)?;
    if iterations < LEAST_ITERATIONS {
        return Err("has fewer than 4096 iterations");
    }
    if iterations > MOST_ITERATIONS {
        return Err("has more than 1000000 iterations, which every client would have to do at each login");
    }
    let salt = STANDARD.decode(salt).map_err(|_| HEAD)?;
    Ok((iterations, salt.try_into().map_err(|_| "has a salt of other than 16 octets")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret "pencil", with the salt of RFC 7677 section 3.
    const GOOD: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn what_stands_before_the_keys_is_asked_for_by_itself() {
        assert_eq!(head(GOOD), Err(HEAD));
        assert_eq!(head("4096:x"), Err(HEAD));
        assert_eq!(Keys::parse(&GOOD.replace("4096:", "4096")).err(), Some(SHAPE));
        assert!(head("4096:W22ZaJ0SNY7soEsUEjb6gQ==").is_ok());
    }

    #[test]
    fn rule_a17_keys_have_one_form() {
        assert_eq!(Keys::parse(GOOD).unwrap().text().expose(), GOOD);
        let shown = format!("{:?}", Keys::parse(GOOD).unwrap());
        assert!(!shown.contains("WG5d") && shown.contains("[secret]"), "{shown}");
        let bad = [
            ("hunter2".to_owned(), "is not SCRAM"),
            (GOOD.replace("SHA-256", "SHA-1"), "is not SCRAM"),
            (GOOD.replace("4096", "4095"), "fewer"),
            (GOOD.replace("4096", "04096"), "is not SCRAM"),
            (GOOD.replace("4096", "+4096"), "is not SCRAM"),
            (GOOD.replace("4096", "1000001"), "more than"),
            (GOOD.replace("4096", "99999999999"), "is not SCRAM"),
            (GOOD.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "W22ZaJ0SNY7soEsUEjb6"), "16 octets"),
            (GOOD.replace("4qY=", "4qY"), "is not SCRAM"),
            (GOOD.replace("2dU=", ""), "is not SCRAM"),
            (GOOD.replace(":wfPL", "wfPL"), "is not SCRAM"),
        ];
        for (text, why) in bad {
            let said = Keys::parse(&text).unwrap_err();
            assert!(said.contains(why) && !said.contains("hunter2"), "{text}: {said}");
        }
    }
}
