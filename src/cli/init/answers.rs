//! What `gatepost init` has to know, from its options or by asking.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Init;
use super::ask::Asker;
use crate::config::name;
use crate::policy::principal::is_id;
use crate::policy::rule::SenderRule;
use crate::secret::Secret;

/// Where clients of the same machine connect, without root.
const LISTEN: &str = "127.0.0.1:2525";
/// Message submission, and over TLS from the first octet: RFC 6409, RFC 8314.
const SUBMISSION: u16 = 587;
const SUBMISSIONS: u16 = 465;

#[derive(Debug)]
pub struct Answers {
    pub hostname: String,
    pub listen: SocketAddr,
    pub http: Option<SocketAddr>,
    /// Chain and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub upstream: Option<Upstream>,
    pub credential: Option<(String, Vec<String>)>,
    pub state: Option<PathBuf>,
    pub runtime: Option<PathBuf>,
}

#[derive(Debug)]
pub enum Upstream {
    Smtp { host: String, port: u16, tls: String, login: Option<(String, Password)> },
    Bytesend(Password),
}

/// The secret of an upstream.
#[derive(Debug)]
pub enum Password {
    File(PathBuf),
    /// It was typed, and is to be written there.
    Typed(PathBuf, Secret<String>),
    /// It will be there, when somebody writes it.
    Later(PathBuf),
}

impl Password {
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Typed(path, _) | Self::Later(path) => path,
        }
    }

    pub fn is_later(&self) -> bool {
        matches!(self, Self::Later(_))
    }
}

impl Answers {
    /// Errors: an option that makes no sense, one that is missing where nothing may be asked, or answers that ended.
    pub fn gather(given: &Init, path: &Path, ask: &mut Asker) -> Result<Self, String> {
        let hostname =
            ask.one("hostname", "The name of this gate, as clients see it", &given.hostname, None, |text| {
                let wrong = || format!("{text:?} is not a host name, such as gate.example.net");
                name::is_host(text).then(|| text.to_ascii_lowercase()).ok_or_else(wrong)
            })?;
        let listen = ask.one("listen", "Where SMTP clients connect", &given.listen, Some(LISTEN), socket)?;
        let http = ask.maybe("http", "Where HTTP clients connect", &given.http, socket)?;
        let tls = match (&given.certificate, &given.key) {
            (Some(chain), Some(key)) => Some((absolute(chain)?, absolute(key)?)),
            _ if [Some(listen), http].iter().flatten().any(|at| !at.ip().is_loopback()) => {
                let what = "The file of the certificate chain (PEM), for an address that others reach";
                let chain = ask.one("certificate", what, &None, None, file)?;
                Some((chain, ask.one("key", "The file of its key (PEM)", &None, None, file)?))
            }
            _ => None,
        };
        let upstream = upstream(given, path, ask)?;
        let id = ask.maybe("credential", "The first client that may send: its user name", &given.credential, |id| {
            is_id(id)
                .then(|| id.to_owned())
                .ok_or_else(|| format!("{id:?} is no name: a letter or digit, then also . _ -"))
        })?;
        let credential = match (id, given.senders.as_slice()) {
            (None, _) => None,
            (Some(id), []) => {
                // Of gate.example.net, that of the mail is the rest.
                let domain = hostname.split_once('.').map(|(_, rest)| rest).filter(|rest| rest.contains('.'));
                let usual = domain.map(|domain| format!("@{domain}"));
                let what = "A sender that it may use: user@domain, @domain or *";
                Some((id, vec![ask.one("sender", what, &None, usual.as_deref(), sender)?]))
            }
            (Some(id), all) => Some((id, all.iter().map(|rule| sender(rule)).collect::<Result<_, _>>()?)),
        };
        let state = given.state_directory.as_deref().map(absolute).transpose()?;
        let runtime = given.runtime_directory.as_deref().map(absolute).transpose()?;
        Ok(Self { hostname, listen, http, tls, upstream, credential, state, runtime })
    }

    pub fn password(&self) -> Option<&Password> {
        match self.upstream.as_ref()? {
            Upstream::Smtp { login, .. } => login.as_ref().map(|(_, password)| password),
            Upstream::Bytesend(token) => Some(token),
        }
    }

    /// What is to be written beside the configuration.
    pub fn typed(&self) -> Option<(&Path, &Secret<String>)> {
        match self.password()? {
            Password::Typed(path, secret) => Some((path, secret)),
            Password::File(_) | Password::Later(_) => None,
        }
    }
}

