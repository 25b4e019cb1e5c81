//! `webhook_in` of an upstream: by which name its provider tells what became of mail, and what it signs that with.

use std::collections::BTreeSet;

use super::file::{self, At, Config};
use super::findings::Findings;
use super::name;
use super::plan::Plan;
use super::slice::{self, Serve};
use super::source::Source;
use crate::secret::Secret;

/// Octets of a secret: shorter ones can be guessed, and providers give some seventy.
const SHORTEST: usize = 24;
const LONGEST: usize = 512;

#[derive(Clone, Debug)]
pub struct Hook {
    /// The end of its path.
    pub name: String,
    /// What the provider signs with; and the one before, until the provider has the new one.
    pub secret: Source,
    pub previous: Option<Source>,
}

impl Hook {
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        [&self.secret].into_iter().chain(&self.previous)
    }

    /// What the vault needs of it, with secrets that were read by `read`, which is given each with its key.
    ///
    /// Errors: one of them can't be read, or is none.
    pub fn slice(
        &self,
        upstream: &str,
        read: impl Fn(&Source, &str) -> Result<Secret<String>, String>,
    ) -> Result<slice::Hook, String> {
        let previous = self.previous.iter().map(|source| read(source, "previous_secret_file"));
        let secrets = [read(&self.secret, "secret_file")].into_iter().chain(previous).collect::<Result<_, _>>()?;
        Ok(slice::Hook { name: self.name.clone(), upstream: upstream.to_owned(), secrets })
    }
}

/// The secret in a file of one line, which is signed with as it stands there.
///
/// Errors: it is none; never with what stands there.
pub fn secret(octets: &[u8], key: &str) -> Result<Secret<String>, String> {
    let line = octets.strip_suffix(b"\n").unwrap_or(octets);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_one = (SHORTEST..=LONGEST).contains(&line.len()) && line.iter().all(u8::is_ascii_graphic);
    let text = std::str::from_utf8(line).ok().filter(|_| is_one);
    text.map(|text| Secret::new(text.to_owned())).ok_or_else(|| {
        format!("webhook_in.{key}: must hold one line of {SHORTEST} to {LONGEST} visible ASCII characters, the webhook's secret")
    })
}

pub fn plan(written: &file::Upstream, findings: &mut Findings<'_>) -> Option<Hook> {
    let table = written.webhook_in.as_ref()?;
    let file::WebhookIn { name, secret_file, previous_secret_file } = table.get_ref();
    let name = match name {
        Some(written) if name::is_label(written.get_ref()) => Some(written.get_ref().clone()),
        Some(written) => {
            findings.refuse(written.span(), format!("webhook_in.name: {:?}: write {}", written.get_ref(), name::LABEL));
            None
        }
        None => {
            findings.refuse(table.span(), "webhook_in: name is missing: the provider posts to /hooks/ and that name");
            None
        }
    };
    if secret_file.is_none() {
        let text = "webhook_in: secret_file is missing: a file that holds the secret that the provider shows, one line";
        findings.refuse(table.span(), text);
    }
    let mut source = |written: &Option<At<String>>, key: &str| {
        let written = written.as_ref()?;
        Source::file(written.get_ref())
            .map_err(|why| findings.refuse(written.span(), format!("webhook_in.{key}: {why}")))
            .ok()
    };
    let secret = source(secret_file, "secret_file");
    let previous = source(previous_secret_file, "previous_secret_file");
    Some(Hook { name: name?, secret: secret?, previous })
}

/// Refuses what can't be told apart, and says what nobody can reach.
pub fn look(plan: &Plan, config: &Config, findings: &mut Findings<'_>) {
    let mut names = BTreeSet::new();
    let is_served = plan.listeners.iter().any(|listener| listener.serve.contains(&Serve::Hooks));
    let mut any = false;
    for (upstream, table) in plan.upstreams.iter().zip(&config.upstream) {
        let (Some(hook), Some(written)) = (&upstream.hook, &table.get_ref().webhook_in) else { continue };
        any = true;
        if !names.insert(hook.name.as_str()) {
            findings.refuse(written.span(), format!("webhook_in.name: {:?} is used twice", hook.name));
        }
        if !is_served {
            let text = "webhook_in: no listener serves it: write serve = [\"hooks\"] in one of protocol = \"http\"";
            findings.warn(Some(written.span()), text);
        }
    }
    if is_served && !any {
        findings.warn(None, "serve = [\"hooks\"]: no upstream has webhook_in, so whatever is posted there is refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_and_is_never_repeated() {
        let good = b"whsec_0123456789abcdef0123456789abcdef";
        for end in [&b""[..], b"\n", b"\r\n"] {
            let read = secret(&[&good[..], end].concat(), "secret_file").unwrap();
            assert_eq!(read.expose().as_bytes(), good);
        }
        let long = [b'x'; LONGEST + 1];
        for bad in [&b""[..], b"sesame", b"0123456789abcdef 0123456789", b"0123456789abcdef\n0123456789", &long[..]] {
            let why = secret(bad, "secret_file").unwrap_err();
            assert!(why.starts_with("webhook_in.secret_file: must hold one line") && !why.contains("sesame"), "{why}");
        }
    }
}
