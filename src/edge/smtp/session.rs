//! One SMTP session: which command when, and what is said to it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::barred::{Barred, WHYS};
use super::budget::{Budget, Charge};
use super::command::{self, Command, Fault};
use super::guard;
use super::line::Line;
use super::reply::{self, Reply};
use super::standing::{Hello, Standing};
use super::transaction::Transaction;
use super::transcript;
use super::wire::{Stop, Wire};
use super::xclient::Forwarded;
use crate::config::slice::TlsMode;
use crate::edge::conversation::Visit;
use crate::edge::front::{Front, Phase};
use crate::ipc::session::{Exported, Tls};

/// How long a stranger may stay a stranger, whatever it says meanwhile.
pub(super) const STRANGER: Duration = Duration::from_secs(300);

/// Commands that one session may have answered before others get their turn: this process has one thread.
const TURN: u32 = 16;

/// A session's state. It outlives the change to TLS, which takes away all that was said before it.
#[derive(Debug)]
pub struct Session {
    pub(super) front: Arc<Front>,
    pub(super) visit: Visit,
    pub(super) id: Uuid,
    pub(super) born: Instant,
    greeted: bool,
    pub(super) standing: Standing,
    pub(super) transaction: Option<Transaction>,
    pub(super) budget: Budget,
    /// The round in which its last guess was wrong.
    pub(super) guessed: Option<u64>,
    /// Why it was kept out, as far as the log has it.
    pub(super) told: [bool; WHYS],
    /// For the next transaction.
    pub(super) forwarded: Forwarded,
}

/// How a conversation ended.
#[derive(Debug)]
pub enum Leave<S> {
    Closed,
    /// The client was told to begin TLS on this stream.
    Starttls(S),
}

/// What follows a command.
#[derive(Debug)]
enum Next {
    Go,
    Starttls,
}

impl Session {
    pub fn new(front: Arc<Front>, visit: Visit, id: Uuid) -> Self {
        Self {
            standing: Standing::new(front.clone()),
            front,
            visit,
            id,
            born: Instant::now(),
            greeted: false,
            transaction: None,
            budget: Budget::full(),
            guessed: None,
            told: [false; WHYS],
            forwarded: Forwarded::default(),
        }
    }

    /// TLS is on. RFC 3207 section 4.2: whatever was learned before it is forgotten.
    pub fn secured(&mut self, tls: Tls, exported: Option<Exported>) {
        self.visit.scribe().tell(|| transcript::tls(&tls));
        self.standing = Standing::new(self.front.clone());
        (self.standing.tls, self.standing.exported) = (Some(tls), exported);
        if self.visit.is_a_gateways() {
            self.standing.forget_certificate();
        }
        (self.transaction, self.guessed) = (None, None);
        self.forwarded = Forwarded::default();
    }

