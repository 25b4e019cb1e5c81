//! The files that a configuration names, read as those who use them do.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::chosen;
use crate::certificate::validity;
use crate::config::hooks;
use crate::config::plan::{Certificate, Hook, Place, Plan, Program};
use crate::config::slice::Api;
use crate::config::source::Source;
use crate::courier;
use crate::edge::clients;
use crate::parent;
use crate::sys::syslog::Local;

/// The longest file of certificates, keys or authorities that is read: a system's whole bundle has a quarter of it.
const MAX_FILE: u64 = 1 << 20;

/// What is wrong and what is odd with them. `brief`: their age and who may read them is somebody else's to say.
pub fn contents(path: &Path, plan: &Plan, brief: bool) -> (Vec<String>, Vec<String>) {
    let mut files = Files { path, brief, errors: Vec::new(), warnings: Vec::new() };
    if let Err(why) = parent::has_room(&plan.runtime_directory) {
        files.refuse(&why);
    }
    let pair = |Certificate { number, chain, key }: &Certificate| Some((*number, files.pair(chain, key)?));
    let pairs: Vec<_> = plan.certificates.iter().filter_map(pair).collect();
    files.warnings.extend(chosen::never(path, plan, &pairs));
    for authorities in plan.listeners.iter().filter_map(|listener| listener.client_authorities.as_ref()) {
        files.client_authorities(authorities);
    }
    for upstream in &plan.upstreams {
        if let Some(authorities) = &upstream.protection.authorities {
            files.authorities(authorities);
        }
        if let Some((chain, key)) = &upstream.protection.own {
            files.pair(chain, key);
        }
        match (&upstream.password, &upstream.provider) {
            (Some(secret), Some(provider)) => files.secret(secret, &provider.api),
            (Some(password), None) => files.password(password),
            (None, _) => {}
        }
        if let Some(program) = &upstream.program {
            files.program(program);
        }
        if let Some(oauth2) = &upstream.oauth2 {
            oauth2.secrets().for_each(|secret| files.password(secret));
            oauth2.authorities.iter().for_each(|authorities| drop(files.authorities(authorities)));
        }
    }
    for hook in plan.upstreams.iter().filter_map(|upstream| upstream.hook.as_ref()) {
        files.hook(hook);
    }
    for (_, witness) in plan.witnesses() {
        if let Some(authorities) = &witness.authorities {
            files.authorities(authorities);
        }
    }
    for webhook in &plan.webhooks {
        files.signing(&webhook.secret, "secret_file");
        webhook.previous.iter().for_each(|previous| files.signing(previous, "previous_secret_file"));
        webhook.authorities.iter().for_each(|authorities| drop(files.authorities(authorities)));
    }
    if let Some(turnstile) = &plan.turnstile {
        files.password(&turnstile.secret);
        turnstile.authorities.iter().for_each(|authorities| drop(files.authorities(authorities)));
    }
    if let Some(socket) = &plan.log.syslog {
        files.syslog(socket, "log lines go to standard error until somebody does");
    }
    for (_, anchor) in plan.near_anchors() {
        if let Place::Syslog { socket } = &anchor.place {
            files.syslog(socket, &format!("the anchor {:?} keeps no head until somebody does", anchor.name));
        }
    }
    (files.errors, files.warnings)
}
/// The files that a configuration names.
struct Files<'a> {
    path: &'a Path,
    /// Their age and who may read them is somebody else's to say.
    brief: bool,
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Files<'_> {
    /// A certificate and a key that belong together. Keyholder or courier check it again, at each start and reload.
    fn pair(&mut self, chain: &Source, key: &Source) -> Option<CertifiedKey> {
        let certificates = self.read(chain, false).map(|text| certificates(&text));
        let secret = self.read(key, true).map(|text| PrivateKeyDer::from_pem_slice(&text));
        let wrong = match (certificates, secret) {
            (Some(Err(why)), _) => format!("{chain}: {why}"),
            (_, Some(Err(why))) => format!("{key}: not a private key in PEM form: {why}"),
            (Some(Ok(certificates)), Some(Ok(secret))) => {
                match CertifiedKey::from_der(certificates, secret, &default_provider()) {
                    Ok(pair) => {
                        if self.brief {
                            return Some(pair);
                        }
                        if let Some(why) = validity::fault(&pair.cert, UnixTime::now()) {
                            self.warn(&format!("{chain}: {why}: it is refused, renew it"));
                        } else if let Some(why) = validity::end(&pair.cert, UnixTime::now()) {
                            self.warn(&format!("{chain}: {why}, and its renewal is late: renew it"));
                        }
                        return Some(pair);
                    }
                    Err(rustls::Error::InconsistentKeys(_)) => {
                        format!("{chain}: {key} does not serve this certificate: it is the key of another one")
                    }
                    Err(why) => format!("{chain}: {key} does not serve this certificate: {why}"),
                }
            }
            _ => return None,
        };
        self.refuse(&wrong);
        None
    }

    fn authorities(&mut self, source: &Source) -> Vec<CertificateDer<'static>> {
        match self.read(source, false).map(|text| certificates(&text)) {
            Some(Ok(all)) => return all,
            Some(Err(why)) => self.refuse(&format!("{source}: {why}")),
            None => {}
        }
        Vec::new()
    }

    /// Those by whom clients are believed, as the edge takes them. Their own time is judged by nobody, so that it is told.
    fn client_authorities(&mut self, source: &Source) {
        let all = self.authorities(source);
        if let Some(why) = clients::outdated(&all, UnixTime::now()) {
            self.warn(&format!(
                "{source}: {why}: clients are believed by it all the same, for the time of an authority's own \
                 certificate is not looked at: take it out if they should not be"
            ));
        }
        if let Err(why) = clients::roots(all) {
            self.refuse(&format!("{source}: {why}"));
        }
    }

    /// A secret of one line, as its courier takes it.
    fn password(&mut self, source: &Source) {
        let Some(text) = self.read(source, true) else { return };
        if let Err(why) = courier::is_secret(&text) {
            self.refuse(&format!("{source}: {why}"));
        }
    }

    /// What is run for each message, as the parent looks at it before it starts a mailer.
    fn program(&mut self, program: &Program) {
        match program.look() {
            Ok(odd) => odd.iter().for_each(|text| self.warn(text)),
            Err(why) => self.refuse(&why),
        }
    }

    /// What a provider knows us by, as its courier takes it.
    fn secret(&mut self, source: &Source, api: &Api) {
        let Some(text) = self.read(source, true) else { return };
        if let Err(why) = courier::fits(api, &text) {
            self.refuse(&format!("{source}: {why}"));
        }
    }

    /// What a webhook's events are signed with, as its courier takes it.
    fn signing(&mut self, source: &Source, key: &str) {
        let Some(text) = self.read(source, true) else { return };
        if let Err(why) = courier::signs(&text, key) {
            self.refuse(&format!("{source}: {why}"));
        }
    }

    /// What a provider signs what it tells with, as the parent reads it for the vault.
    fn hook(&mut self, hook: &Hook) {
        let named = [("secret_file", Some(&hook.secret)), ("previous_secret_file", hook.previous.as_ref())];
        for (key, source) in named.into_iter().filter_map(|(key, source)| Some((key, source?))) {
            let Some(text) = self.read(source, true) else { continue };
            if let Err(why) = hooks::secret(&text, key) {
                self.refuse(&format!("{source}: {why}"));
            }
        }
    }

    fn syslog(&mut self, socket: &Path, so: &str) {
        if let Err(error) = Local::look(socket) {
            self.warn(&format!(
                "{}: nobody takes lines there: {error}: start syslogd, or name its socket: {so}",
                socket.display()
            ));
        }
    }

    /// The content; none when it can't be read, which has been said then.
    fn read(&mut self, source: &Source, secret: bool) -> Option<Zeroizing<Vec<u8>>> {
        if let (Source::Credential(_), Err(why)) = (source, source.path()) {
            self.warn(&format!("not checked: {why}"));
            return None;
        }
        let descriptor = source.open().map_err(|why| self.refuse(&why)).ok()?;
        self.content(source, descriptor, secret)
            .map_err(|why| self.refuse(&format!("{source}: can't be read: {why}")))
            .ok()
    }

    fn content(&mut self, source: &Source, file: OwnedFd, secret: bool) -> std::io::Result<Zeroizing<Vec<u8>>> {
        let file = File::from(file);
        if secret && !self.brief && matches!(source, Source::File(_)) && file.metadata()?.mode() & 0o007 != 0 {
            self.warn(&format!("{source}: everybody may use this file: chmod o="));
        }
        let mut content = Zeroizing::new(Vec::new());
        file.take(MAX_FILE).read_to_end(&mut content)?;
        Ok(content)
    }

    fn warn(&mut self, text: &str) {
        self.warnings.push(format!("{}: warning: {text}", self.path.display()));
    }

    fn refuse(&mut self, text: &str) {
        self.errors.push(format!("{}: {text}", self.path.display()));
    }
}

pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match certificates {
        Ok(list) if list.is_empty() => Err("holds no certificate in PEM form".into()),
        Ok(list) => Ok(list),
        Err(why) => Err(format!("not certificates in PEM form: {why}")),
    }
}
