//! Whether this vault takes mail, and what is in the way.

use std::time::Duration;

use tokio::time::timeout;

use super::Vault;
use super::audit::seal::Pulse;
use super::control::{MOVES, SEALER};
use crate::ipc::admin::load::{Obstacle, Readiness};

/// How long the store may take to answer. Whoever asks has a deadline of its own.
const STORE: Duration = Duration::from_secs(5);

/// Looks at all there is that keeps mail out, the store first, which is asked. One that is slow but goes on is a load.
pub async fn look(vault: &Vault, pulse: &Pulse) -> Readiness {
    let answers = matches!(timeout(STORE, vault.writer.run(|_| Ok(()))).await, Ok(Ok(())));
    let room = vault.writer.room();
    let load = vault.writer.load();
    let answers = answers || load.moved_within(MOVES);
    let obstacles = [
        (vault.authority.borrow().draining, Obstacle::Draining),
        (!answers, Obstacle::Store),
        (room.is_short(), Obstacle::Room),
        (vault.retention.is_full(), Obstacle::AuditMaxBytes),
        (load.is_beyond(), Obstacle::Load),
        (!pulse.beats(SEALER) || pulse.refuses(), Obstacle::Sealer),
    ];
    Readiness {
        obstacles: obstacles.into_iter().filter(|(is, _)| *is).map(|(_, obstacle)| obstacle).collect(),
        load: load.told(),
        free: room.free(),
        reserve: vault.authority.borrow().slice.reserve,
        programs: vault.authority.borrow().slice.programs.clone(),
    }
}
