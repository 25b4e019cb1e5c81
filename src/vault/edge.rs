//! One edge: its channel, the sessions on it, and what happens when it asks what it may not.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::spawn_local;

use super::Vault;
use super::audit::event::{Event, Name, Outcome};
use super::authority::Inadmissible;
use super::figures;
use super::session::{News, Post, Session, Violation};
use crate::config::slice::Protocol;
use crate::ipc::bytes::Octets;
use crate::ipc::capsule::Capsule;
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::control::Peer;
use crate::ipc::counted::Counted;
use crate::ipc::session::{Answer, Ask, Slot, Via};
use crate::mail::id::MessageId;
use crate::role::Role;
use crate::sys::clock::running_us;

/// Sessions one edge can have: twice what any is configured for. Beyond it the edge is lying.
const SESSIONS: usize = 32 * 1024;
/// Questions out of their moment within a time before the whole edge is let go: an honest one asks none.
const VIOLATIONS: u32 = 100;
const WITHIN: Duration = Duration::from_secs(3600);
/// Frames that may wait for an edge before it is told nothing more of how the service is.
const FIGURES: usize = 1024;
/// Sessions that may wait at once to hear what became of their message. Those of an edge that asks for more wait until then.
const WAS: usize = 256;

/// How a neighbour's channel came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// It closed it: it is gone, or on its way.
    Gone,
    /// It said what it may not: it must not serve on without us.
    LetGo,
}

struct Edge {
    vault: Rc<Vault>,
    peer: Peer,
    answers: Sender<Answer>,
    post: Post,
    sessions: HashMap<Slot, Session>,
    /// Slots whose sessions we ended; what is still on its way from them means nothing, until the edge closes them.
    ended: HashSet<Slot>,
    opened: u64,
    patience: Patience,
    /// One permit for each `Was` under way.
    was: Arc<Semaphore>,
    /// Where sessions come from that it was asked to introduce at their beginning.
    networks: Vec<IpNet>,
}

/// What is left of our patience with an edge. It grows back, so that rare mistakes never add up to an end.
struct Patience {
    since: Instant,
    violations: u32,
}

impl Patience {
    fn new(now: Instant) -> Self {
        Self { since: now, violations: 0 }
    }

    fn spend(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= WITHIN {
            *self = Self::new(now);
        }
        self.violations += 1;
    }

    fn is_over(&self) -> bool {
        self.violations >= VIOLATIONS
    }
}

/// Serves one edge until it is gone, says what can't be read, or has asked too much.
pub async fn serve(vault: Rc<Vault>, peer: Peer, answers: Sender<Answer>, mut asks: Receiver<Ask>) -> Parting {
    let (post, mut news) = unbounded_channel();
    let (mut changed, mut followed) = (vault.changed.subscribe(), vault.traces.changed.subscribe());
    let (sessions, ended) = (HashMap::new(), HashSet::new());
    let (patience, was) = (Patience::new(Instant::now()), Arc::new(Semaphore::new(WAS)));
    let (networks, mut figures) = (Vec::new(), vault.figures.subscribe());
    figures.mark_changed();
    let mut edge = Edge { vault, peer, answers, post, sessions, ended, opened: 0, patience, was, networks };
    edge.follow().await;
    let mut parting = Parting::LetGo;
    while !edge.patience.is_over() {
        tokio::select! {
            ask = asks.receive() => match ask {
                Ok(Some(ask)) => edge.hear(ask).await,
                Ok(None) => {
                    parting = Parting::Gone;
                    break;
                }
                Err(error) => {
                    edge.note("malformed-frame", None).await;
                    tracing::error!(edge = edge.peer.instance.0, %error, "an edge's channel ended");
                    break;
                }
            },
            Some((slot, number, news)) = news.recv() => edge.learn(slot, number, news).await,
            Ok(()) = changed.changed() => {
                for session in edge.sessions.values_mut() {
                    session.review().await;
                }
            }
            Ok(()) = followed.changed() => edge.follow().await,
            Ok(()) = figures.changed() => {
                let parts = Arc::clone(&figures.borrow_and_update());
                edge.tell(&parts);
            }
        }
    }
    let whose = (edge.peer.generation, edge.peer.instance);
    edge.vault.alerts.certificates.borrow_mut().gone(whose);
    edge.vault.figures.edges.borrow_mut().gone(whose);
    edge.sessions.into_values().for_each(Session::end);
    parting
}

