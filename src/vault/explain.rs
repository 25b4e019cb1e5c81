//! Which rule decides what becomes of a message. What decides is what decides of every message: this only says which rule it was.

use crate::ipc::admin::explain::{Question, Refused, Stage, Step};
use crate::mail::address::Address;
use crate::policy::Grant;
use crate::policy::refusal::Refusal;
use crate::policy::route::{self, Route};
use crate::policy::rule::SenderRule;
use crate::policy::turnstile::Turnstile;
use crate::vault::limits::denial::Denied;
use crate::vault::login::credentials::{Credential, Way};

impl Step {
    pub fn taken(stage: Stage, about: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { stage, about: about.into(), rule: rule.into(), refused: None }
    }

    fn refused(stage: Stage, about: impl Into<String>, rule: impl Into<String>, refusal: Refusal) -> Self {
        let refused = Refused { word: refusal.word().to_owned(), wait: refusal.wait() };
        Self { refused: Some(refused), ..Self::taken(stage, about, rule) }
    }

    /// By a limit, or by what the gate has on its hands.
    pub fn denied(denied: Denied) -> Self {
        let rule = match (&denied.by, &denied.upstream) {
            (Some(by), _) => format!("{} of {} {}", by.limit, by.key.tier.word(), by.key.name),
            (None, Some(upstream)) => format!("too much waits for upstream {upstream}"),
            (None, None) => "what the gate has on its hands: gatepost status".to_owned(),
        };
        Self::refused(Stage::Moment, "one more message", rule.trim_end(), denied.refusal)
    }

    /// What a token must be that comes with the message. `is_asked`: there is somebody to ask of it.
    pub fn proof(demanded: &Turnstile, is_asked: bool) -> Self {
        let about = "a Turnstile token comes with it, by POST /send";
        if !is_asked {
            let rule = "turnstile, and there is no [turnstile]";
            return Self::refused(Stage::Proof, about, rule, Refusal::TurnstileUnavailable);
        }
        let action = demanded.action.as_ref().map(|action| format!(", action = {action:?}")).unwrap_or_default();
        Self::taken(Stage::Proof, about, format!("turnstile: hostnames = {:?}{action}", demanded.hostnames))
    }

    /// Nothing is sent there.
    pub fn suppressed(to: &Address, reason: &str) -> Self {
        Self::refused(
            Stage::Suppression,
            to.to_string(),
            format!("gatepost suppress list: {reason}"),
            Refusal::Suppressed,
        )
    }
}

/// All that the configuration and the credential decide, whatever the moment. `upstreams`: their names, by their numbers.
pub fn by_rules(
    credential: &Credential,
    grant: &Grant,
    upstreams: &[String],
    question: &Question,
    now_us: u64,
) -> Vec<Step> {
    let mut steps = login(credential, question, now_us);
    let (sender, step) = sender(grant, question);
    steps.push(step);
    for to in &question.recipients {
        recipient(grant, upstreams, &sender, to, &mut steps);
    }
    let count = u32::try_from(question.recipients.len()).unwrap_or(u32::MAX);
    if count > grant.max_recipients {
        let rule = format!("max_recipients, or a limit that never lets more through: {}", grant.max_recipients);
        steps.push(Step::refused(Stage::Recipient, format!("{count} recipients"), rule, Refusal::TooManyRecipients));
    }
    let from = Some(sender);
    for copy in credential.policy.copies(question.recipients.iter()) {
        steps.push(match grant.way(&from, copy) {
            Ok(()) => Step::taken(Stage::Copy, copy.to_string(), "always_bcc"),
            Err(_) => {
                Step::refused(Stage::Copy, copy.to_string(), "always_bcc, and no route fits it", Refusal::CopyNoRoute)
            }
        });
    }
    steps
}