    /// Speaks on this stream until the client leaves, must leave, or begins TLS. A panic ends this session alone.
    pub async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: S) -> Leave<S> {
        let mut wire = Wire::new(stream, self.front.phase.clone(), self.visit.notice()).told_by(self.visit.scribe());
        match guard::unwinding(self.talk(&mut wire)).await {
            Ok(Ok(())) => match wire.flush().await {
                Ok(()) => Leave::Starttls(wire.into_stream()),
                Err(_) => Leave::Closed,
            },
            Ok(Err(stop)) => {
                let stop = self.exactly(stop);
                tracing::debug!(session = %self.id, ?stop, "a session ends");
                self.ended(&stop);
                wire.close(stop).await;
                Leave::Closed
            }
            Err(panic) => {
                wire.close(reply::BROKEN.into()).await;
                std::panic::resume_unwind(panic)
            }
        }
    }

    /// Until TLS is to begin; every other end is a `Stop`.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>) -> Result<(), Stop> {
        if !self.greeted {
            if wire.speaks_already().await? {
                return Err(reply::EARLY_TALKER.into());
            }
            if wire.phase() >= Phase::Draining {
                return Err(reply::SHUTTING_DOWN.into());
            }
            self.greeted = true;
            wire.say(&Reply::greeting(&self.front.hostname, self.standing.lmtp()));
        }
        let mut answered = 0u32;
        loop {
            if answered == TURN {
                answered = 0;
                tokio::task::yield_now().await;
            }
            answered += 1;
            // A service that drains finishes transactions; who has none open can begin it elsewhere (rule C17).
            let until = if self.transaction.is_none() { Phase::Draining } else { Phase::Closing };
            if wire.phase() >= until {
                return Err(reply::SHUTTING_DOWN.into());
            }
            self.show().await?;
            let line = wire.command(self.deadline(), until).await?;
            self.visit.turn();
            if self.visit.is_lost() {
                return Err(reply::VAULT_AWAY.into());
            }
            let command = match line {
                Line::Whole(line) => command::parse(&line),
                Line::TooLong(command::AUTH_LINE) => {
                    self.answer(wire, reply::RESPONSE_TOO_LONG).await?;
                    continue;
                }
                Line::TooLong(command::CHUNK_LINE) => return Err(reply::LINE_TOO_LONG.into()),
                Line::TooLong(_) => {
                    self.answer(wire, reply::LINE_TOO_LONG).await?;
                    continue;
                }
                Line::Endless => return Err(reply::LINE_TOO_LONG.into()),
            };
            if self.is_asking() && !matches!(command, Ok(Command::Rcpt(_))) {
                Box::pin(self.answer_group(wire)).await?;
            }
            match command {
                Ok(command) => match self.understood(command) {
                    Ok(command) => match self.obey(wire, command).await? {
                        Next::Go => (),
                        Next::Starttls => return Ok(()),
                    },
                    Err(refused) => {
                        Box::pin(self.answer_group(wire)).await?;
                        self.answer(wire, refused).await?;
                    }
                },
                Err(fault @ Fault::Chunk) => return Err(Reply::from(fault).into()),
                Err(fault) => {
                    if matches!(fault, Fault::Hello) {
                        self.barred(Barred::Name);
                    }
                    self.answer(wire, fault.into()).await?;
                }
            }
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        let deadline = match self.standing.grant {
            Some(_) => Instant::now() + self.front.idle,
            None => (Instant::now() + self.front.idle_strange).min(self.born + STRANGER),
        };
        let chunks = self.transaction.as_ref().and_then(|transaction| transaction.chunks.as_ref());
        chunks.map_or(deadline, |chunks| deadline.min(chunks.deadline()))
    }

    /// Says it, and charges for it when it is an error.
    pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        reply: Reply,
    ) -> Result<(), Stop> {
        wire.say(&reply);
        if reply.is_error() {
            match self.budget.error() {
                Charge::Free => (),
                Charge::Wait(wait) => sleep(wait).await,
                Charge::Spent => return Err(reply::TOO_MANY_ERRORS.into()),
            }
        }
        Ok(())
    }

    async fn obey<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        command: Command,
    ) -> Result<Next, Stop> {
        use Command::{
            Auth, Bdat, Data, Ehlo, Expn, Helo, Help, Lhlo, Mail, Noop, Quit, Rcpt, Rset, Starttls, Vrfy, Xclient,
            Xforward,
        };
        if matches!(command, Ehlo(_) | Helo(_) | Rset | Noop | Help | Vrfy | Expn | Xclient(_) | Xforward(_))
            && !self.budget.idle_command(self.standing.grant.is_some())
        {
            return Err(reply::TOO_MANY_COMMANDS.into());
        }
        // RFC 3207 section 4: before TLS these and nothing else. What follows BDAT is read before it is answered.
        if self.standing.needs_tls() && !matches!(command, Noop | Ehlo(_) | Starttls | Quit | Rset | Help | Bdat(_)) {
            self.barred(Barred::Clear);
            self.answer(wire, reply::TLS_FIRST).await?;
            return Ok(Next::Go);
        }
        let reply = match command {
            Ehlo(name) => return self.hello(wire, name, true).await,
            Helo(name) => return self.hello(wire, name, false).await,
            Starttls => match self.starttls(wire)? {
                Some(refused) => refused,
                None => return Ok(Next::Starttls),
            },
            Xclient(said) => Box::pin(self.xclient(wire, &said)).await?,
            Xforward(said) => self.xforward(&said),
            Auth { asked, initial } => Box::pin(self.auth(wire, asked, initial)).await?,
            Mail(mail) => {
                let reply = Box::pin(self.mail(*mail)).await?;
                // No error of the client's, and work for us each time: who repeats it at once would do so for ever.
                if reply.is_put_off() && !self.budget.idle_command(self.standing.grant.is_some()) {
                    return Err(reply::TOO_MANY_COMMANDS.into());
                }
                reply
            }
            Rcpt(rcpt) => match Box::pin(self.rcpt(wire, *rcpt)).await? {
                Some(reply) => reply,
                None => return Ok(Next::Go),
            },
            Data => Box::pin(self.data(wire)).await?,
            Bdat(chunk) => Box::pin(self.bdat(wire, chunk)).await?,
            Rset => {
                self.forget().await;
                reply::RESET
            }
            Noop => reply::OK,
            Help if self.standing.lmtp() => reply::HELP_OF_LMTP,
            Help => reply::HELP,
            Vrfy => reply::NOT_VERIFIED,
            Expn | Lhlo(_) => reply::NOT_OFFERED,
            Quit => return Err(reply::CLOSING.into()),
        };
        self.answer(wire, reply).await?;
        Ok(Next::Go)
    }

    async fn forget(&mut self) {
        self.forwarded = Forwarded::default();
        if self.transaction.take().is_some() {
            // Apart: what a stranger's session never does takes no room in it.
            Box::pin(self.visit.abort()).await;
        }
    }

    /// A greeting begins anew, as RSET does. It is the last of its group: nothing may stand behind it.
    async fn hello<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        name: String,
        extended: bool,
    ) -> Result<Next, Stop> {
        self.forget().await;
        self.standing.hello = Some(Hello { name, extended });
        if extended {
            Reply::write_extensions(&self.front.hostname, &self.extensions(), wire.out());
        } else {
            wire.say(&Reply::hello(&self.front.hostname));
        }
        if wire.is_ahead() { Err(reply::SPEAKS_TOO_EARLY.into()) } else { Ok(Next::Go) }
    }

    /// None: said "go ahead". Whatever stands behind the command in the clear is an attack (CVE-2011-0411).
    fn starttls<S: AsyncRead + AsyncWrite + Unpin>(&self, wire: &mut Wire<S>) -> Result<Option<Reply>, Stop> {
        if wire.is_ahead() {
            return Err(reply::SPEAKS_TOO_EARLY.into());
        }
        Ok(match self.standing.tls {
            Some(_) => Some(reply::TLS_IS_ON),
            None if self.front.desk.tls != TlsMode::Starttls => Some(reply::NOT_OFFERED),
            // What was granted in the clear would be forgotten; what is begun would be lost.
            None if self.transaction.is_some() || self.standing.grant.is_some() => Some(reply::NOT_NOW),
            None if !self.standing.offers_starttls() => Some(reply::NO_TLS_NOW),
            None => {
                wire.say(&reply::READY_FOR_TLS);
                None
            }
        })
    }
}
