//! MAIL and RCPT: an envelope is begun, and gets its recipients.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};

use super::barred::Barred;
use super::command::{Fault, Mail, Rcpt, Recipient};
use super::reply::{self, Reply};
use super::session::Session;
use super::transaction::{Envelope, Transaction};
use super::wire::{Stop, Wire};
use crate::config::slice::Extension;
use crate::mail::address::Address;
use crate::mail::dsn::Wish;
use crate::mail::envelope::{Addressee, Utf8};
use crate::policy::refusal::Refusal;

impl Session {
    pub(super) async fn mail(&mut self, mail: Mail) -> Result<Reply, Stop> {
        self.drop_revoked()?;
        let holds = mail.hold.is_none() || self.front.desk.future_release.is_some();
        if !holds || !mail.extensions().all(|extension| self.standing.offers(extension)) {
            return Ok(Fault::UnknownParameter.into());
        }
        let Mail { from, size, mut manner, hold, .. } = mail;
        let now_us = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        manner.release_us = hold.map(|hold| hold.release_us(now_us));
        let (utf8, require_tls) = (manner.utf8, manner.require_tls);
        let Some(hello) = &self.standing.hello else { return Ok(reply::HELLO_FIRST) };
        if self.transaction.is_some() {
            return Ok(reply::NESTED);
        }
        if self.standing.grant.is_none() && self.standing.by_network() {
            self.standing.grant = self.visit.open().await?;
        }
        let Some(grant) = &self.standing.grant else {
            if !self.standing.by_network() {
                self.barred(if self.standing.is_revoked { Barred::Revoked } else { Barred::Stranger });
                return Ok(reply::LOGIN_FIRST);
            }
            self.visit.turned(&from, None, Refusal::UnknownNetwork);
            return Ok(Refusal::UnknownNetwork.into());
        };
        let (from, given) = match from.as_ref().and_then(|from| grant.rewritten(from)).cloned() {
            Some(other) => (Some(other), from),
            None => (from, None),
        };
        if size.is_some_and(|size| size > grant.size(self.front.max_size)) {
            self.visit.turned(&from, None, Refusal::TooBig);
            return Ok(reply::TOO_BIG);
        }
        if let Some(refused) = self.standing.unprotected().filter(|_| require_tls) {
            self.visit.turned(&from, None, Refusal::RequireTls);
            return Ok(refused);
        }
        if from.as_ref().is_some_and(|from| !from.is_qualified()) {
            return Ok(reply::SENDER_NOT_QUALIFIED);
        }
        if let Err(refusal) = grant.sender(&from) {
            self.visit.turned(&from, None, refusal);
            return Ok(refusal.into());
        }
        match self
            .visit
            .mail(from.clone(), size, manner, self.forwarded.behind(&hello.name), self.standing.tls.clone())
            .await?
        {
            Ok(message) => {
                let envelope =
                    Envelope { message, sender: from, given, utf8, require_tls, recipients: BTreeMap::new() };
                self.transaction = Some(Transaction::new(envelope));
                Ok(reply::SENDER_OK)
            }
            Err(refusal) => Ok(refusal.into()),
        }
    }

    /// One that adds nobody and is no error costs too: who repeats it for ever would never be charged. None: it is answered with
    /// those behind it.
    pub(super) async fn rcpt<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        rcpt: Rcpt,
    ) -> Result<Option<Reply>, Stop> {
        // Named twice in one group, it has the answer of the first.
        if self.is_asked(&rcpt) {
            self.answer_group(wire).await?;
        }
        let reply = match self.recipient(rcpt) {
            Ok(fresh) if self.visit.is_live() => return self.ask(wire, fresh).await,
            Ok(Addressee { address, wish }) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.take(address, wish);
                }
                reply::RECIPIENT_OK
            }
            Err(reply) => {
                let most = self.standing.grant.as_ref().map_or(0, |grant| grant.max_recipients);
                if !reply.is_error() && !self.budget.spare_recipient(most) {
                    return Err(reply::TOO_MANY_COMMANDS.into());
                }
                if let Some(transaction) = self.transaction.as_mut().filter(|_| reply == reply::RECIPIENT_OK) {
                    transaction.taken = transaction.taken.saturating_add(1);
                }
                reply
            }
        };
        self.in_turn(wire, reply).await
    }

    /// Who is to be added; or what is answered without that.
    fn recipient(&mut self, rcpt: Rcpt) -> Result<Addressee, Reply> {
        let Rcpt { recipient, wish, utf8 } = rcpt;
        if wish != Wish::default() && !self.standing.offers(Extension::Dsn) {
            return Err(Fault::UnknownParameter.into());
        }
        let (Some(transaction), Some(grant)) = (&mut self.transaction, &self.standing.grant) else {
            return Err(reply::NO_TRANSACTION);
        };
        if transaction.chunks.is_some() {
            return Err(reply::BETWEEN_CHUNKS);
        }
        let Transaction { envelope, overflowed, taken, asked, .. } = transaction;
        if utf8 && envelope.utf8 == Utf8::None {
            return Err(Fault::RecipientUtf8.into());
        }
        let recipient = match recipient {
            Recipient::Mailbox(address) => address,
            Recipient::Postmaster => match Address::parse(&format!("postmaster@{}", self.front.hostname)) {
                Ok(address) => address,
                Err(_) => return Err(Fault::Recipient.into()),
            },
        };
        // In LMTP each costs a reply later, the same ones too.
        if self.front.desk.dialect.lmtp && *taken >= grant.max_recipients {
            return Err(Refusal::TooManyRecipients.into());
        }
        if let Some(known) = envelope.recipients.get_mut(&recipient) {
            // Who says nothing now doesn't take back what was asked before.
            if wish != Wish::default() {
                *known = wish;
            }
            return Err(reply::RECIPIENT_OK);
        }
        if !recipient.is_qualified() {
            return Err(reply::RECIPIENT_NOT_QUALIFIED);
        }
        let most = usize::try_from(grant.max_recipients).unwrap_or(usize::MAX);
        if envelope.recipients.len() + asked.len() >= most {
            if !std::mem::replace(overflowed, true) {
                self.visit.turned(&envelope.sender, Some(recipient), Refusal::TooManyRecipients);
            }
            return Err(Refusal::TooManyRecipients.into());
        }
        let protected = || match envelope.require_tls {
            true => grant.protected(&envelope.sender, &recipient),
            false => Ok(()),
        };
        let free = || grant.is_free(&envelope.sender, &recipient, &self.visit.backed_up);
        match grant.recipient(&envelope.sender, &recipient).and_then(|()| protected()).and_then(|()| free()) {
            Ok(()) => Ok(Addressee { address: recipient, wish }),
            Err(refusal) => {
                self.visit.turned(&envelope.sender, Some(recipient), refusal);
                Err(refusal.into())
            }
        }
    }
}
