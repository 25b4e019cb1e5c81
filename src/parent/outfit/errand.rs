//! What each courier is for, by its label.

use crate::config::plan::{Plan, Program, Turnstile, Upstream, Webhook, Witness};
use crate::parent::post::Post;

/// What a courier is for.
pub enum Errand<'p> {
    Mail(&'p Upstream),
    Witness(&'p Witness),
    Webhook(&'p Webhook),
    Turnstile(&'p Turnstile),
}

/// Errors: the configuration has nobody of that label.
pub fn errand<'p>(plan: &'p Plan, post: &Post) -> Result<Errand<'p>, String> {
    let label = &post.label;
    Ok(match (plan.witness_of(label)?, plan.webhook_of(label)?, plan.turnstile_of(label)?) {
        (Some(witness), ..) => Errand::Witness(witness),
        (_, Some(webhook), _) => Errand::Webhook(webhook),
        (.., Some(turnstile)) => Errand::Turnstile(turnstile),
        (None, None, None) => Errand::Mail(upstream(plan, post)?),
    })
}

pub fn upstream<'a>(plan: &'a Plan, post: &Post) -> Result<&'a Upstream, String> {
    plan.upstreams
        .iter()
        .find(|upstream| upstream.name == post.label)
        .ok_or_else(|| "its upstream is not configured".to_owned())
}

pub fn program<'a>(plan: &'a Plan, post: &Post) -> Result<&'a Program, String> {
    upstream(plan, post)?.program.as_ref().ok_or_else(|| "its upstream has no program".to_owned())
}
