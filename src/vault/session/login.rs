//! Who a session is: the questions of a login, and what comes of them.

use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;

use super::{Moment, News, Session, Violation};
use crate::ipc::bytes::Octets;
use crate::ipc::session::{Answer, Denial, Exported, Tls};
use crate::policy::mechanism::Mechanism;
use crate::sasl::scram::first;
use crate::secret::Secret;
use crate::vault::login::credentials::{Known, Way};
use crate::vault::login::scram::{self, Opening};
use crate::vault::login::{self, Login};
use crate::vault::sender::Sender;
use crate::vault::visitor;

impl Session {
    pub(super) fn sender(&self, principal: &Known) -> Sender {
        Sender {
            session: self.introduction.session,
            address: self.introduction.peer.ip(),
            listener: Rc::clone(&self.listener),
            credential: Rc::clone(&principal.credential),
            passed: principal.passed.clone(),
            actor: None,
        }
    }

    pub(super) fn way(&self) -> Way {
        visitor::way(&self.listener, self.introduction.peer.ip())
    }

    fn login(&self, mechanism: Mechanism, user: String, password: Secret<String>, tls: Option<Tls>) -> Login {
        let (session, address) = (self.introduction.session, self.introduction.peer.ip());
        Login { session, address, listener: Rc::clone(&self.listener), mechanism, user, password, tls }
    }

    /// A name and a password, or what stands for them.
    pub(super) async fn check(
        &mut self,
        mechanism: Mechanism,
        user: String,
        password: Secret<String>,
        tls: Option<Tls>,
    ) {
        let login = self.login(mechanism, user, password, tls);
        if let Some(known) = login::recall(&self.vault, &login) {
            self.vault.writer.tally().login(self.listener.protocol, &Ok::<_, Denial>(()));
            return self.grant(known).await;
        }
        let (waits, gone) = oneshot::channel();
        self.moment = Moment::Checking(waits);
        let (vault, post, to) = (Rc::clone(&self.vault), self.post.clone(), (self.slot, self.number));
        let protocol = self.listener.protocol;
        spawn_local(async move {
            let checked = login::decide(&vault, login, gone).await;
            vault.writer.tally().login(protocol, &checked);
            // The session may be over.
            let _ = post.send((to.0, to.1, News::Checked(checked)));
        });
    }

    /// A login by SCRAM begins. An edge asks for none whose beginning can't be read.
    pub(super) async fn begin(
        &mut self,
        mechanism: Mechanism,
        message: Secret<Vec<u8>>,
        exported: Option<Exported>,
        tls: Option<Tls>,
    ) -> Result<(), Violation> {
        let user = first(message.expose()).and_then(|first| String::from_utf8(first.user).ok());
        let user = user.filter(|_| mechanism.is_scram()).ok_or(Violation("scram-malformed"))?;
        let login = self.login(mechanism, user, Secret::default(), tls);
        self.claims(mechanism, &login.user, &login.password).await;
        // One message at a time: the next comes when this one was answered.
        let (way, replies) = mpsc::channel(1);
        self.moment = Moment::Answering(way);
        let (vault, post, to) = (Rc::clone(&self.vault), self.post.clone(), (self.slot, self.number));
        let protocol = self.listener.protocol;
        spawn_local(async move {
            let say = |message| _ = post.send((to.0, to.1, News::Challenge(message)));
            let checked = scram::decide(&vault, Opening { login, first: message, exported }, replies, say).await;
            // One that was given up has failed, too.
            let counted = checked
                .as_ref()
                .map_or(Err(Denial::Invalid), |known| known.as_ref().map(drop).map_err(|denial| *denial));
            vault.writer.tally().login(protocol, &counted);
            if let Some(checked) = checked {
                let _ = post.send((to.0, to.1, News::Checked(checked)));
            }
        });
        Ok(())
    }

    /// The client's next message, which it was asked for.
    pub(super) fn respond(&mut self, message: Secret<Vec<u8>>) -> Result<(), Violation> {
        match std::mem::replace(&mut self.moment, Moment::Ready) {
            Moment::Challenged(way) if way.try_send(message).is_ok() => {
                self.moment = Moment::Answering(way);
                Ok(())
            }
            _ => Err(Violation("response-out-of-order")),
        }
    }

    pub(super) async fn challenge(&mut self, message: Octets) {
        if let Moment::Answering(way) = std::mem::replace(&mut self.moment, Moment::Ready) {
            self.moment = Moment::Challenged(way);
            self.say(Answer::Challenge { slot: self.slot, message }).await;
        }
    }

    pub(super) async fn checked(&mut self, result: Result<Known, Denial>) {
        self.moment = Moment::Ready;
        match result {
            Ok(known) => self.grant(known).await,
            Err(denial) => self.say(Answer::Denied { slot: self.slot, denial }).await,
        }
    }

    async fn grant(&mut self, known: Known) {
        let grant = Box::new(self.vault.authority.borrow().grant(&known.credential));
        (self.principal, self.revoked) = (Some(known), None);
        self.granted_in = self.vault.authority.borrow().generation();
        self.is_known().await;
        self.say(Answer::Granted { slot: self.slot, grant }).await;
    }
}