impl Edge {
    async fn hear(&mut self, ask: Ask) {
        match ask {
            Ask::Open { slot, capsule, via } => self.open(slot, &capsule, via).await,
            Ask::Was { message } => self.was(message).await,
            Ask::Shown { listener, ends } => {
                let edge = (self.peer.generation, self.peer.instance);
                self.vault.alerts.certificates.borrow_mut().shown(edge, &listener, ends);
            }
            Ask::Counted(counted) => self.counted(*counted),
            Ask::Close { slot } => {
                self.ended.remove(&slot);
                if let Some(session) = self.sessions.remove(&slot) {
                    session.end();
                }
            }
            ask => {
                let slot = slot(&ask);
                if self.ended.contains(&slot) {
                    return;
                }
                let heard = match self.sessions.get_mut(&slot) {
                    Some(session) => session.hear(ask).await,
                    None => Err(Violation("no-such-session")),
                };
                if let Err(violation) = heard {
                    self.finish(slot, violation).await;
                }
            }
        }
    }

    async fn learn(&mut self, slot: Slot, number: u64, news: News) {
        if let Some(session) = self.sessions.get_mut(&slot) {
            session.learn(number, news).await;
        }
    }

    /// Operators have come or gone.
    async fn follow(&mut self) {
        let networks = match self.peer.role {
            Role::EdgeSmtp => self.vault.traces.networks(),
            _ => Vec::new(),
        };
        if networks != self.networks {
            self.networks.clone_from(&networks);
            let _ = self.answers.send(Answer::Introduce { networks }).await;
        }
        for session in self.sessions.values_mut() {
            session.follow().await;
        }
    }

    /// How the service is. An edge that doesn't take what was told before is told nothing new.
    fn tell(&self, parts: &[Octets]) {
        if !figures::is_for(&self.vault, &self.peer) {
            return;
        }
        for (at, part) in parts.iter().enumerate() {
            let answer = Answer::Figures { part: part.clone(), first: at == 0, last: at + 1 == parts.len() };
            if self.answers.try_send_behind(answer, FIGURES + at).is_err() {
                break;
            }
        }
    }

    async fn open(&mut self, slot: Slot, capsule: &Capsule, via: Via) {
        if self.ended.contains(&slot) {
            return;
        }
        if self.sessions.contains_key(&slot) {
            return self.finish(slot, Violation("open-twice")).await;
        }
        let (edge, generation) = (self.peer.instance, self.peer.generation);
        let full = self.sessions.len() >= SESSIONS;
        let admitted = match full {
            true => Err(Inadmissible::Violation("too-many-sessions")),
            false => self.vault.authority.borrow_mut().admit(capsule, via, edge, generation, running_us()),
        };
        match admitted {
            Ok(visitor) => {
                self.opened += 1;
                let (vault, answers, post) = (Rc::clone(&self.vault), self.answers.clone(), self.post.clone());
                let mut session = Session::new(slot, self.opened, visitor, vault, answers, post);
                session.welcome().await;
                self.sessions.insert(slot, session);
            }
            Err(Inadmissible::Violation(word)) => self.finish(slot, Violation(word)).await,
            Err(Inadmissible::Crowded) => self.dismiss(slot, Answer::Crowded { slot }).await,
            Err(Inadmissible::TooOld) => {
                tracing::info!(
                    session = %capsule.introduction.session,
                    "a connection that asked nothing for too long was not let in; its client is told to come again"
                );
                self.dismiss(slot, Answer::Ended { slot }).await;
            }
        }
    }

