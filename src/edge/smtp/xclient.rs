//! XCLIENT and XFORWARD: what a listed gateway says of the client behind it. The one settles whose session it is, as a PROXY
//! header does; the other is for the log alone. Neither is ever a login.

use std::net::SocketAddr;

use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};

use super::attribute::{self, Attribute, Name};
use super::command::Fault;
use super::reply::{self, Reply};
use super::session::Session;
use super::wire::{Stop, Wire};
use crate::edge::conversation::Welcome;
use crate::edge::proxy;
use crate::ipc::session::Via;

/// Octets of what is told of a forwarded message, behind the name in EHLO.
const MAX_TOLD: usize = 400;

/// What XFORWARD said of the next message. It holds until the end of its transaction.
#[derive(Debug, Default)]
pub struct Forwarded(Box<[Attribute]>);

impl Forwarded {
    /// Each value takes the place of an earlier one, and one that is not known takes it away.
    fn take(&mut self, said: Vec<Attribute>) {
        let mut all = std::mem::take(&mut self.0).into_vec();
        for attribute in said {
            all.retain(|other| other.name != attribute.name);
            all.extend(Some(attribute).filter(|attribute| attribute.value.is_some()));
        }
        self.0 = all.into_boxed_slice();
    }

    /// What the client called itself, as the audit log has it: with what it said of whom the message came from. Nobody believes
    /// either.
    pub fn behind(&self, hello: &str) -> String {
        let said = |one: &Attribute| Some(format!("{}={}", one.name.word(), one.value.as_ref()?));
        let told: Vec<_> = self.0.iter().filter_map(said).collect();
        match told.is_empty() {
            true => hello.to_owned(),
            // Printable ASCII alone: it can be cut anywhere.
            false => format!("{hello} ({:.MAX_TOLD$})", told.join(" ")),
        }
    }
}

impl Session {
    /// What this session can use now: these two only from where they are believed.
    pub(super) fn extensions(&self) -> Vec<String> {
        let mut all = self.standing.extensions();
        let dialect = &self.front.desk.dialect;
        if self.is_settled().is_none() && self.is_from(&dialect.xclient_from) && !self.standing.needs_tls() {
            all.push(format!("XCLIENT {}", Name::words(Name::XCLIENT)));
        }
        if self.is_of(&dialect.xforward_from) && !self.standing.needs_tls() {
            all.push(format!("XFORWARD {}", Name::words(Name::XFORWARD)));
        }
        all
    }

    pub(super) fn is_from(&self, networks: &[IpNet]) -> bool {
        let peer = self.visit.peer().to_canonical();
        networks.iter().any(|network| network.contains(&peer))
    }

    /// The same of its client: what somebody says behind a gateway is not said by the gateway.
    fn is_of(&self, networks: &[IpNet]) -> bool {
        let client = self.visit.known_client().map(|client| client.to_canonical());
        client.is_some_and(|client| networks.iter().any(|network| network.contains(&client)))
    }

    /// Why nobody can say any more whose session it is.
    fn is_settled(&self) -> Option<Reply> {
        let settled = self.transaction.is_some() || self.standing.grant.is_some() || !self.visit.is_unknown();
        settled.then_some(reply::NO_LONGER)
    }

    /// The session begins anew, as that of the client that is named, without the certificate that the gateway showed: it would
    /// be the client's login, or a part of it. What follows in one group is that client's, and must not
    /// have been sent before the greeting.
    pub(super) async fn xclient<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        said: &str,
    ) -> Result<Reply, Stop> {
        if !self.is_from(&self.front.desk.dialect.xclient_from) {
            return Ok(reply::NOT_OFFERED);
        }
        if wire.is_ahead() {
            return Err(reply::SPEAKS_TOO_EARLY.into());
        }
        let all = match attribute::read(said, &[Name::XCLIENT, &[Name::Login]].concat()) {
            Ok(all) => all,
            Err(fault) => return Ok(fault.into()),
        };
        if all.iter().any(|one| one.name == Name::Login) {
            return Ok(reply::NO_LOGIN_BY_XCLIENT);
        }
        let client = match client(&all) {
            Ok(client) => client,
            Err(fault) => return Ok(fault.into()),
        };
        if self.transaction.is_some() || self.standing.grant.is_some() {
            return Ok(reply::NO_LONGER);
        }
        if let Some(client) = client {
            if let Some(settled) = self.is_settled() {
                return Ok(settled);
            }
            tracing::debug!(session = %self.id, gateway = %self.visit.peer(), ?client, "a gateway names its client");
            if self.visit.introduce(Via::Xclient(client)).await? == Welcome::Crowded {
                return Err(reply::CROWDED.into());
            }
        }
        (self.standing.hello, self.forwarded) = (None, Forwarded::default());
        self.standing.forget_certificate();
        Ok(Reply::greeting(&self.front.hostname, self.standing.lmtp()))
    }

    /// For the log: it changes nothing of what the session may do, and nothing of the message.
    pub(super) fn xforward(&mut self, said: &str) -> Reply {
        if !self.is_of(&self.front.desk.dialect.xforward_from) {
            return reply::NOT_OFFERED;
        }
        if self.transaction.is_some() {
            return reply::NOT_NOW;
        }
        match attribute::read(said, Name::XFORWARD) {
            Ok(all) => {
                self.forwarded.take(all);
                reply::OK
            }
            Err(fault) => fault.into(),
        }
    }
}

/// Whose session it is: none when nothing is said of that, and none inside when the gateway says that it doesn't know.
fn client(all: &[Attribute]) -> Result<Option<Option<SocketAddr>>, Fault> {
    let value = |name| all.iter().find(|one| one.name == name).map(|one| one.value.as_deref());
    let port = match value(Name::Port).flatten() {
        Some(port) => port.parse::<u16>().ok().filter(|_| port.bytes().all(|octet| octet.is_ascii_digit())),
        None => Some(0),
    };
    let port = port.ok_or(Fault::Argument)?;
    let is_protocol = |word: &str| ["SMTP", "ESMTP"].iter().any(|known| known.eq_ignore_ascii_case(word));
    if value(Name::Proto).flatten().is_some_and(|word| !is_protocol(word)) {
        return Err(Fault::Argument);
    }
    match value(Name::Addr) {
        None => Ok(None),
        Some(None) => Ok(Some(None)),
        Some(Some(address)) => {
            let address = attribute::address(address).ok_or(Fault::Argument)?;
            proxy::client(address, port).map(Some).map_err(|_| Fault::Argument)
        }
    }
}
