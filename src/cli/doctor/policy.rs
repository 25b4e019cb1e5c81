//! Who may send as whom, and to whom.

use super::Look;
use super::finding::Sheet;
use crate::policy::rule::{RecipientRule, SenderRule};

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    for account in look.accounts.iter().filter(|account| account.enabled) {
        let (id, policy) = (&account.id, &account.policy);
        if policy.senders.contains(&SenderRule::Any) {
            sheet.warn(
                "policy.senders",
                format!("credential {id:?} may send as anybody (\"*\")"),
                "whoever gets its secret writes in the name of everybody, your own domains first",
                format!(
                    "name its domain: gatepost credential set {id} --sender @example.net, or `senders` in the file"
                ),
            );
        }
        let to_all = policy.recipients.allow.is_empty() || policy.recipients.allow.contains(&RecipientRule::Any);
        let is_bounded = policy.limits.rates().is_some() || look.plan.limits.vault.tiers.global.is_some();
        if to_all && policy.recipients.deny.is_empty() && !is_bounded && policy.redirect.is_none() {
            sheet.warn(
                "policy.recipients",
                format!("credential {id:?} may write to everybody, and to as many as it likes"),
                "a stolen secret of it is a source of spam without an end",
                format!(
                    "give it recipients (--recipient-allow, --recipient-deny) or limits: \
                     gatepost credential set {id} --per-day 1000"
                ),
            );
        }
    }
    let count = look.accounts.iter().filter(|account| account.enabled).count();
    sheet.pass_unless_told("policy.senders", format!("none of {count} credentials may send as anybody"));
    sheet.pass_unless_told(
        "policy.recipients",
        format!("none of {count} credentials writes to everybody without a limit"),
    );
}
