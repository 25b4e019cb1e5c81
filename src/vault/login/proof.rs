//! Keys for SCRAM-SHA-256 of a credential's secret, and whether a proof is one of them.

use std::num::NonZeroU32;

use subtle::ConstantTimeEq;

use crate::policy::derived::{ITERATIONS, Keys, SALT, Salt};
use crate::sasl::proof;
use crate::secret::Secret;

/// A salt that nobody has.
///
/// Errors: the kernel gives no random octets.
pub fn fresh_salt() -> Result<Salt, String> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(|error| format!("no random octets: {error}"))?;
    Ok(salt)
}

/// Derives the keys of a secret: beside those of another secret, so that one challenge serves both, or with a salt of their own.
///
/// Errors: it can't be done with this secret; never with a part of it.
pub fn derive(secret: &Secret<String>, beside: Option<&Keys>) -> Result<Keys, String> {
    let (iterations, salt) = match beside {
        Some(other) => (other.iterations, other.salt),
        None => (ITERATIONS, fresh_salt()?),
    };
    with(secret, iterations, salt)
}

/// Derives them with this salt.
///
/// Errors: as of `derive`.
pub fn with(secret: &Secret<String>, iterations: u32, salt: Salt) -> Result<Keys, String> {
    // Anything else clients spell in more than one way.
    if !proof::is_plain(secret.expose()) {
        return Err(
            "keys for SCRAM are made of printable ASCII alone, and there is something else in this secret: use one \
                    that `gatepost credential add` makes"
                .to_owned(),
        );
    }
    let count = NonZeroU32::new(iterations).ok_or_else(|| "keys need at least one iteration".to_owned())?;
    let salted = proof::stretch(secret, count, &salt);
    Ok(Keys { iterations, salt, stored: proof::stored(&proof::client(&salted)), server: proof::server(&salted) })
}

/// Whether whoever made this proof of these words has the secret.
pub fn fits(keys: &Keys, words: &[u8], shown: &[u8; 32]) -> bool {
    let client = proof::proven(&keys.stored, words, shown);
    proof::stored(&client).expose().ct_eq(keys.stored.expose()).into()
}

/// What shows the client that we have the keys.
pub fn signature(keys: &Keys, words: &[u8]) -> [u8; 32] {
    proof::sign(&keys.server, words)
}

/// What a client does, for tests.
#[cfg(any(test, fuzzing))]
pub fn prove(secret: &Secret<String>, iterations: u32, salt: Salt, words: &[u8]) -> [u8; 32] {
    proof::prove(&proof::client(&proof::stretch(secret, NonZeroU32::new(iterations).unwrap(), &salt)), words)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::policy::derived;
    use crate::sasl::scram;

    #[test]
    fn rule_a17_the_example_of_rfc_7677() {
        const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let (iterations, salt) = derived::head("4096:W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = with(&Secret::new("pencil".into()), iterations, salt).unwrap();
        assert_eq!(
            keys.text().expose(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        let (first, last) = (scram::first(FIRST.as_bytes()).unwrap(), scram::last(LAST.as_bytes()).unwrap());
        let challenge = scram::challenge(first.nonce, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", &keys.salt, keys.iterations);
        let words = format!("{},{challenge},{}", first.bare, last.unproven);
        assert!(fits(&keys, words.as_bytes(), &last.proof));
        assert_eq!(
            scram::verdict(&signature(&keys, words.as_bytes())),
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
        let mut other = last.proof;
        other[31] ^= 1;
        assert!(!fits(&keys, words.as_bytes(), &other));
        assert!(!fits(&keys, format!("{words} ").as_bytes(), &last.proof));
        let secret = Secret::new("pencil".into());
        assert_eq!(
            STANDARD.encode(prove(&secret, 4096, keys.salt, words.as_bytes())),
            LAST.rsplit_once("p=").unwrap().1
        );
    }

    #[test]
    fn rule_a17_keys_have_a_salt_of_their_own_or_that_of_their_neighbour() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let (one, two) = (derive(&secret("one"), None).unwrap(), derive(&secret("one"), None).unwrap());
        assert!(one.iterations == ITERATIONS && !one.is_beside(&two) && one.stored.expose() != two.stored.expose());
        let beside = derive(&secret("two"), Some(&one)).unwrap();
        assert!(beside.is_beside(&one) && beside.stored.expose() != one.stored.expose());
        for strange in ["p\u{e4}ncil", "pencil\u{a0}", "pen\tcil", "pencil\u{7f}"] {
            let why = derive(&secret(strange), None).unwrap_err();
            assert!(why.contains("ASCII") && !why.contains(strange), "{why}");
        }
    }
}
