//! What a client is to us at this moment, and what it may therefore use.

use std::sync::Arc;

use jiff::Timestamp;

use super::reply::{self, Reply};
use crate::config::slice::{Extension, TlsMode};
use crate::edge::front::Front;
use crate::ipc::session::{Exported, Tls};
use crate::mail::envelope::Utf8;
use crate::policy::Grant;
use crate::policy::mechanism::Mechanism;
use crate::policy::refusal::Refusal;

/// Who speaks, how, and with whose authority.
#[derive(Debug)]
pub struct Standing {
    front: Arc<Front>,
    pub tls: Option<Tls>,
    /// What a login by SCRAM can be bound to this TLS session by.
    pub exported: Option<Exported>,
    pub hello: Option<Hello>,
    pub grant: Option<Box<Grant>>,
    /// It had logged in, and what it had logged in as was changed or taken away since.
    pub is_revoked: bool,
}

/// What the client called itself: nobody believes it.
#[derive(Debug)]
pub struct Hello {
    pub name: String,
    /// EHLO, not HELO.
    pub extended: bool,
}

impl Standing {
    pub fn new(front: Arc<Front>) -> Self {
        Self { front, tls: None, exported: None, hello: None, grant: None, is_revoked: false }
    }

    /// Whoever showed it is not whose session it is.
    pub fn forget_certificate(&mut self) {
        // What binds a login to the channel is between us and the gateway, too.
        self.exported = None;
        if let Some(tls) = &mut self.tls {
            tls.client = None;
        }
    }

    /// TLS is offered, and nothing else makes this client trusted.
    pub fn needs_tls(&self) -> bool {
        let desk = &self.front.desk;
        self.tls.is_none() && desk.tls == TlsMode::Starttls && !desk.plain_login && !desk.identify_by_network
    }

    pub fn lmtp(&self) -> bool {
        self.front.desk.dialect.lmtp
    }

    /// The client's address is its login, and there is no other.
    pub fn by_network(&self) -> bool {
        self.front.desk.identify_by_network
    }

    pub fn takes_login(&self) -> bool {
        !self.by_network() && (self.tls.is_some() || self.front.desk.plain_login)
    }

    /// By which a client can log in now.
    pub fn mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        self.front.desk.mechanisms.iter().copied().filter(|mechanism| {
            let fits = match mechanism {
                Mechanism::External => self.tls.as_ref().is_some_and(|tls| tls.client.is_some()),
                Mechanism::ScramSha256Plus => self.exported.is_some(),
                _ => true,
            };
            self.takes_login() && fits
        })
    }

    pub fn offers_starttls(&self) -> bool {
        self.tls.is_none() && self.front.desk.tls == TlsMode::Starttls && self.front.tls.is_some()
    }

    /// Octets of one message.
    pub fn size(&self) -> u64 {
        self.grant.as_ref().map_or(self.front.max_size, |grant| grant.size(self.front.max_size))
    }

    /// Whether a client may use it here.
    pub fn offers(&self, extension: Extension) -> bool {
        // RFC 6531 section 3.1: whoever offers SMTPUTF8 offers 8BITMIME.
        let off = |extension| self.front.desk.extensions_off.contains(&extension);
        match extension {
            Extension::Utf8 => !off(Extension::Utf8) && !off(Extension::EightBit),
            other => !off(other),
        }
    }

    /// Why a message can't be sent with REQUIRETLS; none when it can. RFC 8689 section 2 wants TLS from the client on; and what
    /// is promised must have a way. Before the login nobody knows which: some login has one.
    pub fn unprotected(&self) -> Option<Reply> {
        let has_way = |grant: &Grant| grant.routes.iter().any(|route| route.requiretls);
        match self.tls {
            None => Some(reply::REQUIRETLS_NEEDS_TLS),
            Some(_) if self.grant.as_deref().map_or(self.front.requiretls, has_way) => None,
            Some(_) => Some(Refusal::RequireTls.into()),
        }
    }

    /// What this session can use now, and nothing else.
    pub fn extensions(&self) -> Vec<String> {
        let always = [
            (Extension::Pipelining, "PIPELINING".to_owned()),
            (Extension::Size, format!("SIZE {}", self.size())),
            (Extension::EightBit, "8BITMIME".to_owned()),
            (Extension::Utf8, "SMTPUTF8".to_owned()),
            (Extension::StatusCodes, "ENHANCEDSTATUSCODES".to_owned()),
            (Extension::Chunking, "CHUNKING".to_owned()),
            (Extension::Dsn, "DSN".to_owned()),
        ];
        let mut offered: Vec<_> =
            always.into_iter().filter(|(one, _)| self.offers(*one)).map(|(_, line)| line).collect();
        if self.offers(Extension::RequireTls) && self.unprotected().is_none() {
            offered.push("REQUIRETLS".to_owned());
        }
        if let Some(longest) = self.front.desk.future_release {
            offered.push(format!("FUTURERELEASE {} {:.0}", longest.as_secs(), Timestamp::now() + longest));
        }
        if self.offers_starttls() {
            offered.push("STARTTLS".to_owned());
        }
        // Whoever has logged in can be told a number that is kept to (RFC 9422); a stranger's is not known.
        if let Some(grant) = self.grant.as_ref().filter(|_| self.offers(Extension::Limits)) {
            offered.push(format!("LIMITS RCPTMAX={}", grant.max_recipients));
        }
        let mechanisms: Vec<&str> = self.mechanisms().map(Mechanism::name).collect();
        if !mechanisms.is_empty() && self.grant.is_none() {
            offered.push(format!("AUTH {}", mechanisms.join(" ")));
        }
        offered
    }

    /// The Received field's word for it (RFC 3848, RFC 6531 section 4.3): S for TLS, A for a login.
    pub fn with(&self, utf8: Utf8) -> &'static str {
        if !self.hello.as_ref().is_some_and(|hello| hello.extended) {
            return "SMTP";
        }
        let words = match (self.lmtp(), utf8) {
            (false, Utf8::None) => ["ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA"],
            (false, _) => ["UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA"],
            (true, Utf8::None) => ["LMTP", "LMTPA", "LMTPS", "LMTPSA"],
            (true, _) => ["UTF8LMTP", "UTF8LMTPA", "UTF8LMTPS", "UTF8LMTPSA"],
        };
        let [plain, login, tls, both] = words;
        match (self.tls.is_some(), self.grant.is_some() && !self.by_network()) {
            (false, false) => plain,
            (false, true) => login,
            (true, false) => tls,
            (true, true) => both,
        }
    }
}
