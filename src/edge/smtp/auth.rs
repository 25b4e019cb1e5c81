//! AUTH: PLAIN (RFC 4616), LOGIN, OAUTHBEARER (RFC 7628), XOAUTH2 and EXTERNAL (RFC 4422), inside the exchange of RFC 4954. What
//! is read here is a stranger's guess until the vault has judged it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::line::{Line, Said};
use super::reply::{self, Reply};
use super::wire::{Stop, Wire};
use crate::edge::front::Phase;
use crate::policy::mechanism::Mechanism;
use crate::sasl;
use crate::sasl::bearer::Bearer;
use crate::sasl::scram;
use crate::secret::Secret;

/// RFC 4616 section 2: octets of each part.
const MAX_PART: usize = 255;

/// Octets of a line that answers a challenge, its CRLF among them. RFC 4954 section 4 wants as many as the mechanisms that are
/// offered can need: none says more than SCRAM, in base64. What is longer is not kept for a stranger.
pub const ANSWER_LINE: usize = scram::MOST.div_ceil(3) * 4 + 2;

/// The longest key, as over HTTP: ours have some 70 octets, imported ones may be longer.
const MAX_TOKEN: usize = 512;

/// A name and a password that were offered; of a bearer, the name may be empty.
#[derive(Debug)]
pub struct Offered {
    pub user: String,
    pub password: Secret<String>,
}

/// Why there is nothing to judge.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The shape is wrong, and no guess was made: what is said to the client.
    Malformed(Reply),
    /// The shape is right, and no name or password can be like this: whose the guess was, in printable ASCII.
    Impossible(String),
}

impl Unfit {
    /// As a guess that the vault counts, writes down and refuses like any other: no secret is NUL, because nobody can offer
    /// that.
    pub fn guess(self) -> Result<Offered, Reply> {
        match self {
            Self::Malformed(reply) => Err(reply),
            Self::Impossible(user) => Ok(Offered { user, password: Secret::new("\0".to_owned()) }),
        }
    }
}

fn malformed(reply: Reply) -> Unfit {
    Unfit::Malformed(reply)
}

/// What is passed on is escaped and cut, so that no table, log or frame sees a control character.
fn impossible(user: &[u8]) -> Unfit {
    let user = String::from_utf8_lossy(user);
    Unfit::Impossible(user.chars().flat_map(char::escape_default).take(MAX_PART).collect())
}

/// Leads the exchange to its end.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    mechanism: Mechanism,
    initial: Option<Said>,
    deadline: Instant,
) -> Result<Result<Offered, Unfit>, Stop> {
    let read: fn(&[u8]) -> Result<Offered, Unfit> = match mechanism {
        Mechanism::Plain => plain,
        Mechanism::External => external,
        Mechanism::OauthBearer => |response| bearer(sasl::bearer::oauthbearer(response)),
        Mechanism::Xoauth2 => |response| bearer(sasl::bearer::xoauth2(response)),
        // LOGIN has no specification that says where its name goes, and the mail client of .NET sends it with the command.
        Mechanism::Login => {
            let user = match initial {
                Some(initial) => decode(&initial),
                None => challenge(wire, &reply::ASK_USER, deadline).await?,
            };
            let user = match user {
                Ok(user) => at_most_a_name(&user),
                Err(unfit) => return Ok(Err(unfit)),
            };
            let password = challenge(wire, &reply::ASK_PASSWORD, deadline).await?;
            return Ok(password.and_then(|password| offered(&user, &password)));
        }
        Mechanism::Bearer | Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
            return Ok(Err(malformed(reply::UNKNOWN_MECHANISM)));
        }
    };
    Ok(response(wire, initial, deadline).await?.and_then(|response| read(&response)))
}

/// The client's first response: with the command, or when it is asked for.
pub async fn response<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    initial: Option<Said>,
    deadline: Instant,
) -> Result<Result<Zeroizing<Vec<u8>>, Unfit>, Stop> {
    Ok(match initial {
        Some(initial) if *initial == *b"=" => Ok(Zeroizing::default()),
        Some(initial) => decode(&initial),
        None => challenge(wire, &reply::ASK_RESPONSE, deadline).await?,
    })
}

