//! One message over one session: envelope, content, dot, and what each answer means for each recipient.
//!
//! | phase | answer | for the recipient | for the job |
//! |---|---|---|---|
//! | any before MAIL | none, garbled, 421 | | route failed |
//! | any from MAIL to the dot | none, garbled, 421, 503 | | broken off: it may be for what is said of this message, so it waits by itself |
//! | before MAIL | REQUIRETLS or SMTPUTF8 is needed and not offered | Failed, if no other host offers it | |
//! | content | it has 8 bits, and 8BITMIME is not offered | Failed, if no other host offers it; no dot follows | |
//! | MAIL | 454, 530, 534, 535, 538; 5yz not of this message (`verdicts`), or of a policy that may be against all (`admission`) | | route failed, or broken off where it may be for the sender (`admission`) |
//! | DATA | 454, 503, 530, 534, 535, 538 | | broken off |
//! | MAIL, DATA | 4yz / other 5yz | Deferred (another host may be tried once) / Failed | |
//! | RCPT | 421, 503, 530, 534, 535, 538 | Deferred, where there are others | broken off; the others are tried without that one |
//! | RCPT | 4yz, 552 / other 5yz | Deferred / Failed, that recipient alone | |
//! | RCPT | 5yz of class 5.7 for all of them, which may be meant for us (`admission`) | | route failed, or broken off |
//! | before the dot, the last chunk | more than was asked for, 421 apart | | broken off: which is whose is unknown |
//! | content | 4yz / 5yz | Deferred (another host may be tried once) / Failed, and no dot follows | |
//! | content | connection lost, 421 and the like | | broken off: without the dot nothing is delivered (RFC 5321 section 4.1.1.10) |
//! | a chunk but the last | none, garbled | | broken off: without the last one nothing is delivered (RFC 3030 section 2) |
//! | a chunk, the last too | 421, 454, 50z, 530, 534, 535, 538 | | broken off, and after 50z DATA is used from then on |
//! | a chunk but the last | 4yz / 5yz | Deferred (another host may be tried once) / Failed | |
//! | dot, last chunk | none, garbled, 2yz and a refusal behind it, a refusal and 2yz behind it | Unknown | |
//! | dot, last chunk | 421, 530, 534, 535, 538, behind DATA 503 | | broken off |
//! | dot, last chunk | 4yz / 5yz / 2yz | Deferred (another host may be tried once) / Failed / Delivered | |
//!
//! From RCPT on a 5yz of class 5.4 (routing) or 5.5 (protocol) is as a 4yz (rule Q15). Whose sender waits is told each 5yz as it is,
//! unless a session that served others says it: as a 4yz to RCPT, where a fresh session can't be asked any more.

mod chunks;
mod content;
mod live;
mod turns;
mod verdicts;
mod words;

use tokio::time::Instant;

use super::Patience;
use super::doors::Door;
use super::envelope::{self, Command, Step};
use super::reply::Reply;
use super::session::Session;
use crate::courier::parcel::Parcel;
use crate::mail::address::Address;
use crate::mail::envelope::Utf8;
use crate::mail::outcome::{Outcome, Said};
use turns::Aside;
pub use verdicts::Known;
use verdicts::{is_final, is_final_at_rcpt, speaks_of_the_login, speaks_of_the_session};

/// Content is written in pieces of this size, each with its own deadline.
const BLOCK: usize = 64 * 1024;

