//! What is said of an attempt: the upstream's words, and our own.

use super::{Attempt, Transaction};
use crate::courier::smtp::doors::Door;
use crate::courier::smtp::reply::{Reply, cut};
use crate::mail::outcome::Said;

impl Transaction<'_> {
    pub(super) fn unwelcome(&self, door: Door, text: String) -> Attempt {
        Attempt::Unwelcome { door, said: Box::new(Said { text, ..self.ours("4.4.2", "") }) }
    }

    pub(super) fn reason(&self, phase: &str, why: &str) -> String {
        cut(format!("{}: {phase}: {why}", self.session.host))
    }

    pub(super) fn said(&self, reply: &Reply) -> Said {
        Said { reports: self.session.offers.dsn, ..reply.said(&self.session.host, self.session.tls) }
    }

    /// Our own words, where the upstream has said nothing.
    pub(super) fn ours(&self, enhanced: &str, text: &str) -> Said {
        Said {
            code: None,
            enhanced: Some(enhanced.to_owned()),
            text: text.to_owned(),
            host: self.session.host.clone(),
            tls: self.session.tls.map(str::to_owned),
            reports: false,
            of_recipient: false,
            reference: None,
        }
    }
}
