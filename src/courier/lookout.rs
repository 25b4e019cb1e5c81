//! What an upstream shows of itself in a handshake that an administrator looks on at: also one that fails, so that he sees why.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::task_local;
use tokio_rustls::TlsConnector;

use crate::certificate::{facts, validity};
use crate::ipc::delivery::{Line, Who};
use crate::ipc::shown::{Belief, Certificate, MAX_CHAIN, MAX_NAME, MAX_NAMES, Shown};

/// What came so far.
#[derive(Debug, Default)]
pub struct Seen {
    belief: Option<Belief>,
    /// As many as are told of, and how many more there were.
    chain: Vec<CertificateDer<'static>>,
    left_out: usize,
    agreed: Option<(&'static str, &'static str)>,
}

task_local! {
    /// The verifier is one for all sessions and knows none of them, but it is asked within the task of each: there it finds who
    /// looks on, if anybody does.
    static SEEN: RefCell<Seen>;
}

/// The same connector for a handshake that is looked on at. A session that is resumed shows no certificate.
pub fn anew(connector: &TlsConnector) -> TlsConnector {
    let mut config = ClientConfig::clone(connector.config());
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

/// What comes while that is under way.
pub async fn watch<F: Future>(handshake: F) -> (F::Output, Seen) {
    SEEN.scope(RefCell::default(), async {
        let ended = handshake.await;
        (ended, SEEN.with(RefCell::take))
    })
    .await
}

/// These certificates came, and nothing is known of them yet.
pub fn came(own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) {
    note(|seen| {
        let all = || std::iter::once(own).chain(others);
        seen.belief = Some(Belief::Refused);
        seen.chain = all().take(MAX_CHAIN).map(|one| one.clone().into_owned()).collect();
        seen.left_out = all().skip(MAX_CHAIN).count();
    });
}

pub fn believed(belief: Belief) {
    note(|seen| seen.belief = Some(belief));
}

/// The handshake came to its end with this version and suite.
pub fn agreed(version: &'static str, suite: &'static str) {
    note(|seen| seen.agreed = Some((version, suite)));
}

/// Nobody may look on; that is the usual case.
fn note(change: impl FnOnce(&mut Seen)) {
    let _ = SEEN.try_with(|seen| change(&mut seen.borrow_mut()));
}

impl Seen {
    /// A line about it, for who asked for a certificate of this name. None: it came to no certificate.
    pub fn line(&self, asked: &ServerName<'_>) -> Option<Line> {
        let belief = self.belief?;
        let text = match self.agreed {
            Some((version, suite)) => format!("{version}, {suite}, {}", belief.words()),
            None => format!("no TLS handshake, {}", belief.words()),
        };
        let shown = Shown {
            belief,
            agreed: self.agreed.map(|(version, suite)| (version.to_owned(), suite.to_owned())),
            chain: self.chain.iter().enumerate().map(|(at, one)| told(one, (at == 0).then_some(asked))).collect(),
            left_out: u32::try_from(self.left_out).unwrap_or(u32::MAX),
        };
        Some(Line { who: Who::Note, text, shown: Some(Box::new(shown)) })
    }
}

/// One of a chain; its names are of interest where it is the upstream's own.
fn told(certificate: &CertificateDer<'_>, asked: Option<&ServerName<'_>>) -> Certificate {
    let all: Vec<String> = asked.into_iter().flat_map(|asked| facts::names(certificate, asked)).collect();
    let names: Vec<String> = all.iter().filter(|name| name.len() <= MAX_NAME).take(MAX_NAMES).cloned().collect();
    Certificate {
        ends: validity::ends(std::slice::from_ref(certificate)),
        key: facts::key(certificate),
        left_out: u32::try_from(all.len().saturating_sub(names.len())).unwrap_or(u32::MAX),
        names,
    }
}
