//! What a refusal speaks of: this message, the session, the login, or a way that somebody may mend (rule Q15).

use crate::courier::smtp::reply::Reply;
use crate::mail::outcome::Said;

/// Closing, wrong order, or login missing or refused: by the book never about a message.
pub(super) fn speaks_of_the_session(reply: &Reply) -> bool {
    matches!(reply.code, 421 | 503) || speaks_of_the_login(reply)
}

/// It is missing, refused, or not enough without TLS.
pub(super) fn speaks_of_the_login(reply: &Reply) -> bool {
    matches!(reply.code, 530 | 534 | 535 | 538)
}

/// Whether a 5yz to MAIL is this message's own: it names the sender, the size, the content, or a policy about them. Anything else may
/// be said of every message, by a relay that is set up wrongly.
pub(super) fn is_final_at_mail(reply: &Reply) -> bool {
    match enhanced(reply) {
        // The sender's mailbox (RFC 3463 section 3.2), then: a mailbox's limits, the size, what is in it.
        Some((1, 7 | 8) | (2 | 6, _) | (3, 4)) => true,
        // About a login: other or none of these, not authorized to converse, and those of RFC 4954 and 5248.
        Some((7, 0 | 3 | 8..=14)) => false,
        Some((7, _)) => true,
        Some(_) => false,
        None => matches!(reply.code, 550 | 552 | 553),
    }
}

/// Whether a 5yz to RCPT is final. 552 means too many recipients there, and is to be taken as temporary (RFC 5321 section
/// 4.5.3.1.10); 550 5.4.1 is how Exchange Online speaks of an address that it doesn't have.
pub(super) fn is_final_at_rcpt(reply: &Reply) -> bool {
    reply.code != 552 && (is_final(reply) || (reply.code == 550 && enhanced(reply) == Some((4, 1))))
}

/// Whether a recipient that was put off may be taken on a fresh session: too many in this one, or a policy that counts. Mailboxes that
/// are full or greylisted are that anywhere, and a login costs.
pub(super) fn may_be_of_the_session(said: &Said) -> bool {
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
