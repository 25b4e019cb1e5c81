//! Logging in to an upstream by tokens: where they are asked for, and with what.

use super::file::{self, At};
use super::findings::Findings;
use super::plan::word;
use super::slice::{Bearer, Grant, Oauth2Slice};
use super::source::Source;
use super::upstreams::{authorities, is_loopback};
use super::url::Url;
use crate::secret::Secret;

/// The words for what a token is asked for with.
const GRANT: [(&str, Grant); 2] =
    [("refresh_token", Grant::RefreshToken), ("client_credentials", Grant::ClientCredentials)];
/// Far more than the ids and scopes of any provider have.
const MAX_TEXT: usize = 1024;

/// How an upstream's courier gets its tokens.
#[derive(Clone, Debug)]
pub struct Oauth2 {
    pub bearer: Bearer,
    pub grant: Grant,
    pub url: Url,
    pub client_id: String,
    pub client_secret: Option<Source>,
    /// Present exactly when the grant is by it.
    pub refresh_token: Option<Source>,
    pub scope: Option<String>,
    /// Whom to trust at the token endpoint; the system's authorities when absent.
    pub authorities: Option<Source>,
}

impl Oauth2 {
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.secrets().chain(&self.authorities)
    }

    /// What is proved with at the endpoint.
    pub fn secrets(&self) -> impl Iterator<Item = &Source> {
        self.client_secret.iter().chain(&self.refresh_token)
    }

    pub fn slice(&self) -> Oauth2Slice {
        let Url { tls, host, port, path } = self.url.clone();
        Oauth2Slice {
            bearer: self.bearer,
            grant: self.grant,
            host,
            port,
            tls,
            path: if path.is_empty() { "/".to_owned() } else { path },
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.is_some(),
            scope: self.scope.clone(),
        }
    }
}

/// An upstream with a password, or without a login, has nothing to do with it.
pub fn none(written: &file::Upstream, findings: &mut Findings<'_>) -> Option<Oauth2> {
    if let Some(table) = &written.oauth2 {
        findings.refuse(table.span(), "oauth2: only auth = \"xoauth2\" or \"oauthbearer\" logs in by its tokens");
    }
    None
}

/// Of an upstream whose `auth` asks for it.
pub fn plan(bearer: Bearer, written: &file::Upstream, findings: &mut Findings<'_>) -> Option<Oauth2> {
    let Some(table) = &written.oauth2 else {
        if let Some(auth) = &written.auth {
            findings.refuse(auth.span(), "auth: oauth2 is missing beside it: where to get a token, and with what");
        }
        return None;
    };
    let given = table.get_ref();
    let grant = match &given.grant {
        Some(grant) => word(grant, "grant", &GRANT, &[], findings),
        None => {
            let text = "oauth2: grant is missing: write \"refresh_token\" or \"client_credentials\"";
            findings.refuse(table.span(), text);
            None
        }
    };
    let url = url(given, table, findings);
    let client_id = client_id(given, table, findings);
    let client_secret = secret("client_secret", (&given.client_secret_file, &given.client_secret), findings);
    let refresh_token = secret("refresh_token", (&given.refresh_token_file, &given.refresh_token), findings);
    let scope = scope(given, findings);
    let authorities = authorities(&given.authorities_file, findings);
    if let (Some(Url { tls: false, .. }), Some(file)) = (&url, &given.authorities_file) {
        findings.refuse(file.span(), "authorities_file: nobody's certificate is checked over http");
    }
    let grant = grant?;
    let has = |file: &Option<At<String>>, other: &Option<At<Secret<String>>>| file.is_some() || other.is_some();
    let has_token = has(&given.refresh_token_file, &given.refresh_token);
    match grant {
        Grant::RefreshToken if !has_token => {
            findings.refuse(table.span(), "oauth2: this grant needs a refresh token: give refresh_token_file");
        }
        Grant::ClientCredentials if has_token => {
            findings.refuse(
                table.span(),
                "oauth2: with grant = \"client_credentials\" no refresh token is used: take it away",
            );
        }
        Grant::ClientCredentials if !has(&given.client_secret_file, &given.client_secret) => {
            findings.refuse(table.span(), "oauth2: this grant needs the client's secret: give client_secret_file");
        }
        _ => {}
    }
    let (url, client_id) = (url?, client_id?);
    Some(Oauth2 { bearer, grant, url, client_id, client_secret, refresh_token, scope, authorities })
}

fn url(given: &file::Oauth2, table: &At<file::Oauth2>, findings: &mut Findings<'_>) -> Option<Url> {
    let Some(place) = &given.token_url else {
        let text = "oauth2: token_url is missing: such as \"https://oauth2.googleapis.com/token\"";
        findings.refuse(table.span(), text);
        return None;
    };
    let Some(url) = Url::parse(place.get_ref()) else {
        let text = "token_url: write the token endpoint, such as \"https://oauth2.googleapis.com/token\", without user and fragment";
        findings.refuse(place.span(), text);
        return None;
    };
    if !url.tls && !is_loopback(&url.host) {
        findings.refuse(place.span(), "token_url: http is for this machine only: write https");
    }
    Some(url)
}

fn client_id(given: &file::Oauth2, table: &At<file::Oauth2>, findings: &mut Findings<'_>) -> Option<String> {
    let Some(written) = &given.client_id else {
        findings
            .refuse(table.span(), "oauth2: client_id is missing: the id of the application, as its provider shows it");
        return None;
    };
    let text = written.get_ref();
    // RFC 6749 appendix A.1.
    if text.is_empty() || text.len() > MAX_TEXT || !text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        findings.refuse(written.span(), "client_id: write the id of the application, in printable ASCII");
    }
    Some(text.clone())
}

/// RFC 6749 appendix A.4.
fn scope(given: &file::Oauth2, findings: &mut Findings<'_>) -> Option<String> {
    let written = given.scope.as_ref()?;
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|octet| matches!(octet, b'!'..=b'~') && octet != b'"' && octet != b'\\')
    };
    if written.get_ref().len() > MAX_TEXT || !written.get_ref().split(' ').all(is_word) {
        findings.refuse(written.span(), "scope: write the words of the scope with one blank between them");
    }
    Some(written.get_ref().clone())
}

/// A file, or where else it comes from.
fn secret(
    key: &str,
    (file, indirect): (&Option<At<String>>, &Option<At<Secret<String>>>),
    findings: &mut Findings<'_>,
) -> Option<Source> {
    if let (Some(_), Some(second)) = (file, indirect) {
        findings.refuse(second.span(), format!("{key}: there is {key}_file already: give one of them"));
    }
    let file = file.as_ref().map(|text| (text.span(), format!("{key}_file"), Source::file(text.get_ref())));
    let indirect =
        || indirect.as_ref().map(|text| (text.span(), key.to_owned(), Source::indirect(text.get_ref().expose())));
    let (place, key, source) = file.or_else(indirect)?;
    source.map_err(|why| findings.refuse(place, format!("{key}: {why}"))).ok()
}
