//! Whether a secret that was made elsewhere can stand for a password at all.

/// Bits that a secret must be able to hold: what a generated one has.
const BITS: f64 = 256.0;
/// Different characters: a random secret of that strength has more, even in hexadecimal.
const DIFFERENT: usize = 10;
/// What RFC 4616 lets a client send.
const MOST: usize = 255;
/// What people leave where a secret belongs. Long enough that none of them turns up in a random one.
const PLACEHOLDERS: [&str; 22] = [
    "changeme",
    "change_me",
    "change-me",
    "password",
    "passwort",
    "passw0rd",
    "p4ssword",
    "placeholder",
    "example",
    "secret",
    "replace",
    "insert",
    "default",
    "your_key",
    "your-key",
    "yourkey",
    "letmein",
    "gatepost",
    "qwerty",
    "123456",
    "abcdef0",
    "abcdefg",
];

/// Errors: why it is refused; never with a part of it.
pub fn check(secret: &str) -> Result<(), String> {
    if secret.is_empty() || secret.len() > MOST || secret.chars().any(char::is_control) {
        return Err(format!("the secret must be 1 to {MOST} octets on one line, without control characters"));
    }
    if is_placeholder(secret) {
        return Err(
            "the secret is a placeholder that everybody knows: use a random one, such as `gatepost credential \
                    add` makes"
                .to_owned(),
        );
    }
    let mut different: Vec<char> = secret.chars().collect();
    different.sort_unstable();
    different.dedup();
    let held = bits(secret);
    if held < BITS || different.len() < DIFFERENT || repeats(secret.as_bytes()) {
        return Err(format!(
            "the secret can hold {held:.0} bits at most where {BITS:.0} are asked for (32 random octets, such as 43 \
             letters and digits or 64 hexadecimal ones), or it repeats itself: use a longer random one"
        ));
    }
    Ok(())
}

/// It is what people leave where a secret belongs.
pub fn is_placeholder(secret: &str) -> bool {
    let lower = secret.to_lowercase();
    PLACEHOLDERS.iter().any(|placeholder| lower.contains(placeholder))
}

/// How many bits a text of these characters can hold: the most it may be worth, since nobody sees how it was made.
pub fn bits(secret: &str) -> f64 {
    let all = |fits: fn(&u8) -> bool| secret.as_bytes().iter().all(fits);
    let alphabet: f64 = match () {
        () if all(u8::is_ascii_digit) => 10.0,
        () if all(|octet| octet.is_ascii_digit() || (b'a'..=b'f').contains(octet)) => 16.0,
        () if all(|octet| octet.is_ascii_digit() || (b'A'..=b'F').contains(octet)) => 16.0,
        () if all(u8::is_ascii_lowercase) || all(u8::is_ascii_uppercase) => 26.0,
        () if all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit()) => 36.0,
        () if all(|octet| octet.is_ascii_uppercase() || octet.is_ascii_digit()) => 36.0,
        () if all(u8::is_ascii_alphanumeric) => 62.0,
        () => 94.0,
    };
    alphabet.log2() * f64::from(u8::try_from(secret.len()).unwrap_or(u8::MAX))
}

/// It is a shorter text said several times.
fn repeats(secret: &[u8]) -> bool {
    (1..=secret.len() / 2).any(|period| secret.iter().skip(period).zip(secret).all(|(later, earlier)| later == earlier))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::login::key;

    #[test]
    fn random_secrets_of_256_bits_are_taken() {
        for _ in 0..200 {
            let (_, key) = key::generate().unwrap();
            assert_eq!(check(key.expose()), Ok(()));
            assert_eq!(check(&key.expose()[17..60]), Ok(()), "43 letters and digits");
        }
        assert_eq!(check("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"), Ok(()));
    }

    #[test]
    fn short_ones_placeholders_and_repetitions_are_refused_and_never_shown() {
        let long = "x".repeat(256);
        let bad = [
            "",
            "hunter2",
            "changeme",
            "correct horse battery staple",
            "9f86d081884c7d659a2feaa0c55ad015",
            "CHANGEME-CHANGEME-CHANGEME-CHANGEME-CHANGEME-CHANGEME",
            "please-replace-with-a-random-secret-of-yours-1!",
            "aB3dE6gH9aB3dE6gH9aB3dE6gH9aB3dE6gH9aB3dE6gH9aB3dE6gH9",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "kV7\u{1b}pQ2mZx9Lr4Tn8Wb3Yc6Hd1Jf5Gs0Ka7Pv2Mq9Xz4Rt8",
            &long,
        ];
        for secret in bad {
            let why = check(secret).unwrap_err();
            assert!(secret.len() < 6 || !why.contains(secret), "{why}");
        }
    }
}
