//! Delivery by SMTP to a smart host. The client is our own: lettre's connection level reads the greeting itself and bounds no
//! reply.

mod bearer;
mod doors;
pub(crate) mod envelope;
mod hosts;
mod live;
mod login;
pub(crate) mod offers;
mod parts;
mod pool;
mod rehearsal;
mod reply;
mod scram;
mod session;
pub(crate) mod stuffing;
mod transaction;
mod transcript;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use super::dial::Dialer;
use super::parcel::{Parcel, Verdict};
use crate::config::slice::TlsMode;
use crate::mail::outcome::{Outcome, Said};

pub use bearer::Bearer;
pub use hosts::Hosts;
pub use login::{Credential, Login};

use doors::{Caller, Doors};
use hosts::Tour;
use parts::{Group, Over, Part};
use pool::Pool;
use session::{Refused, Session};
use transaction::Attempt;

/// How to speak with the upstream.
pub struct Settings {
    pub helo: String,
    pub tls: TlsMode,
    /// Present when `tls` is not none.
    pub connector: Option<TlsConnector>,
    /// The name that a certificate must bear, instead of the host's.
    pub tls_name: Option<String>,
    /// Under TLS it is known who is there.
    pub verified: bool,
    pub login: Option<Login>,
    pub hosts: Hosts,
    pub connections: u16,
    /// Over one connection.
    pub messages: u32,
    pub patience: Patience,
}

/// How long each step may take (rule U13; RFC 5321 section 4.5.3.2 names the minimum of most).
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Some servers look the client up before they greet.
    pub greeting: Duration,
    /// Two round trips and a signature; the RFC names nothing.
    pub handshake: Duration,
    /// From the connection to the end of the login: twice what a slow greeting takes.
    pub opening: Duration,
    /// EHLO, STARTTLS, AUTH, MAIL, RCPT. Recipients may be verified elsewhere meanwhile.
    pub command: Duration,
    pub data: Duration,
    /// One write of content.
    pub block: Duration,
    /// From MAIL to the dot, beside what recipients and size add to it (`before_the_dot`): three slow commands.
    pub message: Duration,
    /// What each recipient adds: some servers look them up elsewhere, one by one.
    pub recipient: Duration,
    /// The dot: the server stores, scans, sometimes delivers first. To give up early makes duplicates.
    pub dot: Duration,
    /// RSET and QUIT when the message's fate is known: not worth waiting for.
    pub quit: Duration,
    /// A parked connection's wait for its next message.
    pub idle: Duration,
    /// A connection's time in all; what it carries is finished.
    pub age: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(300),
            handshake: Duration::from_secs(60),
            opening: Duration::from_secs(600),
            command: Duration::from_secs(300),
            data: Duration::from_secs(120),
            block: Duration::from_secs(180),
            message: Duration::from_secs(900),
            recipient: Duration::from_secs(10),
            dot: Duration::from_secs(600),
            quit: Duration::from_secs(5),
            idle: Duration::from_secs(8),
            age: Duration::from_secs(300),
        }
    }
}

/// Octets in a second over the slowest way that is used: a modem of 33.6 kbit/s is as fast.
const SLOWEST: u64 = 4096;

impl Patience {
    /// From MAIL to the dot, all of it: an upstream that is just in time for each step keeps nothing for hours.
    fn before_the_dot(&self, parcel: &Parcel) -> Duration {
        let recipients = u32::try_from(parcel.recipients.len()).unwrap_or(u32::MAX);
        let content = Duration::from_secs(parcel.size.unwrap_or(0) / SLOWEST);
        self.message.saturating_add(self.recipient.saturating_mul(recipients)).saturating_add(content)
    }

    /// For commands whose answer changes nothing for the message.
    fn brief(&self) -> Self {
        Self { command: self.quit, ..*self }
    }
}

/// One SMTP upstream: its sessions, and the dialer for new ones.
pub struct Upstream {
    settings: Settings,
    dialer: Arc<Dialer>,
    pool: Pool,
    /// One permit for each connection that may be in use.
    free: Semaphore,
    doors: Doors,
}

impl Upstream {
    pub fn new(settings: Settings, dialer: Arc<Dialer>) -> Self {
        let free = Semaphore::new(usize::from(settings.connections.max(1)));
        Self { settings, dialer, pool: Pool::default(), free, doors: Doors::default() }
    }

    /// How many messages it takes at once.
    pub fn slots(&self) -> u16 {
        self.settings.connections.max(1)
    }

