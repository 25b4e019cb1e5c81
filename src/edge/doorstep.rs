//! Before a session begins where clients come through a proxy: its header is read, and the vault told whose connection it is.
//!
//! A header that comes with its connection costs nothing. Who lets us wait for one has a few places to wait in, and a short
//! time; there is nothing that it could be told meanwhile, so what ends here is closed without a word.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use uuid::Uuid;

use super::conversation::{Visit, Welcome};
use super::front::Front;
use super::proxy::{self, Malformed, Step};
use super::socket::Socket;
use crate::ipc::counted::{Count, Met};
use crate::ipc::session::Via;

/// How long a whole header may take: the three seconds that the specification has for a lost segment, and some more.
const HEADER: Duration = Duration::from_secs(5);
/// Connections from one proxy that wait for their header at once.
const EACH: u32 = 64;

/// The connections of one listener that wait for their header.
#[derive(Clone, Debug)]
pub struct Doorstep {
    waiting: Arc<Mutex<HashMap<IpAddr, u32>>>,
    most: u32,
}

/// A place to wait in, until it is dropped.
#[derive(Debug)]
struct Place {
    doorstep: Doorstep,
    proxy: IpAddr,
}

impl Doorstep {
    /// Of a process that has so many places for strangers: most of them are kept for those whose sessions are begun.
    pub fn new(strangers: u32) -> Self {
        Self { waiting: Arc::default(), most: strangers.div_ceil(4) }
    }

    fn wait(&self, proxy: IpAddr) -> Option<Place> {
        let mut waiting = self.lock();
        let (all, own) = (waiting.values().sum::<u32>(), waiting.get(&proxy).copied().unwrap_or(0));
        (all < self.most && own < EACH).then(|| {
            waiting.insert(proxy, own + 1);
            Place { doorstep: self.clone(), proxy }
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.doorstep.lock();
        match waiting.get_mut(&self.proxy) {
            Some(own) if *own > 1 => *own -= 1,
            _ => _ = waiting.remove(&self.proxy),
        }
    }
}

/// Why a connection came no further.
#[derive(Debug)]
enum Trouble {
    Malformed(Malformed),
    /// The proxy closed it before the header was whole.
    Gone,
    TooSlow,
    /// Too many others wait already.
    TooMany,
    /// The client that was named has as many sessions as it may have.
    Crowded,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(Malformed(why)) => why,
            Self::Gone => "the connection ended before the header did",
            Self::TooSlow => "the header did not come in time",
            Self::TooMany => "too many connections wait for their headers",
            Self::Crowded => "too many sessions from there",
        })
    }
}

impl From<Malformed> for Trouble {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<io::Error> for Trouble {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads a new connection's header. Gives the address of its client: the proxy's own when the header names nobody. None: it is
/// turned away, with these words when the client has too many sessions.
pub async fn cross(
    socket: &mut Socket,
    visit: &mut Visit,
    front: &Front,
    proxy: SocketAddr,
    session: Uuid,
    overloaded: &[u8],
) -> Option<SocketAddr> {
    let read = timeout(HEADER, header(socket, &front.doorstep, proxy.ip())).await;
    let client = match read.unwrap_or(Err(Trouble::TooSlow)) {
        Ok(client) => client,
        Err(trouble) => return turn_away(front, proxy, None, &trouble),
    };
    tracing::debug!(%session, %proxy, ?client, listener = front.desk.name, "a header was read");
    // While the vault is away nobody can do anything here; it will hear of the client with the first question.
    if visit.introduce(Via::Proxy(client)).await == Ok(Welcome::Crowded) {
        if socket.detach().is_ok() {
            socket.say_at_once(overloaded);
        }
        return turn_away(front, proxy, client, &Trouble::Crowded);
    }
    Some(client.unwrap_or(proxy))
}

/// Tells the service's log, a hundred times a minute by itself and then by number.
fn turn_away<T>(front: &Front, proxy: SocketAddr, client: Option<SocketAddr>, trouble: &Trouble) -> Option<T> {
    front.meter.count(Count::Connection(Met::Proxy));
    let listener = front.desk.name.clone();
    let further = move |connections| {
        tracing::info!(listener, connections, "further connections of proxies were turned away, not told one by one");
    };
    if front.turned.has_line(further) {
        let client = client.map(tracing::field::display);
        tracing::info!(listener = front.desk.name, %proxy, client, reason = %trouble, "connection of a proxy turned away");
    }
    None
}

/// Reads a header to its last octet, and none of those behind it.
async fn header(socket: &mut Socket, doorstep: &Doorstep, proxy: IpAddr) -> Result<Option<SocketAddr>, Trouble> {
    let (mut octets, mut place) = (Vec::new(), None);
    loop {
        let wanted = match proxy::read(&octets)? {
            Step::Whole(client) => return Ok(client),
            Step::More(wanted) => wanted,
        };
        let begun = octets.len();
        octets.resize(begun + wanted, 0);
        let room = octets.get_mut(begun..).unwrap_or_default();
        let read = match socket.read_at_once(room) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                place = place.or_else(|| doorstep.wait(proxy));
                if place.is_none() {
                    return Err(Trouble::TooMany);
                }
                socket.attach()?;
                socket.read(room).await?
            }
            read => read?,
        };
        if read == 0 {
            return Err(Trouble::Gone);
        }
        octets.truncate(begun + read);
    }
}
