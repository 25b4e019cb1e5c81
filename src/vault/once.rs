//! Requests that are done once, however often they are sent: what came of each is known for a day, over restarts, and while one is
//! under way another with its key waits.
//!
//! What is on the disk (`store::once`) is in the message's own transaction; here is the same, so that nobody waits for a look-up.
//! There is nothing in it but hashes under a key that the master key gives: who has the database can try neither keys nor texts.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::store::once::Row;
use crate::ipc::once::Once;
use crate::log::flood::Flood;
use crate::mail::id::MessageId;
use crate::secret::Secret;

/// How long what came of a request is known, from when its message may leave: clients give up long before.
pub const KEPT_US: u64 = 24 * 3_600_000_000;
/// Of one credential, and of all: some 400 octets each. Of a credential those make room that are over first, so that what waits
/// is known while it does; for those of all they are of whoever has the most, so that nobody's are pushed out by others who have
/// fewer.
const OF_ONE: usize = 10_000;
pub const OF_ALL: u32 = 100_000;
/// What the key of the hashes is made for, of the master key.
pub const PURPOSE: &[u8] = b"once";

type Tag = [u8; 32];

/// What a request turns out to be.
#[derive(Debug)]
pub enum Verdict {
    New(Holding),
    /// It was done, and this came of it.
    Repeated(MessageId),
    /// The same is under way.
    UnderWay,
    /// Something else was asked for with this key.
    Reused,
}

#[derive(Debug)]
pub struct Onces {
    secret: Secret<[u8; 32]>,
    /// Those that made room before their time: the log tells of so many.
    evicted: Flood,
    known: RefCell<Known>,
}

#[derive(Debug, Default)]
struct Known {
    done: HashMap<Tag, Row>,
    /// Tags of each credential, and when they are over: the first one first.
    orders: HashMap<String, BTreeSet<(u64, Tag)>>,
    under_way: HashSet<Tag>,
}

/// A request that is under way. When this is dropped before it is done, nothing came of it.
#[derive(Debug)]
pub struct Holding {
    all: Rc<Onces>,
    tag: Tag,
    principal: String,
    fingerprint: [u8; 32],
}

impl Onces {
    /// With those that are on the disk. One whose message a clock that was wrong dated later than now is known as long as if that
    /// had come now. The clock that dates messages never goes back while a vault runs, the one that says when a row is over does:
    /// what it was dated is the less of both.
    pub fn new(secret: Secret<[u8; 32]>, rows: Vec<Row>, now_us: u64) -> Rc<Self> {
        let mut known = Known::default();
        for row in rows {
            let came_us = row.message.time_ms().unwrap_or_default().saturating_mul(1000);
            let dated_us = came_us.min(row.expires_us.saturating_sub(KEPT_US));
            let expires_us = row.expires_us.saturating_sub(dated_us.saturating_sub(now_us));
            known.add(Row { expires_us, ..row });
        }
        Rc::new(Self { secret, evicted: Flood::default(), known: RefCell::new(known) })
    }

    /// A request of that credential.
    pub fn begin(self: &Rc<Self>, principal: &str, once: &Once, now_us: u64) -> Verdict {
        let tag = self.hash(&[b"tag\0", &once.key, principal.as_bytes()]);
        let fingerprint = self.hash(&[b"print\0", &tag, &once.fingerprint]);
        let mut known = self.known.borrow_mut();
        // What comes of that one decides whether this one is the same, or free to be another.
        if known.under_way.contains(&tag) {
            return Verdict::UnderWay;
        }
        match known.done.get(&tag).filter(|row| row.expires_us > now_us) {
            Some(row) if row.fingerprint == fingerprint => Verdict::Repeated(row.message),
            Some(_) => Verdict::Reused,
            None => {
                known.under_way.insert(tag);
                let (all, principal) = (Rc::clone(self), principal.to_owned());
                Verdict::New(Holding { all, tag, principal, fingerprint })
            }
        }
    }

    /// What is known of that message's request, of that credential.
    pub fn of(&self, principal: &str, message: MessageId) -> Option<Row> {
        let known = self.known.borrow();
        let own = known.orders.get(principal)?.iter();
        own.filter_map(|(_, tag)| known.done.get(tag)).find(|row| row.message == message).cloned()
    }

    /// That one is known until another time, unless it was forgotten meanwhile.
    pub fn extend(&self, row: Row) {
        let mut known = self.known.borrow_mut();
        if known.done.get(&row.tag).is_some_and(|known| known.message == row.message) {
            // One that was there makes no more of them.
            known.add(row);
        }
    }

