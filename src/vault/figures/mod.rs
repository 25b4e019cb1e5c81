//! How the service is, for those who watch it: looked at by itself and at intervals, and told to the edges that answer them. What
//! somebody asks of such an edge is no question to the vault, so asking often loads nothing here.

pub mod edges;
pub mod entries;
mod families;
pub mod tally;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Vault;
use super::audit::ledger::now_us;
use super::audit::seal::Pulse;
use super::readiness;
use crate::ipc::admin::load::Obstacle;
use crate::ipc::admin::route::Standing;
use crate::ipc::bytes::Octets;
use crate::ipc::control::Peer;
use crate::ipc::figures::{Ailment, Figures};
use crate::role::Role;
use edges::Edges;
use families::Look;

/// How often it is looked at: as old is what is told at most, while the store answers.
const EVERY: Duration = Duration::from_secs(2);

/// Where the figures lie, in parts as they are sent; empty before the first look.
pub struct Desk {
    pub edges: RefCell<Edges>,
    latest: watch::Sender<Arc<[Octets]>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { edges: RefCell::default(), latest: watch::Sender::new(Arc::new([])) }
    }
}

impl Desk {
    pub fn subscribe(&self) -> watch::Receiver<Arc<[Octets]>> {
        self.latest.subscribe()
    }
}

/// Whether that edge answers those who watch the service. No other is told anything.
pub fn is_for(vault: &Vault, peer: &Peer) -> bool {
    peer.role == Role::EdgeHttp && vault.authority.borrow().slice.ops_zones.contains(&peer.label)
}

/// For ever. Where nobody can ask, nobody looks.
pub async fn run(vault: Rc<Vault>, pulse: Rc<Pulse>) {
    let (mut ticks, started_us) = (interval(EVERY), now_us());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if vault.authority.borrow().slice.ops_zones.is_empty() {
            continue;
        }
        let figures = gather(&vault, &pulse, started_us).await;
        let parts = figures.parts().or_else(|error| {
            tracing::error!(%error, "what was counted can't be told");
            // Whether it is ready always can.
            Figures { families: Vec::new(), ..figures }.parts()
        });
        match parts {
            Ok(parts) => drop(vault.figures.latest.send_replace(parts.into())),
            Err(error) => tracing::error!(%error, "how the service is can't be told"),
        }
    }
}

async fn gather(vault: &Vault, pulse: &Pulse, started_us: u64) -> Figures {
    let readiness = readiness::look(vault, pulse).await;
    let mut obstacles = readiness.obstacles.clone();
    let mut ailments = Vec::new();
    if fails(vault, Instant::now()) {
        ailments.push(Ailment::Upstream);
    }
    // Mail is taken without it.
    if obstacles.contains(&Obstacle::Sealer) {
        obstacles.retain(|obstacle| *obstacle != Obstacle::Sealer);
        ailments.push(Ailment::Sealer);
    }
    // A store that doesn't answer was waited for already.
    let (oldest_us, waiting_us) = match obstacles.contains(&Obstacle::Store) {
        true => (None, None),
        false => {
            let look = vault.writer.run(|store| Ok((store.holdings.oldest()?, store.oldest_waiting(now_us())?)));
            timeout(EVERY, look).await.ok().and_then(Result::ok).unwrap_or_default()
        }
    };
    let families = families::all(vault, &Look { readiness, oldest_us, waiting_us, started_us });
    Figures { obstacles, ailments, families }
}

/// Whether an upstream can't be used. One that an administrator has paused is as it should be.
fn fails(vault: &Vault, now: Instant) -> bool {
    let (authority, schedule) = (vault.authority.borrow(), vault.schedule.borrow());
    let standing = |name: &String| schedule.state(name, now).standing;
    let mut standings = authority.slice.upstreams.iter().map(standing);
    standings.any(is_down)
}

/// It fails, or nobody serves it.
const fn is_down(standing: Standing) -> bool {
    matches!(standing, Standing::Resting | Standing::Probed | Standing::Absent)
}