/// Tells a bearer that its token is none, in the words of its mechanism, and hears what it has to say to that: nothing, which
/// each of them says in another way (RFC 7628 section 3.2.3). Gives the last reply.
pub async fn explain<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    mechanism: Mechanism,
    deadline: Instant,
) -> Result<Reply, Stop> {
    let why = if mechanism == Mechanism::Xoauth2 { reply::XOAUTH2_ERROR } else { reply::OAUTHBEARER_ERROR };
    Ok(match challenge(wire, &why, deadline).await? {
        Err(Unfit::Malformed(cancelled)) if cancelled == reply::CANCELLED => cancelled,
        _ => reply::BAD_CREDENTIALS,
    })
}

/// Asks and reads the answer. A client that answers before it is asked has pipelined what must not be.
pub async fn challenge<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    ask: &Reply,
    deadline: Instant,
) -> Result<Result<Zeroizing<Vec<u8>>, Unfit>, Stop> {
    if wire.is_ahead() {
        return Err(reply::SPEAKS_TOO_EARLY.into());
    }
    wire.say(ask);
    Ok(match wire.line(|_| ANSWER_LINE, deadline, Phase::Closing).await? {
        Line::Whole(line) if *line == *b"*" => Err(malformed(reply::CANCELLED)),
        Line::Whole(line) => decode(&line),
        Line::TooLong(_) => Err(malformed(reply::RESPONSE_TOO_LONG)),
        Line::Endless => return Err(reply::RESPONSE_TOO_LONG.into()),
    })
}

/// As much of it as shows that it is no name, where it is none: it is held while the password is awaited.
fn at_most_a_name(user: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(user.iter().copied().take(MAX_PART + 1).collect())
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
            Ok(_) if !behalf.is_empty() && behalf != user => Err(impossible(user)),
            other => other,
        },
        _ => Err(malformed(reply::BAD_BASE64)),
    }
}

/// The token is a key of ours, said as over HTTP (RFC 6750 section 2.1).
fn bearer(said: Option<Bearer<'_>>) -> Result<Offered, Unfit> {
    let Bearer { user, token } = said.ok_or_else(|| malformed(reply::BAD_BASE64))?;
    let sound = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~+/=".contains(octet);
    let key = std::str::from_utf8(token).ok().filter(|key| (1..=MAX_TOKEN).contains(&key.len()));
    match (key.filter(|_| token.iter().all(sound)), user.is_ascii() && user.len() <= MAX_PART) {
        (Some(key), true) if !user.iter().any(u8::is_ascii_control) => {
            Ok(Offered { user: String::from_utf8(user).unwrap_or_default(), password: Secret::new(key.to_owned()) })
        }
        _ => Err(impossible(&user)),
    }
}

/// RFC 4422 appendix A: who the client wants to be, or nothing. There is no password.
fn external(response: &[u8]) -> Result<Offered, Unfit> {
    let nothing = Offered { user: String::new(), password: Secret::new(String::new()) };
    match response {
        [] => Ok(nothing),
        name => named(name).map(|user| Offered { user, ..nothing }),
    }
}

/// A name, where there is no password beside it.
pub fn named(name: &[u8]) -> Result<String, Unfit> {
    offered(name, b"-").map(|offered| offered.user)
}

