//! `[turnstile]`, and what a credential demands of it.

use serde::Deserialize;

use super::At;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Turnstile {
    pub secret_file: Option<At<String>>,
    pub url: Option<At<String>>,
    pub authorities_file: Option<At<String>>,
}

/// `turnstile` of a credential.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proof {
    pub hostnames: Vec<At<String>>,
    pub action: Option<At<String>>,
}

/// `form` of a credential.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Form {
    pub origins: Vec<At<String>>,
}
