//! `[[upstream]]` as it is written, with the tables in it.

use serde::Deserialize;

use super::At;
use crate::secret::Secret;

/// `[[upstream]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    pub name: Option<At<String>>,
    pub kind: Option<At<String>>,
    pub hosts: Vec<At<String>>,
    pub tls: Option<At<String>>,
    pub verify: Option<At<String>>,
    pub pin: Option<At<Vec<At<String>>>>,
    pub tls_name: Option<At<String>>,
    pub client_certificate: Option<At<String>>,
    pub client_key: Option<At<String>>,
    pub username: Option<At<String>>,
    pub password_file: Option<At<String>>,
    pub password: Option<At<Secret<String>>>,
    pub password_insecure_inline: Option<At<Secret<String>>>,
    pub auth: Option<At<String>>,
    pub oauth2: Option<At<Oauth2>>,
    pub authorities_file: Option<At<String>>,
    pub requiretls: Option<At<bool>>,
    pub connections: Option<At<i64>>,
    pub pace: Option<At<Pace>>,
    pub idle: Option<At<String>>,
    pub max_age: Option<At<String>>,
    pub messages_per_connection: Option<At<i64>>,
    pub helo: Option<At<String>>,
    pub family: Option<At<String>>,
    pub source_address: Option<At<Vec<At<String>>>>,
    pub url: Option<At<String>>,
    pub secret_file: Option<At<String>>,
    pub account: Option<At<String>>,
    pub token_file: Option<At<String>>,
    pub drop_headers: Option<Vec<At<String>>>,
    pub endpoint: Option<At<String>>,
    pub on_unsupported: Option<At<String>>,
    pub command: Option<At<String>>,
    pub arguments: Option<Vec<At<String>>>,
    pub user: Option<At<String>>,
    pub options: Option<Vec<At<String>>>,
    pub time_limit: Option<At<String>>,
    pub bounce: Option<At<Bounce>>,
    pub webhook_in: Option<At<WebhookIn>>,
}

/// `webhook_in` of an upstream.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookIn {
    pub name: Option<At<String>>,
    pub secret_file: Option<At<String>>,
    pub previous_secret_file: Option<At<String>>,
}

/// `bounce` of an upstream.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounce {
    pub from: Option<At<String>>,
    pub via: Option<At<String>>,
    pub webhook: Option<At<String>>,
}

/// `pace` of an upstream.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pace {
    pub per_second: Option<At<i64>>,
    pub per_minute: Option<At<i64>>,
    pub per_day: Option<At<i64>>,
}

/// `oauth2` of an upstream.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Oauth2 {
    pub grant: Option<At<String>>,
    pub token_url: Option<At<String>>,
    pub client_id: Option<At<String>>,
    pub client_secret_file: Option<At<String>>,
    pub client_secret: Option<At<Secret<String>>>,
    pub refresh_token_file: Option<At<String>>,
    pub refresh_token: Option<At<Secret<String>>>,
    pub scope: Option<At<String>>,
    pub authorities_file: Option<At<String>>,
}
