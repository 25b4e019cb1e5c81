//! The private key that isn't here: each signature is asked of the keyholder, with a deadline.
//!
//! rustls wants a signature at once, so the handshake thread waits for it. The channel itself lives in the main runtime:
//! the waiting thread needs no system call but a futex, and a replaced keyholder is plugged in while it waits.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::{AlgorithmIdentifier, CertificateDer, alg_id};
use rustls::server::ParsedCertificate;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

use crate::ipc::bytes::Octets;
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::signing::{Sign, Signature};

/// The way to whichever keyholder there is now. Clones share it.
#[derive(Clone, Debug)]
pub struct Keyholder {
    link: Arc<Mutex<Link>>,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Link {
    asks: Option<Sender<Sign>>,
    /// Which keyholder it is, counted; a dead one's end must not unplug its successor.
    era: u64,
    ticket: u32,
    waiting: Option<(u32, SyncSender<Signature>)>,
    /// A question went unanswered past its deadline, and nothing was heard since: ask no more, or each handshake would
    /// hold up all others for the whole deadline.
    stalled: bool,
}

impl Keyholder {
    /// Without a keyholder yet. `patience` is the deadline of one signature.
    pub fn absent(patience: Duration) -> Self {
        Self { link: Arc::default(), patience }
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses this channel from now on. What waited for the one before fails.
    pub fn plug(&self, asks: Sender<Sign>, answers: Receiver<Signature>) {
        let era = {
            let mut link = self.link();
            *link = Link { asks: Some(asks), era: link.era + 1, ticket: link.ticket, ..Link::default() };
            link.era
        };
        tokio::spawn(self.clone().listen(era, answers));
    }

    async fn listen(self, era: u64, mut answers: Receiver<Signature>) {
        let end = loop {
            match answers.receive().await {
                Ok(Some(answer)) => self.deliver(era, answer),
                Ok(None) => break "closed".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        let mut link = self.link();
        if link.era == era {
            // It may be one of a configuration that is refused: nobody misses it who never asked.
            if link.ticket > 0 {
                tracing::warn!(%end, "the keyholder is gone; handshakes fail until it is replaced");
            }
            *link = Link { era, ticket: link.ticket, ..Link::default() };
        }
    }

    /// An answer to a question that nobody waits for any more shows that the keyholder lives, and is thrown away.
    fn deliver(&self, era: u64, answer: Signature) {
        let mut link = self.link();
        if link.era != era {
            return;
        }
        link.stalled = false;
        let (Signature::Signed { ticket, .. } | Signature::Refused { ticket, .. }) = &answer;
        if let Some((_, waiting)) = link.waiting.take_if(|(asked, _)| asked == ticket) {
            // Room for one answer, and this is the one; an asker that gave up meanwhile has dropped its end.
            let _ = waiting.try_send(answer);
        }
    }

    /// Waits for a signature: on the handshake thread only.
    fn sign(&self, certificate: u16, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, Error> {
        let (answer, answered) = sync_channel(1);
        let ticket = {
            let mut link = self.link();
            if link.stalled {
                return Err(failed("the keyholder does not answer"));
            }
            link.ticket = link.ticket.wrapping_add(1);
            let ticket = link.ticket;
            let sign = Sign { ticket, certificate, scheme: scheme.into(), message: Octets(message.to_vec()) };
            let asked = link.asks.as_ref().is_some_and(|asks| asks.try_send(sign).is_ok());
            if !asked {
                return Err(failed("the keyholder is away"));
            }
            link.waiting = Some((ticket, answer));
            ticket
        };
        match answered.recv_timeout(self.patience) {
            Ok(Signature::Signed { signature, .. }) => Ok(signature.0),
            Ok(Signature::Refused { reason, .. }) => {
                tracing::error!(certificate, reason, "the keyholder refused to sign a handshake");
                Err(failed("the keyholder refused"))
            }
            Err(RecvTimeoutError::Disconnected) => Err(failed("the keyholder went away")),
            Err(RecvTimeoutError::Timeout) => {
                let mut link = self.link();
                if link.waiting.take_if(|(asked, _)| *asked == ticket).is_some() {
                    link.stalled = true;
                    tracing::warn!("the keyholder is too slow; handshakes fail until it answers");
                }
                Err(failed("the keyholder is too slow"))
            }
        }
    }
}

fn failed(why: &str) -> Error {
    Error::General(why.to_owned())
}

/// One certificate's key, at the keyholder.
#[derive(Clone, Debug)]
pub struct RemoteKey {
    keyholder: Keyholder,
    certificate: u16,
    schemes: &'static [SignatureScheme],
    algorithm: SignatureAlgorithm,
}

impl RemoteKey {
    /// The key for this leaf certificate, whose own public key says how it can sign.
    pub fn of(leaf: &CertificateDer<'_>, certificate: u16, keyholder: Keyholder) -> Result<Self, String> {
        let parsed = ParsedCertificate::try_from(leaf).map_err(|error| format!("it can't be read: {error}"))?;
        let public = parsed.subject_public_key_info();
        let (schemes, algorithm): (&'static [SignatureScheme], _) = match public.as_ref() {
            key if bears(key, &alg_id::ECDSA_P256) => {
                (&[SignatureScheme::ECDSA_NISTP256_SHA256], SignatureAlgorithm::ECDSA)
            }
            key if bears(key, &alg_id::ECDSA_P384) => {
                (&[SignatureScheme::ECDSA_NISTP384_SHA384], SignatureAlgorithm::ECDSA)
            }
            key if bears(key, &alg_id::ED25519) => (&[SignatureScheme::ED25519], SignatureAlgorithm::ED25519),
            key if bears(key, &alg_id::RSA_ENCRYPTION) => (&RSA, SignatureAlgorithm::RSA),
            _ => return Err("its key is none of ECDSA P-256, ECDSA P-384, Ed25519 and RSA".to_owned()),
        };
        Ok(Self { keyholder, certificate, schemes, algorithm })
    }
}

/// In our order of preference; PKCS#1 is for TLS 1.2 alone.
const RSA: [SignatureScheme; 6] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// Whether a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) is of this algorithm: the identifier is the first thing in
/// it, behind two DER headers of two to four octets.
fn bears(key: &[u8], algorithm: &AlgorithmIdentifier) -> bool {
    let inside = |der: &[u8]| -> Option<usize> {
        match der {
            [0x30, length, ..] if *length < 0x80 => Some(2),
            [0x30, 0x81, ..] => Some(3),
            [0x30, 0x82, ..] => Some(4),
            _ => None,
        }
    };
    let identifier = inside(key).and_then(|skip| key.get(skip..));
    let content = identifier.and_then(|der| inside(der).and_then(|skip| der.get(skip..)));
    content.is_some_and(|content| content.starts_with(algorithm.as_ref()))
}

impl SigningKey for RemoteKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = *self.schemes.iter().find(|scheme| offered.contains(scheme))?;
        Some(Box::new(RemoteSigner { key: self.clone(), scheme }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

#[derive(Debug)]
struct RemoteSigner {
    key: RemoteKey,
    scheme: SignatureScheme,
}

impl Signer for RemoteSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.key.keyholder.sign(self.key.certificate, self.scheme, message)
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