    /// Ends a session that was asked for what it may not, and says so in the log. The others go on.
    async fn finish(&mut self, slot: Slot, Violation(word): Violation) {
        let session = self.sessions.remove(&slot);
        self.note(word, session.as_ref()).await;
        if let Some(mut session) = session {
            session.over(Some(word));
            session.end();
        }
        self.dismiss(slot, Answer::Ended { slot }).await;
    }

    /// Whatever is still on its way from there means nothing.
    async fn dismiss(&mut self, slot: Slot, answer: Answer) {
        if self.ended.len() < SESSIONS {
            self.ended.insert(slot);
        }
        let _ = self.answers.send(answer).await;
    }

    async fn note(&mut self, word: &'static str, session: Option<&Session>) {
        self.patience.spend(Instant::now());
        let (role, instance) = (self.peer.role.name(), self.peer.instance.0);
        tracing::error!(role, instance, word, "an edge asked out of turn; the session was ended");
        let event = Event {
            severity: 2,
            reason: Some(word.to_owned()),
            session: session.map(|session| session.introduction.session),
            data: Some(format!("{{\"role\":\"{role}\",\"instance\":{instance}}}")),
            ..Event::new(Name::IpcViolation, Outcome::Denied)
        };
        let event = match session {
            Some(session) => event.client(session.introduction.peer.ip()),
            None => event,
        };
        self.vault.writer.record(vec![event]).await;
    }

    /// What it has counted. Of a listener that is none of its kind, or none any more, nothing is kept.
    fn counted(&self, counted: Counted) {
        let protocol = if self.peer.role == Role::EdgeHttp { Protocol::Http } else { Protocol::Smtp };
        let authority = self.vault.authority.borrow();
        let mut own = authority.slice.listeners.iter().filter(|listener| listener.protocol == protocol);
        if own.any(|listener| listener.name == counted.listener) {
            let whose = (self.peer.generation, self.peer.instance);
            self.vault.figures.edges.borrow_mut().counted(whose, protocol, counted, self.vault.writer.tally());
        }
    }

    async fn was(&self, message: MessageId) {
        let (vault, answers) = (Rc::clone(&self.vault), self.answers.clone());
        // It is never closed.
        let permit = Arc::clone(&self.was).acquire_owned().await;
        spawn_local(async move {
            let _permit = permit;
            // Without an answer from the store there is none for the edge, which gives up in time.
            if let Ok(committed) = vault.writer.run(move |store| store.spool.was(message)).await {
                let _ = answers.send(Answer::Was { message, committed }).await;
            }
        });
    }
}

fn slot(ask: &Ask) -> Slot {
    match ask {
        Ask::Open { slot, .. }
        | Ask::Login { slot, .. }
        | Ask::Scram { slot, .. }
        | Ask::Respond { slot, .. }
        | Ask::Mail { slot, .. }
        | Ask::Recipients { slot, .. }
        | Ask::Label { slot, .. }
        | Ask::Prove { slot, .. }
        | Ask::Recipient { slot, .. }
        | Ask::Content { slot }
        | Ask::Chunk { slot, .. }
        | Ask::Commit { slot, .. }
        | Ask::Abort { slot }
        | Ask::Inquire { slot, .. }
        | Ask::Turned { slot, .. }
        | Ask::Told { slot, .. }
        | Ask::Hook { slot, .. }
        | Ask::Body { slot, .. }
        | Ask::Close { slot } => *slot,
        Ask::Was { .. } | Ask::Shown { .. } | Ask::Counted(_) => Slot(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_that_are_far_apart_never_add_up_and_a_hundred_in_an_hour_do() {
        let begun = Instant::now();
        let mut patience = Patience::new(begun);
        for minute in 0..10 * u64::from(VIOLATIONS) {
            patience.spend(begun + Duration::from_secs(60 * minute));
            assert!(!patience.is_over(), "minute {minute}");
        }
        let mut patience = Patience::new(begun);
        (1..VIOLATIONS).for_each(|_| patience.spend(begun));
        assert!(!patience.is_over());
        patience.spend(begun + WITHIN - Duration::from_secs(1));
        assert!(patience.is_over());
    }
}
