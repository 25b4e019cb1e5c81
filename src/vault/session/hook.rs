//! Something is posted to a provider's hook: its body comes in pieces, and is looked at when it is whole.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_local;

use super::{Moment, News, Session, Violation};
use crate::config::slice::Protocol;
use crate::ipc::hook::{MOST_OCTETS, MOST_TEXT, Posted, Verdict};
use crate::ipc::session::Answer;
use crate::vault::hooks::{self, Call};

/// What has come of it.
#[derive(Debug)]
pub struct Coming {
    posted: Posted,
    body: Vec<u8>,
    came: usize,
    length: usize,
    /// Without one it is read past.
    place: Option<OwnedSemaphorePermit>,
}

impl Session {
    pub(super) async fn hook(&mut self, posted: Posted) -> Result<(), Violation> {
        let length = usize::try_from(posted.length).unwrap_or(usize::MAX);
        let texts = [&posted.hook, &posted.timestamp, &posted.signature];
        let is_bounded = length <= MOST_OCTETS && texts.iter().all(|text| text.len() <= MOST_TEXT);
        if self.listener.protocol != Protocol::Http || !is_bounded {
            return Err(Violation("hook-malformed"));
        }
        let place = Arc::clone(&self.vault.hooks.places).try_acquire_owned().ok();
        let coming = Coming { posted, body: Vec::new(), came: 0, length, place };
        if length == 0 {
            self.hooked_whole(coming).await;
        } else {
            self.moment = Moment::Hook(Box::new(coming));
        }
        Ok(())
    }

    pub(super) async fn body(&mut self, octets: Vec<u8>) -> Result<(), Violation> {
        let Moment::Hook(mut coming) = std::mem::replace(&mut self.moment, Moment::Ready) else {
            return Err(Violation("body-out-of-order"));
        };
        coming.came = coming.came.saturating_add(octets.len());
        if octets.is_empty() || coming.came > coming.length {
            return Err(Violation("body-malformed"));
        }
        if coming.place.is_some() {
            coming.body.extend_from_slice(&octets);
        }
        if coming.came < coming.length {
            self.moment = Moment::Hook(coming);
        } else {
            self.hooked_whole(*coming).await;
        }
        Ok(())
    }

    async fn hooked_whole(&mut self, coming: Coming) {
        let Coming { posted, body, place, .. } = coming;
        let Some(place) = place else { return self.hooked(hooks::turned_away(&self.vault)).await };
        self.moment = Moment::Hooked;
        let (vault, post, to) = (Rc::clone(&self.vault), self.post.clone(), (self.slot, self.number));
        let (session, address) = (self.introduction.session, self.introduction.peer.ip());
        let call = Call { session, address, listener: Rc::clone(&self.listener), posted, body };
        spawn_local(async move {
            let verdict = hooks::decide(&vault, call).await;
            drop(place);
            let _ = post.send((to.0, to.1, News::Hooked(verdict)));
        });
    }

    /// It was looked at.
    pub(super) async fn hooked(&mut self, verdict: Verdict) {
        self.moment = Moment::Ready;
        self.say(Answer::Hooked { slot: self.slot, verdict }).await;
    }
}
