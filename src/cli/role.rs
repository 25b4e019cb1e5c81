//! `gatepost role NAME`: what the parent executes. Not for people.

use std::process::ExitCode;

use super::fail;
use crate::role::Role;
use crate::role::start::Start;
use crate::{courier, dialer, edge, keyholder, listener, log, mailer, parent, sandbox, sealer, sys, vault};

/// `lines`: what its lines are, when they are no text.
pub fn run(name: &str, lines: Option<&str>) -> ExitCode {
    if lines == Some(log::AS_JSON) {
        log::as_json();
    }
    if name == parent::launcher::LAUNCHER {
        return parent::launcher::main().map_or_else(|reason| fail(&reason), |()| ExitCode::SUCCESS);
    }
    let Some(role) = Role::named(name).filter(|role| *role != Role::Parent) else {
        return fail(&format!("{name:?} is not a role"));
    };
    log::to_parent();
    // These keep state that half a step would spoil: a panic ends the process. In the others it ends one session.
    if matches!(role, Role::Keyholder | Role::Vault | Role::Sealer) {
        sandbox::abort_on_panic();
    }
    sys::allocator::give_back_what_is_large();
    sys::title::set(name);
    let begun = sys::descriptor::close_from(3)
        .and_then(|()| sys::signal::leave_to_parent())
        .and_then(|()| Start::receive(role));
    let mut start = match begun {
        Ok(start) => start,
        Err(error) => return fail(&format!("{role}: {error} (the parent starts this command, not people)")),
    };
    let ended = match role {
        Role::Listener => listener::main(&mut start),
        Role::EdgeSmtp | Role::EdgeHttp => edge::main(&mut start),
        Role::Keyholder => keyholder::main(&mut start),
        Role::Vault => vault::main(&mut start),
        Role::Sealer => sealer::main(&mut start),
        Role::Dialer => dialer::main(&mut start),
        Role::Courier => courier::main(&mut start),
        Role::Mailer => mailer::main(&mut start),
        Role::Parent => Err("the parent is not a child".to_owned()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // The parent tells it with what it means: a process that fell, or a reload that is refused.
            if !start.fail(&reason) {
                tracing::error!(reason, "can't serve");
            }
            ExitCode::FAILURE
        }
    }
}
