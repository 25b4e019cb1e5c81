//! Who sends a message, and what every event about it says of him.

use std::net::IpAddr;
use std::rc::Rc;

use uuid::Uuid;

use super::audit::event::{Event, Field};
use super::login::credentials::{Credential, Passed};
use crate::config::slice::Counter;
use crate::ipc::session::Tls;
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
    /// Its mail is delivered while it waits. What an administrator submits is kept.
    pub fn waits(&self) -> bool {
        let delivery = self.credential.policy.delivery(self.listener.delivery);
        delivery == Delivery::Direct && self.actor.is_none()
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
