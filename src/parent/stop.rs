//! Stopping in order: nobody new comes in, those inside finish, what they said is written down, the head is signed.

use std::time::Duration;

use super::{Parent, Phase, asked};
use crate::ipc::control::Happening;
use crate::role::Role;
use crate::role::leaving::PATIENCE;

/// Who stops together, and how long they may take. Edges finish the transaction at hand; couriers and mailers the delivery.
const ORDER: [(&[Role], Duration); 6] = [
    (&[Role::Listener], Duration::from_secs(2)),
    (&[Role::EdgeSmtp, Role::EdgeHttp], PATIENCE),
    (&[Role::Courier, Role::Mailer], Duration::from_secs(30)),
    (&[Role::Dialer, Role::Keyholder], Duration::from_secs(2)),
    (&[Role::Vault], Duration::from_secs(15)),
    (&[Role::Sealer], Duration::from_secs(5)),
];

/// Begins to stop; asked a second time, ends everybody at once.
pub fn begin(parent: &mut Parent) {
    if let Phase::Closing { .. } = parent.phase {
        tracing::warn!("asked to stop a second time: ending at once");
        for child in parent.household.iter() {
            child.kill();
        }
        return;
    }
    tracing::info!("stopping");
    parent.notifier.tell("STOPPING=1");
    parent.record(Happening::Stopping);
    parent.vacancies.clear();
    parent.change = None;
    asked::refuse(parent, "the service stops");
    enter(parent, 0);
}

/// Goes on to the next group when the last one is gone.
pub fn advance(parent: &mut Parent) {
    while let Phase::Closing { stage } = parent.phase {
        let Some((roles, _)) = ORDER.get(stage) else {
            // Whoever reads that it has stopped can do what needs a stopped service.
            parent.control = None;
            tracing::info!("stopped");
            parent.phase = Phase::Closed;
            return;
        };
        if parent.household.iter().any(|child| roles.contains(&child.post.role)) {
            return;
        }
        enter(parent, stage + 1);
    }
}

fn enter(parent: &mut Parent, stage: usize) {
    parent.phase = Phase::Closing { stage };
    if let Some((roles, within)) = ORDER.get(stage) {
        parent.household.drain(*within, roles);
    }
}
