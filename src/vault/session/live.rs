//! A message that is delivered while its sender waits, as its session sees it.

use super::super::figures::tally;
use super::super::live::{Live, Word};
use super::super::sender::Sender;
use super::super::transaction::{Transaction, WINDOW};
use super::{Moment, News, Session, Violation};
use crate::ipc::figures::metric::Metric;
use crate::ipc::session::{self, Answer};
use crate::mail::envelope::{Addressee, Utf8};
use crate::mail::id::MessageId;
use crate::mail::spoken::Spoken;
use crate::policy::refusal::Refusal;

impl Session {
    pub(super) fn begin_live(&self, from: &Sender, transaction: &Transaction, size: Option<u64>, keeps: bool) -> Live {
        let (post, to, message) = (self.post.clone(), (self.slot, self.number), transaction.message);
        // An edge that is gone is noticed where its questions are read.
        let tell = move |word| drop(post.send((to.0, to.1, News::Live(message, word))));
        Live::begin(&self.vault, from, transaction, size, keeps, tell)
    }

    /// RCPT: by the policy of this moment, whatever the edge was told before; then the upstream is asked.
    pub(super) fn recipient(&mut self, addressee: Addressee) -> Result<(), Violation> {
        let (Moment::Envelope(transaction), Some(known)) = (&mut self.moment, &self.principal) else {
            return Err(Violation("recipient-out-of-order"));
        };
        let authority = self.vault.authority.borrow();
        let grant = authority.grant(&known.credential);
        let (to, sender) = (&addressee.address, &transaction.sender);
        let is_full = usize::try_from(grant.max_recipients).is_ok_and(|most| transaction.recipients.len() >= most);
        let protected = || if transaction.manner.require_tls { grant.protected(sender, to) } else { Ok(()) };
        let refused = match grant.recipient(sender, to).and_then(|()| protected()) {
            _ if is_full => Some(Refusal::TooManyRecipients),
            Ok(()) if to.is_international() && transaction.manner.utf8 == Utf8::None => Some(Refusal::Utf8),
            judged => judged.err().or(self.revoked),
        };
        drop(authority);
        let Some(live) = &mut transaction.live else { return Err(Violation("recipient-out-of-order")) };
        match live.ask(addressee, refused) {
            true => Ok(()),
            false => Err(Violation("too-many-recipients-at-once")),
        }
    }

    /// The content begins: its credit comes from the courier, or is there to read to the end what nothing can come of.
    pub(super) async fn begin_content(&mut self, mut transaction: Box<Transaction>) -> Result<(), Violation> {
        let Some(live) = &mut transaction.live else { return Err(Violation("content-out-of-order")) };
        if live.is_asking() {
            return Err(Violation("content-out-of-order"));
        }
        live.content();
        let octets = match live.broken {
            Some(_) => WINDOW,
            None if live.keeps() => live.credit.disk(WINDOW),
            None => 0,
        };
        transaction.give(octets);
        self.moment = Moment::Content(transaction);
        self.give(octets).await;
        Ok(())
    }

    /// A message that its sender waits for has come to its end.
    pub(super) fn counts(&self, result: &Result<Spoken, Refusal>) {
        let (spoken, tally) = (tally::spoken(self.listener.protocol), self.vault.writer.tally());
        match result {
            Ok(said) if said.is_positive() => tally.add(Metric::MessagesReceived, [spoken, tally::ACCEPTED], 1),
            Ok(_) => tally.rejected(spoken, tally::UPSTREAM),
            Err(refusal) => tally.rejected(spoken, refusal.word()),
        }
    }

    /// What its task says.
    pub(super) async fn heard(&mut self, message: MessageId, word: Word) {
        let slot = self.slot;
        let is_content = matches!(self.moment, Moment::Content(_));
        match (&mut self.moment, word) {
            (Moment::Envelope(transaction) | Moment::Content(transaction), word) if transaction.message == message => {
                let Some(live) = &mut transaction.live else { return };
                match word {
                    Word::Recipient(addressee, word) => {
                        live.answered();
                        if word == session::Word::Taken {
                            transaction.add(vec![addressee], u32::MAX);
                        }
                        self.say(Answer::Recipient { slot, word }).await;
                    }
                    Word::Credit(octets) => {
                        let octets = live.wanted(octets);
                        transaction.give(octets);
                        self.give(octets).await;
                    }
                    Word::Broken(spoken) => {
                        live.broken = Some(spoken);
                        if is_content {
                            transaction.give(WINDOW);
                            self.say(Answer::Credit { slot, octets: WINDOW }).await;
                        }
                    }
                    Word::Alone => {
                        let octets = live.alone();
                        if is_content {
                            transaction.give(octets);
                            self.give(octets).await;
                        }
                    }
                    Word::Ended(_) | Word::Kept(_) => {}
                }
            }
            (Moment::Committing(own, _), Word::Ended(result)) if *own == message => {
                self.moment = Moment::Ready;
                self.counts(&result);
                match result {
                    Ok(spoken) => self.say(Answer::Passed { slot, spoken }).await,
                    Err(refusal) => self.say(Answer::Refused { slot, refusal }).await,
                }
            }
            (Moment::Committing(own, _), Word::Kept(kept)) if *own == message => {
                self.moment = Moment::Ready;
                match kept {
                    Ok(suppressed) => self.say(Answer::Kept { slot, message, suppressed }).await,
                    Err(refusal) => self.say(Answer::Refused { slot, refusal }).await,
                }
            }
            // Of a transaction that was given up.
            _ => {}
        }
    }
}
