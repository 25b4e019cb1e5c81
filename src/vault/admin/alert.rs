//! Commands about what operators are told of the gate itself.

use super::Desk;
use crate::ipc::admin::Response;
use crate::ipc::admin::alert::{self, Command, Entry};
use crate::ipc::channel::Sender;
use crate::vault::alerts::sign::Kind;
use crate::vault::alerts::{Silence, tell};
use crate::vault::audit::ledger::now_us;
use crate::vault::store::alerts::Told;

/// Errors: why it was refused, in words.
pub async fn perform(desk: &Desk, command: Command, actor: &str, parts: &Sender<Response>) -> Result<Response, String> {
    let alerts = desk.vault.authority.borrow().slice.alerts.clone();
    let alerts = alerts.ok_or("nobody is told of alerts: see [alerts] in gatepost.toml(5)")?;
    let gone = |_| "whoever asked is gone".to_owned();
    match command {
        Command::Status => {
            let all = desk.vault.writer.look(|store| store.alerts.all()).await;
            for told in all.map_err(|error| format!("the store gives no answer: {error}"))? {
                parts.send(Response::Alert(alert::Response::Entry(Box::new(entry(told))))).await.map_err(gone)?;
            }
            let silence = desk.vault.alerts.silence.borrow().clone();
            if let Some(Silence { since_us, reason }) = silence {
                parts.send(Response::Alert(alert::Response::Silence { since_us, reason })).await.map_err(gone)?;
            }
        }
        Command::Test => {
            let sent = tell::test(&desk.vault, &alerts, actor).await?;
            // Where it is mended, nobody has to wait for the next thing that goes wrong.
            desk.vault.alerts.tried(sent.by_mail.clone().err(), now_us());
            let mail = sent.mail.map(|id| (id, alerts.mail.iter().map(ToString::to_string).collect()));
            let sent = alert::Response::Sent { mail, webhook: sent.webhook };
            parts.send(Response::Alert(sent)).await.map_err(gone)?;
        }
    }
    Ok(Response::Done)
}

fn entry(Told { kind, subject, since_us, told_us, text }: Told) -> Entry {
    let advice = Kind::of(&kind).map_or("", Kind::advice).to_owned();
    Entry { kind, subject, text, advice, since_us, told_us }
}