/// How one attempt at one host ended.
#[derive(Debug)]
pub enum Attempt {
    /// Each recipient has its outcome. `reusable`: the session is ready for another message.
    Settled {
        outcomes: Vec<(u32, Outcome)>,
        reusable: bool,
    },
    /// The same, but the whole message was put off, and another host may take it now.
    PutOff {
        outcomes: Vec<(u32, Outcome)>,
        reusable: bool,
    },
    /// This host doesn't offer what the message needs: to be kept under TLS by it and its successors (RFC 8689), SMTPUTF8, or 8-bit
    /// content. Nobody was delivered to, and another host may offer it; if none does, these are the outcomes.
    Lacking {
        outcomes: Vec<(u32, Outcome)>,
        reusable: bool,
    },
    /// The session is finished and the upstream has heard nothing of the message, or says that our login doesn't suffice.
    /// `stale`: it ended at MAIL, and with a reused connection that may be all there is to it.
    Route {
        reason: String,
        stale: bool,
    },
    /// The session is finished at MAIL or behind it, and nothing was delivered: another message may well pass. `heard` are
    /// those who have an outcome of their own; the others have this. `stale` as above.
    BrokenOff {
        heard: Vec<(u32, Outcome)>,
        said: Box<Said>,
        stale: bool,
    },
    /// The same, over this recipient (by position) of several: they may well pass without. `said` is its answer.
    Over {
        at: usize,
        said: Box<Said>,
        heard: Vec<(u32, Outcome)>,
        reason: String,
    },
    /// Nothing of it was taken on a session that has served others: that may be all that the session takes, as some count recipients
    /// by session. On a fresh one it is known whether it is the message's.
    Worn,
    /// MAIL was answered as if we had not logged in, or not well enough, or RCPT by a policy for all. Some say that of a sender, or of a
    /// recipient.
    Unwelcome {
        door: Door,
        said: Box<Said>,
    },
    Withdrawn,
    /// The same of a live message, within its envelope.
    GivenUp {
        reusable: bool,
    },
}

pub use live::live;

/// Makes one attempt. The session must be dropped unless it is said to be reusable: it may be in the middle of the content.
pub async fn attempt(session: &mut Session, parcel: &mut Parcel, patience: &Patience, known: Known) -> Attempt {
    let outcomes = vec![None; parcel.recipients.len()];
    let (is_live, is_told, has_refused) = (false, false, false);
    session.wire.until(Instant::now().checked_add(patience.before_the_dot(parcel)));
    let ended = Transaction { session, parcel, patience, outcomes, is_live, known, is_told, has_refused }.run().await;
    session.wire.until(None);
    ended
}

struct Transaction<'a> {
    session: &'a mut Session,
    parcel: &'a mut Parcel,
    patience: &'a Patience,
    /// By position in the parcel; none as long as the recipient is accepted or not yet answered.
    outcomes: Vec<Option<Outcome>>,
    /// Its sender waits, and is told what is answered, to try again or not.
    is_live: bool,
    known: Known,
    /// MAIL was said.
    is_told: bool,
    /// The upstream has refused some of them.
    has_refused: bool,
}

/// What the envelope came to.
#[derive(Debug, Default)]
struct Answers {
    /// MAIL was refused.
    refused: Option<Reply>,
    data: Option<Reply>,
    /// Not every command has its reply, or the upstream is about to close.
    out_of_step: bool,
}

