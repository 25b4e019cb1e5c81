//! Commands about the audit log.

use tokio::sync::oneshot;

use super::{Desk, erasure};
use crate::ipc::admin::Response;
use crate::ipc::admin::audit::{self, Command};
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::audit::resume::{Declared, Wish};
use crate::vault::audit::{anchor, seal};
use crate::vault::control;

/// Errors: why it was refused, in words.
pub async fn perform(desk: &Desk, command: Command, actor: &str) -> Result<Response, String> {
    match command {
        Command::Redact { target, fields, ground } => erasure::redact(desk, target, fields, ground, actor).await,
        Command::Prune { before, dry } => erasure::prune(desk, before, dry, actor).await,
        Command::Disclose { event, field, ground } => erasure::disclose(desk, event, field, ground, actor).await,
        Command::Anchor { name } => anchor(desk, name, actor).await,
        Command::Publish => {
            // Counted first: what comes meanwhile is not what was asked for.
            let events = desk.vault.writer.size();
            let dumb = |error| format!("the vault's database can't be asked: {error}");
            let hashes = desk.vault.writer.run(|store| store.hashes.first(store.ledger.size())).await.map_err(dumb);
            let settled = control::settle(&desk.sealing, &desk.publisher).await;
            let asked =
                desk.vault.writer.run(|store| Ok((store.erasures.open()?, store.erasures.unpublished()?))).await;
            let asked = asked.map_err(dumb);
            // What had been published before is known also on a full disk, of which nothing else is.
            let before = asked.as_ref().ok().map(|(_, before)| before.unwrap_or(events));
            let before = before.unwrap_or_else(|| desk.publisher.published());
            let (size, problem) = match settled {
                Ok(size) => (size, None),
                Err(reason) => (before, Some(reason)),
            };
            let problem = problem.or_else(|| hashes.as_ref().err().or(asked.as_ref().err()).cloned());
            let (hashes, erasing) = (hashes.ok(), asked.ok().map(|(erasing, _)| erasing));
            Ok(Response::Audit(audit::Response::Published { size, events, hashes, erasing, problem }))
        }
        Command::Export { form, from, to } => {
            let data = serde_json::json!({ "format": form.word(), "from": from, "to": to }).to_string();
            let event = Event::new(Name::AuditExport, Outcome::Info);
            let event = Event { actor: Some(actor.to_owned()), severity: 5, data: Some(data), ..event };
            let written = desk.vault.writer.run(move |store| store.record(vec![event])).await;
            written.map_err(|error| format!("the event of it could not be written: {error}"))?;
            Ok(Response::Done)
        }
        Command::Resume { reason, head } => {
            let wish = Wish { actor: actor.to_owned(), reason, named: head };
            let (done, answer) = oneshot::channel();
            let gone = || "the sealing has ended".to_owned();
            desk.sealing.send(seal::Order::Resume(wish, done)).map_err(|_| gone())?;
            let Declared { gap, missing, .. } = answer.await.map_err(|_| gone())??;
            let resumed = gap.resumed.saturating_sub(1);
            Ok(Response::Audit(audit::Response::Resumed { old: gap.old_size, kept: gap.kept, resumed, missing }))
        }
    }
}

/// Signs what there is, and keeps that elsewhere.
async fn anchor(desk: &Desk, name: Option<String>, actor: &str) -> Result<Response, String> {
    let gone = |()| "the vault is ending".to_owned();
    let (done, sealed) = oneshot::channel();
    desk.sealing.send(seal::Order::Now(done)).map_err(|_| gone(()))?;
    sealed.await.map_err(|_| gone(()))?;
    let (answer, made) = oneshot::channel();
    let order = anchor::Order::Now { name, actor: actor.to_owned(), answer };
    desk.anchors.send(order).map_err(|_| gone(()))?;
    let made = made.await.map_err(|_| gone(()))??;
    Ok(Response::Audit(audit::Response::Anchors(made)))
}
