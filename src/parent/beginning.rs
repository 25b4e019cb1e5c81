//! What must not be made anew at a start, because it was there before: a state directory is used up together or not at all.

use std::fs::File;
use std::io;
use std::path::Path;

use super::people::People;
use crate::config::plan::Plan;
use crate::{sealer, vault};

/// Looks before anything is made.
///
/// Errors: something is missing that was there; with what to do. Nothing was changed.
pub fn check(plan: &Plan, people: &People) -> Result<(), String> {
    let state = &plan.state_directory;
    let seal = state.join(super::state::SEAL);
    let unseen = |error: io::Error| format!("{}: {error}", state.display());
    let begun = people.look(state, vault::beginning::has_begun).map_err(unseen)?;
    if begun {
        let lost = |what: &str, path: &Path, error: io::Error| format!("{what} in {}: {error}", path.display());
        sealer::key::demand(&seal).map_err(|error| lost("the log key", &seal, error))?;
        let sealed = people.look(state, vault::beginning::seals_bodies).map_err(unseen)?;
        let master = &plan.master_directory;
        let demanded = if sealed { vault::master::demand(master) } else { Ok(()) };
        return demanded.map_err(|error| lost("the master key", master, error));
    }
    let signed = signed(&seal).map_err(|error| format!("{}: {error}", seal.display()))?;
    match signed {
        0 => Ok(()),
        signed => Err(format!(
            "{}: {}",
            state.join("db").join("vault.db").display(),
            vault::beginning::lost(&format!("the heads in {} are of a log of {signed} events", seal.display()))
        )),
    }
}

/// How many events the last head of the sealer has.
fn signed(seal: &Path) -> io::Result<u64> {
    let mut signed = 0;
    for slot in sealer::state::SLOTS {
        match File::open(seal.join(slot)) {
            Ok(slot) => signed = signed.max(sealer::state::signed(&slot)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(signed)
}