impl Transaction<'_> {
    async fn run(mut self) -> Attempt {
        if let Some(unprotected) = self.unprotected() {
            return unprotected;
        }
        if !self.session.offers.utf8 && self.untellable() {
            return self.lacking(true);
        }
        let commands = envelope::envelope(self.parcel, &self.session.offers);
        self.session.begun += 1;
        let answers = match self.exchange(commands).await {
            Ok(answers) => answers,
            Err(attempt) => return attempt,
        };
        self.judge(answers).await
    }

    /// How it ends where the message must be kept under TLS and can't be.
    fn unprotected(&mut self) -> Option<Attempt> {
        if !self.parcel.manner.require_tls {
            return None;
        }
        let said = match (self.session.tls, self.session.offers.require_tls) {
            (Some(_), true) => return None,
            (Some(_), false) => {
                self.ours("5.7.30", "it needs REQUIRETLS, which the upstream does not offer; it was not sent")
            }
            (None, _) => {
                self.ours("5.7.10", "it needs TLS, which the way to the upstream does not have; it was not sent")
            }
        };
        self.settle(&Outcome::Unsendable(said));
        Some(self.lacking(true))
    }

    fn lacking(&mut self, reusable: bool) -> Attempt {
        Attempt::Lacking { outcomes: self.outcomes(), reusable }
    }

    /// Gives their outcome to those whom an upstream without SMTPUTF8 can't be told of; true when these are all (rule X3).
    fn untellable(&mut self) -> bool {
        let Parcel { sender, manner, .. } = &*self.parcel;
        let whole = manner.utf8 == Utf8::Needed || sender.as_ref().is_some_and(Address::is_international);
        let outcome = self.without_utf8();
        for (pending, (_, to)) in self.outcomes.iter_mut().zip(&self.parcel.recipients) {
            if whole || to.address.is_international() {
                *pending = Some(outcome.clone());
            }
        }
        !self.has_accepted()
    }

    fn without_utf8(&self) -> Outcome {
        Outcome::Unsendable(self.ours("5.6.7", "it needs SMTPUTF8, which the upstream does not offer; it was not sent"))
    }

    /// Says the envelope and reads the answers, group by group, as far as they make sense.
    async fn exchange(&mut self, commands: Vec<Command>) -> Result<Answers, Attempt> {
        let mut answers = Answers::default();
        let mut answered = false;
        for group in envelope::groups(commands, self.session.offers.pipelining) {
            let data_alone = group.first().is_some_and(|command| command.step == Step::Data);
            if answers.refused.is_some() || (data_alone && !self.has_accepted()) {
                break;
            }
            let phase = group.first().map_or("MAIL", |command| command.step.name());
            self.in_turn(phase, !answered).await?;
            let text: String = group.iter().map(|command| command.line.as_str()).collect();
            if let Err(broken) = self.session.wire.say(text.as_bytes(), self.patience.command).await {
                return Err(self.route(phase, &broken.to_string(), !answered));
            }
            self.is_told = true;
            for command in group {
                let limit = if command.step == Step::Data { self.patience.data } else { self.patience.command };
                match self.session.wire.reply(limit).await {
                    Ok(reply) => self.note(command.step, reply, &mut answers)?,
                    Err(_) if answers.refused.is_some() => {
                        answers.out_of_step = true;
                        return Ok(answers);
                    }
                    Err(broken) => return Err(self.route(command.step.name(), &broken.to_string(), !answered)),
                }
                answered = true;
            }
        }
        Ok(answers)
    }

    fn note(&mut self, step: Step, reply: Reply, answers: &mut Answers) -> Result<(), Attempt> {
        if answers.refused.is_some() && step != Step::Data {
            answers.out_of_step |= reply.code == 421;
            return Ok(());
        }
        if step == Step::Mail && self.is_unwelcome(&reply) {
            if self.session.begun > 1 && !speaks_of_the_login(&reply) && reply.code != 454 {
                return Err(Attempt::Worn);
            }
            let text = self.reason(step.name(), &reply.to_string());
            return Err(self.unwelcome(Door::Mail, text));
        }
        if let Step::Rcpt(at) = step
            && speaks_of_the_session(&reply)
            && self.outcomes.iter().enumerate().any(|(other, outcome)| other != at && outcome.is_none())
        {
            let (said, heard) = (Box::new(self.said(&reply)), self.outcomes());
            return Err(Attempt::Over { at, said, heard, reason: self.reason(step.name(), &reply.to_string()) });
        }
        let refused = reply.is_temporary() || reply.is_permanent();
        // DATA is judged later: without recipients it must be refused, and that means nothing.
        if step != Step::Data && (speaks_of_the_session(&reply) || (!refused && !reply.is_positive())) {
            return Err(self.route(step.name(), &reply.to_string(), step == Step::Mail && reply.code == 421));
        }
        match step {
            Step::Mail if refused => answers.refused = Some(reply),
            Step::Rcpt(at) if refused => {
                let said = Said { of_recipient: true, ..self.said(&reply) };
                // Who waits tries again, and is then the first of a message, which a worn session is not the last word about.
                let is_told = self.is_live && reply.code != 552 && self.session.begun <= 1;
                let is_final = is_final_at_rcpt(&reply) || is_told;
                let failed = reply.is_permanent() && is_final;
                self.set(at, if failed { Outcome::Failed(said) } else { Outcome::Deferred(said) });
                self.has_refused = true;
            }
            Step::Mail | Step::Rcpt(_) => {}
            Step::Data => answers.data = Some(reply),
        }
        Ok(())
    }

    async fn judge(mut self, answers: Answers) -> Attempt {
        let Answers { refused, data, mut out_of_step } = answers;
        let nobody = refused.is_some() || !self.has_accepted();
        // Content listens for itself before it goes on.
        let goes_on = !nobody && data.as_ref().is_none_or(|reply| reply.code == 354);
        if !goes_on && !out_of_step {
            match self.listen().await {
                Ok(()) => {}
                // It leaves, and what it has answered stands.
                Err(Aside::Leaving(_)) => out_of_step = true,
                Err(aside) => return self.out_of_step("RCPT", aside, false),
            }
        }
        if nobody && data.as_ref().is_some_and(|reply| reply.code == 354) {
            // RFC 2920 section 3.1: it waits for content although nobody is to get it. A lone dot ends that, whatever comes.
            let _ = self.session.wire.say(b".\r\n", self.patience.block).await;
            out_of_step = true;
        }
        if nobody && self.is_worn(refused.as_ref()) {
            return Attempt::Worn;
        }
        if let Some(denied) = self.denied().filter(|_| refused.is_none()) {
            return denied;
        }
        if let Some(reply) = refused {
            let is_final = self.is_final_at_mail(&reply);
            return self.settle_as(&reply, !out_of_step, is_final).await;
        }
        if nobody {
            let reusable = !out_of_step && self.session.reset(&self.patience.brief()).await;
            return self.finish(reusable, false);
        }
        match data {
            None if self.session.offers.chunking => self.chunks().await,
            Some(reply) if reply.code == 354 => self.content().await,
            Some(reply) if speaks_of_the_session(&reply) || reply.code == 454 => {
                self.route("DATA", &reply.to_string(), false)
            }
            Some(reply) if reply.is_temporary() || reply.is_permanent() => self.settle_by(&reply, !out_of_step).await,
            Some(reply) => self.route("DATA", &reply.to_string(), false),
            None => self.route("DATA", "there was no room for it", false),
        }
    }

    /// Gives every recipient without an outcome what this refusal means.
    async fn settle_by(self, reply: &Reply, in_step: bool) -> Attempt {
        self.settle_as(reply, in_step, is_final(reply)).await
    }

    async fn settle_as(mut self, reply: &Reply, in_step: bool, is_final: bool) -> Attempt {
        // It is known that nobody has it while the session is made ready for another message.
        self.parcel.content.not_ended().await;
        let failed = reply.is_permanent() && (self.is_live || is_final);
        let (said, put_off) = (self.said(reply), !failed);
        self.settle(&if put_off { Outcome::Deferred(said) } else { Outcome::Failed(said) });
        let reusable = in_step && self.session.reset(&self.patience.brief()).await;
        self.finish(reusable, put_off)
    }

    fn settle(&mut self, outcome: &Outcome) {
        for pending in self.outcomes.iter_mut().filter(|pending| pending.is_none()) {
            *pending = Some(outcome.clone());
        }
    }

    fn set(&mut self, at: usize, outcome: Outcome) {
        if let Some(pending) = self.outcomes.get_mut(at) {
            *pending = Some(outcome);
        }
    }

    fn has_accepted(&self) -> bool {
        self.outcomes.iter().any(Option::is_none)
    }

    /// Those who get it with the dot, by their numbers.
    fn suspects(&self) -> Vec<u32> {
        let all = self.outcomes.iter().zip(&self.parcel.recipients).filter(|(outcome, _)| outcome.is_none());
        all.map(|(_, (number, _))| *number).collect()
    }

    fn finish(self, reusable: bool, put_off: bool) -> Attempt {
        let outcomes = self.outcomes();
        if put_off { Attempt::PutOff { outcomes, reusable } } else { Attempt::Settled { outcomes, reusable } }
    }

    fn outcomes(&self) -> Vec<(u32, Outcome)> {
        let numbers = self.parcel.recipients.iter().map(|(number, _)| *number);
        numbers.zip(&self.outcomes).filter_map(|(number, outcome)| Some((number, outcome.clone()?))).collect()
    }

    /// The session can't go on. That is the route's fault as long as the upstream has heard nothing of this message. From MAIL on
    /// it may be the message's, as many say 421 to what they don't like, a sender too, and would to every attempt at it: nobody
    /// else's has to wait for that. Where recipients were refused, what was heard stands, unless another host that is asked once takes it.
    fn route(&self, phase: &str, why: &str, stale: bool) -> Attempt {
        let reason = self.reason(phase, why);
        if !self.is_told {
            return Attempt::Route { reason, stale };
        }
        let said = Said { text: reason, ..self.ours("4.4.2", "") };
        if !self.has_refused {
            return Attempt::BrokenOff { heard: self.outcomes(), said: Box::new(said), stale };
        }
        let rest = Outcome::Deferred(said);
        let heard = self.outcomes.iter().map(|outcome| outcome.as_ref().unwrap_or(&rest).clone());
        let numbers = self.parcel.recipients.iter().map(|(number, _)| *number);
        Attempt::PutOff { outcomes: numbers.zip(heard).collect(), reusable: false }
    }
}
