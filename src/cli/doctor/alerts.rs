//! Who is told when something is wrong with the gate, and what goes on now.

use super::Look;
use super::finding::Sheet;
use crate::cli::alert::Known;
use crate::cli::control;
use crate::cli::queue::time;
use crate::config::slice::Alerts;
use crate::ipc::admin::alert::Command;
use crate::ipc::admin::{Command as Any, Response};

/// Alerts that one finding names.
const NAMED: usize = 4;

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    match &look.plan.alerts {
        Some(alerts) => sheet.pass("alerts.configured", format!("operators are told {}", ways(alerts))),
        None => sheet.warn(
            "alerts.configured",
            "nobody is told when something is wrong with the gate",
            "a full disk, an upstream that is down or a log that is not signed is found by those whose mail stays away",
            "say who is told under [alerts]: docs/operations.md, \"Alerts\"",
        ),
    }
    if let Some(why) = look.service.silence() {
        return sheet.skip("alerts.told", "what operators are told now", why);
    }
    let mut known = Known::default();
    let heard = control::ask_for_parts(&look.plan.runtime_directory, Any::Alert(Command::Status), |part| match part {
        Response::Alert(response) => known.hear(response),
        _ => false,
    });
    match heard {
        Ok(_) => told(&known, sheet),
        Err(undone) => sheet.skip("alerts.told", "what operators are told now", String::from(undone)),
    }
}

fn ways(alerts: &Alerts) -> String {
    let mail = (!alerts.mail.is_empty()).then(|| "by mail".to_owned());
    let webhook = alerts.webhook.as_ref().map(|name| format!("by webhook {name:?}"));
    mail.into_iter().chain(webhook).collect::<Vec<_>>().join(" and ")
}

fn told(known: &Known, sheet: &mut Sheet) {
    let fix = "gatepost alert status says what to do first";
    if let Some((since, reason)) = &known.silence {
        let what = format!("since {} something is wrong that could not be told: {reason}", time(*since));
        sheet.fail("alerts.told", what, "nobody knows of it", fix);
    }
    let names: Vec<String> = known.entries.iter().map(|entry| format!("{} {}", entry.kind, entry.subject)).collect();
    if !names.is_empty() {
        let named: Vec<&str> = names.iter().take(NAMED).map(|name| name.trim_end()).collect();
        let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
        let what = format!("operators were told of what is not over: {}{more}", named.join(", "));
        sheet.warn("alerts.told", what, "it goes on", fix);
    }
    sheet.pass_unless_told("alerts.told", "nothing is wrong that operators are told of");
}
