//! The secrets that the configuration names: whether they can stand for anything, and how old they are.

use std::fs::{self, File};
use std::io::Read;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::Look;
use super::finding::Sheet;
use super::unseen::Unseen;
use crate::config::plan::{Hook, Plan};
use crate::config::source::Source;
use crate::vault::audit::ledger::now_us;
use crate::vault::login::strength;

/// A secret that is older was seen by people who have left, and lies in backups that nobody counts.
const OLD: Duration = Duration::from_secs(400 * 86_400);
const DAY: u64 = 86_400;
/// The longest that is read: no secret here is longer than a line.
const MOST: u64 = 64 * 1024;
/// Bits that an upstream's password must be able to hold. It is guessed over a network, and providers make theirs no longer than 16
/// letters, which hold 75.
const BITS: f64 = 60.0;

/// What is said to others to be known by them: whose, and where it is.
pub fn secrets(plan: &Plan) -> Vec<(String, &Source)> {
    let mut all = Vec::new();
    for upstream in &plan.upstreams {
        let name = &upstream.name;
        all.extend(upstream.password.iter().map(|source| (format!("the secret of upstream {name:?}"), source)));
        let tokens = upstream.oauth2.iter().flat_map(|oauth2| oauth2.secrets());
        all.extend(tokens.map(|source| (format!("an OAuth secret of upstream {name:?}"), source)));
        let own = upstream.protection.own.iter().map(|(_, key)| (format!("the client key of upstream {name:?}"), key));
        all.extend(own);
        let hook = upstream.hook.iter().flat_map(Hook::sources);
        all.extend(hook.map(|source| (format!("the secret of webhook_in of upstream {name:?}"), source)));
    }
    for webhook in &plan.webhooks {
        let sources = [&webhook.secret].into_iter().chain(&webhook.previous);
        all.extend(sources.map(|source| (format!("the secret of webhook {:?}", webhook.name), source)));
    }
    all.extend(plan.turnstile.iter().map(|turnstile| ("the secret of Turnstile".to_owned(), &turnstile.secret)));
    all.extend(plan.certificates.iter().map(|pair| ("a private key of TLS".to_owned(), &pair.key)));
    all
}

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    let (mut count, mut dated) = (0, 0);
    let (mut unread, mut undated) = (Unseen::default(), Unseen::default());
    for (what, source) in secrets(look.plan) {
        if let Source::Inline(_) = source {
            sheet.warn(
                "secrets.inline",
                format!("{what} stands in the configuration"),
                "it goes wherever that file goes: into a repository, a ticket, a backup",
                "put it into a file of its own and name that (password_file)",
            );
        }
        let text = match read(source) {
            Ok(text) => text,
            Err(why) => {
                unread.add(&what, source, &why);
                continue;
            }
        };
        count += 1;
        // A key in PEM form is as strong as its kind, which whoever reads it checks.
        if let Some(line) = std::str::from_utf8(&text).ok().map(str::trim_end).filter(|line| line.lines().count() == 1)
        {
            judge(&what, source, line, sheet);
        }
        let modified = source.path().ok().flatten().and_then(|path| fs::metadata(path).ok()?.modified().ok());
        let Some(modified) = modified else {
            undated.add(&what, source, "it has no date: it is in no file of its own");
            continue;
        };
        dated += 1;
        // One of the future is young.
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        if age > OLD {
            let days = age.as_secs() / DAY;
            sheet.warn(
                "secrets.age",
                format!("{what} ({source}) is {days} days old"),
                "what nobody changes is known to all who ever saw it",
                "get a new one from whoever gave it, put it there, and reload",
            );
        }
    }
    unread.tell(&["secrets.strength", "secrets.placeholder", "secrets.age"], sheet);
    undated.tell(&["secrets.age"], sheet);
    sheet.pass_unless_told("secrets.inline", "no secret stands in the configuration");
    sheet.pass_unless_told("secrets.strength", format!("{count} secrets could be read, and none is short"));
    sheet.pass_unless_told("secrets.placeholder", format!("{count} secrets could be read, and none is a placeholder"));
    let days = OLD.as_secs() / DAY;
    sheet.pass_unless_told("secrets.age", format!("{dated} secrets have a date, and none is older than {days} days"));
    keys(look, sheet);
}

fn judge(what: &str, source: &Source, line: &str, sheet: &mut Sheet) {
    if strength::is_placeholder(line) {
        sheet.fail(
            "secrets.placeholder",
            format!("{what} ({source}) is a placeholder that everybody knows"),
            "the upstream refuses it, or lets everybody in who tries it",
            "put the real one there",
        );
    } else if strength::bits(line) < BITS {
        sheet.warn(
            "secrets.strength",
            format!("{what} ({source}) can hold {:.0} bits at most", strength::bits(line)),
            format!("below {BITS:.0} bits it can be guessed by whoever may try often"),
            "ask for a longer random one",
        );
    }
}

/// Of credentials in the vault.
fn keys(look: &Look<'_>, sheet: &mut Sheet) {
    let old_us = u64::try_from(OLD.as_micros()).unwrap_or(u64::MAX);
    let mut count = 0;
    for account in look.accounts.iter().filter(|account| account.enabled) {
        let id = &account.id;
        for key in account.keys.iter().filter(|key| !key.expired) {
            count += 1;
            let age_us = key.created_us.map_or(0, |created| now_us().saturating_sub(created));
            if age_us > old_us {
                sheet.warn(
                    "secrets.keys",
                    format!("the secret {} of credential {id:?} is {} days old", key.id, age_us / DAY / 1_000_000),
                    "what nobody changes is known to all who ever saw it",
                    format!("gatepost credential rotate {id}, and --finish when the application has the new one"),
                );
            }
        }
    }
    match look.service.silence() {
        Some(why) => sheet.skip("secrets.keys", "the age of the secrets of credentials", why),
        None => sheet.pass_unless_told("secrets.keys", format!("{count} secrets of credentials, none too old")),
    }
}

fn read(source: &Source) -> Result<Zeroizing<Vec<u8>>, String> {
    let file = File::from(source.open()?);
    let mut text = Zeroizing::new(Vec::new());
    file.take(MOST).read_to_end(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}
