//! Mail of the gate itself: signed heads for auditors, alerts and digests for operators. It goes through the spool and the routes like
//! any other, and nobody is told of its failure: what told of it would fail the same way.

use std::rc::Rc;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use rusqlite::Result as Sql;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::mail::address::Address;
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::id::MessageId;
use crate::policy::OnUnknown;
use crate::policy::principal::GATE;
use crate::policy::reports::{Delays, Reports};
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::cipher::BodyKey;
use crate::vault::store::Store;
use crate::vault::store::spool::{Accepted, Body};
use crate::vault::transaction::microseconds;

/// One that is to be written.
pub struct OwnMail {
    pub message: MessageId,
    accepted: Accepted,
    event: Event,
}

impl OwnMail {
    /// To those of them whom a route leads to. `compose` is given the message's id and the gate's name; `data` is what the audit log
    /// says of it.
    ///
    /// Errors: why there is nothing to send.
    pub fn make(
        vault: &Vault,
        from: &Address,
        to: &[Address],
        data: String,
        compose: impl FnOnce(MessageId, &str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, String> {
        let message = MessageId::now();
        let (content, recipients, lifetime) = {
            let authority = vault.authority.borrow();
            let content = compose(message, &authority.slice.hostname)?;
            let lanes = to.iter().map(|to| (to, authority.lane(GATE, &Some(from.clone()), to)));
            let reached = lanes.filter(|(_, lane)| !lane.is_empty());
            let recipients: Vec<_> = reached.map(|(to, lane)| (Addressee::from(to.clone()), lane)).collect();
            (content, recipients, authority.slice.lifetime)
        };
        if recipients.is_empty() {
            let to: Vec<String> = to.iter().map(ToString::to_string).collect();
            return Err(format!("no route takes mail from {from} to {}", to.join(", ")));
        }
        let (bytes, sha256) = (u64::try_from(content.len()).unwrap_or(u64::MAX), Sha256::digest(&content).into());
        let (key, mut body) = (BodyKey::generate(), content);
        key.seal(0, true, &mut body).map_err(|error| format!("the mail can't be encrypted: {error}"))?;
        let now = now_us();
        let event = Event {
            message: Some(message),
            bytes: Some(bytes),
            rcpt_count: u64::try_from(recipients.len()).ok(),
            data: Some(data),
            ..Event::new(Name::MsgAccept, Outcome::Success)
        };
        let sender = Some(from.clone());
        let event = event.with(Field::Account, GATE).sender(&sender);
        let event = event.recipients(recipients.iter().map(|(to, _)| &to.address));
        let accepted = Accepted {
            message,
            // Nobody's connection.
            session: Uuid::nil(),
            principal: GATE.to_owned(),
            sender,
            manner: Manner::default(),
            recipients,
            bytes,
            sha256,
            body: Body::Inline(body),
            key,
            accepted_us: now,
            due_us: now,
            expires_us: now.saturating_add(microseconds(lifetime)),
            // One that comes twice harms nobody; without it, nobody would know.
            on_unknown: OnUnknown::Retry,
            // The log says what becomes of it.
            reports: Reports::Mail,
            webhook: None,
            delays: Delays::Never,
            is_report: false,
            named: None,
            owner: None,
            label: None,
        };
        Ok(Self { message, accepted, event })
    }

    /// The routes that it goes by: they are to be told once it is written.
    pub fn lanes(&self) -> Vec<String> {
        self.accepted.recipients.iter().map(|(_, lane)| lane.clone()).collect()
    }

    /// Writes it, and the event of it.
    pub fn keep(self, store: &mut Store<'_>) -> Sql<()> {
        let seq = store.ledger.append(self.event)?;
        store.accept(&self.accepted, seq)
    }
}

/// It is on the disk: whoever serves these routes may have it.
pub fn is_kept(vault: &Vault, lanes: Vec<String>) {
    vault.schedule.borrow_mut().arrived(lanes);
    vault.poke.notify_one();
}

/// The header of such a mail, with LF as line ends and without the empty line behind it. The subject must be plain ASCII.
pub fn header(hostname: &str, message: MessageId, to: &[Address], from: &Address, subject: &str) -> Option<String> {
    let now = rfc2822::to_string(&Timestamp::now().to_zoned(TimeZone::UTC)).ok()?;
    // A line for each: together they could be longer than a line may be.
    let to: Vec<String> = to.iter().map(|to| format!("<{to}>")).collect();
    Some(format!(
        "From: <{from}>\n\
         To: {}\n\
         Date: {now}\n\
         Message-ID: <{message}@{hostname}>\n\
         Subject: {subject}\n\
         Auto-Submitted: auto-generated\n\
         MIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n",
        to.join(",\n ")
    ))
}

/// Writes a mail with what is to be written beside it, in one transaction.
///
/// Errors: the store takes nothing now.
pub async fn send<T: Send + 'static>(
    vault: &Rc<Vault>,
    mail: Option<OwnMail>,
    beside: impl FnOnce(&mut Store<'_>) -> Sql<T> + Send + 'static,
) -> Result<T, String> {
    let lanes = mail.as_ref().map(OwnMail::lanes);
    let kept = vault.writer.run(move |store| {
        mail.map_or(Ok(()), |mail| mail.keep(store))?;
        beside(store)
    });
    let kept = kept.await.map_err(|_| "the store takes nothing now".to_owned())?;
    if let Some(lanes) = lanes {
        is_kept(vault, lanes);
    }
    Ok(kept)
}
