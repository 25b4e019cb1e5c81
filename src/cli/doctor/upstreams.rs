//! How the upstreams stand, by the service that runs.

use super::Look;
use super::finding::Sheet;
use crate::cli::{control, turnstile};
use crate::ipc::admin::route::{Command, Response, Standing, State};
use crate::ipc::admin::{Command as Any, Response as Answer};

const ID: &str = "upstreams.standing";
const TURNSTILE: &str = "upstreams.turnstile";

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    turnstile(look, sheet);
    if let Some(why) = look.service.silence() {
        let why = format!("{why}; `gatepost check --connect` tries each upstream without it");
        return sheet.skip(ID, "how the upstreams stand", why);
    }
    let mut states: Vec<State> = Vec::new();
    let asked = control::ask_for_parts(&look.plan.runtime_directory, Any::Route(Command::Status), |part| {
        if let Answer::Route(Response::State(state)) = part {
            states.push(*state);
        }
        true
    });
    if let Err(undone) = asked {
        return sheet.skip(ID, "how the upstreams stand", String::from(undone));
    }
    states.iter().for_each(|state| judge(state, sheet));
    let tried = states.iter().filter(|state| state.tried).count();
    sheet.pass_unless_told(ID, format!("{tried} upstreams were tried, and can be used as far as the service knows"));
}

/// Whether Turnstile can be asked, where there is one.
fn turnstile(look: &Look<'_>, sheet: &mut Sheet) {
    let what = "whether Turnstile knows the secret";
    if look.plan.turnstile.is_none() {
        return sheet.pass(TURNSTILE, "no credential needs Turnstile: there is no [turnstile]");
    }
    if let Some(why) = look.service.silence() {
        return sheet.skip(TURNSTILE, what, format!("{why}; `gatepost check --connect` asks without it"));
    }
    if look.doctor.offline {
        return sheet.skip(TURNSTILE, what, "--offline: nobody is asked".to_owned());
    }
    match turnstile::ask(&look.plan.runtime_directory) {
        Ok(said) => sheet.pass(TURNSTILE, format!("Turnstile: {said}")),
        Err(why) => sheet.fail(
            TURNSTILE,
            format!("Turnstile: {why}"),
            "whoever needs a token for a message is refused (turnstile_unavailable)",
            "mend that, then gatepost reload; the log says what was heard",
        ),
    }
}

fn judge(state: &State, sheet: &mut Sheet) {
    let (name, word) = (&state.upstream, state.standing.word());
    let what = format!("upstream {name:?} is {word}");
    match state.standing {
        Standing::Up if !state.tried => sheet.skip(
            ID,
            format!("upstream {name:?}"),
            format!("nothing went to upstream {name:?} since the service or its configuration began: gatepost route test {name} tries it"),
        ),
        Standing::Up | Standing::Recovering | Standing::Paced => {}
        Standing::Resting | Standing::Probed => {
            let why = state.fault.as_ref().map_or_else(String::new, |(fault, said)| format!("{fault}: {said}"));
            sheet.warn(ID, what, why, format!("gatepost route test {name}, which shows what is said"));
        }
        Standing::Paused => sheet.warn(
            ID,
            what,
            "what waits for it stays in the queue",
            format!("gatepost route resume {name}, if nobody pauses it on purpose"),
        ),
        Standing::Unconfigured => sheet.warn(
            ID,
            what,
            "it is paused, and would be again if it came back into the configuration",
            format!("gatepost route resume {name}, if it is gone for good"),
        ),
        Standing::Absent => {
            sheet.fail(ID, what, "no process delivers to it", "look at the log for why its courier ended")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn an_upstream_that_rests_waits_or_has_nobody_is_told() {
        for (standing, tried, level) in [
            (Standing::Up, true, Level::Pass),
            (Standing::Up, false, Level::Skip),
            (Standing::Resting, true, Level::Warn),
            (Standing::Paused, false, Level::Warn),
            (Standing::Absent, false, Level::Fail),
        ] {
            let mut sheet = Sheet::default();
            let fault = Some(("login".to_owned(), "535 no".to_owned()));
            let state = State {
                upstream: "a".into(),
                standing,
                failures: 1,
                seconds: None,
                fault,
                under_way: 0,
                slots: 1,
                window: None,
                paced: None,
                paused: None,
                tried,
            };
            judge(&state, &mut sheet);
            assert_eq!(sheet.worst(), level, "{standing:?}");
            assert!(standing != Standing::Resting || sheet.0[0].why.contains("535"));
        }
    }
}
