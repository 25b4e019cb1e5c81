//! Commands about the upstreams that mail leaves by.

use std::collections::BTreeSet;
use std::time::Instant;

use tokio::sync::mpsc::unbounded_channel;

use super::{Desk, unknown};
use crate::ipc::admin::Response;
use crate::ipc::admin::route::{self, Command};
use crate::ipc::channel::Sender;
use crate::ipc::delivery::Heard;
use crate::mail::address::ReversePath;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::delivery::rehearsal::Rehearsal;
use crate::vault::delivery::schedule::route_event;
use crate::vault::delivery::way_back;
use crate::vault::queue::noted;
use crate::vault::store::pauses::Pause;

/// Senders that are tried at once, at most: as many fit into a frame.
const SENDERS: usize = 8;

/// A pause outlives the upstream that it is of.
fn shown(state: route::State, configured: &[String]) -> route::State {
    match configured.contains(&state.upstream) {
        true => state,
        false => route::State { standing: route::Standing::Unconfigured, ..state },
    }
}

/// Errors: why it was refused, in words.
pub async fn perform(desk: &Desk, command: Command, actor: &str, parts: &Sender<Response>) -> Result<Response, String> {
    match command {
        Command::Status => {
            let states = {
                let (schedule, authority) = (desk.vault.schedule.borrow(), desk.vault.authority.borrow());
                let names: BTreeSet<String> =
                    schedule.paused().chain(authority.slice.upstreams.iter().cloned()).collect();
                let states = names.into_iter().map(|name| schedule.state(&name, Instant::now()));
                states.map(|state| shown(state, &authority.slice.upstreams)).collect::<Vec<_>>()
            };
            for state in states {
                let part = Response::Route(route::Response::State(Box::new(state)));
                parts.send(part).await.map_err(|_| "whoever asked is gone".to_owned())?;
            }
        }
        Command::Pause { upstream, note } => {
            known(desk, &upstream)?;
            if desk.vault.schedule.borrow().paused().any(|one| one == upstream) {
                return Err(format!("{upstream:?} is paused already"));
            }
            let pause = Pause { since_us: now_us(), actor: actor.to_owned() };
            let (own, kept) = (upstream.clone(), pause.clone());
            let event = ordered(Name::RoutePause, &upstream, actor, note.as_deref());
            let done = desk.vault.writer.run(move |store| {
                store.pauses.set(&own, &kept)?;
                store.record(vec![event])
            });
            done.await.map_err(|error| error.to_string())?;
            desk.vault.schedule.borrow_mut().pause(&upstream, Some(pause));
        }
        Command::Resume { upstream, note } => {
            let paused = desk.vault.schedule.borrow().paused().any(|one| one == upstream);
            if !paused {
                known(desk, &upstream)?;
                if desk.vault.schedule.borrow().state(&upstream, Instant::now()).fault.is_none() {
                    return Err(format!("{upstream:?} is neither paused nor resting: it takes mail"));
                }
            }
            let own = upstream.clone();
            let event = ordered(Name::RouteResume, &upstream, actor, note.as_deref());
            let done = desk.vault.writer.run(move |store| {
                store.pauses.end(&own)?;
                store.record(vec![event])
            });
            done.await.map_err(|error| error.to_string())?;
            let mut schedule = desk.vault.schedule.borrow_mut();
            schedule.pause(&upstream, None);
            schedule.try_now(&upstream);
            desk.vault.poke.notify_one();
        }
        Command::Test { upstream, sender } => test(desk, &upstream, sender, actor, parts).await?,
    }
    Ok(Response::Done)
}

/// Errors: nobody can be asked, or it was not heard to the end.
async fn test(
    desk: &Desk,
    upstream: &str,
    sender: ReversePath,
    actor: &str,
    parts: &Sender<Response>,
) -> Result<(), String> {
    known(desk, upstream)?;
    let senders: Vec<ReversePath> = {
        let reporters = way_back::reporters(&desk.vault.authority.borrow().slice, upstream);
        let own = sender.filter(|own| !reporters.contains(&Some(own.clone())));
        own.map(Some).into_iter().chain(reporters).take(SENDERS).collect()
    };
    let (told, mut hears) = unbounded_channel();
    if !desk.vault.schedule.borrow_mut().rehearse(upstream, Rehearsal { senders, told }) {
        return Err(format!("no courier serves {upstream:?} at the moment: the log says why; ask again later"));
    }
    let passed = loop {
        let part = match hears.recv().await {
            Some(Heard::Line(line)) => route::Response::Line(line),
            Some(Heard::End(passed)) => break passed,
            None => return Err(format!("the courier of {upstream:?} went away meanwhile: ask again")),
        };
        parts.send(Response::Route(part)).await.map_err(|_| "whoever asked is gone".to_owned())?;
    };
    if passed {
        desk.vault.schedule.borrow_mut().tested(upstream);
    }
    let outcome = if passed { Outcome::Success } else { Outcome::Failure };
    let event = Event { outcome, ..ordered(Name::RouteTest, upstream, actor, None) };
    let done = desk.vault.writer.run(move |store| store.record(vec![event]));
    done.await.map_err(|error| error.to_string())?;
    let tested = Response::Route(route::Response::Tested(passed));
    parts.send(tested).await.map_err(|_| "whoever asked is gone".to_owned())
}

/// Errors: there is no upstream of that name.
pub fn known(desk: &Desk, name: &str) -> Result<(), String> {
    let authority = desk.vault.authority.borrow();
    let names: Vec<&str> = authority.slice.upstreams.iter().map(String::as_str).collect();
    if names.contains(&name) { Ok(()) } else { Err(unknown::named("upstream", name, &names)) }
}

fn ordered(name: Name, upstream: &str, actor: &str, note: Option<&str>) -> Event {
    let data = note.map(|note| serde_json::json!({ "note": noted(note) }).to_string());
    let event = route_event(name, upstream, Some("ordered".into()));
    Event { actor: Some(actor.to_owned()), severity: 5, data, ..event }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::delivery::schedule::Schedule;

    #[test]
    fn a_pause_of_an_upstream_that_is_gone_says_so() {
        let standing = |configured: &[&str]| {
            let configured: Vec<String> = configured.iter().map(|name| (*name).to_owned()).collect();
            shown(Schedule::new(Vec::new()).state("second", Instant::now()), &configured).standing
        };
        assert_eq!(standing(&["first", "second"]), route::Standing::Absent);
        assert_eq!(standing(&["first"]), route::Standing::Unconfigured);
    }
}
