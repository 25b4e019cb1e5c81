//! Operators who follow sessions: who they are, which sessions each of them wants, and what they are given.
//!
//! Nobody waits for an operator. One that doesn't read as fast as lines come loses lines, and is told how many.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::sync::watch;
use uuid::Uuid;

use super::audit::ledger::now_us;
use crate::ipc::admin::Response as Answer;
use crate::ipc::admin::trace::{Filter, Response, What};
use crate::ipc::channel::Sender;
use crate::ipc::trace::Told;
use crate::mail::unseen::is_unseen;
use crate::policy::mechanism::Mechanism;

/// Operators at once.
pub const OPERATORS: usize = 8;
/// Lines that may wait for one of them.
const WAITING: usize = 1024;

/// Networks that an edge is told of; where there are more, it introduces every session. So many fit one frame.
const NETWORKS: usize = 256;

/// Both families, whole.
fn everywhere() -> Vec<IpNet> {
    vec![Ipv4Net::default().into(), Ipv6Net::default().into()]
}

/// All of them.
pub struct Traces {
    operators: RefCell<Vec<Operator>>,
    places: Cell<usize>,
    /// The last number that was given to one.
    last: Cell<u64>,
    /// Operators have come or gone.
    pub changed: watch::Sender<()>,
    /// The service stops: they are to go.
    ending: watch::Sender<bool>,
}

struct Operator {
    number: u64,
    filter: Filter,
    /// Where devices are that are its credential by their address.
    devices: Vec<IpNet>,
    responses: Sender<Answer>,
    counts: Counts,
    /// Lines that were left out since the last one that was given.
    owed: u64,
}

/// What an operator got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub lines: u64,
    pub left_out: u64,
}

/// Whose session it is, as far as that is known.
#[derive(Clone, Copy)]
pub struct Who<'a> {
    pub session: Uuid,
    pub address: SocketAddr,
    pub listener: &'a str,
    /// Who has logged in.
    pub credential: Option<&'a str>,
    /// Who was tried to log in as, since then.
    pub claimed: Option<&'a str>,
}

/// An operator's place, until it is dropped.
pub struct Place {
    traces: Rc<Traces>,
    number: u64,
}

impl Default for Traces {
    fn default() -> Self {
        let (changed, ending) = (watch::Sender::new(()), watch::Sender::new(false));
        Self { operators: RefCell::default(), places: Cell::new(0), last: Cell::new(0), changed, ending }
    }
}

impl Traces {
    /// A place for one more, who is given nothing yet.
    ///
    /// Errors: there is none.
    pub fn place(self: &Rc<Self>) -> Result<Place, String> {
        if self.places.get() >= OPERATORS {
            return Err(format!("{OPERATORS} traces run already: end one of them first"));
        }
        self.places.set(self.places.get() + 1);
        self.last.set(self.last.get() + 1);
        Ok(Place { traces: Rc::clone(self), number: self.last.get() })
    }

    pub fn is_idle(&self) -> bool {
        self.operators.borrow().is_empty()
    }

    /// Whether anybody follows this session.
    pub fn wants(&self, who: Who<'_>) -> bool {
        self.operators.borrow().iter().any(|operator| operator.filter.wants(who))
    }

    /// Where sessions come from that may be followed before anything else is known of them.
    pub fn networks(&self) -> Vec<IpNet> {
        let mut networks: Vec<IpNet> = Vec::new();
        for operator in self.operators.borrow().iter() {
            networks.extend(operator.filter.networks());
            networks.extend(&operator.devices);
        }
        networks.sort_unstable();
        networks.dedup();
        if networks.len() > NETWORKS { everywhere() } else { networks }
    }

