//! The APIs that are spoken, by what they have in common.

use std::time::SystemTime;

use super::Letter;
use super::bytesend::Bytesend;
use super::cloudflare::{self, Cloudflare};
use super::judgement::{self, Judgement};
use super::rehearsal::{Check, Finding};
use super::webhook::Webhook;
use crate::courier::http::{Reply, Request};
use crate::mail::address::Address;
use crate::mail::outcome::Said;

pub enum Api {
    Webhook(Webhook),
    Cloudflare(Cloudflare),
    Bytesend(Bytesend),
}

impl Api {
    /// Octets of the longest message.
    pub fn max_size(&self) -> u64 {
        match self {
            Self::Webhook(webhook) => webhook.max_size,
            Self::Cloudflare(_) => cloudflare::MAX_SIZE,
            Self::Bytesend(bytesend) => bytesend.max_size,
        }
    }

    /// How many of these recipients go with one request.
    pub fn part(&self, recipients: &[(u32, Address)], content: &[u8]) -> usize {
        match self {
            Self::Webhook(_) => recipients.len(),
            Self::Cloudflare(cloudflare) => cloudflare.part(recipients, content),
            Self::Bytesend(_) => Bytesend::part(recipients, content),
        }
    }

    /// Whether it knows a request again, so that one whose answer was lost can be asked once more.
    pub fn remembers(&self) -> bool {
        matches!(self, Self::Bytesend(_))
    }

    /// Headers and body; host and path are added. Errors: why the message can't be said by it.
    pub fn request(&self, letter: &Letter<'_>) -> Result<Request, Said> {
        match self {
            Self::Webhook(webhook) => webhook.request(letter, SystemTime::now()),
            Self::Cloudflare(cloudflare) => cloudflare.request(letter),
            Self::Bytesend(bytesend) => bytesend.request(letter),
        }
    }

    /// Why it says nothing to these recipients, where others of the message may be told. What is left out, and told of, is no reason.
    pub fn refuses(&self, letter: &Letter<'_>) -> Option<Said> {
        match self {
            Self::Webhook(_) | Self::Cloudflare(_) => None,
            Self::Bytesend(bytesend) => bytesend.refuses(letter),
        }
    }

    /// What can be asked without a message, and tells whether the secret is taken: one after the other, until one tells.
    pub fn checks(&self, path: &str) -> Vec<Check> {
        match self {
            Self::Webhook(_) => Vec::new(),
            Self::Cloudflare(cloudflare) => cloudflare.checks(path),
            Self::Bytesend(bytesend) => bytesend.checks(path),
        }
    }

    /// `is_optional`: to a question that not all can be asked.
    pub fn finding(&self, reply: &Reply, is_optional: bool) -> Finding {
        match self {
            Self::Webhook(_) => Finding::Unknown,
            Self::Cloudflare(_) => Cloudflare::is_in_force(reply),
            Self::Bytesend(_) => Bytesend::finding(reply, is_optional),
        }
    }

    pub fn judge(&self, reply: &Reply, letter: &Letter<'_>) -> Judgement {
        match self {
            Self::Webhook(_) => judgement::by_status(reply, letter),
            Self::Bytesend(_) => Bytesend::judge(reply, letter),
            Self::Cloudflare(_) => Cloudflare::judge(reply, letter),
        }
    }
}
