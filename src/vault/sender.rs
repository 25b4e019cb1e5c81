//! Who sends a message, and what every event about it says of him.

use std::net::IpAddr;
use std::rc::Rc;

use uuid::Uuid;

use super::audit::event::{Event, Field};
use super::login::credentials::{Credential, Passed};
use crate::config::slice::{Counter, Protocol};
use crate::ipc::session::Tls;
use crate::mail::envelope::Manner;
use crate::policy::Delivery;

/// Who sends, as the session knows it.
#[derive(Clone, Debug)]
pub struct Sender {
    pub session: Uuid,
    pub address: IpAddr,
    pub listener: Rc<Counter>,
    pub credential: Rc<Credential>,
    /// The provider's key that its mail goes with.
    pub passed: Option<Rc<Passed>>,
    /// Who submits it for the credential, when that is an administrator.
    pub actor: Option<String>,
}

impl Sender {
    /// How such a message of its leaves. What an administrator submits is kept, and a test; so is, where it may be, what is to be held, and
    /// what comes by HTTP, which answers when a message is kept.
    pub fn delivery(&self, manner: &Manner) -> Delivery {
        match self.credential.policy.delivery(self.listener.delivery) {
            _ if self.actor.is_some() || self.credential.policy.test || manner.test => Delivery::Spool,
            Delivery::Fallback if manner.release_us.is_some() || self.listener.protocol != Protocol::Smtp => {
                Delivery::Spool
            }
            found => found,
        }
    }

    /// Whether it hears which of a message's recipients nothing is sent to: over HTTP, whose answers say it. Where all mail goes to
    /// another, that one is nobody whom it named.
    pub fn is_told_of_suppressed(&self) -> bool {
        self.listener.protocol == Protocol::Http && self.credential.policy.redirect.is_none()
    }

    /// What every event of this session says.
    pub fn describe(&self, event: Event, tls: Option<&Tls>) -> Event {
        let event = Event {
            session: Some(self.session),
            listener: Some(self.listener.name.clone()),
            actor: self.actor.clone(),
            tls: tls.map(|tls| tls.version.clone()),
            data: event
                .data
                .clone()
                .or_else(|| self.passed.as_ref().map(|passed| format!("{{\"key\":\"{:04x}\"}}", passed.tag))),
            ..event
        };
        event.with(Field::Account, self.credential.id.clone()).client(self.address)
    }
}
