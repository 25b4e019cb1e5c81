//! `gatepost queue list` and `queue show`: what waits, as auditors may see it.

use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use super::source::{Source, walk};
use crate::cli::control::strange;
use crate::cli::fail;
use crate::cli::out::{is_read, say};
use crate::ipc::admin::queue::listing::{Entry, Ordered, Standing, Stop, View};
use crate::ipc::admin::queue::{Command, Response};
use crate::mail::id::MessageId;
use crate::policy::rule::RecipientRule;
use crate::vault::audit::visible::{visible, visible_json};

#[derive(Debug, Args)]
pub struct List {
    /// Those that this credential sent
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// Those with a recipient there: a domain, .suffix or an address
    #[arg(long, value_name = "DOMAIN", value_parser = recipient)]
    recipient: Option<RecipientRule>,
    /// Those with a recipient in this state: ready, leased, deferred, scheduled, held or quarantined
    #[arg(long, value_name = "STATE", value_parser = standings(), hide_possible_values = true)]
    state: Option<String>,
    /// At most so many, the oldest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Addresses in full; the audit log tells of it
    #[arg(long)]
    clear: bool,
    /// Print an object for each message instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, Args)]
pub struct Show {
    /// Which message: its id, in either form
    #[arg(value_name = "ID")]
    message: MessageId,
    /// Addresses and answers of upstreams in full; the audit log tells of it
    #[arg(long)]
    clear: bool,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

impl List {
    pub fn run(&self) -> ExitCode {
        let standing = self.state.as_deref().and_then(|word| {
            let found = Standing::WORDS.into_iter().find(|(known, _)| *known == word);
            found.map(|(_, standing)| standing)
        });
        let (credential, recipient) = (self.credential.clone(), self.recipient.clone());
        let view = View { credential, recipient, standing, clear: self.clear };
        let (mut left, mut is_found) = (self.limit.unwrap_or(u64::MAX), false);
        let done = self.source.ask_of(self.credential.as_deref(), |ask| {
            walk(
                ask,
                |after| Command::View { view: view.clone(), after },
                |part| {
                    let Response::Entry(entry) = part else { return true };
                    is_found = true;
                    if left == 0 {
                        return false;
                    }
                    left -= 1;
                    say!("{}", if self.json { visible_json(&object(&entry).to_string()) } else { line(&entry) });
                    is_read()
                },
            )?;
            Ok(is_found)
        });
        done.map_or_else(|reason| fail(&reason), |()| ExitCode::SUCCESS)
    }
}

impl Show {
    pub fn run(&self) -> ExitCode {
        let mut found = None;
        let mut stops = Vec::new();
        let done = self.source.ask(|ask| {
            for part in ask(Command::Show { message: self.message, clear: self.clear })? {
                match part {
                    Response::Entry(entry) => found = Some(entry),
                    Response::Stop(stop) => stops.push(stop),
                    _ => return Err(strange()),
                }
            }
            Ok(())
        });
        match (done, found) {
            (Err(reason), _) => fail(&reason),
            (Ok(()), None) => fail(&format!(
                "there is no message {} in the queue, nor was there one in the last days: \
                 `gatepost audit show {}` tells what became of older ones",
                self.message, self.message
            )),
            (Ok(()), Some(entry)) => {
                if self.json {
                    let mut whole = object(&entry);
                    whole["recipients"] = stops.iter().map(|stop| stop_object(stop)).collect();
                    say!("{}", visible_json(&whole.to_string()));
                } else {
                    say!("{}", line(&entry));
                    stops.iter().for_each(|stop| say!("  {}", stop_line(stop)));
                }
                ExitCode::SUCCESS
            }
        }
    }
}

/// Reads a domain, `.suffix`, `@domain` or an address.
fn recipient(text: &str) -> Result<RecipientRule, String> {
    let whole = if text.contains('@') || text.starts_with('.') { text.to_owned() } else { format!("@{text}") };
    whole.parse().map_err(|_| "neither a domain nor an address: write example.org, or rosa@example.org".to_owned())
}

fn standings() -> PossibleValuesParser {
    PossibleValuesParser::new(Standing::WORDS.map(|(word, _)| word))
}

/// A time as it is printed.
pub fn time(us: u64) -> String {
    let moment = i64::try_from(us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok()).unwrap_or_default();
    format!("{moment:.0}")
}

/// A route as it is printed. No upstream bears the name of none.
pub fn way(route: &str) -> &str {
    named(route).unwrap_or("-")
}

/// None: no route applies to the recipient any more, who waits for one.
fn named(route: &str) -> Option<&str> {
    Some(route).filter(|route| !route.is_empty())
}

fn line(entry: &Entry) -> String {
    let states = entry.standings.iter().map(|(standing, count)| match count {
        1 => standing.word().to_owned(),
        count => format!("{}*{count}", standing.word()),
    });
    let all: u64 = entry.standings.iter().map(|(_, count)| count).sum();
    let more = if all > 1 { format!(" ({all})") } else { String::new() };
    let due = entry.next_us.map_or_else(String::new, |next| format!(" due={}", time(next)));
    let answer = answer(entry.code, entry.enhanced.as_deref());
    visible(&format!(
        "{} {}{} {} from={} to={}{more} via={} bytes={} accepted={} attempts={}{due}{answer}",
        entry.message,
        states.collect::<Vec<_>>().join(","),
        ordered(entry.order),
        entry.credential,
        entry.sender,
        entry.recipients.join(","),
        entry.routes.iter().map(|route| way(route)).collect::<Vec<_>>().join(" "),
        entry.bytes,
        time(entry.accepted_us),
        entry.attempts,
    ))
}

/// Of one who is under way, and may get it before that is done.
fn ordered(order: Option<Ordered>) -> String {
    order.map_or_else(String::new, |order| format!(" then={}", order.word()))
}

fn answer(code: Option<u16>, enhanced: Option<&str>) -> String {
    code.map_or_else(String::new, |code| match enhanced {
        Some(enhanced) => format!(" answer={code} {enhanced}"),
        None => format!(" answer={code}"),
    })
}

fn object(entry: &Entry) -> Value {
    let states: serde_json::Map<String, Value> =
        entry.standings.iter().map(|(standing, count)| (standing.word().to_owned(), json!(count))).collect();
    json!({
        "message": entry.message.to_string(),
        "credential": entry.credential,
        "sender": entry.sender,
        "bytes": entry.bytes,
        "accepted": time(entry.accepted_us),
        "expires": time(entry.expires_us),
        "states": states,
        "then": entry.order.map(Ordered::word),
        "to": entry.recipients,
        "routes": entry.routes.iter().map(|route| named(route)).collect::<Vec<_>>(),
        "attempts": entry.attempts,
        "due": entry.next_us.map(time),
        "code": entry.code,
        "enhanced": entry.enhanced,
    })
}

fn stop_line(stop: &Stop) -> String {
    let due = stop.next_us.map_or_else(String::new, |next| format!(" due={}", time(next)));
    let host = stop.host.as_ref().map_or_else(String::new, |host| format!(" host={host}"));
    let said = stop.said.as_ref().map_or_else(String::new, |said| format!(" said={said}"));
    let doubt = if stop.doubt { " may-be-delivered" } else { "" };
    visible(&format!(
        "{} {}{} via={} attempts={}{due}{doubt}{}{host}{said}",
        stop.recipient,
        stop.standing.word(),
        ordered(stop.order),
        way(&stop.route),
        stop.attempts,
        answer(stop.code, stop.enhanced.as_deref()),
    ))
}

fn stop_object(stop: &Stop) -> Value {
    json!({
        "recipient": stop.recipient,
        "state": stop.standing.word(),
        "then": stop.order.map(Ordered::word),
        "route": named(&stop.route),
        "attempts": stop.attempts,
        "due": stop.next_us.map(time),
        "code": stop.code,
        "enhanced": stop.enhanced,
        "host": stop.host,
        "said": stop.said,
        "may_be_delivered": stop.doubt,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_looked_for_is_a_domain_or_an_address() {
        for (text, rule) in [("example.org", "@example.org"), (".example.org", ".example.org"), ("a@b.c", "a@b.c")] {
            assert_eq!(recipient(text).unwrap().to_string(), rule);
        }
        assert!(recipient("no domain").unwrap_err().contains("example.org"));
    }

    #[test]
    fn who_has_no_route_is_told_apart() {
        let stop = |route: &str| Stop {
            number: 1,
            recipient: "b@example.org".to_owned(),
            standing: Standing::Ready,
            order: None,
            route: route.to_owned(),
            attempts: 1,
            next_us: None,
            code: None,
            enhanced: None,
            host: None,
            said: None,
            doubt: false,
        };
        assert_eq!(stop_line(&stop("")), "b@example.org ready via=- attempts=1");
        assert_eq!(stop_line(&stop("smart")), "b@example.org ready via=smart attempts=1");
        assert_eq!(stop_object(&stop(""))["route"], Value::Null);
        assert_eq!(stop_object(&stop("smart"))["route"], "smart");
    }
}
