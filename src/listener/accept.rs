//! Accepting: one task per listening socket, which waits for an edge no longer than a moment.
//!
//! When there is no room a connection is accepted and turned away with a word, instead of being left in the backlog:
//! clients then try again soon instead of hanging.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::write;
use tokio::io::Interest;
use uuid::Uuid;

use crate::config::slice::{Protocol, TlsMode};
use crate::ipc::capsule::Introduction;
use crate::ipc::handover::NO_ROOM;
use crate::log::flood::Flood;
use crate::role::Instance;
use crate::sys::clock::running_us;
use crate::sys::descriptor;

use super::house::{House, Turned};

/// A burst of connections waits in the backlog for an edge to take the first of them: this long at most for each.
const MOMENT: Duration = Duration::from_millis(2);
const TRIES: u32 = 1000;
/// A pause after an accept that failed for want of descriptors or memory: the next would fail the same way at once.
const BREATH: Duration = Duration::from_millis(50);

/// Starts a task for each socket that was handed over since the last call.
pub fn begin(house: &Rc<House>) {
    for (number, socket) in house.take_sockets() {
        let house = Rc::clone(house);
        tokio::task::spawn_local(async move {
            if let Err(error) = accept(&house, number, socket).await {
                tracing::error!(listener = number, %error, "a listening socket is lost; the others go on");
            }
        });
    }
}

/// Accepts until the configuration that this socket belongs to is replaced: a connection must never be served by the rules
/// of another listener. The parent keeps the socket itself open, so its backlog outlives this task and this process.
async fn accept(house: &House, listener: u16, socket: OwnedFd) -> io::Result<()> {
    let socket = descriptor::watch(socket)?;
    let (mut generation, unable) = (house.generation(), Flood::default());
    loop {
        let accepted = tokio::select! {
            biased;
            _ = generation.changed() => return Ok(()),
            accepted = socket.async_io(Interest::READABLE, |socket| descriptor::accept(socket.as_fd())) => accepted,
        };
        let (connection, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_passing(&error) => continue,
            Err(error) => {
                let further = move |times| tracing::warn!(listener, times, "further connections could not be accepted");
                if unable.has_line(further) {
                    tracing::warn!(listener, %error, "a connection could not be accepted: it waits");
                }
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let session = Uuid::now_v7();
        let introduction = Introduction { session, peer, listener, edge: Instance(0), accepted_us: running_us() };
        let mut handed = house.hand_over(introduction.clone(), &connection);
        for _ in 0..TRIES {
            if handed != Err(Turned::Busy) {
                break;
            }
            tokio::time::sleep(MOMENT).await;
            handed = house.hand_over(introduction.clone(), &connection);
        }
        if let Err(turned) = handed {
            turn_away(house, &introduction, &connection, turned);
        }
    }
}

/// Errors of one connection that never came to be; the next accept is not affected.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ECONNABORTED | Errno::EINTR | Errno::EPROTO | Errno::EPERM | Errno::ECONNRESET)
    )
}

fn turn_away(house: &House, introduction: &Introduction, connection: &OwnedFd, turned: Turned) {
    let Introduction { listener, peer, .. } = *introduction;
    let Some(admission) = house.admission(listener) else { return };
    let further = {
        let listener = admission.name.clone();
        move |connections| tracing::info!(listener, reason = ?turned, connections, "further connections were turned away, not told one by one")
    };
    if house.turned(listener, turned).has_line(further) {
        tracing::info!(listener = %admission.name, %peer, reason = ?turned, "connection turned away");
    }
    if admission.protocol == Protocol::Smtp && admission.tls != TlsMode::Implicit && turned != Turned::NoProxy {
        // The client may be gone already; it is turned away either way.
        let _ = write(connection, NO_ROOM);
    }
}
