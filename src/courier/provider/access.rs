//! By whose key an API is used: ours, or that of whoever sends (`pass_through` of a credential).

use super::judgement::Judgement;
use super::{Api, Letter, Settings, everybody};
use crate::courier::secrets::Secrets;
use crate::mail::outcome::{Outcome, Said};
use crate::secret::Secret;

pub enum Access<'a> {
    Ours(&'a Settings),
    /// It is gone with this.
    Theirs {
        api: Api,
        secrets: Secrets,
    },
}

impl<'a> Access<'a> {
    /// Ours, unless a key is given. Errors: that is none that this API has.
    pub fn new(settings: &'a Settings, key: Option<&Secret<String>>) -> Result<Self, String> {
        let Some(key) = key else { return Ok(Self::Ours(settings)) };
        Ok(Self::Theirs { api: settings.api.with(key)?, secrets: settings.secrets.clone().and(key.expose()) })
    }

    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    pub const fn api(&self) -> &Api {
        match self {
            Self::Ours(settings) => &settings.api,
            Self::Theirs { api, .. } => api,
        }
    }

    /// What is in neither a log nor an answer.
    pub const fn secrets(&self) -> &Secrets {
        match self {
            Self::Ours(settings) => &settings.secrets,
            Self::Theirs { secrets, .. } => secrets,
        }
    }

    /// What an answer is: what a provider has against somebody's own key says nothing of the route, which others use with theirs.
    pub fn judged(&self, judgement: Judgement, letter: &Letter<'_>) -> Judgement {
        if self.is_ours() {
            return judgement;
        }
        let said = |enhanced: &str, text| Said { enhanced: Some(enhanced.to_owned()), text, ..Said::default() };
        let all = |outcome: Outcome| Judgement::Settled(everybody(letter.recipients, &outcome));
        match judgement {
            Judgement::Login(text) => all(Outcome::Deferred(said("4.7.0", text))),
            Judgement::Unwelcome(text) => all(Outcome::Failed(said("5.7.1", text))),
            Judgement::Route { reason, .. } => all(Outcome::Deferred(said("4.3.0", reason))),
            Judgement::Settled(_) | Judgement::PutOff(_) => judgement,
        }
    }
}

impl Api {
    /// The same API, used with another key.
    fn with(&self, key: &Secret<String>) -> Result<Self, String> {
        match self {
            Self::Webhook(_) => Err("a webhook has no keys of others".to_owned()),
            Self::Cloudflare(cloudflare) => cloudflare.with(key).map(Self::Cloudflare),
            Self::Bytesend(bytesend) => bytesend.with(key).map(Self::Bytesend),
        }
    }
}
