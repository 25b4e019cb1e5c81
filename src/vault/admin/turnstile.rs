//! Whether Turnstile can be asked, and knows our secret: it is asked of a token that is none.

use super::Desk;
use crate::ipc::admin::Response;
use crate::ipc::turnstile::POST;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::delivery::schedule::route_event;
use crate::vault::turnstile;

/// Errors: nothing could be written.
pub async fn look(desk: &Desk, actor: &str) -> Result<Response, String> {
    let (answer, is_good) = turnstile::probe(&desk.vault).await;
    let outcome = if is_good { Outcome::Success } else { Outcome::Failure };
    let event = route_event(Name::RouteTest, POST, Some("ordered".into()));
    let event = Event { outcome, actor: Some(actor.to_owned()), severity: 5, ..event };
    let done = desk.vault.writer.run(move |store| store.record(vec![event])).await;
    done.map(|()| Response::Turnstile(answer)).map_err(|error| error.to_string())
}
