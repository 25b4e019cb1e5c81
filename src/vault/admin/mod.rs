//! An administrator's commands: a fixed list, from a connection whose user the parent has checked.
//!
//! Each noun has its file. What a command changes in the store is a function over a transaction there, so that the command
//! line can do the same when the service is stopped (`vault::offline`); what it changes in memory happens here alone.

pub mod alert;
pub mod audit;
pub mod backup;
pub mod credential;
pub mod downgrade;
pub mod erasure;
pub mod explain;
pub mod incident;
pub mod overview;
pub mod queue;
pub mod reload;
pub mod route;
pub mod submit;
pub mod suppress;
pub mod trace;
pub mod transfer;
pub mod turnstile;
pub mod unknown;
pub mod webhook;

use std::rc::Rc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use super::Vault;
use super::audit::anchor;
use super::audit::ledger::now_us;
use super::audit::publish::Publisher;
use super::audit::seal::{self, Pulse};
use super::{digest, readiness};
use crate::ipc::admin::queue::Command as About;
use crate::ipc::admin::{Command, Request, Response};
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::control::ChildPackets;

/// Where commands are given, and all they can reach.
#[derive(Clone)]
pub struct Desk {
    pub vault: Rc<Vault>,
    pub publisher: Publisher,
    pub sealing: UnboundedSender<seal::Order>,
    pub anchors: UnboundedSender<anchor::Order>,
    pub pulse: Rc<Pulse>,
    pub parent: Rc<ChildPackets>,
    pub reloads: Rc<reload::Waiting>,
}

/// Serves one connection until it closes or says what can't be read. `user` is whose it is, as the kernel told the parent.
pub async fn serve(desk: Desk, user: u32, responses: Sender<Response>, requests: Receiver<Request>) {
    let mut begun = Begun::default();
    answer(&desk, user, responses, requests, &mut begun).await;
    // What came of a message that has no end is worth nothing, and so is what went into an archive that has none.
    transfer::forget(&desk.vault, &mut begun.moving.incoming).await;
    transfer::give_back(&desk.vault, &mut begun.moving.leaving, &begun.actor).await;
    submit::forget(&desk.vault, &mut begun.submission);
}

/// Messages that come or go by a connection, and have no end yet.
#[derive(Default)]
struct Begun {
    /// Who asked last.
    actor: String,
    moving: transfer::Moving,
    submission: Option<submit::Submission>,
}

async fn answer(
    desk: &Desk,
    user: u32,
    responses: Sender<Response>,
    mut requests: Receiver<Request>,
    begun: &mut Begun,
) {
    // A copy that is being given away ends with the connection.
    let mut copy = None;
    loop {
        let received = match copy {
            None => requests.receive().await,
            Some(_) => match timeout(backup::STALLED, requests.receive()).await {
                Ok(received) => received,
                Err(_) => {
                    copy = None;
                    backup::give_up();
                    continue;
                }
            },
        };
        let Request { behalf, command } = match received {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "an administrator's connection was ended"),
        };
        let actor = actor(user, behalf.as_deref());
        begun.actor.clone_from(&actor);
        let command = match command {
            // It has the connection to itself, and an orderly end waits for it.
            Command::Trace(filter) => {
                let vault = Rc::clone(&desk.vault);
                let followed = trace::follow(Rc::clone(&vault), filter, actor, responses, requests);
                let _ = vault.finish(followed).await;
                return;
            }
            command => command,
        };
        let done = match command {
            Command::Trace(_) => return,
            Command::Credential(command) => credential::perform(&desk.vault, command, &actor, &responses).await,
            Command::Audit(command) => audit::perform(desk, command, &actor).await,
            Command::Backup(command) => backup::perform(desk, command, &actor, &mut copy, &responses).await,
            Command::Queue(About::Transfer(command)) => {
                transfer::perform(&desk.vault, command, &actor, &mut begun.moving, &responses).await
            }
            Command::Queue(command) => queue::perform(desk, command, &actor, &responses).await,
            Command::Route(command) => route::perform(desk, command, &actor, &responses).await,
            Command::Suppress(command) => suppress::perform(&desk.vault, command, &actor, &responses).await,
            Command::Webhook(command) => webhook::perform(desk, command, &actor, &responses).await,
            Command::Explain(question) => explain::perform(&desk.vault, question, &responses).await,
            Command::Reload => reload::perform(desk, &actor, &responses).await,
            Command::Ready => Ok(Response::Ready(Box::new(readiness::look(&desk.vault, &desk.pulse).await))),
            Command::Overview => Ok(Response::Overview(Box::new(overview::look(&desk.vault)))),
            Command::Incident { credential, note } => incident::open(&desk.vault, &credential, note, &actor).await,
            Command::Standing => {
                let standing = digest::standing::look(&desk.vault, now_us()).await;
                standing.map(|standing| Response::Standing(Box::new(standing)))
            }
            Command::Turnstile => turnstile::look(desk, &actor).await,
            Command::Downgrade => downgrade::order(&desk.vault, &actor).await,
            Command::Alert(command) => alert::perform(desk, command, &actor, &responses).await,
            Command::Submit(command) => {
                submit::perform(&desk.vault, command, &actor, &mut begun.submission, &responses).await
            }
        };
        if responses.send(done.unwrap_or_else(|reason| Response::Refused { reason })).await.is_err() {
            return;
        }
    }
}

/// Who gave a command, as the audit log names it: `uid 0`, or `uid 0 (alice)` when root says for whom.
pub fn actor(user: u32, behalf: Option<&str>) -> String {
    /// A login name is no longer anywhere; what else is claimed is cut.
    const NAME: usize = 32;
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '$');
    let name: String = behalf.unwrap_or_default().chars().filter(plain).take(NAME).collect();
    if name.is_empty() { format!("uid {user}") } else { format!("uid {user} ({name})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_a_user_and_a_claimed_name_is_cut_to_what_names_are_made_of() {
        assert_eq!(actor(0, None), "uid 0");
        assert_eq!(actor(0, Some("alice")), "uid 0 (alice)");
        assert_eq!(actor(7, Some("a\nuid 0) \u{202e}")), "uid 7 (auid0)");
        assert_eq!(actor(7, Some("\u{1b}")), "uid 7");
    }
}
