//! Whose a session is, as far as somebody who is believed has said so.

use std::net::IpAddr;

use super::{State, Visit};
use crate::ipc::session::Via;
use crate::policy::Grant;

impl Visit {
    /// Somebody is known, and makes room for nobody any more. Unless his key stands in a page: whoever reads that has it, so he stays
    /// a stranger to the end, or all sessions would be anybody's for the asking.
    pub(super) fn greet(&mut self, grant: &Grant) {
        if !grant.is_public() {
            self.place = None;
        }
    }

    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Where its client is: there where the connection comes from, unless another was named.
    pub fn client(&self) -> IpAddr {
        self.via.named().map_or(self.peer, |client| client.ip())
    }

    /// The same; none where a gateway said that it doesn't know.
    pub fn known_client(&self) -> Option<IpAddr> {
        (self.via != Via::Xclient(None)).then(|| self.client())
    }

    /// A gateway on the connection has said whose session it is.
    pub fn is_a_gateways(&self) -> bool {
        matches!(self.via, Via::Xclient(_))
    }

    /// The vault was asked nothing yet: whose session this is can still be said.
    pub fn is_unknown(&self) -> bool {
        matches!(self.state, State::Outside(_))
    }
}
