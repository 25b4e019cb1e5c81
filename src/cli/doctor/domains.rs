//! What the domains of senders publish, without which receivers don't believe their mail: MX, SPF, DKIM and DMARC.

use std::collections::BTreeSet;

use super::Look;
use super::dns::{Kind, Resolver};
use super::finding::Sheet;
use crate::config::plan::{Place, Plan};
use crate::mail::address::Address;
use crate::policy::rule::SenderRule;

const IDS: [&str; 4] = ["domains.mx", "domains.spf", "domains.dkim", "domains.dmarc"];
/// More are hardly one organisation's, and each is four questions.
const MOST: usize = 20;
/// Who sends for a host, by the end of the host's name: the part of SPF that its operator publishes.
const KNOWN: [(&str, &str); 8] = [
    ("smtp.gmail.com", "include:_spf.google.com"),
    ("smtp-relay.gmail.com", "include:_spf.google.com"),
    ("smtp.office365.com", "include:spf.protection.outlook.com"),
    (".mail.protection.outlook.com", "include:spf.protection.outlook.com"),
    (".amazonaws.com", "include:amazonses.com"),
    ("smtp.sendgrid.net", "include:sendgrid.net"),
    ("smtp.mailgun.org", "include:mailgun.org"),
    ("smtp.postmarkapp.com", "include:spf.mtasv.net"),
];

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    let skip_all = |what: &str, why: &str, sheet: &mut Sheet| IDS.iter().for_each(|id| sheet.skip(id, what, why));
    let domains = domains(look);
    if domains.is_empty() {
        return skip_all("what the domains of senders publish", "no credential has a sender with a domain", sheet);
    }
    if look.doctor.offline {
        return skip_all("what the domains of senders publish", "--offline: no name server was asked", sheet);
    }
    let resolver = match Resolver::new(look.doctor.resolver) {
        Ok(resolver) => resolver,
        Err(why) => return skip_all("what the domains of senders publish", &why, sheet),
    };
    for domain in domains.iter().take(MOST) {
        Domain { name: domain, resolver: &resolver, plan: look.plan, selectors: &look.doctor.dkim_selector }
            .look(sheet);
    }
    if domains.len() > MOST {
        skip_all(&format!("{} more domains", domains.len() - MOST), "only the first are looked at", sheet);
    }
}

/// Of all that anybody may send as, and of the gate's own mail.
fn domains(look: &Look<'_>) -> BTreeSet<String> {
    let own = |address: &Address| address.domain().to_owned();
    let mut all = BTreeSet::new();
    for account in look.accounts.iter().filter(|account| account.enabled) {
        all.extend(account.policy.senders.iter().filter_map(|rule| match rule {
            SenderRule::Any => None,
            SenderRule::Domain(domain) => Some(domain.clone()),
            SenderRule::Tagged(address) | SenderRule::Address(address) => Some(own(address)),
        }));
    }
    all.extend(look.plan.bounces.iter().filter_map(|bounce| bounce.from.as_ref()).map(own));
    all.extend(look.plan.anchors.iter().filter_map(|anchor| match &anchor.place {
        Place::Mail { from, .. } => Some(own(from)),
        _ => None,
    }));
    all.extend(look.plan.alerts.iter().filter_map(|alerts| alerts.from.as_ref()).map(own));
    // An address in brackets publishes nothing.
    all.retain(|domain| !domain.starts_with('['));
    all
}

struct Domain<'a> {
    name: &'a str,
    resolver: &'a Resolver,
    plan: &'a Plan,
    selectors: &'a [String],
}

