//! Commands about the webhooks that are told what becomes of mail.

use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Desk, unknown};
use crate::ipc::admin::Response;
use crate::ipc::admin::webhook::{self, Command, State};
use crate::ipc::channel::Sender;
use crate::ipc::feedback::Answer;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::feedback::{Order, event, happened};

/// Longer than a courier takes for one event.
const PATIENCE: Duration = Duration::from_secs(100);

/// Errors: why it was refused, in words.
pub async fn perform(desk: &Desk, command: Command, actor: &str, parts: &Sender<Response>) -> Result<Response, String> {
    match command {
        Command::Status => {
            for state in states(desk).await? {
                let part = Response::Webhook(webhook::Response::State(Box::new(state)));
                parts.send(part).await.map_err(|_| "whoever asked is gone".to_owned())?;
            }
        }
        Command::Test { webhook } => {
            let answer = test(desk, &webhook, actor).await?;
            let tested = Response::Webhook(webhook::Response::Tested(answer));
            parts.send(tested).await.map_err(|_| "whoever asked is gone".to_owned())?;
        }
        Command::Retry { webhook } => {
            let waiting = retry(desk, &webhook, actor).await?;
            let retried = Response::Webhook(webhook::Response::Retried(waiting));
            parts.send(retried).await.map_err(|_| "whoever asked is gone".to_owned())?;
        }
    }
    Ok(Response::Done)
}

async fn states(desk: &Desk) -> Result<Vec<State>, String> {
    let (answer, answered) = oneshot::channel();
    let _ = desk.vault.feedback.orders.send(Order::Status(answer));
    answered.await.map_err(|_| "the service ends".to_owned())
}

/// Errors: the configuration has no such webhook.
fn known(desk: &Desk, name: &str) -> Result<(), String> {
    let authority = desk.vault.authority.borrow();
    let known: Vec<&str> = authority.slice.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
    if known.contains(&name) { Ok(()) } else { Err(unknown::named("webhook", name, &known)) }
}

/// How many wait. Errors: nothing could be written.
async fn retry(desk: &Desk, name: &str, actor: &str) -> Result<u64, String> {
    known(desk, name)?;
    let (answer, answered) = oneshot::channel();
    let order = Order::Retry { webhook: name.to_owned(), actor: actor.to_owned(), answer };
    let _ = desk.vault.feedback.orders.send(order);
    answered.await.map_err(|_| "nothing was written, and what waits waits on: the log says why; ask again".to_owned())
}

/// Errors: there is nobody to post it, or nothing was heard of it.
async fn test(desk: &Desk, name: &str, actor: &str) -> Result<Answer, String> {
    known(desk, name)?;
    let now = happened::time(now_us());
    let body = json!({
        "type": "gatepost.test", "version": happened::VERSION, "timestamp": now, "created_at": now,
        "data": { "webhook": name },
    });
    let (answer, answered) = oneshot::channel();
    let order = Order::Test { webhook: name.to_owned(), body: body.to_string(), answer };
    let _ = desk.vault.feedback.orders.send(order);
    let heard = timeout(PATIENCE, answered).await;
    let answer = heard.map_err(|_| format!("the courier of {name:?} gave no answer: the log may say why"))?;
    let answer =
        answer.map_err(|_| format!("no courier serves {name:?} at the moment: the log says why; ask again"))?;
    let is_taken = matches!(answer, Answer::Status { code: 200..=299, .. });
    let outcome = if is_taken { Outcome::Success } else { Outcome::Failure };
    let tested = Event { outcome, actor: Some(actor.to_owned()), severity: 5, ..event(Name::WebhookTest, name, None) };
    let done = desk.vault.writer.run(move |store| store.record(vec![tested]));
    done.await.map_err(|error| error.to_string())?;
    Ok(answer)
}
