//! A login by SCRAM from AUTH to its end, through a session and what the vault judges it by: whoever is let in has proven the secret,
//! over this channel, as the one who it is, and nobody else is; and whoever has done that is let in.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::watch;
use uuid::Uuid;

use super::heard::replies;
use super::script::Script;
use super::session::{Setting, clock};
use crate::edge::front::Phase;
use crate::edge::smtp::session::Session;
use crate::edge::stand_in::{StandIn, Ways};
use crate::edge::talk::{Talk, Turn};
use crate::ipc::session::{Exported, Tls};
use crate::policy::derived::{Keys, Salt};
use crate::policy::mechanism::Mechanism;
use crate::sasl::scram;
use crate::secret::Secret;
use crate::vault::login::credentials::Offer;
use crate::vault::login::exchange::{self, Channel, Exchange};
use crate::vault::login::proof;

const USER: &str = "shop";
const SALT: Salt = [5; 16];
/// As few as there can be: a fuzzer has no time.
const ITERATIONS: u32 = 1;
const EXPORTED: Exported = [9; 32];
/// Our part of the nonce, so that an input may know it.
const OURS: &str = "9999999999";

static SECRET: LazyLock<Secret<String>> = LazyLock::new(|| Secret::new("s3cret".to_owned()));
static KEYS: LazyLock<Keys> = LazyLock::new(|| proof::with(&SECRET, ITERATIONS, SALT).expect("keys of ASCII"));

/// What the first octet of an input says.
#[derive(Clone, Copy)]
struct Way {
    plus: bool,
    /// The TLS session can be bound by something.
    exported: bool,
    /// The listener offers binding.
    offers: bool,
    /// The first message comes with the command.
    initial: bool,
    /// The lines are sent as they are: they stand for nothing else.
    raw: bool,
    /// The proof of the second message is not the right one.
    wrong: bool,
}

impl Way {
    fn of(octet: u8) -> Self {
        let bit = |at: u8| octet >> at & 1 == 1;
        Self { plus: bit(0), exported: bit(1), offers: bit(2), initial: bit(3), raw: bit(4), wrong: bit(5) }
    }

    fn bound(self) -> Option<Exported> {
        self.exported.then_some(EXPORTED)
    }
}

/// What the client says in a login, decoded.
#[derive(Default)]
struct Said {
    first: Vec<u8>,
    /// Without its proof.
    unproven: Vec<u8>,
    proof: Vec<u8>,
    end: Vec<u8>,
}

/// Leads the login that an input stands for; gives whether it was let in.
pub fn run(input: &[u8]) -> bool {
    let Some((octet, rest)) = input.split_first() else { return false };
    let way = Way::of(*octet);
    let mut lines: Vec<Vec<u8>> = rest.split(|octet| *octet == b'\n').map(<[u8]>::to_vec).collect();
    lines.resize(3, Vec::new());
    let said = if way.raw { heard(&lines) } else { speak(way, &mut lines) };
    let mechanism = if way.plus { "SCRAM-SHA-256-PLUS" } else { "SCRAM-SHA-256" };
    let command = format!("AUTH {mechanism}");
    let mut segments = vec![b"EHLO a".to_vec(), command.clone().into_bytes()];
    segments.extend(lines.iter().cloned());
    // Blanks at the end of a command mean nothing, and would to us.
    if way.initial && !lines[0].is_empty() && !lines[0].ends_with(b" ") {
        segments.splice(1..3, [[command.as_bytes(), b" ", &lines[0]].concat()]);
    }
    let segments = segments.into_iter().map(|line| [&line[..], b"\r\n"].concat()).collect();
    let (script, heard) = Script::new(segments, 2);
    clock().block_on(async {
        let (_season, phase) = watch::channel(Phase::Serving);
        let ways = Ways { scram: if way.offers { talk::<true> } else { talk::<false> }, ..Ways::default() };
        let house = StandIn::new(ways);
        let both = vec![Mechanism::ScramSha256Plus, Mechanism::ScramSha256];
        let mut session = Session::new(Arc::new(Setting::of(0).front_with(phase, both)), house.visit(), Uuid::nil());
        let tls = Tls { version: "TLSv1.3".into(), cipher: "TLS_AES_128_GCM_SHA256".into(), client: None };
        session.secured(tls, way.bound());
        session.converse(script).await;
        drop(session);
        house.until(|seen| seen.closed == seen.opened).await;
    });
    let replies = replies(&heard.lock().unwrap());
    let judged = replies.iter().skip(2).find(|reply| reply.code != 334);
    let admitted = judged.is_some_and(|reply| reply.code == 235);
    let challenges = replies.iter().filter(|reply| reply.code == 334);
    for challenge in challenges {
        let message = STANDARD.decode(&challenge.text).expect("a challenge is base64");
        assert!(message.iter().all(|octet| (b' '..=b'~').contains(octet)), "{challenge:?}");
        assert!(!message.starts_with(b"v=") || said.as_ref().is_some_and(|said| is_right(way, said)), "{challenge:?}");
    }
    let right = said.as_ref().is_some_and(|said| is_right(way, said) && said.end.is_empty());
    assert!(!admitted || right, "let in without a proof");
    let plain = said.as_ref().is_some_and(|said| !has_more(&said.first, 3) && !has_more(&said.unproven, 1));
    assert!(admitted || !right || !plain || way.plus && !way.exported, "a proof was not enough");
    admitted
}