impl Domain<'_> {
    fn look(&self, sheet: &mut Sheet) {
        let name = self.name;
        if !name.is_ascii() {
            for id in IDS {
                sheet.skip(
                    id,
                    format!("what {name} publishes"),
                    "its name is asked for in its ASCII form (xn--) alone",
                );
            }
            return;
        }
        self.told("domains.mx", self.mx(sheet), sheet);
        self.told("domains.spf", self.spf(sheet), sheet);
        self.told("domains.dkim", self.dkim(sheet), sheet);
        self.told("domains.dmarc", self.dmarc(sheet), sheet);
    }

    fn told(&self, id: &'static str, looked: Result<(), String>, sheet: &mut Sheet) {
        if let Err(why) = looked {
            sheet.skip(id, format!("what {} publishes", self.name), format!("no name server says: {why}"));
        }
    }

    fn mx(&self, sheet: &mut Sheet) -> Result<(), String> {
        let name = self.name;
        let why = "bounces and answers go nowhere, and many receivers refuse a sender who can't be written to";
        let hosts = self.resolver.ask(name, Kind::Mx)?;
        if hosts.iter().any(|host| host.ends_with(" .")) {
            // RFC 7505.
            let fix = "send as an address of a domain that takes mail, or publish a real one in its place";
            sheet.warn("domains.mx", format!("{name} says that it takes no mail (MX 0 .)"), why, fix);
        } else if !hosts.is_empty() {
            sheet.pass("domains.mx", format!("{name}: {}", hosts.join(", ")));
        } else if self.resolver.ask(name, Kind::A)?.is_empty() && self.resolver.ask(name, Kind::Aaaa)?.is_empty() {
            let fix = format!("publish: {name}. IN MX 10 mx.{name}. (the host that takes its mail)");
            sheet.warn("domains.mx", format!("{name} has no MX and no address"), why, fix);
        } else {
            sheet.pass(
                "domains.mx",
                format!("{name} has no MX, and an address, which stands for one (RFC 5321 section 5.1)"),
            );
        }
        Ok(())
    }

    fn spf(&self, sheet: &mut Sheet) -> Result<(), String> {
        let name = self.name;
        let published = self.resolver.ask(name, Kind::Txt)?;
        let is_spf = |text: &&String| text.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case("v=spf1"));
        let found: Vec<&String> = published.iter().filter(is_spf).collect();
        let parts = parts(self.plan);
        let wanted = format!(
            "{name}. IN TXT \"v=spf1 {}~all\"",
            parts.iter().map(|part| format!("{part} ")).collect::<String>()
        );
        let publish = match parts.is_empty() {
            true => format!("publish {wanted}, with what your provider's page on SPF says before ~all"),
            false => format!("publish: {wanted} (and whoever else sends for it)"),
        };
        match found.as_slice() {
            [] => sheet.warn(
                "domains.spf",
                format!("{name} publishes no SPF"),
                "large receivers refuse mail of domains that have none (RFC 7208)",
                publish,
            ),
            [one] => self.judge_spf(one, &parts, sheet),
            several => sheet.fail(
                "domains.spf",
                format!("{name} publishes {} records of SPF", several.len()),
                "that is an error by RFC 7208 section 4.5, and counts as none",
                "put them into one",
            ),
        }
        Ok(())
    }

    fn judge_spf(&self, text: &str, parts: &BTreeSet<String>, sheet: &mut Sheet) {
        let name = self.name;
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        if words.iter().any(|word| word == "+all" || word == "all") {
            let what = format!("{name}: {text:?} lets everybody send");
            return sheet.fail("domains.spf", what, "whoever forges it passes", "end it with ~all or -all instead");
        }
        let missing: Vec<&str> = parts
            .iter()
            .filter(|part| part.starts_with("include:") && !words.contains(part))
            .map(String::as_str)
            .collect();
        if missing.is_empty() {
            return sheet.pass("domains.spf", format!("{name}: {text:?}"));
        }
        sheet.warn(
            "domains.spf",
            format!("{name}: {text:?} does not name {}", missing.join(" ")),
            "mail by that upstream fails SPF, unless another part of it covers that",
            format!(
                "put it in: {name}. IN TXT \"{}\"",
                text.replacen("v=spf1", &format!("v=spf1 {}", missing.join(" ")), 1)
            ),
        );
    }

    fn dkim(&self, sheet: &mut Sheet) -> Result<(), String> {
        let name = self.name;
        if self.selectors.is_empty() {
            let why = "the upstream signs, and only it knows its selector: say it with --dkim-selector";
            sheet.skip("domains.dkim", format!("the key of DKIM of {name}"), why);
        }
        for selector in self.selectors {
            let place = format!("{selector}._domainkey.{name}");
            let found = self.resolver.ask(&place, Kind::Txt)?;
            let tag = |text: &str, tag: &str| {
                let value = text
                    .split(';')
                    .find_map(|part| Some(part.trim().strip_prefix(tag)?.trim().strip_prefix('=')?.to_owned()));
                value.map(|value| value.split_whitespace().collect::<String>())
            };
            match found.iter().find_map(|text| tag(text, "p")) {
                Some(key) if !key.is_empty() => sheet.pass("domains.dkim", format!("{place} has a key")),
                Some(_) => sheet.fail(
                    "domains.dkim",
                    format!("{place} says that its key was revoked (p= is empty)"),
                    "every signature with it fails (RFC 6376 section 3.6.1)",
                    "have the upstream sign with a new selector, and publish that",
                ),
                None => sheet.warn(
                    "domains.dkim",
                    format!("{place} has no key"),
                    "what the upstream signs with this selector can't be checked, and counts as not signed",
                    format!("publish: {place}. IN TXT \"v=DKIM1; k=rsa; p=...\", with the key that the upstream shows for it"),
                ),
            }
        }
        Ok(())
    }

    /// By the domain, or by one above it, down to two labels (RFC 7489 section 6.6.3 takes the organisation's).
    fn dmarc(&self, sheet: &mut Sheet) -> Result<(), String> {
        let name = self.name;
        let labels: Vec<&str> = name.split('.').collect();
        let above =
            (0..labels.len().saturating_sub(1).max(1)).filter_map(|from| labels.get(from..)).map(|rest| rest.join("."));
        for domain in above {
            let published = self.resolver.ask(&format!("_dmarc.{domain}"), Kind::Txt)?;
            let found: Vec<&String> =
                published.iter().filter(|text| text.trim_start().starts_with("v=DMARC1")).collect();
            match found.as_slice() {
                [] => {}
                [one] => {
                    sheet.pass("domains.dmarc", format!("{name}, by _dmarc.{domain}: {one:?}"));
                    return Ok(());
                }
                several => {
                    let what = format!("_dmarc.{domain} has {} records of DMARC", several.len());
                    sheet.fail(
                        "domains.dmarc",
                        what,
                        "that counts as none (RFC 7489 section 6.6.3)",
                        "put them into one",
                    );
                    return Ok(());
                }
            }
        }
        sheet.warn(
            "domains.dmarc",
            format!("{name} publishes no DMARC"),
            "anybody can write in its name, and large receivers refuse bulk mail of domains that have none",
            format!("publish: _dmarc.{name}. IN TXT \"v=DMARC1; p=none; rua=mailto:postmaster@{name}\", and p=reject when the reports are clean"),
        );
        Ok(())
    }
}

/// What SPF has to name for the mail that goes by these upstreams, as far as their hosts tell.
fn parts(plan: &Plan) -> BTreeSet<String> {
    let smtp =
        plan.upstreams.iter().filter(|upstream| upstream.provider.is_none()).flat_map(|upstream| &upstream.hosts);
    let part = |host: &str| {
        let known = KNOWN.iter().find(|(end, _)| host == *end || end.starts_with('.') && host.ends_with(end));
        match (known, host.parse::<std::net::IpAddr>()) {
            (Some((_, part)), _) => Some((*part).to_owned()),
            (None, Ok(address)) if address.is_loopback() => None,
            (None, Ok(address)) if address.is_ipv4() => Some(format!("ip4:{address}")),
            (None, Ok(address)) => Some(format!("ip6:{address}")),
            (None, Err(_)) if host == "localhost" => None,
            (None, Err(_)) => Some(format!("a:{host}")),
        }
    };
    smtp.filter_map(|(host, _)| part(host)).collect()
}
