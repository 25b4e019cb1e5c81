//! SCRAM-SHA-256 from the client's side (RFC 5802 section 5, RFC 7677), without I/O: what it says, and whether the server has shown
//! that it was told of the secret.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::proof;
use super::scram::{self, MOST};
use crate::secret::Secret;

/// RFC 7677 section 4. A server that asks for fewer would make the secret cheap to guess from what is said.
const LEAST_ITERATIONS: u32 = 4096;
/// More would keep us busy for seconds, and everything else with us.
const MOST_ITERATIONS: u32 = 1_000_000;

/// What the login can be bound to.
#[derive(Clone, Copy, Debug)]
pub enum Channel<'a> {
    /// Nothing that both sides would know alike.
    None,
    /// The TLS session, but the server did not offer that. One that did will see that somebody took the offer away.
    Unoffered,
    /// The TLS session, by what it exports (RFC 9266).
    Exporter(&'a [u8; 32]),
}

impl Channel<'_> {
    const fn header(&self) -> &'static str {
        match self {
            Self::None => "n,,",
            Self::Unoffered => "y,,",
            Self::Exporter(_) => "p=tls-exporter,,",
        }
    }
}

/// A login that has begun.
#[derive(Debug)]
pub struct Client {
    header: &'static str,
    /// What the proof binds: the header, and the channel's value.
    binding: String,
    bare: String,
    nonce: String,
}

/// How the server wants the secret to be stretched.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenge {
    pub iterations: NonZeroU32,
    pub salt: Vec<u8>,
    /// Of both sides.
    nonce: String,
    text: String,
}

/// The keys of a secret for one challenge. They serve for all that ask for the same stretching.
#[derive(Debug)]
pub struct Keys {
    pub iterations: NonZeroU32,
    pub salt: Vec<u8>,
    client: Secret<[u8; 32]>,
    server: Secret<[u8; 32]>,
}

impl Keys {
    /// Takes as long as the server wants it to.
    pub fn derive(secret: &Secret<String>, challenge: &Challenge) -> Self {
        let Challenge { iterations, salt, .. } = challenge;
        let salted = proof::stretch(secret, *iterations, salt);
        let (client, server) = (proof::client(&salted), proof::server(&salted));
        Self { iterations: *iterations, salt: salt.clone(), client, server }
    }

    pub fn are_for(&self, challenge: &Challenge) -> bool {
        (self.iterations, &self.salt) == (challenge.iterations, &challenge.salt)
    }
}

impl Client {
    /// `nonce`: printable ASCII without a comma that was never used before.
    pub fn new(user: &str, channel: Channel<'_>, nonce: String) -> Self {
        let header = channel.header();
        let mut binding = header.as_bytes().to_vec();
        if let Channel::Exporter(exported) = channel {
            binding.extend_from_slice(exported);
        }
        // RFC 5802 section 5.1.
        let bare = format!("n={},r={nonce}", user.replace('=', "=3D").replace(',', "=2C"));
        Self { header, binding: STANDARD.encode(binding), bare, nonce }
    }

    /// client-first-message.
    pub fn first(&self) -> String {
        format!("{}{}", self.header, self.bare)
    }

