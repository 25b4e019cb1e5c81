//! What becomes of a message, recipient by recipient, as the queue has it.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::control::Line;
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::cli::queue::time;
use crate::cli::route::{line as line_of, object as object_of};
use crate::ipc::admin::queue::listing::{Standing, Stop};
use crate::ipc::admin::queue::{Command, Response};
use crate::ipc::admin::route::{self, State};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::mail::id::MessageId;
use crate::vault::audit::visible::{visible, visible_json};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);

/// Tells of each change until nothing more comes of it, or until the time is over. Whether everybody has got it.
pub fn follow(line: &mut Line, message: MessageId, wait: Duration, as_json: bool) -> Result<bool, String> {
    let until = Instant::now().checked_add(wait);
    let mut seen: BTreeMap<u32, (Standing, u32)> = BTreeMap::new();
    loop {
        let mut stops = stops(line, message, false)?;
        let is_news = |one: &Stop| seen.get(&one.number) != Some(&(one.standing, one.attempts));
        if stops.iter().any(is_news) {
            // What an upstream said is shown in full, which the log tells: so only when there is something new.
            stops = self::stops(line, message, true)?;
            for one in stops.iter().filter(|one| is_news(one)) {
                match as_json {
                    true => say!("{}", visible_json(&object(one).to_string())),
                    false => say!("{}", visible(&told(one))),
                }
            }
            seen = stops.iter().map(|one| (one.number, (one.standing, one.attempts))).collect();
        }
        let rests =
            |one: &Stop| !one.standing.is_open() || matches!(one.standing, Standing::Held | Standing::Quarantined);
        let is_done = stops.iter().all(rests);
        if is_done || until.is_none_or(|until| Instant::now() >= until) {
            let delivered = stops.iter().all(|one| one.standing == Standing::Delivered);
            // What waits may have been tried by nobody: then only its route knows why.
            for state in ailing(line, &stops)? {
                match as_json {
                    true => {
                        say!("{}", visible_json(&json!({ "event": "route", "route": object_of(&state) }).to_string()))
                    }
                    false => say!("{}", line_of(&state)),
                }
            }
            match (as_json, is_done) {
                (true, _) => say!("{}", json!({ "event": "end", "delivered": delivered, "waits": !is_done })),
                (false, false) => say!("it is on its way still: gatepost queue show {message}"),
                (false, true) => {}
            }
            return Ok(delivered);
        }
        sleep(LOOK);
    }
}

/// The routes of those who wait that are not what they should be.
fn ailing(line: &mut Line, stops: &[Stop]) -> Result<Vec<State>, String> {
    let open: BTreeSet<&str> =
        stops.iter().filter(|one| one.standing.is_open()).map(|one| one.route.as_str()).collect();
    let mut ailing = Vec::new();
    if open.is_empty() {
        return Ok(ailing);
    }
    line.ask(Any::Route(route::Command::Status), |part| match part {
        Answer::Route(route::Response::State(state)) => {
            if state.standing != route::Standing::Up && open.contains(state.upstream.as_str()) {
                ailing.push(*state);
            }
            Ok(())
        }
        _ => Err(strange()),
    })?;
    Ok(ailing)
}

fn stops(line: &mut Line, message: MessageId, clear: bool) -> Result<Vec<Stop>, String> {
    let mut stops = Vec::new();
    line.ask(Any::Queue(Command::Show { message, clear }), |part| match part {
        Answer::Queue(Response::Stop(stop)) => {
            stops.push(*stop);
            Ok(())
        }
        Answer::Queue(Response::Entry(_)) => Ok(()),
        _ => Err(strange()),
    })?;
    if stops.is_empty() { Err(format!("the queue knows nothing of message {message} any more")) } else { Ok(stops) }
}

fn told(one: &Stop) -> String {
    let mut text = format!("{} {} by {}", one.recipient, one.standing.word(), one.route);
    if let Some(code) = one.code {
        text += &format!(": {code}");
    }
    for part in [&one.enhanced, &one.said].into_iter().flatten() {
        text += &format!(" {part}");
    }
    if let Some(host) = &one.host {
        text += &format!(" ({host})");
    }
    if let (Standing::Deferred, Some(next)) = (one.standing, one.next_us) {
        text += &format!("; again at {}", time(next));
    }
    text
}

fn object(one: &Stop) -> serde_json::Value {
    json!({
        "event": "state",
        "recipient": one.recipient,
        "state": one.standing.word(),
        "route": one.route,
        "attempts": one.attempts,
        "code": one.code,
        "enhanced": one.enhanced,
        "said": one.said,
        "host": one.host,
        "due": one.next_us.map(time),
    })
}