    /// Delivers a message, or as much of it as the upstream takes in one transaction; `beyond` are those who are more. A reused
    /// connection that turns out to be closed costs nothing; after a route's failure the next host is tried at once, each once, as
    /// long as the content can be had again.
    async fn deliver_part(&self, parcel: &mut Parcel, beyond: &mut Group) -> Part {
        let patience = &self.settings.patience;
        let mut tour = self.settings.hosts.tour();
        let mut reused = self.pool.take().await;
        let mut reasons: Vec<Refused> = Vec::new();
        let (mut put_off, mut lacking, mut broken_off, mut over) = (None::<Vec<(u32, Outcome)>>, None, None, None);
        let (caller, mut unwelcome) = (Caller::of(parcel), None);
        let known = self.doors.known(&caller);
        loop {
            let (mut session, is_reused) = match reused.take() {
                Some(session) => (session, true),
                None => match self.open(&mut tour, &mut reasons).await {
                    Some(session) => (session, false),
                    None => break,
                },
            };
            if over.is_some() && !session.offers.fits(parcel) {
                // Who ended the session is known by his position: this one is asked when they are tried without him.
                self.let_go(session, true);
                continue;
            }
            let is_heard = put_off.is_some() || broken_off.is_some();
            session.offers.apply(parcel, beyond, is_heard);
            // Nobody was delivered to: who is beyond is as one that was not asked.
            let stays = |(number, _): &(u32, Outcome)| parcel.recipients.iter().any(|(own, _)| own == number);
            if let Some(outcomes) = &mut put_off {
                outcomes.retain(stays);
            }
            if let Some(Verdict::BrokenOff { heard, .. }) = &mut broken_off {
                heard.retain(stays);
            }
            self.speak_of_chunks(&mut session);
            let ended = transaction::attempt(&mut session, parcel, patience, known).await;
            self.speak_of_chunks(&mut session);
            match ended {
                Attempt::Settled { outcomes, reusable } => {
                    self.let_go(session, reusable);
                    self.doors.passed(parcel, &outcomes);
                    return Part::Ended(Verdict::Settled(outcomes));
                }
                Attempt::PutOff { outcomes, reusable } => {
                    if is_reused {
                        tour.reached(session.index, session.index);
                    }
                    self.let_go(session, reusable);
                    // Another host is asked once; the queue asks again later.
                    if put_off.is_some() || tour.untried().is_none() || !parcel.content.rewind().await {
                        return Part::Ended(Verdict::Settled(outcomes));
                    }
                    put_off = Some(outcomes);
                }
                Attempt::Lacking { outcomes, reusable } => {
                    if is_reused {
                        tour.reached(session.index, session.index);
                    }
                    self.let_go(session, reusable);
                    if !parcel.content.rewind().await {
                        return Part::Ended(Verdict::Settled(outcomes));
                    }
                    lacking = Some(outcomes);
                }
                Attempt::Route { stale: true, .. } | Attempt::BrokenOff { stale: true, .. } if is_reused => {
                    tracing::debug!("a kept connection had ended; trying a fresh one");
                    parcel.content.not_ended().await;
                }
                Attempt::Worn => {
                    tracing::debug!("a kept connection takes nothing more; trying a fresh one");
                    // First: it may count among those that this client has.
                    session.quit(patience).await;
                }
                Attempt::Withdrawn | Attempt::GivenUp { .. } => return Part::Ended(Verdict::Withdrawn),
                ended => {
                    if is_reused {
                        tour.reached(session.index, session.index);
                    }
                    self.settings.hosts.failed(session.index);
                    match ended {
                        Attempt::Route { reason, .. } => reasons.push(reason.into()),
                        Attempt::BrokenOff { heard, said, .. } => {
                            reasons.push(said.text.clone().into());
                            broken_off = Some(Verdict::BrokenOff { heard, said: *said });
                        }
                        Attempt::Over { at, said, heard, reason } => {
                            reasons.push(reason.clone().into());
                            over = Some(Over { at, said: *said, heard, reason });
                        }
                        Attempt::Unwelcome { door, said } => {
                            reasons.push(said.text.clone().into());
                            unwelcome = Some(door);
                            if self.doors.are_of(&caller, door) {
                                broken_off = Some(Verdict::BrokenOff { heard: Vec::new(), said: *said });
                            }
                        }
                        _ => {}
                    }
                    if !parcel.content.rewind().await {
                        break;
                    }
                }
            }
        }
        if let Some(door) = unwelcome {
            self.doors.refused(&caller, door);
        }
        let is_for_good = reasons.is_empty() && !tour.misses_one();
        if let Some(outcomes) = lacking.as_ref().filter(|_| !is_for_good && broken_off.is_none()) {
            broken_off = Some(perhaps_elsewhere(outcomes, &reasons));
        }
        match put_off.or(lacking.filter(|_| is_for_good)) {
            Some(outcomes) => Part::Ended(Verdict::Settled(outcomes)),
            None => match over {
                Some(over) => Part::Over(over),
                None => Part::Ended(broken_off.unwrap_or_else(|| {
                    self.doors.failed();
                    failed(&reasons)
                })),
            },
        }
    }

