//! What a refusal speaks of: this message, the session, the login, or a way that somebody may mend (rule Q15).

use super::{Attempt, Transaction};
use crate::courier::smtp::doors::Door;
use crate::courier::smtp::envelope;
use crate::courier::smtp::reply::Reply;
use crate::mail::outcome::{Outcome, Said};

/// Whose affair a policy is known to be (`admission`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    pub of_sender: bool,
    /// The first one's: he stands for all of a message that nobody gets.
    pub of_recipient: bool,
}

impl Transaction<'_> {
    /// An answer to MAIL that isn't about this message, or only about its sender (`admission`).
    pub(super) fn is_unwelcome(&self, reply: &Reply) -> bool {
        let is_ours = reply.is_permanent() && reply.code != 503 && !self.is_final_at_mail(reply);
        speaks_of_the_login(reply) || reply.code == 454 || (is_ours && !self.is_live)
    }

    /// Whether MAIL or all recipients were put off on a session that has begun something before, or were refused for what isn't
    /// this message's, which who waits would be told for good.
    pub(super) fn is_worn(&self, refused: Option<&Reply>) -> bool {
        let is_put_off = match refused {
            Some(reply) => reply.is_temporary() || (reply.is_permanent() && !self.is_final_at_mail(reply)),
            None => {
                let is_refused = |said: &Said| self.is_live && said.code.is_some_and(|code| code >= 500);
                let may_be = |said: &Said| may_be_of_the_session(said) || is_refused(said);
                let is_worn = |one: &Outcome| matches!(one, Outcome::Deferred(said) if may_be(said));
                !self.has_accepted() && self.outcomes.iter().flatten().any(is_worn)
            }
        };
        self.session.begun > 1 && is_put_off
    }

    /// How it ends where each recipient was refused by a policy, as by a relay that has forgotten us: `554 5.7.1 Relay access denied`. That
    /// may be the session's, the upstream's or the recipient's affair.
    pub(super) fn denied(&self) -> Option<Attempt> {
        let by_policy = |outcome: &Option<Outcome>| match outcome {
            // 551 speaks of a recipient who is elsewhere.
            Some(Outcome::Failed(said)) if said.is_about("5.7.") && said.code != Some(551) => Some(said.clone()),
            _ => None,
        };
        let all: Option<Vec<Said>> = self.outcomes.iter().map(by_policy).collect();
        let said = all.filter(|_| !self.is_live && !self.known.of_recipient)?.into_iter().next()?;
        if self.session.begun > 1 {
            return Some(Attempt::Worn);
        }
        let Said { code, enhanced, text, .. } = said;
        let said = format!("{} {} {text}", code.unwrap_or_default(), enhanced.unwrap_or_default());
        Some(self.unwelcome(Door::Rcpt, self.reason("RCPT", &said)))
    }

    /// Whether a 5yz to MAIL is this message's own, also for a parameter that not all messages have.
    pub(super) fn is_final_at_mail(&self, reply: &Reply) -> bool {
        is_final_at_mail(reply)
            || (speaks_of_a_policy(reply) && (self.known.of_sender || self.is_live))
            || (speaks_of_a_parameter(reply) && envelope::has_own_parameters(self.parcel, &self.session.offers))
    }
}

/// Closing, wrong order, or login missing or refused: by the book never about a message.
pub(super) fn speaks_of_the_session(reply: &Reply) -> bool {
    matches!(reply.code, 421 | 503) || speaks_of_the_login(reply)
}

/// It is missing, refused, or not enough without TLS.
pub(super) fn speaks_of_the_login(reply: &Reply) -> bool {
    matches!(reply.code, 530 | 534 | 535 | 538)
}

/// Whether a 5yz to MAIL is this message's own: it names the sender, the size or the content. Anything else may be said of every message,
/// by a relay that is set up wrongly.
fn is_final_at_mail(reply: &Reply) -> bool {
    match enhanced(reply) {
        // The sender's mailbox (RFC 3463 section 3.2), then: a mailbox's limits, the size, what is in it.
        Some(detail) => matches!(detail, (1, 7 | 8) | (2 | 6, _) | (3, 4)),
        None => matches!(reply.code, 552 | 553),
    }
}

/// Whether a 5yz to MAIL is a policy's, which may be against the sender, or the host that we are: `554 5.7.1 Client host rejected`. Those
/// about a login are none: other or none of these, not authorized to converse, and those of RFC 4954 and 5248.
fn speaks_of_a_policy(reply: &Reply) -> bool {
    match enhanced(reply) {
        Some((7, detail)) => !matches!(detail, 0 | 3 | 8..=14),
        Some(_) => false,
        None => reply.code == 550,
    }
}

/// Whether a 5yz to MAIL is about its parameters: 555 has no other meaning (RFC 5321 section 4.1.1.11), and 5.5.4 is an argument that
/// won't do. A bare 501 is not believed to be: relays say it of a sender, and of one that is not the login's.
fn speaks_of_a_parameter(reply: &Reply) -> bool {
    match enhanced(reply) {
        Some(detail) => matches!(reply.code, 501 | 555) && detail == (5, 4),
        None => reply.code == 555,
    }
}

/// Whether a 5yz to RCPT is final. 552 means too many recipients there, and is to be taken as temporary (RFC 5321 section
/// 4.5.3.1.10); 550 5.4.1 is how Exchange Online speaks of an address that it doesn't have.
pub(super) fn is_final_at_rcpt(reply: &Reply) -> bool {
    reply.code != 552 && (is_final(reply) || (reply.code == 550 && enhanced(reply) == Some((4, 1))))
}

/// Whether a recipient that was put off may be taken on a fresh session: too many in this one, or a policy that counts. Mailboxes that
/// are full or greylisted are that anywhere, and a login costs.
fn may_be_of_the_session(said: &Said) -> bool {
    said.code == Some(452) || ["4.5.3", "4.7."].iter().any(|subject| said.is_about(subject))
}

/// Whether a 5yz to DATA, or to the content, is final: routing (5.4) and protocol (5.5) are no message's.
pub(super) fn is_final(reply: &Reply) -> bool {
    !matches!(enhanced(reply), Some((4 | 5, _)))
}

/// Subject and detail of the enhanced code (RFC 3463), if there is one.
fn enhanced(reply: &Reply) -> Option<(u16, u16)> {
    let code = reply.said("", None).enhanced?;
    let mut parts = code.split('.').skip(1).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}