/// Lines that are base64 already.
fn heard(lines: &[Vec<u8>]) -> Option<Said> {
    let [first, last, end] = lines else { return None };
    let decode = |text: &[u8]| STANDARD.decode(text).ok();
    let last = decode(last)?;
    let at = memchr::memmem::rfind(&last, b",p=")?;
    let (unproven, proof) = last.split_at(at);
    let proof = STANDARD.decode(&proof[3..]).ok()?;
    Some(Said { first: decode(first)?, unproven: unproven.to_vec(), proof, end: decode(end)? })
}

/// Lines that are the messages themselves; the second gets the proof that belongs to it, or one that is wrong in one bit.
fn speak(way: Way, lines: &mut [Vec<u8>]) -> Option<Said> {
    let [first, unproven, end] = lines else { return None };
    let mut proof = words(first, unproven).map_or([0; 32], |words| proof::prove(&SECRET, ITERATIONS, SALT, &words));
    proof[31] ^= u8::from(way.wrong);
    let said = Said { first: first.clone(), unproven: unproven.clone(), proof: proof.to_vec(), end: end.clone() };
    let last = [unproven, &b",p="[..], STANDARD.encode(proof).as_bytes()].concat();
    (*first, *unproven, *end) = (encode(first), encode(&last), encode(end));
    Some(said)
}

fn encode(message: &[u8]) -> Vec<u8> {
    STANDARD.encode(message).into_bytes()
}

/// What a proof is of: all that was said but the client's header.
fn words(first: &[u8], unproven: &[u8]) -> Option<Vec<u8>> {
    let bare = first.splitn(3, |octet| *octet == b',').nth(2)?;
    let salt = STANDARD.encode(SALT);
    let asked = format!("r={}{OURS},s={salt},i={ITERATIONS}", nonce(bare)?);
    Some([bare, b",", asked.as_bytes(), b",", unproven].concat())
}

fn nonce(bare: &[u8]) -> Option<&str> {
    let (_, nonce) = std::str::from_utf8(bare).ok()?.split_once(",r=")?;
    nonce.split(',').next()
}

/// RFC 5802 read again, by its letter: what must be said, in which order, and the proof of it.
fn is_right(way: Way, said: &Said) -> bool {
    let Ok(first) = std::str::from_utf8(&said.first) else { return false };
    let [flag, behalf, bare] = *first.splitn(3, ',').collect::<Vec<_>>() else { return false };
    let flag_fits = match flag {
        "p=tls-exporter" => way.plus && way.exported,
        "n" => !way.plus,
        "y" => !(way.plus || way.exported && way.offers),
        _ => false,
    };
    let own = bare.split(',').next() == Some("n=shop") && ["", "a=shop"].contains(&behalf);
    let bound: &[u8] = if way.plus { &EXPORTED } else { b"" };
    let binding = STANDARD.encode([format!("{flag},{behalf},").as_bytes(), bound].concat());
    let Some(nonce) = nonce(bare.as_bytes()) else { return false };
    let begins = format!("c={binding},r={nonce}{OURS}");
    let answers = said.unproven.strip_prefix(begins.as_bytes()).is_some_and(|rest| matches!(rest, [] | [b',', ..]));
    let proven = words(&said.first, &said.unproven)
        .is_some_and(|words| proof::prove(&SECRET, ITERATIONS, SALT, &words) == *said.proof);
    flag_fits && own && answers && proven
}

