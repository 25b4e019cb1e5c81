//! AUTH: PLAIN (RFC 4616) and LOGIN, inside the exchange of RFC 4954. What is read here is a stranger's guess until the
//! vault has judged it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::command::AUTH_LINE;
use super::line::{Line, Said};
use super::reply::{self, Reply};
use super::wire::{Stop, Wire};
use crate::edge::front::Phase;
use crate::ipc::session::Mechanism;
use crate::secret::Secret;

/// RFC 4616 section 2: octets of each part.
const MAX_PART: usize = 255;

/// A name and a password that were offered.
#[derive(Debug)]
pub struct Offered {
    pub user: String,
    pub password: Secret<String>,
}

/// Why there is nothing to judge: what is said to the client, and whether it counts as a guess.
#[derive(Debug, PartialEq, Eq)]
pub struct Unfit {
    pub reply: Reply,
    pub guessed: bool,
}

/// The shape is wrong: no guess was made.
fn malformed(reply: Reply) -> Unfit {
    Unfit { reply, guessed: false }
}

/// The shape is right and no name or password can be like this: answered as a wrong guess, and never passed on, so that
/// no table, log or frame sees a control character.
fn impossible() -> Unfit {
    Unfit { reply: reply::BAD_CREDENTIALS, guessed: true }
}

/// Leads the exchange to its end.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    mechanism: Mechanism,
    initial: Option<Said>,
    deadline: Instant,
) -> Result<Result<Offered, Unfit>, Stop> {
    match (mechanism, initial) {
        (Mechanism::Plain, Some(initial)) if *initial == *b"=" => Ok(plain(&[])),
        (Mechanism::Plain, Some(initial)) => Ok(decode(&initial).and_then(|response| plain(&response))),
        (Mechanism::Plain, None) => {
            let response = challenge(wire, &reply::ASK_RESPONSE, deadline).await?;
            Ok(response.and_then(|response| plain(&response)))
        }
        (Mechanism::Login, None) => {
            let user = match challenge(wire, &reply::ASK_USER, deadline).await? {
                Ok(user) => user,
                Err(unfit) => return Ok(Err(unfit)),
            };
            let password = challenge(wire, &reply::ASK_PASSWORD, deadline).await?;
            Ok(password.and_then(|password| offered(&user, &password)))
        }
        (Mechanism::Login, Some(_)) => Ok(Err(malformed(reply::NO_INITIAL))),
        (Mechanism::Bearer, _) => Ok(Err(malformed(reply::UNKNOWN_MECHANISM))),
    }
}

/// Asks and reads the answer. A client that answers before it is asked has pipelined what must not be.
async fn challenge<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    ask: &Reply,
    deadline: Instant,
) -> Result<Result<Zeroizing<Vec<u8>>, Unfit>, Stop> {
    if wire.is_ahead() {
        return Err(reply::SPEAKS_TOO_EARLY.into());
    }
    wire.say(ask);
    Ok(match wire.line(|_| AUTH_LINE, deadline, Phase::Closing).await? {
        Line::Whole(line) if *line == *b"*" => Err(malformed(reply::CANCELLED)),
        Line::Whole(line) => decode(&line),
        Line::TooLong(_) => Err(malformed(reply::RESPONSE_TOO_LONG)),
        Line::Endless => return Err(reply::RESPONSE_TOO_LONG.into()),
    })
}

/// Strict: the standard alphabet, canonical padding, no blanks, no stray bits.
fn decode(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unfit> {
    STANDARD.decode(text).map(Zeroizing::new).map_err(|_| malformed(reply::BAD_BASE64))
}

/// `authzid NUL authcid NUL passwd`. To act for another is not offered: the first is empty or the same as the second.
fn plain(response: &[u8]) -> Result<Offered, Unfit> {
    let mut parts = response.split(|octet| *octet == 0);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(behalf), Some(user), Some(password), None) => match offered(user, password) {
            Ok(_) if !behalf.is_empty() && behalf != user => Err(impossible()),
            other => other,
        },
        _ => Err(malformed(reply::BAD_BASE64)),
    }
}

fn offered(user: &[u8], password: &[u8]) -> Result<Offered, Unfit> {
    let sized = |part: &[u8]| (1..=MAX_PART).contains(&part.len());
    let sound = |part: &str| !part.chars().any(char::is_control);
    let user = std::str::from_utf8(user).ok().filter(|user| user.is_ascii() && sized(user.as_bytes()) && sound(user));
    let password = std::str::from_utf8(password).ok().filter(|word| sized(word.as_bytes()) && sound(word));
    match (user, password) {
        (Some(user), Some(password)) => {
            Ok(Offered { user: user.to_owned(), password: Secret::new(password.to_owned()) })
        }
        _ => Err(impossible()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(response: &[u8]) -> Result<(String, String), Unfit> {
        plain(response).map(|offered| (offered.user, offered.password.expose().clone()))
    }

    fn pair(user: &str, password: &str) -> Result<(String, String), Unfit> {
        Ok((user.to_owned(), password.to_owned()))
    }

    #[test]
    fn rule_a5_base64_is_strict() {
        assert_eq!(*decode(b"AGEAYg==").unwrap(), b"\0a\0b");
        for bad in
            ["AGEAYg=", "AGEAYg", "AGEAYh==", "AGEAYg==\n", " AGEAYg==", "AGEA Yg==", "AGEA*g==", "A-_A", "====", "="]
        {
            assert_eq!(decode(bad.as_bytes()), Err(malformed(reply::BAD_BASE64)), "{bad:?}");
        }
    }

    #[test]
    fn rule_a6_plain_has_three_parts() {
        assert_eq!(read(b"\0billing\0s3cret"), pair("billing", "s3cret"));
        assert_eq!(read(b"billing\0billing\0p\xc3\xa4ss"), pair("billing", "p\u{e4}ss"));
        assert_eq!(read(b"other\0billing\0s3cret"), Err(impossible()));
        for bad in [&b""[..], b"a", b"a\0b", b"\0a\0b\0", b"\0a\0b\0c"] {
            assert_eq!(read(bad), Err(malformed(reply::BAD_BASE64)), "{bad:?}");
        }
        let long = [&b"\0"[..], &[b'a'; 256], b"\0b"].concat();
        assert_eq!(read(&long), Err(impossible()));
        assert_eq!(read(b"\0\0b"), Err(impossible()));
        assert_eq!(read(b"\0a\0"), Err(impossible()));
        assert_eq!(read(b"\0a\0\xff"), Err(impossible()));
    }

    #[test]
    fn rule_a7_control_characters_are_a_wrong_guess() {
        for bad in [&b"\0a\nb\0c"[..], b"\0a\0c\rd", b"\0a\x1b\0c", b"\0a\0\x7f", b"\0a\0\xc2\x85"] {
            assert_eq!(read(bad), Err(impossible()), "{bad:?}");
        }
    }

    #[test]
    fn rule_a8_names_are_ascii() {
        assert_eq!(read(b"\0b\xc3\xa4r\0c"), Err(impossible()));
    }
}