fn login(credential: &Credential, question: &Question, now_us: u64) -> Vec<Step> {
    let id = &credential.id;
    let about = question.address.map_or_else(|| id.clone(), |address| format!("{id} from {address}"));
    let obstacles = credential.obstacles(None, Way { address: question.address, scopes: None }, now_us);
    if !obstacles.is_empty() {
        let step = |word: &str| {
            let refused = Refused { word: word.to_owned(), wait: None };
            let rule =
                if word == "network" { networks(credential) } else { "its state: gatepost credential show".to_owned() };
            Step { refused: Some(refused), ..Step::taken(Stage::Login, about.clone(), rule) }
        };
        return obstacles.into_iter().map(|reason| step(reason.word())).collect();
    }
    let rule = match (question.address, credential.policy.networks.is_empty()) {
        (_, true) => "no networks: from everywhere".to_owned(),
        (None, false) => format!("{}, and no --address was given", networks(credential)),
        (Some(_), false) => networks(credential),
    };
    vec![Step::taken(Stage::Login, about, rule)]
}

fn networks(credential: &Credential) -> String {
    let all: Vec<String> = credential.policy.networks.iter().map(ToString::to_string).collect();
    format!("networks = {all:?}")
}

/// As whom it goes out, and whether it may.
fn sender(grant: &Grant, question: &Question) -> (Address, Step) {
    let given = &question.sender;
    let sender = grant.rewritten(given).unwrap_or(given).clone();
    let about = if sender == *given { given.to_string() } else { format!("{given}, rewritten as {sender}") };
    let step = match grant.sender(&Some(sender.clone())) {
        Ok(()) => {
            let rule = grant.senders.iter().find(|rule| rule.matches(&sender)).map(SenderRule::to_string);
            Step::taken(Stage::Sender, about, format!("senders: {:?}", rule.unwrap_or_default()))
        }
        Err(refusal) => {
            let all: Vec<String> = grant.senders.iter().map(SenderRule::to_string).collect();
            Step::refused(Stage::Sender, about, format!("none of senders = {all:?}"), refusal)
        }
    };
    (sender, step)
}

fn recipient(grant: &Grant, upstreams: &[String], sender: &Address, to: &Address, steps: &mut Vec<Step>) {
    let from = Some(sender.clone());
    let verdict = grant.recipient(&from, to);
    let rules = &grant.recipients;
    let denied =
        rules.deny.iter().find(|rule| rule.denies(to)).map(|rule| format!("recipients.deny: {:?}", rule.to_string()));
    let allowed = rules
        .allow
        .iter()
        .find(|rule| rule.matches(to))
        .map(|rule| format!("recipients.allow: {:?}", rule.to_string()));
    if verdict == Err(Refusal::RecipientNotAllowed) {
        let rule = denied.unwrap_or_else(|| "none of recipients.allow".to_owned());
        return steps.push(Step::refused(Stage::Recipient, to.to_string(), rule, Refusal::RecipientNotAllowed));
    }
    let rule = allowed.unwrap_or_else(|| "no recipients.allow: everybody who is not denied".to_owned());
    steps.push(Step::taken(Stage::Recipient, to.to_string(), rule));
    let really = grant.redirect.as_ref().unwrap_or(to);
    let about = if really == to { to.to_string() } else { format!("{to}, redirected to {really}") };
    steps.push(match verdict {
        Err(refusal) => Step::refused(Stage::Route, about, "no [[route]] fits", refusal),
        Ok(()) => {
            let found = route::find(&grant.routes, &grant.principal, &from, really);
            Step::taken(Stage::Route, about, found.map(|route| said(route, upstreams)).unwrap_or_default())
        }
    });
}

