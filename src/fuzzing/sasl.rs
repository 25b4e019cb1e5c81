//! A login: whatever a client answers to our challenges, a name and a password come of it, or a reply, and nothing else.

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

const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// The first octet says which mechanism, and whether the first line comes with the command; the rest are the lines.
pub fn run(input: &[u8]) {
    let Some((way, rest)) = input.split_first() else { return };
    let mechanism = MECHANISMS[usize::from(*way >> 1) % MECHANISMS.len()];
    let said = segments::of(rest);
    let whole = said.concat();
    scram(&whole);
    let mut lines = whole.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let initial = if way & 1 == 1 { lines.next() } else { None };
    let rest =
        whole[initial.map_or(0, |initial| memchr::memchr(b'\n', &whole).map_or(initial.len(), |at| at + 1))..].to_vec();
    let rest = if initial.is_some() { segments::of(&rest) } else { said };
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
            let (user, password) = (offered.user, offered.password.expose().clone());
            for part in [&user, &password] {
                assert!((1..=255).contains(&part.len()) && !part.chars().any(char::is_control), "{part:?}");
            }
            assert!(user.is_ascii());
            let lines: Vec<&[u8]> = whole.split(|octet| *octet == b'\n').collect();
            let line =
                |at: usize| lines.get(at).map(|line| line.strip_suffix(b"\r").unwrap_or(line)).unwrap_or_default();
            let forms = match mechanism {
                // Another's name is nobody's to act for.
                Mechanism::Plain => {
                    vec![(line(0), format!("\0{user}\0{password}")), (line(0), format!("{user}\0{user}\0{password}"))]
                }
                _ => vec![(line(0), user), (line(1), password)],
            };
            let is_said = |(line, meant): &(&[u8], String)| *line == STANDARD.encode(meant).as_bytes();
            match mechanism {
                Mechanism::Plain => assert!(forms.iter().any(is_said), "{forms:?}"),
                _ => assert!(forms.iter().all(is_said), "{forms:?}"),
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
