//! AUTH, by the password or by a proof of it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use nix::unistd::geteuid;
use zeroize::Zeroizing;

use super::super::exit::{self, Failure};
use super::{Reply, Talk, holder};
use crate::config::sendmail::Settings;
use crate::sasl::client::{Channel, Client, Keys};

/// Random octets of our part of the nonce.
const NONCE: usize = 18;
const PLAIN: &str = "PLAIN";
const SCRAM: &str = "SCRAM-SHA-256";

pub fn log_in(talk: &mut Talk, settings: &Settings) -> Result<(), Failure> {
    let mechanism = if settings.scram { SCRAM } else { PLAIN };
    if !offered(talk).any(|offered| offered == mechanism) {
        let server = settings.server;
        let offers: Vec<&str> = offered(talk).collect();
        let why = match offers.is_empty() {
            true => format!(
                "the listener at {server} takes no login without TLS: name one on a loopback address with tls = \"none\""
            ),
            false => format!(
                "the listener at {server} offers {} and not {mechanism}: see scram in the settings",
                offers.join(", ")
            ),
        };
        return Err(Failure::new(exit::CONFIG, why));
    }
    let reply = if settings.scram { prove(talk, settings)? } else { say(talk, settings)? };
    match reply.code {
        235 => Ok(()),
        _ => Err(reply.failure(&format!("the login of {:?}", settings.username), exit::NOPERM)),
    }
}

fn offered(talk: &Talk) -> impl Iterator<Item = &str> {
    let lines = talk.offers.iter().filter_map(|line| line.strip_prefix("AUTH "));
    lines.flat_map(|list| list.split(' '))
}

/// The password, over a connection that does not leave the machine.
fn say(talk: &mut Talk, settings: &Settings) -> Result<Reply, Failure> {
    if let Some(user) =
        holder::of(talk.stream.get_ref()).filter(|user| !holder::is_the_gates(*user, geteuid().as_raw()))
    {
        let why = format!(
            "what listens at {} belongs to the user {user}, who is not the gate's, so the password was not said: does the gate run? \
             If it runs as that user, set scram = true. Nothing was sent.",
            settings.server
        );
        return Err(Failure::new(exit::TEMPFAIL, why));
    }
    let words = Zeroizing::new(format!("\0{}\0{}", settings.username, settings.password.expose()));
    let command = Zeroizing::new(format!("AUTH PLAIN {}", STANDARD.encode(words.as_bytes())));
    talk.say_as(&command, "AUTH PLAIN (hidden)")
}

/// A proof, which is worth nothing to whoever took the gate's port while it is away.
fn prove(talk: &mut Talk, settings: &Settings) -> Result<Reply, Failure> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|error| Failure::new(exit::TEMPFAIL, format!("no random octets: {error}")))?;
    let client = Client::new(&settings.username, Channel::None, STANDARD_NO_PAD.encode(nonce));
    let reply =
        talk.say_as(&format!("AUTH {SCRAM} {}", STANDARD.encode(client.first())), &format!("AUTH {SCRAM} (hidden)"))?;
    if reply.code != 334 {
        return Ok(reply);
    }
    let challenge = client.read(&said(&reply)?).map_err(strange)?;
    let (proof, expected) = client.prove(&challenge, &Keys::derive(&settings.password, &challenge));
    let reply = talk.say_as(&STANDARD.encode(proof), "(hidden)")?;
    if reply.code != 334 {
        return if reply.code == 235 { Err(strange("it did not show that it knows the password")) } else { Ok(reply) };
    }
    if said(&reply)?.split(|octet| *octet == b',').next() != Some(expected.as_bytes()) {
        return Err(strange("it does not know the password"));
    }
    talk.say_as("", "")
}

/// What a challenge says.
fn said(reply: &Reply) -> Result<Vec<u8>, Failure> {
    let text = reply.lines.first().map(|line| line.trim_end()).unwrap_or_default();
    STANDARD.decode(text).map_err(|_| strange("its challenge is not base64"))
}

fn strange(why: &str) -> Failure {
    Failure::new(exit::NOPERM, format!("what listens there is not the gate: {why}"))
}
