//! Commands about what waits to be delivered.

use super::Desk;
use super::route::known;
use crate::ipc::admin::Response;
use crate::ipc::admin::queue::{self, Command, Counts, Deed, Reconciled, Which};
use crate::ipc::channel::Sender;
use crate::vault::audit::ledger::now_us;
use crate::vault::queue::listing::look;
use crate::vault::queue::reconcile::{Done, reconcile};
use crate::vault::queue::{Order, carry_out};
use crate::vault::rekey::{self, Change};
use crate::vault::store::Store;

/// Messages named in one answer: a frame has room for twice as many.
const LISTED: u32 = 400;

/// Errors: why it was refused, in words.
pub async fn perform(desk: &Desk, command: Command, actor: &str, parts: &Sender<Response>) -> Result<Response, String> {
    match command {
        Command::Do { deed, which, note } => {
            if let Which::Upstream(name) = &which {
                known(desk, name)?;
            }
            let order = Order { deed, which: which.clone(), actor: Some(actor.to_owned()), reason: "ordered", note };
            let tell = async |counts| {
                // Whoever asked may be gone; the order is carried out to its end.
                let _ = parts.send(Response::Queue(queue::Response::Counted(counts))).await;
            };
            carry_out(&desk.vault, order, tell).await?;
            if let (Deed::Retry, Which::Upstream(name)) = (deed, which) {
                // It would only wait for the end of the pause.
                desk.vault.schedule.borrow_mut().try_now(&name);
                desk.vault.poke.notify_one();
            }
            Ok(Response::Done)
        }
        Command::View { .. } | Command::Show { .. } | Command::Tally { .. } => {
            let own = actor.to_owned();
            let leaves_a_trace = command.leaves_a_trace();
            let work = move |store: &mut Store<'_>| look(store, &command, &own, now_us());
            let answers = match leaves_a_trace {
                true => desk.vault.writer.run(work).await,
                false => desk.vault.writer.look(work).await,
            };
            for part in answers.map_err(|error| format!("the queue can't be read: {error}"))? {
                say(parts, part).await?;
            }
            Ok(Response::Done)
        }
        Command::List { after } => {
            let open = desk.vault.writer.look(move |store| store.hold.open(after, LISTED)).await;
            let open = open.map_err(|error| format!("the store can't be read: {error}"))?;
            let is_full = u32::try_from(open.len()).is_ok_and(|length| length == LISTED);
            let next = open.last().map(|last| last.row).filter(|_| is_full);
            let messages = open.into_iter().map(|open| open.message).collect();
            say(parts, queue::Response::Listed { messages, next }).await
        }
        Command::Reconcile { message, told } => {
            let own = actor.to_owned();
            let work = move |store: &mut Store<'_>| {
                let mut done = Done::default();
                reconcile(store, message, &told, &own, &mut done)?;
                Ok(done)
            };
            let done = desk.vault.writer.run(work).await;
            let done = done.map_err(|error| error.to_string())?;
            for segment in done.segments {
                desk.vault.segments.remove(segment).await;
            }
            say(parts, queue::Response::Reconciled(done.reconciled)).await
        }
        Command::Left => {
            let held = desk.vault.writer.look(|store| store.hold.held()).await;
            let (messages, recipients) = held.map_err(|error| format!("the store can't be read: {error}"))?;
            let left = Counts { messages, recipients, under_way: 0 };
            say(parts, queue::Response::Reconciled(Reconciled { left, ..Reconciled::default() })).await
        }
        Command::Load => say(parts, queue::Response::Load(Box::new(desk.vault.writer.load().told()))).await,
        // It has a file of its own.
        Command::Transfer(_) => Err("that is no command about the queue as it stands".to_owned()),
        Command::Rekey { next } => {
            let response = match rekey::change(&desk.vault, &desk.parent, actor, &next).await? {
                Change::Done(keys) => queue::Response::Wrapped { keys, master: next },
                Change::Another(handed) => queue::Response::NotThatKey { handed },
            };
            Ok(Response::Queue(response))
        }
    }
}

async fn say(parts: &Sender<Response>, part: queue::Response) -> Result<Response, String> {
    parts.send(Response::Queue(part)).await.map(|()| Response::Done).map_err(|_| "whoever asked is gone".to_owned())
}