    /// What one session was told of BDAT holds for all of that host, for a while.
    fn speak_of_chunks(&self, session: &mut Session) {
        session.offers.chunking &= self.settings.hosts.takes_chunks(session.index, session.shuns_chunks);
    }

    /// A session with the next host of the tour that lets us in; none when there is no other. Adds what failed to `reasons`.
    async fn open(&self, tour: &mut Tour, reasons: &mut Vec<Refused>) -> Option<Session> {
        // Without a token nobody lets us in, and so nobody is connected to.
        if let Some(Login::Token(bearer)) = &self.settings.login
            && let Err(failed) = bearer.tokens.token(&self.dialer).await
        {
            reasons.push(failed.into());
            return None;
        }
        while let Some(first) = self.settings.hosts.next(tour) {
            let connection = match self.dialer.dial(first).await {
                Ok(connection) => connection,
                Err(failed) => {
                    reasons.extend(failed.into_iter().map(Refused::from));
                    return None;
                }
            };
            let (index, host) = (connection.index, connection.host.clone());
            if !self.settings.hosts.has(index, &host) {
                tracing::error!(index, host, "the dialer named a host that is not this upstream's");
                reasons.push("the dialer named a host that is not this upstream's".into());
                return None;
            }
            self.settings.hosts.skipped(first, index);
            if !tour.reached(first, index) {
                continue;
            }
            match Session::open(connection, &self.settings, &self.dialer, None).await {
                Ok(session) => {
                    self.settings.hosts.works(index);
                    return Some(session);
                }
                Err(refused) => {
                    // An upstream may say back what it was told.
                    let secrets = self.settings.login.as_ref().map(Login::secrets).unwrap_or_default();
                    let refused = Refused { reason: secrets.hide(&refused.reason), ..refused };
                    tracing::info!(host, reason = refused.reason, "a host did not let us in");
                    self.settings.hosts.failed(index);
                    reasons.push(refused.within(&host));
                }
            }
        }
        None
    }

    fn let_go(&self, session: Session, reusable: bool) {
        if reusable {
            self.pool.park(session, self.settings.messages, self.settings.patience);
        }
    }

    /// Ends sessions that have waited too long; runs beside everything else.
    pub async fn tend(&self) {
        self.pool.sweep(self.settings.patience).await;
    }

    /// Leaves politely before the process ends.
    pub async fn close(&self) {
        self.pool.close(self.settings.patience).await;
    }
}

/// Those that could be had lack what this message needs, and one that is away may have it: the message waits, and no other one.
fn perhaps_elsewhere(lacking: &[(u32, Outcome)], reasons: &[Refused]) -> Verdict {
    let lack = lacking.first().map(|(_, outcome)| outcome.said().text.as_str()).unwrap_or_default();
    let words: Vec<&str> = std::iter::once(lack).chain(reasons.iter().map(|refused| refused.reason.as_str())).collect();
    let said = Said { text: reply::cut(words.join("; ")), enhanced: Some("4.4.2".to_owned()), ..Said::default() };
    Verdict::BrokenOff { heard: Vec::new(), said }
}

/// No host was of use: the route has failed. One that refuses our login is to be left alone for longer than one that is away.
fn failed(reasons: &[Refused]) -> Verdict {
    let words: Vec<&str> = reasons.iter().map(|refused| refused.reason.as_str()).collect();
    let reason = reply::cut(words.join("; "));
    match reasons.iter().any(|refused| refused.is_login) {
        true => Verdict::LoginRefused(reason),
        false => Verdict::RouteFailed { reason, rest: reasons.iter().filter_map(|refused| refused.rest).max() },
    }
}