fn offered(name: &[u8], password: &[u8]) -> Result<Offered, Unfit> {
    let sized = |part: &[u8]| (1..=MAX_PART).contains(&part.len());
    let sound = |part: &str| !part.chars().any(char::is_control);
    let user = std::str::from_utf8(name).ok().filter(|user| user.is_ascii() && sized(user.as_bytes()) && sound(user));
    let password = std::str::from_utf8(password).ok().filter(|word| sized(word.as_bytes()) && sound(word));
    match (user, password) {
        (Some(user), Some(password)) => {
            Ok(Offered { user: user.to_owned(), password: Secret::new(password.to_owned()) })
        }
        _ => Err(impossible(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(response: &[u8]) -> Result<(String, String), Unfit> {
        plain(response).map(|offered| (offered.user, offered.password.expose().clone()))
    }

    fn impossible(user: &str) -> Unfit {
        Unfit::Impossible(user.to_owned())
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
        assert_eq!(read(b"other\0billing\0s3cret"), Err(impossible("billing")));
        for bad in [&b""[..], b"a", b"a\0b", b"\0a\0b\0", b"\0a\0b\0c"] {
            assert_eq!(read(bad), Err(malformed(reply::BAD_BASE64)), "{bad:?}");
        }
        let (most, over) = ("a".repeat(255), "a".repeat(256));
        assert_eq!(read(format!("{most}\0{most}\0{most}").as_bytes()), pair(&most, &most));
        assert_eq!(read(format!("\0{over}\0b").as_bytes()), Err(impossible(&most)));
        assert_eq!(read(format!("{over}\0{over}\0b").as_bytes()), Err(impossible(&most)));
        assert_eq!(read(format!("{over}\0a\0b").as_bytes()), Err(impossible("a")));
        assert_eq!(read(format!("\0a\0{over}").as_bytes()), Err(impossible("a")));
        assert_eq!(read(b"\0\0b"), Err(impossible("")));
        assert_eq!(read(b"\0a\0"), Err(impossible("a")));
        assert_eq!(read(b"\0a\0\xff"), Err(impossible("a")));
    }

    #[test]
    fn rule_a7_row_36_a_bearer_says_a_key_and_may_say_whose_it_is() {
        let read = |message: &[u8]| {
            bearer(sasl::bearer::xoauth2(message)).map(|offered| (offered.user, offered.password.expose().clone()))
        };
        assert_eq!(read(b"user=\x01auth=Bearer gp_x\x01\x01"), pair("", "gp_x"));
        assert_eq!(read(b"user=billing\x01auth=Bearer a-b._~+/=\x01\x01"), pair("billing", "a-b._~+/="));
        assert_eq!(read(b"user=billing\x01auth=Bearer gp_x\x01"), Err(malformed(reply::BAD_BASE64)));
        for (bad, user) in [
            (&b"user=a\nb\x01auth=Bearer gp_x\x01\x01"[..], r"a\nb"),
            (b"user=a\0\x01auth=Bearer gp_x\x01\x01", r"a\u{0}"),
            (b"user=b\xc3\xa4r\x01auth=Bearer gp_x\x01\x01", r"b\u{e4}r"),
            (b"user=a\x01auth=Bearer \x01\x01", "a"),
            (b"user=a\x01auth=Basic gp_x\x01\x01", "a"),
            (b"user=a\x01auth=Bearer gp x\x01\x01", "a"),
            (b"user=a\x01auth=Bearer gp\r\n\x01\x01", "a"),
        ] {
            assert_eq!(read(bad), Err(impossible(user)), "{bad:?}");
        }
        let long = format!("user=a\x01auth=Bearer {}\x01\x01", "x".repeat(MAX_TOKEN + 1));
        assert_eq!(read(long.as_bytes()), Err(impossible("a")));
    }

    #[test]
    fn rule_a7_control_characters_are_a_wrong_guess() {
        for (bad, user) in [
            (&b"\0a\nb\0c"[..], r"a\nb"),
            (b"\0a\0c\rd", "a"),
            (b"\0a\x1b\0c", r"a\u{1b}"),
            (b"\0a\0\x7f", "a"),
            (b"\0a\0\xc2\x85", "a"),
            ("\0a\u{202e}\0c".as_bytes(), r"a\u{202e}"),
        ] {
            assert_eq!(read(bad), Err(impossible(user)), "{bad:?}");
        }
    }

    #[test]
    fn rule_a8_names_are_ascii() {
        assert_eq!(read(b"\0b\xc3\xa4r\0c"), Err(impossible(r"b\u{e4}r")));
        assert_eq!(read(b"\0b\xffr\0c"), Err(impossible(r"b\u{fffd}r")));
    }
}