fn upstream(given: &Init, path: &Path, ask: &mut Asker) -> Result<Option<Upstream>, String> {
    let kinds = ["smtp", "bytesend", "none"];
    let usual = if ask.is_silent() && given.upstream_host.is_none() { "none" } else { "smtp" };
    let kind =
        ask.one("upstream", "Where mail goes: smtp, bytesend or none", &given.upstream, Some(usual), |text| {
            kinds.contains(&text).then(|| text.to_owned()).ok_or_else(|| "write smtp, bytesend or none".to_owned())
        })?;
    let secret = |ask: &mut Asker, what: &str, name: &str| -> Result<Password, String> {
        if let Some(file) = &given.upstream_secret_file {
            let file = absolute(file)?;
            return match file.is_file() {
                true => Ok(Password::File(file)),
                false => Err(format!(
                    "{}: there is no such file: write the secret into it first, in one line, so that nobody else can read it",
                    file.display()
                )),
            };
        }
        let beside = path.with_file_name(name);
        Ok(match ask.secret(what)? {
            Some(secret) => Password::Typed(beside, secret),
            None => Password::Later(beside),
        })
    };
    let smtp = [
        ("--upstream-host", given.upstream_host.is_some()),
        ("--upstream-port", given.upstream_port.is_some()),
        ("--upstream-tls", given.upstream_tls.is_some()),
        ("--upstream-user", given.upstream_user.is_some()),
        ("--upstream-secret-file", given.upstream_secret_file.is_some() && kind != "bytesend"),
    ];
    if let Some((option, _)) = smtp.iter().find(|(_, is_given)| *is_given && kind != "smtp") {
        return Err(format!("{option}: an upstream of kind {kind} has none"));
    }
    if kind == "none" {
        return Ok(None);
    }
    if kind == "bytesend" {
        return Ok(Some(Upstream::Bytesend(secret(ask, "The token of its API", "bytesend.token")?)));
    }
    let host = ask.one("upstream-host", "The smart host's name or address", &given.upstream_host, None, host)?;
    let port = given.upstream_port.map(|port| port.to_string());
    let usual = SUBMISSION.to_string();
    let port = ask.one("upstream-port", "Its port", &port, Some(&usual), |text| match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?} is not a port")),
        Ok(port) => Ok(port),
    })?;
    let usual = match (is_here(&host), port) {
        (true, _) => "none",
        (_, SUBMISSIONS) => "implicit",
        _ => "starttls",
    };
    let modes = ["starttls", "implicit", "none"];
    let what = "How it is spoken to: starttls, implicit (TLS from the first octet) or none";
    let tls = ask.one("upstream-tls", what, &given.upstream_tls, Some(usual), |text| {
        modes.contains(&text).then(|| text.to_owned()).ok_or_else(|| "write starttls, implicit or none".to_owned())
    })?;
    let user = ask.maybe("upstream-user", "The name to log in with there", &given.upstream_user, |text| {
        let fits = !text.contains(char::is_control);
        fits.then(|| text.to_owned()).ok_or_else(|| "a name has no control characters".to_owned())
    })?;
    if user.is_none() && given.upstream_secret_file.is_some() {
        return Err("--upstream-secret-file needs --upstream-user: who logs in with it?".to_owned());
    }
    if user.is_some() && tls == "none" && !is_here(&host) {
        return Err(
            "--upstream-user: nobody logs in without TLS; write starttls or implicit for --upstream-tls".to_owned()
        );
    }
    let login = match user {
        Some(user) => Some((user, secret(ask, "Its password", "smarthost.secret")?)),
        None => None,
    };
    Ok(Some(Upstream::Smtp { host, port, tls, login }))
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?}: write an address and a port, 127.0.0.1:2525 or [::1]:2525"))
}

fn host(text: &str) -> Result<String, String> {
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    let wrong = || format!("{text:?} is not a host name, such as smtp.example.net; its port is asked for by itself");
    (is_address || name::is_host(text)).then(|| text.to_owned()).ok_or_else(wrong)
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn file(text: &str) -> Result<PathBuf, String> {
    let path = absolute(Path::new(text))?;
    let wrong = || format!("{}: there is no such file", path.display());
    path.is_file().then(|| path.clone()).ok_or_else(wrong)
}

fn sender(text: &str) -> Result<String, String> {
    text.parse::<SenderRule>().map(|_| text.to_owned()).map_err(|error| format!("{text:?}: {error}"))
}

/// A path as it stands in the configuration, which is UTF-8.
fn absolute(path: &Path) -> Result<PathBuf, String> {
    let path = std::path::absolute(path).map_err(|error| format!("finding {}: {error}", path.display()))?;
    match path.to_str() {
        Some(_) => Ok(path),
        None => Err(format!("{}: its name is not UTF-8, and can't stand in a configuration", path.display())),
    }
}
