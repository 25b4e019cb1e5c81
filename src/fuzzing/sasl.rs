//! A login: whatever a client answers to our challenges, a name and a secret come of it, or a reply, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::heard::replies;
use super::script::Script;
use super::segments;
use super::session::clock;
use crate::edge::front::Phase;
use crate::edge::smtp::auth::{self, Unfit};
use crate::edge::smtp::wire::Wire;
use crate::edge::strangers::Notice;
use crate::policy::mechanism::Mechanism;
use crate::sasl::scram;

const MECHANISMS: [Mechanism; 5] =
    [Mechanism::Plain, Mechanism::Login, Mechanism::OauthBearer, Mechanism::Xoauth2, Mechanism::External];

/// Beyond these, what the first octet says is that of `scram`.
const SCRAM: u8 = 0x80;

/// The first octet says which mechanism, and whether the first line comes with the command; the rest are the lines.
pub fn run(input: &[u8]) {
    let Some((way, rest)) = input.split_first() else { return };
    if way & SCRAM != 0 {
        super::scram::run(input);
        return;
    }
    let mechanism = MECHANISMS[usize::from(*way >> 1) % MECHANISMS.len()];
    let said = segments::of(rest);
    let whole = said.concat();
    scram(&whole);
    let mut lines = whole.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let initial = if way & 1 == 1 { lines.next() } else { None };
    let taken = initial.map_or(0, |initial| memchr::memchr(b'\n', &whole).map_or(initial.len(), |at| at + 1));
    let rest = segments::behind(taken, said);
    let (script, heard) = Script::new(rest, 0);
    let offered = clock().block_on(async {
        let (_season, phase) = watch::channel(Phase::Serving);
        let mut wire = Wire::new(script, phase, Notice::never());
        let offered =
            auth::exchange(&mut wire, mechanism, initial.map(Into::into), Instant::now() + Duration::from_secs(30))
                .await;
        let _ = wire.flush().await;
        offered
    });
    for reply in replies(&heard.lock().unwrap()) {
        assert_eq!(reply.code, 334);
    }
    match offered {
        Ok(Ok(offered)) => {
            let (user, secret) = (offered.user, offered.password.expose().clone());
            for part in [&user, &secret] {
                assert!(part.len() <= 512 && !part.chars().any(char::is_control), "{part:?}");
            }
            assert!(user.is_ascii() && user.len() <= 255);
            let line = |at: usize| -> Option<Vec<u8>> {
                let line = whole.split(|octet| *octet == b'\n').nth(at).unwrap_or_default();
                match line.strip_suffix(b"\r").unwrap_or(line) {
                    b"=" if initial.is_some() => Some(Vec::new()),
                    text => STANDARD.decode(text).ok().filter(|meant| STANDARD.encode(meant).as_bytes() == text),
                }
            };
            let first = line(0).expect("the answer is base64");
            match mechanism {
                Mechanism::Login => {
                    assert_eq!((&first, line(1)), (&user.clone().into_bytes(), Some(secret.clone().into_bytes())));
                    assert!(!user.is_empty() && !secret.is_empty());
                }
                Mechanism::External => assert!(first == user.as_bytes() && secret.is_empty()),
                // Another's name is nobody's to act for.
                Mechanism::Plain => {
                    let forms = [format!("\0{user}\0{secret}"), format!("{user}\0{user}\0{secret}")];
                    assert!(forms.iter().any(|form| form.as_bytes() == first), "{forms:?}");
                    assert!(!user.is_empty() && !secret.is_empty());
                }
                _ => token(mechanism, &first, &user, &secret),
            }
        }
        Ok(Err(Unfit::Impossible(user))) => {
            assert!(user.len() <= 255 && user.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{user:?}");
        }
        Ok(Err(Unfit::Malformed(reply))) => assert!(reply.is_error()),
        Err(_) => (),
    }
}

/// The messages of SCRAM: what is read of one is all of it, in the order in which it was said.
fn scram(message: &[u8]) {
    if let Some(first) = scram::first(message) {
        assert_eq!([first.header_text, first.bare].concat().as_bytes(), message);
        assert!(!first.user.is_empty() && !first.user.contains(&0));
        assert!(!first.nonce.is_empty() && first.nonce.bytes().all(|octet| octet.is_ascii_graphic() && octet != b','));
    }
    if let Some(last) = scram::last(message) {
        assert_eq!(format!("{},p={}", last.unproven, STANDARD.encode(last.proof)).as_bytes(), message);
    }
}

/// A token is said once, behind the word for it, and the name is the one that was said.
fn token(mechanism: Mechanism, message: &[u8], user: &str, token: &str) {
    assert!(!token.is_empty() && token.bytes().all(|octet| octet.is_ascii_graphic()), "{token:?}");
    let said = String::from_utf8_lossy(message);
    let inner = said.strip_suffix("\u{1}\u{1}").expect("a message ends");
    let pairs: Vec<&str> = inner.split('\u{1}').collect();
    let begin = match mechanism {
        Mechanism::Xoauth2 => {
            assert_eq!(pairs.len(), 2, "{said:?}");
            vec![format!("user={user}")]
        }
        _ if user.is_empty() => vec!["n,,".to_owned(), "y,,".to_owned()],
        _ => {
            let escaped = user.replace('=', "=3D").replace(',', "=2C");
            vec![format!("n,a={escaped},"), format!("y,a={escaped},")]
        }
    };
    assert!(begin.iter().any(|begin| begin == pairs[0]), "{said:?} names {user:?}");
    let authorizations: Vec<&str> = pairs[1..].iter().filter_map(|pair| pair.strip_prefix("auth=")).collect();
    let [authorization] = authorizations[..] else { panic!("{said:?} says a token more than once, or never") };
    let (scheme, behind) = authorization.split_at(7);
    assert!(scheme.eq_ignore_ascii_case("bearer ") && behind.trim_start() == token, "{said:?} has another token");
}