    /// Lets go of what is over.
    pub fn sweep(&self, now_us: u64) {
        let mut known = self.known.borrow_mut();
        let Known { done, orders, .. } = &mut *known;
        for order in orders.values_mut() {
            while let Some((_, tag)) = order.first().copied().filter(|(expires_us, _)| *expires_us <= now_us) {
                order.pop_first();
                done.remove(&tag);
            }
        }
        orders.retain(|_, order| !order.is_empty());
    }

    /// Lets go of what a credential had: another may have its name.
    pub fn forget(&self, principal: &str) {
        let mut known = self.known.borrow_mut();
        for (_, tag) in known.orders.remove(principal).unwrap_or_default() {
            known.done.remove(&tag);
        }
    }

    /// Lets go of what is known of messages that are to be erased.
    pub fn erase(&self, messages: &[MessageId]) {
        let messages: HashSet<MessageId> = messages.iter().copied().collect();
        let mut known = self.known.borrow_mut();
        let Known { done, orders, .. } = &mut *known;
        done.retain(|_, row| !messages.contains(&row.message));
        orders.values_mut().for_each(|order| order.retain(|(_, tag)| done.contains_key(tag)));
    }

    fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        #[allow(clippy::expect_used)] // RFC 2104 section 2
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose()).expect("HMAC takes a key of any length");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl Known {
    /// Gives those that made room.
    fn add(&mut self, row: Row) -> Vec<Row> {
        let (tag, principal, expires_us) = (row.tag, row.principal.clone(), row.expires_us);
        let former = self.done.insert(tag, row);
        let order = self.orders.entry(principal).or_default();
        if let Some(former) = former {
            order.remove(&(former.expires_us, tag));
        }
        order.insert((expires_us, tag));
        if order.len() > OF_ONE || self.done.len() > OF_ALL as usize { self.make_room(tag) } else { Vec::new() }
    }

    /// The newest stays, however soon it is over: its client is the likeliest to ask again.
    fn make_room(&mut self, newest: Tag) -> Vec<Row> {
        let mut gone = Vec::new();
        while let Some(longest) = self.orders.values_mut().max_by_key(|order| order.len())
            && (longest.len() > OF_ONE || self.done.len() > OF_ALL as usize)
            && let Some(first) = longest.iter().copied().find(|(_, tag)| *tag != newest)
        {
            longest.remove(&first);
            gone.extend(self.done.remove(&first.1));
        }
        gone
    }
}

impl Holding {
    /// What is to be written with its message, which may leave at that time: a client that asks again while it waits gets no second
    /// one.
    pub fn row(&self, message: MessageId, leaves_us: u64) -> Row {
        let (tag, principal, fingerprint) = (self.tag, self.principal.clone(), self.fingerprint);
        Row { tag, principal, fingerprint, message, expires_us: leaves_us.saturating_add(KEPT_US) }
    }

