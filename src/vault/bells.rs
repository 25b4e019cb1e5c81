//! Who waits for news of a message: rung by the writer, when what was written of it is on the disk.
//!
//! Whatever becomes of a message is an event of the audit log with its id, in the same transaction. So the log's own appending
//! is where news are noticed, and nobody looks into the database to find out that there are none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::audit::event::Event;
use crate::mail::id::MessageId;

/// Those who listen. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Bells(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How many listen, so that appending costs nothing while nobody does.
    count: AtomicUsize,
    all: Mutex<HashMap<MessageId, Vec<Arc<Notify>>>>,
}

/// One who listens, until it is dropped.
#[derive(Debug)]
pub struct Ear {
    bells: Bells,
    message: MessageId,
    bell: Arc<Notify>,
}

/// The writer's side: of whom something was appended that is not committed yet.
#[derive(Debug, Default)]
pub struct Ringer {
    pub bells: Bells,
    appended: Vec<MessageId>,
}

impl Bells {
    /// From here on every commit that concerns the message rings, also while nobody waits for it just then.
    pub fn listen(&self, message: MessageId) -> Ear {
        let bell = Arc::new(Notify::new());
        let mut all = self.all();
        all.entry(message).or_default().push(Arc::clone(&bell));
        self.0.count.fetch_add(1, Ordering::SeqCst);
        Ear { bells: self.clone(), message, bell }
    }

    fn has_any(&self) -> bool {
        self.0.count.load(Ordering::SeqCst) > 0
    }

    fn ring(&self, message: MessageId) {
        self.all().get(&message).into_iter().flatten().for_each(|bell| bell.notify_one());
    }

    fn all(&self) -> MutexGuard<'_, HashMap<MessageId, Vec<Arc<Notify>>>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ear {
    /// There is news since it was last asked.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut all = self.bells.all();
        if let Some(bells) = all.get_mut(&self.message) {
            bells.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
            if bells.is_empty() {
                all.remove(&self.message);
            }
        }
        self.bells.0.count.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ringer {
    pub fn append(&mut self, event: &Event) {
        if let Some(message) = event.message.filter(|_| self.bells.has_any())
            && self.appended.last() != Some(&message)
        {
            self.appended.push(message);
        }
    }

    pub fn committed(&mut self) {
        self.appended.drain(..).for_each(|message| self.bells.ring(message));
    }

    pub fn rolled_back(&mut self) {
        self.appended.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::vault::audit::event::{Name, Outcome};

    fn has_rung(ear: &Ear) -> bool {
        pin!(ear.rung()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn of(message: MessageId) -> Event {
        Event { message: Some(message), ..Event::new(Name::DeliverSuccess, Outcome::Success) }
    }

    #[test]
    fn a_bell_rings_for_its_message_alone_and_for_what_is_on_the_disk() {
        let (one, other) = (MessageId::now(), MessageId::now());
        let mut ringer = Ringer::default();
        ringer.append(&of(one));
        let (first, second, third) =
            (ringer.bells.listen(one), ringer.bells.clone().listen(one), ringer.bells.listen(other));
        ringer.committed();
        assert!(!has_rung(&first), "what was appended before somebody listened is found by looking");
        ringer.append(&of(one));
        assert!(!has_rung(&first), "it isn't on the disk");
        ringer.rolled_back();
        ringer.committed();
        assert!(!has_rung(&first), "it was undone");
        ringer.append(&of(one));
        ringer.append(&of(one));
        ringer.committed();
        assert_eq!(
            [has_rung(&first), has_rung(&first), has_rung(&second), has_rung(&third)],
            [true, false, true, false]
        );
        drop((first, third));
        assert_eq!((ringer.bells.all().len(), ringer.bells.has_any()), (1, true));
        drop(second);
        assert!(ringer.bells.all().is_empty() && !ringer.bells.has_any());
    }
}