    /// Tells everybody who follows the session and has not met it yet whose it is; and who looks for a credential, by which
    /// mechanism somebody tries to log in as it, because its edge wasn't asked when the client said so.
    pub fn meet(&self, who: Who<'_>, met: &mut Vec<u64>, mechanism: Option<Mechanism>) {
        let mut operators = self.operators.borrow_mut();
        let wanting = operators.iter_mut().filter(|operator| operator.filter.wants(who));
        for operator in wanting.filter(|operator| !met.contains(&operator.number)).collect::<Vec<_>>() {
            met.push(operator.number);
            let (listener, credential) = (who.listener.to_owned(), who.credential.map(str::to_owned));
            operator.give(who.session, What::Met { address: who.address, listener, credential });
            if let Some(mechanism) = mechanism.filter(|_| operator.filter.credential.is_some()) {
                operator.give(who.session, What::Told(Told::Client(format!("AUTH {}", mechanism.name()))));
            }
        }
    }

    /// Gives a line to everybody who follows the session; to who has not met it yet, first of all whose it is.
    pub fn tell(&self, who: Who<'_>, met: &mut Vec<u64>, what: &What) {
        self.meet(who, met, None);
        for operator in self.operators.borrow_mut().iter_mut().filter(|operator| operator.filter.wants(who)) {
            operator.give(who.session, what.clone());
        }
    }

    /// Of those whom a session has met, those who are here.
    pub fn retain(&self, met: &mut Vec<u64>) {
        let operators = self.operators.borrow();
        met.retain(|number| operators.iter().any(|operator| operator.number == *number));
    }

    /// The service stops.
    pub fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Waits until it does.
    pub async fn ended(&self) {
        // The sender lives as long as this.
        let _ = self.ending.subscribe().wait_for(|ending| *ending).await;
    }
}

impl Operator {
    /// Never waits.
    fn give(&mut self, session: Uuid, what: What) {
        let line = Response::Line { time_us: now_us(), session, what };
        let send = |response| self.responses.try_send_behind(Answer::Trace(response), WAITING).is_ok();
        let caught_up = self.owed == 0 || send(Response::LeftOut(self.owed));
        if caught_up {
            self.owed = 0;
        }
        if caught_up && send(line) {
            self.counts.lines = self.counts.lines.saturating_add(1);
        } else {
            self.owed = self.owed.saturating_add(1);
            self.counts.left_out = self.counts.left_out.saturating_add(1);
        }
    }
}

impl Filter {
    fn wants(&self, who: Who<'_>) -> bool {
        let is = |wanted: &Option<String>| match (wanted.as_deref(), who.credential) {
            (None, _) => true,
            (wanted, None) => wanted == who.claimed,
            (wanted, known) => wanted == known,
        };
        is(&self.credential)
            && self.address.is_none_or(|network| network.contains(&who.address.ip().to_canonical()))
            && self.session.is_none_or(|session| session == who.session)
    }

    /// Where a session comes from that it may want at its beginning.
    fn networks(&self) -> Vec<IpNet> {
        match (&self.credential, self.session, self.address) {
            // Whoever it is logs in, is a device, or has been met.
            (Some(_), _, _) | (_, Some(_), _) => Vec::new(),
            (None, None, Some(network)) => vec![network],
            (None, None, None) => everywhere(),
        }
    }
}

impl Place {
    /// Shows sessions from now on; `devices` are the networks that identify the credential, if it is one that is wanted.
    pub fn begin(&self, filter: Filter, devices: Vec<IpNet>, responses: Sender<Answer>) {
        let (number, counts) = (self.number, Counts::default());
        let operator = Operator { number, filter, devices, responses, counts, owed: 0 };
        self.traces.operators.borrow_mut().push(operator);
        self.traces.changed.send_replace(());
    }

    pub fn counts(&self) -> Counts {
        let operators = self.traces.operators.borrow();
        operators.iter().find(|operator| operator.number == self.number).map(|own| own.counts).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.traces.places.set(self.traces.places.get().saturating_sub(1));
        self.traces.operators.borrow_mut().retain(|operator| operator.number != self.number);
        self.traces.changed.send_replace(());
    }
}