    /// It is written. Gives those that made room, which are to be forgotten on the disk too.
    pub fn done(self, row: Row, now_us: u64) -> Vec<Row> {
        let gone = self.all.known.borrow_mut().add(row);
        for early in gone.iter().filter(|gone| gone.expires_us > now_us) {
            let further = |keys| tracing::warn!(keys, "further Idempotency-Keys were forgotten before their time");
            if self.all.evicted.has_line(further) {
                let account = &early.principal;
                tracing::warn!(account, "an Idempotency-Key was forgotten before its time: there are too many of them");
            }
        }
        gone
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.all.known.borrow_mut().under_way.remove(&self.tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000_000;

    fn once(key: u8, fingerprint: u8) -> Once {
        Once { key: [key; 32], fingerprint: [fingerprint; 32] }
    }

    fn onces(secret: u8, rows: Vec<Row>) -> Rc<Onces> {
        Onces::new(Secret::new([secret; 32]), rows, NOW)
    }

    fn keep(all: &Rc<Onces>, principal: &str, key: [u8; 32]) -> (MessageId, Vec<Row>) {
        let message = MessageId::now();
        let Verdict::New(holding) = all.begin(principal, &Once { key, fingerprint: [0; 32] }, NOW) else {
            panic!("known")
        };
        let row = holding.row(message, NOW);
        (message, holding.done(row, NOW))
    }

    #[test]
    fn a_request_is_done_once_for_its_credential_and_known_until_it_is_over() {
        let all = onces(7, Vec::new());
        let Verdict::New(holding) = all.begin("shop", &once(1, 1), NOW) else { panic!("not new") };
        assert!(matches!(all.begin("shop", &once(1, 1), NOW), Verdict::UnderWay));
        // Which of both it is to be shows when that one is over.
        assert!(matches!(all.begin("shop", &once(1, 2), NOW), Verdict::UnderWay));
        assert!(matches!(all.begin("billing", &once(1, 1), NOW), Verdict::New(_)));
        drop(holding);
        // Nothing came of it: the key is free.
        let Verdict::New(holding) = all.begin("shop", &once(1, 2), NOW) else { panic!("not free") };
        let row = holding.row(MessageId::now(), NOW);
        assert_eq!(holding.done(row.clone(), NOW), Vec::new());
        let is_same = |all: &Rc<Onces>| matches!(all.begin("shop", &once(1, 2), NOW), Verdict::Repeated(message) if message == row.message);
        assert!(is_same(&all) && matches!(all.begin("shop", &once(1, 1), NOW), Verdict::Reused));
        assert!(matches!(all.begin("billing", &once(1, 2), NOW), Verdict::New(_)));
        // The next vault knows it from the disk, and under its own key alone.
        assert!(is_same(&onces(7, vec![row.clone()])));
        let other = onces(8, vec![row.clone()]);
        assert!(matches!(other.begin("shop", &once(1, 2), NOW), Verdict::New(_)));
        assert!(matches!(all.begin("shop", &once(1, 1), NOW + KEPT_US), Verdict::New(_)));
        all.sweep(NOW + KEPT_US);
        assert!(all.known.borrow().done.is_empty() && all.known.borrow().orders.is_empty());
    }

    #[test]
    fn nothing_that_is_kept_can_be_tried_without_the_key_of_the_hashes() {
        let all = onces(7, Vec::new());
        let Verdict::New(holding) = all.begin("shop", &once(1, 2), NOW) else { panic!("not new") };
        let row = holding.row(MessageId::now(), NOW);
        assert!(row.tag != [1; 32] && row.fingerprint != [2; 32]);
        let Verdict::New(other) = onces(8, Vec::new()).begin("shop", &once(1, 2), NOW) else { panic!("not new") };
        let foreign = other.row(row.message, NOW);
        assert!(row.tag != foreign.tag && row.fingerprint != foreign.fingerprint);
    }

    #[test]
    fn what_a_credential_had_goes_with_it_and_what_is_known_of_an_erased_message_too() {
        let all = onces(7, Vec::new());
        let (first, _) = keep(&all, "shop", [1; 32]);
        keep(&all, "shop", [2; 32]);
        keep(&all, "billing", [1; 32]);
        let is_known = |principal, key| {
            !matches!(all.begin(principal, &Once { key: [key; 32], fingerprint: [0; 32] }, NOW), Verdict::New(_))
        };
        all.erase(&[first]);
        assert_eq!([is_known("shop", 1), is_known("shop", 2), is_known("billing", 1)], [false, true, true]);
        all.forget("shop");
        assert_eq!([is_known("shop", 2), is_known("billing", 1)], [false, true]);
    }

    #[test]
    fn what_a_wrong_clock_dated_is_known_no_longer_than_what_comes_now() {
        let of_then = |seconds: u64, leaves_us| {
            let all = onces(7, Vec::new());
            let Verdict::New(holding) = all.begin("shop", &once(1, 1), NOW) else { panic!("not new") };
            let id = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0));
            holding.row(MessageId::from(id), leaves_us)
        };
        let (then, hour) = (NOW * 2, 3_600_000_000);
        // The last: the clock was set right, and ids are still dated by what it said before.
        for (leaves_us, known_us) in [(then, KEPT_US), (then + hour, KEPT_US + hour), (NOW, KEPT_US)] {
            let all = onces(7, vec![of_then(then / 1_000_000, leaves_us)]);
            assert!(matches!(all.begin("shop", &once(1, 1), NOW + known_us - 1), Verdict::Repeated(_)));
            assert!(matches!(all.begin("shop", &once(1, 1), NOW + known_us), Verdict::New(_)));
        }
    }

