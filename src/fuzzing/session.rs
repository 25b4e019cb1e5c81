//! A whole session: whatever a client sends in whatever segments, what goes out of it is one message for each that was
//! acknowledged, with that content, and no command of the client's.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::ResolvesServerCertUsingSni;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use uuid::Uuid;

use super::heard::replies;
use super::script::Script;
use super::{reference, segments, upstream};
use crate::config::Dialect;
use crate::config::slice::{Desk, EdgeSlice, TlsMode};
use crate::edge::front::{Front, Phase};
use crate::edge::smtp::session::{Leave, Session};
use crate::edge::stand_in::{StandIn, Ways, grant};
use crate::ipc::session::Tls;
use crate::policy::Recipients;
use crate::policy::mechanism::Mechanism;
use crate::policy::refusal::Refusal;

/// Octets of a message: so few that a fuzzer finds what is beyond them.
const MAX_SIZE: u64 = 2000;
/// Before the octets of the input, so that it gets somewhere.
const PRELUDES: [&[u8]; 4] = [
    b"",
    b"EHLO a\r\n\xfeAUTH PLAIN AGJpbGxpbmcAczNjcmV0\r\n\xfe",
    b"EHLO a\r\n\xfeAUTH PLAIN AGJpbGxpbmcAczNjcmV0\r\n\xfeMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n\xfe",
    b"EHLO a\r\n\xfeAUTH PLAIN AGJpbGxpbmcAczNjcmV0\r\n\xfeMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n\xfeDATA\r\n\
      \xfeFrom: a@example.net\r\n",
];

/// A runtime whose clock goes as fast as nobody waits.
pub fn clock() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A configuration that no handshake is made with.
static OFFER: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new())))
});

/// What the first octet of an input says: its lowest two bits which prelude, the others the setting.
pub struct Setting {
    prelude: &'static [u8],
    starttls: bool,
    by_network: bool,
    /// The client speaks before it is greeted.
    early: bool,
    narrow: bool,
    refuses: bool,
    /// FUTURERELEASE, and bare line feeds are repaired.
    future: bool,
}

impl Setting {
    pub fn of(octet: u8) -> Self {
        let bit = |at: u8| octet >> at & 1 == 1;
        Self {
            prelude: PRELUDES[usize::from(octet & 3)],
            starttls: bit(2),
            by_network: bit(3),
            early: bit(4) && bit(5) && bit(6),
            narrow: bit(5),
            refuses: bit(6),
            future: bit(7),
        }
    }

    fn ways(&self) -> Ways {
        let deny = Recipients { allow: vec![], deny: vec!["@denied.example".parse().unwrap()] };
        let mut ways = Ways::default();
        ways.login.2 = grant(&["@example.net"], deny, 3);
        ways.network = self.by_network.then(|| ways.login.2.clone());
        ways.credit = if self.narrow { 7 } else { 32 * 1024 };
        ways.at_commit = self.refuses.then_some(Refusal::StoreFull);
        ways
    }

    fn front(&self, phase: watch::Receiver<Phase>) -> Front {
        self.front_with(phase, vec![Mechanism::Plain, Mechanism::Login])
    }

    /// Where one can log in by these.
    pub fn front_with(&self, phase: watch::Receiver<Phase>, mechanisms: Vec<Mechanism>) -> Front {
        let desk = Desk {
            client_certificates: None,
            number: 1,
            name: "submission".into(),
            tls: if self.starttls { TlsMode::Starttls } else { TlsMode::None },
            certificates: Vec::new(),
            plain_login: !self.starttls && !self.by_network,
            identify_by_network: self.by_network,
            proxied: false,
            serve: vec![],
            mechanisms,
            extensions_off: vec![],
            future_release: self.future.then_some(Duration::from_secs(3600)),
            dialect: Dialect { repair_bare_lf: self.future, ..Dialect::default() },
            reach: Default::default(),
        };
        let slice = EdgeSlice {
            hostname: "gate.example.net".into(),
            listeners: vec![],
            sessions: 10,
            strangers: 10,
            max_size: MAX_SIZE,
            requiretls: false,
            signing: Duration::from_secs(1),
            handshake: Duration::from_secs(2),
            idle_strange: Duration::from_secs(30),
            idle: Duration::from_secs(300),
        };
        Front::new(&slice, desk, self.starttls.then(|| OFFER.clone()), phase)
    }
}

pub fn run(input: &[u8]) {
    let Some((octet, rest)) = input.split_first() else { return };
    let setting = Setting::of(*octet);
    let said = segments::of(&[setting.prelude, rest].concat());
    let whole = said.concat();
    let (mut script, heard) = Script::new(said, if setting.early { 0 } else { 2 });
    clock().block_on(async {
        let (_season, phase) = watch::channel(Phase::Serving);
        let house = StandIn::new(setting.ways());
        let mut session = Session::new(Arc::new(setting.front(phase)), house.visit(), Uuid::nil());
        // Once in the clear and once under TLS, whose octets the script has as they are.
        while let Leave::Starttls(stream) = session.converse(script).await {
            session.secured(
                Tls { version: "TLSv1.3".into(), cipher: "TLS_AES_128_GCM_SHA256".into(), client: None },
                None,
            );
            script = stream;
        }
        drop(session);
        let seen = house.until(|seen| seen.closed == seen.opened).await;
        let sent = reference::follow(&whole, &replies(&heard.lock().unwrap()), setting.future);
        assert_eq!(sent.len(), seen.kept.len(), "as many are kept as were acknowledged");
        for (sent, kept) in sent.iter().zip(&seen.kept) {
            reference::assert_same(sent, &kept.octets);
            assert!(kept.sender.is_empty() || kept.sender.ends_with("@example.net"), "{}", kept.sender);
            assert!(kept.facts.authors.iter().all(|author| author.domain() == "example.net"));
            assert!((1..=3).contains(&kept.recipients.len()));
            assert!(!kept.recipients.iter().any(|to| to.ends_with("@denied.example")));
            upstream::assert_one(kept, usize::from(*octet));
        }
    });
}