/// A line that an edge tells, as it may be shown whoever has the edge by now.
pub fn plain(told: Told) -> Told {
    let plain = |text: String| text.chars().map(|c| if is_unseen(c) { '?' } else { c }).collect();
    match told.cut() {
        Told::Client(text) => Told::Client(plain(text)),
        Told::Server(text) => Told::Server(plain(text)),
        Told::Stage(text) => Told::Stage(plain(text)),
        Told::LeftOut(lines) => Told::LeftOut(lines),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::ipc::admin::Request;
    use crate::ipc::channel;
    use crate::sandbox::Sealed;

    fn who<'a>(address: &str, credential: Option<&'a str>, claimed: Option<&'a str>) -> Who<'a> {
        let address = SocketAddr::new(address.parse().unwrap(), 40_000);
        Who { session: Uuid::nil(), address, listener: "submission", credential, claimed }
    }

    #[test]
    fn all_that_is_asked_for_must_hold() {
        let shop = Filter { credential: Some("shop".into()), ..Filter::default() };
        let near = Filter { address: Some("192.0.2.0/24".parse().unwrap()), ..Filter::default() };
        let both = Filter { credential: shop.credential.clone(), ..near.clone() };
        let other = Filter { session: Some(Uuid::max()), ..Filter::default() };
        for (client, wanted) in [
            (who("192.0.2.7", None, None), [true, false, true, false]),
            (who("::ffff:192.0.2.7", None, Some("shop")), [true, true, true, true]),
            (who("192.0.2.7", Some("web"), Some("shop")), [true, false, true, false]),
            (who("198.51.100.7", Some("shop"), None), [true, true, false, false]),
            (who("2001:db8::7", Some("shop"), Some("web")), [true, true, false, false]),
        ] {
            let all = [&Filter::default(), &shop, &near, &both];
            assert_eq!(all.map(|filter| filter.wants(client)), wanted);
            assert!(!other.wants(client));
        }
        let networks = [&shop, &near, &both, &other].map(|filter| filter.networks().len());
        assert_eq!((networks, Filter::default().networks().len()), ([0, 1, 0, 0], 2));
    }

    #[tokio::test]
    async fn edges_are_told_of_so_many_networks_and_then_of_all() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (responses, _) = channel::open::<Answer, Request>(ours.into(), &Sealed::for_tests()).unwrap();
        let traces = Rc::new(Traces::default());
        let shop = || Filter { credential: Some("shop".into()), ..Filter::default() };
        let devices = |count: usize| (0..count).map(|n| format!("10.0.{}.{}", n / 256, n % 256));
        let devices =
            |count| devices(count).map(|text| IpNet::from(text.parse::<std::net::IpAddr>().unwrap())).collect();
        for (count, told) in [(0, 0), (1, 1), (NETWORKS, NETWORKS), (NETWORKS + 1, 2)] {
            let place = traces.place().unwrap();
            place.begin(shop(), devices(count), responses.clone());
            assert_eq!(traces.networks().len(), told);
        }
    }

    #[tokio::test]
    async fn an_operator_that_does_not_read_costs_so_much_and_is_told_what_it_missed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (responses, _) = channel::open::<Answer, Request>(ours.into(), &Sealed::for_tests()).unwrap();
        let traces = Rc::new(Traces::default());
        let place = traces.place().unwrap();
        place.begin(Filter::default(), Vec::new(), responses);
        let (mut met, told) = (Vec::new(), What::Told(Told::Server("250 ok".into())));
        let client = who("192.0.2.7", None, None);
        // Nothing is written before this gives way to others.
        (0..3 * WAITING).for_each(|_| traces.tell(client, &mut met, &told));
        let missed = u64::try_from(2 * WAITING + 1).unwrap();
        assert_eq!(place.counts(), Counts { lines: u64::try_from(WAITING).unwrap(), left_out: missed });

        let (_commands, mut given) = channel::open::<Request, Answer>(theirs.into(), &Sealed::for_tests()).unwrap();
        for _ in 0..WAITING {
            assert!(matches!(given.receive().await, Ok(Some(Answer::Trace(Response::Line { .. })))));
        }
        traces.tell(client, &mut met, &told);
        let owed = given.receive().await.unwrap().unwrap();
        assert!(matches!(owed, Answer::Trace(Response::LeftOut(lines)) if lines == missed), "{owed:?}");
        assert!(matches!(given.receive().await, Ok(Some(Answer::Trace(Response::Line { .. })))));
        drop(place);
        assert!(traces.is_idle());
    }
}
