//! Where requests of the surfaces are served: who, what, whether it may, and the vault's word, for each message of it.

use hyper::body::Incoming;
use hyper::http::request::Parts;
use tokio::time::Instant;

use super::{Call, resend, tree};
use crate::edge::http::json::{Node, parse_octets};
use crate::edge::http::letter::Letter;
use crate::edge::http::login::Seat;
use crate::edge::http::reply::{Fault, Reply};
use crate::edge::http::{Session, body, media, submit};
use crate::mail::id::MessageId;
use crate::policy::Grant;

/// A client that is known, at its seat.
struct Customer<'s> {
    session: &'s Session,
    seat: &'s mut Seat,
    grant: &'s Grant,
    call: Call,
}

/// Serves a call. `unread` tells whether something of the body is left, `id` the one message that came of it.
pub async fn serve(
    session: &Session,
    (head, body): (&Parts, Incoming),
    unread: &mut bool,
    id: &mut MessageId,
    until: Instant,
    call: Call,
) -> Result<Reply, Fault> {
    let mut seat = session.seat.lock().await;
    seat.visit.turn_until(until);
    let grant = seat.enter(session, &head.headers).await?;
    media::require_json(&head.headers)?;
    let whole = body::read(&head.headers, body).await?;
    *unread = false;
    let mut customer = Customer { session, seat: &mut seat, grant: &grant, call };
    match call {
        Call::ResendEmail => {
            let letter = resend::letter(parse_octets(&whole.octets, false)?)?;
            let kept = customer.submit(letter, id).await?;
            Ok(resend::accepted(kept, *id))
        }
        Call::ResendBatch => {
            let nodes = tree::batch(&whole.octets, resend::MAX_BATCH)?;
            let is_permissive = resend::is_permissive(&head.headers);
            let read = read(nodes, resend::letter);
            let results = if is_permissive { customer.each(read, *id).await } else { customer.all(read, *id).await? };
            Ok(resend::batch(results, is_permissive, *id))
        }
    }
}

/// Reads each message of a batch by itself. What is wrong with one says which it is.
fn read<'n>(
    nodes: Vec<Node<'n>>,
    letter: impl Fn(Node<'n>) -> Result<Letter, Fault>,
) -> impl Iterator<Item = Result<Letter, Fault>> {
    nodes.into_iter().enumerate().map(move |(n, node)| letter(node).map_err(|fault| numbered(n, fault)))
}

/// A fault of the message with this number.
fn numbered(n: usize, mut fault: Fault) -> Fault {
    for issue in &mut fault.issues {
        issue.pointer.insert_str(0, &format!("/{n}"));
    }
    fault.message = format!("message {n}: {}", fault.message);
    fault
}

impl Customer<'_> {
    async fn submit(&mut self, letter: Letter, id: &mut MessageId) -> Result<MessageId, Fault> {
        let kept = submit::submit(self.seat, self.session, self.grant, letter, id).await?;
        tracing::info!(
            request = %kept.id, peer = %self.session.peer, listener = self.session.front.desk.name, path = self.call.path(),
            principal = self.grant.principal, octets = kept.octets, "accepted"
        );
        Ok(kept.id)
    }

    /// Each message of a batch by itself: what is wrong with one is nothing to the others. Each is kept before the next is
    /// begun. When the connection can't go on, neither can they.
    async fn each(
        &mut self,
        letters: impl Iterator<Item = Result<Letter, Fault>>,
        id: MessageId,
    ) -> Vec<Result<MessageId, Fault>> {
        let mut results = Vec::new();
        let mut over: Option<Fault> = None;
        for (n, letter) in letters.enumerate() {
            let result = match (&over, letter) {
                (Some(fault), _) => Err(fault.clone()),
                (None, Err(fault)) => Err(fault),
                (None, Ok(letter)) => self.submit(letter, &mut id.clone()).await.map_err(|fault| numbered(n, fault)),
            };
            over = over.or_else(|| result.as_ref().err().filter(|fault| fault.close).cloned());
            results.push(result);
        }
        results
    }

    /// All messages of a batch or none: the first that is not sound, or may not go, refuses them all. What only the vault
    /// knows (a limit, a full disk) may come between two of them; then the refusal says how many are kept.
    async fn all(
        &mut self,
        letters: impl Iterator<Item = Result<Letter, Fault>>,
        id: MessageId,
    ) -> Result<Vec<Result<MessageId, Fault>>, Fault> {
        let mut letters: Vec<Letter> = letters.collect::<Result<_, _>>()?;
        for (n, letter) in letters.iter_mut().enumerate() {
            submit::permitted(self.seat, self.grant, letter).map_err(|fault| numbered(n, fault))?;
        }
        let mut results = Vec::new();
        for (n, letter) in letters.into_iter().enumerate() {
            match self.submit(letter, &mut id.clone()).await {
                Ok(kept) => results.push(Ok(kept)),
                Err(mut fault) if n > 0 => {
                    fault.message = format!("{} (those before message {n} are kept and will be sent)", fault.message);
                    return Err(numbered(n, fault));
                }
                Err(fault) => return Err(numbered(n, fault)),
            }
        }
        Ok(results)
    }
}