/// A route as it stands in the configuration.
fn said(route: &Route, upstreams: &[String]) -> String {
    let mut parts = Vec::new();
    parts.extend(route.credential.as_ref().map(|id| format!("credential = {id:?}")));
    parts.extend(route.from.as_ref().map(|rule| format!("from = {:?}", rule.to_string())));
    parts.push(format!("to = {:?}", route.to.to_string()));
    let via: Vec<&String> = route.via.iter().filter_map(|number| upstreams.get(usize::from(*number))).collect();
    parts.push(format!("via = {via:?}"));
    format!("[[route]] {}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::slice::Declared;
    use crate::policy::Policy;
    use crate::vault::login::credentials::Credentials;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn steps(policy: Policy, enabled: bool, question: (&str, &str, Option<&str>)) -> Vec<Step> {
        let declared = Declared { id: "app".into(), secrets: vec![], certificates: vec![], policy, enabled };
        let all = Credentials::new(&[declared], &[]);
        let credential = all.get("app").unwrap();
        let to = "@example.org".parse().unwrap();
        let routes = [Route { credential: None, from: None, to, via: vec![1], requiretls: false }];
        let grant = credential.policy.grant("app", &routes);
        let question = Question {
            credential: "app".into(),
            sender: address(question.0),
            recipients: vec![address(question.1)],
            address: question.2.map(|address| address.parse().unwrap()),
        };
        by_rules(credential, &grant, &["a".into(), "b".into()], &question, 7)
    }

    #[test]
    fn the_rule_that_decided_is_named_and_the_verdict_is_that_of_the_policy() {
        let policy = |change: &dyn Fn(&mut Policy)| {
            let mut policy = Policy { senders: vec!["@example.net".parse().unwrap()], ..Policy::default() };
            change(&mut policy);
            policy
        };
        let (from, to) = ("a@example.net", "x@example.org");
        /// A policy, whether there is a route, who asks (from, to, address), what is refused, and the rule.
        type Case<'a> = (Policy, bool, (&'a str, &'a str, Option<&'a str>), Option<&'a str>, &'a str);
        let cases: [Case<'_>; 9] = [
            (policy(&|_| ()), true, (from, to, None), None, "[[route]] to = \"@example.org\", via = [\"b\"]"),
            (
                policy(&|_| ()),
                true,
                ("a@example.com", to, None),
                Some("sender-not-allowed"),
                "none of senders = [\"@example.net\"]",
            ),
            (policy(&|_| ()), true, (from, "x@example.com", None), Some("no-route"), "no [[route]] fits"),
            (policy(&|_| ()), false, (from, to, None), Some("disabled"), "credential show"),
            (policy(&|p| p.expires_us = Some(7)), true, (from, to, None), Some("expired"), "credential show"),
            (
                policy(&|p| p.networks = vec!["192.0.2.0/24".parse().unwrap()]),
                true,
                (from, to, Some("198.51.100.1")),
                Some("network"),
                "networks = [\"192.0.2.0/24\"]",
            ),
            (
                policy(&|p| p.recipients.deny = vec!["X@example.org".parse().unwrap()]),
                true,
                (from, to, None),
                Some("recipient-not-allowed"),
                "recipients.deny: \"X@example.org\"",
            ),
            (
                policy(&|p| p.recipients.allow = vec![".example.org".parse().unwrap()]),
                true,
                (from, to, None),
                Some("recipient-not-allowed"),
                "none of recipients.allow",
            ),
            (
                policy(&|p| p.always_bcc = vec![address("archive@example.com")]),
                true,
                (from, to, None),
                Some("copy-no-route"),
                "always_bcc, and no route fits it",
            ),
        ];
        for (policy, enabled, question, refused, rule) in cases {
            let steps = steps(policy, enabled, question);
            let words: Vec<&str> = steps.iter().filter_map(|step| Some(step.refused.as_ref()?.word.as_str())).collect();
            assert_eq!(words, Vec::from_iter(refused), "{steps:#?}");
            let decided = steps.iter().find(|step| step.refused.is_some()).or(steps.last()).unwrap();
            assert!(decided.rule.contains(rule), "{rule}: {steps:#?}");
        }
    }
}