/// Extensions, behind so many commas, or what no nonce may have: one that is refused is refused rightly.
fn has_more(text: &[u8], commas: usize) -> bool {
    text.iter().filter(|octet| **octet == b',').count() > commas
        || text.len() > 200
        || !text.iter().all(u8::is_ascii_graphic)
        || text.ends_with(b"=")
        || text.ends_with(b",")
}

/// A vault that knows one credential, and our part of the nonce beforehand.
fn talk<const OFFERS: bool>(mechanism: Mechanism, exported: Option<Exported>) -> Talk {
    let mut begun: Option<Exchange> = None;
    let mut is_proven = false;
    Box::new(move |message| {
        if is_proven {
            return Turn::Over(message.is_empty());
        }
        if let Some(exchange) = &begun {
            return match exchange.judge(message) {
                Ok((mark, verdict)) => {
                    assert_eq!(mark, 7);
                    is_proven = true;
                    Turn::Challenge(verdict.into_bytes())
                }
                Err(_) => Turn::Over(false),
            };
        }
        let Some(first) = scram::first(message) else { return Turn::Over(false) };
        let Ok(user) = String::from_utf8(first.user.clone()) else { return Turn::Over(false) };
        let channel = Channel { mechanism, exported: exported.as_ref(), offers_binding: OFFERS };
        if exchange::suits(&first, &channel, &user).is_err() {
            return Turn::Over(false);
        }
        let nobody = Keys { stored: Secret::new([0; 32]), server: Secret::new([0; 32]), ..KEYS.clone() };
        let own = (user == USER).then(|| (Some(7), KEYS.clone()));
        let keys = own.into_iter().chain([(None, nobody)]).collect();
        let exchange = Exchange::new(&first, &channel, OURS, Offer { salt: SALT, iterations: ITERATIONS, keys });
        let challenge = exchange.challenge().as_bytes().to_vec();
        begun = Some(exchange);
        Turn::Challenge(challenge)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(way: u8, first: &str, unproven: &str, end: &str) -> bool {
        run(&[&[way], format!("{first}\n{unproven}\n{end}").as_bytes()].concat())
    }

    #[test]
    fn a_right_proof_is_let_in_and_no_other() {
        const PLAIN: u8 = 0b0000;
        const BOUND: u8 = 0b0111;
        let bound = STANDARD.encode([&b"p=tls-exporter,,"[..], &EXPORTED].concat());
        let last = |binding: &str| format!("c={binding},r=abc{OURS}");
        for initial in [0, 0b1000] {
            assert!(input(PLAIN | initial, "n,,n=shop,r=abc", &last("biws"), ""));
            assert!(input(BOUND | initial, "p=tls-exporter,,n=shop,r=abc", &last(&bound), ""));
            assert!(input(PLAIN | initial, "n,a=shop,n=shop,r=abc", &last(&STANDARD.encode("n,a=shop,")), ""));
            assert!(input(0b010 | initial, "y,,n=shop,r=abc", &last("eSws"), ""), "nobody offered it");
        }
        for (way, first, unproven, end) in [
            (0b10_0000, "n,,n=shop,r=abc", last("biws"), ""),
            (PLAIN, "n,,n=shop,r=abc", last("biws"), "x"),
            (PLAIN, "n,,n=shop,r=abc", last("eSws"), ""),
            (PLAIN, "n,,n=shop,r=abcd", last("biws"), ""),
            (PLAIN, "n,,n=till,r=abc", last("biws"), ""),
            (PLAIN, "n,a=till,n=shop,r=abc", last(&STANDARD.encode("n,a=till,")), ""),
            (0b110, "y,,n=shop,r=abc", last("eSws"), ""),
            (BOUND, "p=tls-exporter,,n=shop,r=abc", last(&STANDARD.encode("p=tls-exporter,,")), ""),
            (BOUND, "n,,n=shop,r=abc", last("biws"), ""),
            (0b111 & !1, "p=tls-exporter,,n=shop,r=abc", last(&bound), ""),
        ] {
            assert!(!input(way, first, &unproven, end), "{way} {first} {unproven} {end}");
        }
    }
}