    #[test]
    fn what_is_to_leave_later_is_known_until_a_day_after_that_and_those_that_came_later_go_before_it() {
        let all = onces(7, Vec::new());
        let week = 7 * KEPT_US;
        let Verdict::New(holding) = all.begin("shop", &once(1, 1), NOW) else { panic!("not new") };
        let row = holding.row(MessageId::now(), NOW + week);
        holding.done(row.clone(), NOW);
        keep(&all, "shop", [2; 32]);
        all.sweep(NOW + KEPT_US);
        assert_eq!((all.known.borrow().done.len(), all.known.borrow().orders["shop"].len()), (1, 1));
        let next = onces(7, vec![row]);
        for all in [all, next] {
            let at = |now| all.begin("shop", &once(1, 1), now);
            assert!(matches!(at(NOW + week + KEPT_US - 1), Verdict::Repeated(_)));
            assert!(matches!(at(NOW + week + KEPT_US), Verdict::New(_)));
        }
    }

    #[test]
    fn what_is_to_leave_at_another_time_is_known_until_a_day_after_that() {
        let all = onces(7, Vec::new());
        let (first, _) = keep(&all, "shop", [1; 32]);
        let (second, _) = keep(&all, "shop", [2; 32]);
        assert_eq!((all.of("billing", first), all.of("shop", MessageId::now())), (None, None));
        let row = all.of("shop", first).unwrap();
        assert_eq!((row.message, row.expires_us), (first, NOW + KEPT_US));
        all.extend(Row { expires_us: NOW + 3 * KEPT_US, ..row.clone() });
        all.sweep(NOW + 2 * KEPT_US);
        assert_eq!((all.of("shop", first).unwrap().expires_us, all.of("shop", second)), (NOW + 3 * KEPT_US, None));
        all.sweep(NOW + 3 * KEPT_US);
        // What was forgotten meanwhile stays so, and what has its key now stays as it is.
        all.extend(row.clone());
        assert_eq!(all.of("shop", first), None);
        let (third, _) = keep(&all, "shop", [1; 32]);
        all.extend(Row { expires_us: NOW + 5 * KEPT_US, ..row });
        assert_eq!(all.of("shop", third).unwrap().expires_us, NOW + KEPT_US);
    }

    #[test]
    fn what_waits_makes_room_last_and_what_came_last_is_known_over_a_restart_too() {
        let key = |n: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            Once { key, fingerprint: [0; 32] }
        };
        let keep = |all: &Rc<Onces>, n, leaves_us| {
            let Verdict::New(holding) = all.begin("shop", &key(n), NOW) else { panic!("known") };
            let row = holding.row(MessageId::now(), leaves_us);
            (row.clone(), holding.done(row, NOW))
        };
        let first = onces(7, Vec::new());
        let waits = keep(&first, 0, NOW + KEPT_US).0;
        // What came first waits; the next vault has it in whichever order.
        for all in [first, onces(7, vec![waits])] {
            for n in 1..OF_ONE {
                assert_eq!(keep(&all, n, NOW + u64::try_from(n).unwrap()).1, Vec::new());
            }
            let gone = keep(&all, OF_ONE, NOW).1;
            assert!(matches!(all.begin("shop", &key(1), NOW), Verdict::New(_)), "{gone:?}");
            for n in [0, 2, OF_ONE] {
                assert!(matches!(all.begin("shop", &key(n), NOW), Verdict::Repeated(_)), "{n}");
            }
        }
    }

    #[test]
    fn the_first_to_be_over_of_whoever_has_too_many_make_room() {
        let all = onces(7, Vec::new());
        let key = |n: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            key
        };
        let few = keep(&all, "few", key(0)).0;
        let old = {
            let Verdict::New(holding) = all.begin("many", &Once { key: key(0), fingerprint: [0; 32] }, NOW) else {
                panic!("known")
            };
            let row = holding.row(MessageId::now(), NOW - 1);
            holding.done(row.clone(), NOW)
        };
        assert_eq!(old, Vec::new());
        for n in 1..OF_ONE {
            assert_eq!(keep(&all, "many", key(n)).1, Vec::new());
        }
        let gone = keep(&all, "many", key(OF_ONE)).1;
        assert_eq!((gone.len(), gone[0].principal.as_str()), (1, "many"));
        assert!(matches!(all.begin("many", &Once { key: key(0), fingerprint: [0; 32] }, NOW), Verdict::New(_)));
        assert_eq!(all.known.borrow().orders["many"].len(), OF_ONE);
        let again = all.begin("few", &Once { key: key(0), fingerprint: [0; 32] }, NOW);
        assert!(matches!(again, Verdict::Repeated(message) if message == few));
    }
}