    /// Reads server-first-message.
    ///
    /// Errors: why it can't be answered.
    pub fn read(&self, message: &[u8]) -> Result<Challenge, &'static str> {
        const SHAPE: &str = "what it asks is no challenge of SCRAM";
        let text = std::str::from_utf8(message).ok().filter(|text| text.len() <= MOST).ok_or(SHAPE)?;
        let mut parts = text.split(',');
        let mut part = |name| parts.next().and_then(|part| part.strip_prefix(name)).ok_or(SHAPE);
        let (nonce, salt, iterations) = (part("r=")?, part("s=")?, part("i=")?);
        if !parts.all(scram::is_extension) || !scram::is_nonce(nonce) {
            return Err(SHAPE);
        }
        if nonce.strip_prefix(self.nonce.as_str()).is_none_or(str::is_empty) {
            return Err("its challenge is not of this login");
        }
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty()).ok_or(SHAPE)?;
        let iterations: NonZeroU32 = iterations.parse().map_err(|_| SHAPE)?;
        match iterations.get() {
            ..LEAST_ITERATIONS => Err("it asks for fewer than 4096 iterations, which would expose the password"),
            LEAST_ITERATIONS..=MOST_ITERATIONS => {
                Ok(Challenge { iterations, salt, nonce: nonce.to_owned(), text: text.to_owned() })
            }
            _ => Err("it asks for more than 1000000 iterations"),
        }
    }

    /// client-final-message, and the server-final-message of a server that was told of the secret.
    pub fn prove(&self, challenge: &Challenge, keys: &Keys) -> (String, String) {
        let unproven = format!("c={},r={}", self.binding, challenge.nonce);
        let words = format!("{},{},{unproven}", self.bare, challenge.text);
        let proof = STANDARD.encode(proof::prove(&keys.client, words.as_bytes()));
        (format!("{unproven},p={proof}"), scram::verdict(&proof::sign(&keys.server, words.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";

    fn pencil() -> Secret<String> {
        Secret::new("pencil".to_owned())
    }

    #[test]
    fn rule_u5_the_example_of_rfc_7677_from_the_clients_side() {
        let client = Client::new("user", Channel::None, NONCE.into());
        assert_eq!(client.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let asked = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let challenge = client.read(asked).unwrap();
        let keys = Keys::derive(&pencil(), &challenge);
        assert!(keys.are_for(&challenge));
        let (last, verdict) = client.prove(&challenge, &keys);
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(verdict, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn rule_u5_a_login_says_what_it_is_bound_to_and_names_are_written_so_that_they_stay_whole() {
        let first = |channel| Client::new("a,b=c", channel, "x".into()).first();
        assert_eq!(first(Channel::Unoffered), "y,,n=a=2Cb=3Dc,r=x");
        assert_eq!(first(Channel::Exporter(&[7; 32])), "p=tls-exporter,,n=a=2Cb=3Dc,r=x");
        let client = Client::new("a", Channel::Exporter(&[7; 32]), "x".into());
        let challenge = client.read(b"r=xy,s=AAAA,i=4096").unwrap();
        let (last, _) = client.prove(&challenge, &Keys::derive(&pencil(), &challenge));
        let read = scram::last(last.as_bytes()).unwrap();
        assert_eq!(read.binding, [b"p=tls-exporter,,".as_slice(), &[7; 32]].concat());
        assert_eq!(read.nonce, "xy");
    }

    #[test]
    fn rule_u5_a_challenge_is_of_this_login_and_neither_cheap_nor_endless() {
        let client = Client::new("a", Channel::None, "x".into());
        let good = "r=xy,s=AAAA,i=4096";
        assert!(client.read(good.as_bytes()).is_ok() && client.read(format!("{good},f=g").as_bytes()).is_ok());
        for (bad, why) in [
            ("", "no challenge"),
            ("e=other-error", "no challenge"),
            ("r=xy,s=AAAA", "no challenge"),
            ("s=AAAA,r=xy,i=4096", "no challenge"),
            ("r=xy,s=,i=4096", "no challenge"),
            ("r=xy,s=A,i=4096", "no challenge"),
            ("r=xy,s=AAAA,i=4096x", "no challenge"),
            ("r=xy,s=AAAA,i=0", "no challenge"),
            ("r=xy,s=AAAA,i=99999999999", "no challenge"),
            ("r=xy,s=AAAA,i=4096,m=must", "no challenge"),
            ("r=x y,s=AAAA,i=4096", "no challenge"),
            ("r=x,s=AAAA,i=4096", "not of this login"),
            ("r=yx,s=AAAA,i=4096", "not of this login"),
            ("r=xy,s=AAAA,i=4095", "fewer"),
            ("r=xy,s=AAAA,i=1000001", "more than"),
        ] {
            let said = client.read(bad.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
        assert!(client.read(format!("{good},f={}", "x".repeat(MOST)).as_bytes()).is_err());
        assert!(client.read(b"r=xy\xff,s=AAAA,i=4096").is_err());
    }
}
