//! TLS of an upstream: by what it is believed, and what it is shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::file::{self, At};
use super::findings::Findings;
use super::plan::word;
use super::slice::{TlsMode, Verify};
use super::source::Source;
use super::upstreams::is_loopback;
use super::{name, upstreams};

/// The words for what is verified. The last says what it is.
const VERIFY: [(&str, Verify); 3] =
    [("full", Verify::Full), ("pin", Verify::Pin), ("none_insecure", Verify::NoneInsecure)];
/// Keys of one upstream: that of today, the next one, and some for each of its hosts.
const MOST_PINS: usize = 16;

/// How a connection to an upstream is protected.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    pub verify: Verify,
    /// SHA-256 of public keys. Empty: any that is verified.
    pub pins: Vec<[u8; 32]>,
    /// The name that a certificate must bear, where it isn't the host's.
    pub name: Option<String>,
    /// Whom to trust; the system's authorities when absent.
    pub authorities: Option<Source>,
    /// Our own certificate and its key.
    pub own: Option<(Source, Source)>,
}

impl Protection {
    /// Whether somebody must have signed for the upstream's certificate.
    pub fn by_authority(&self) -> bool {
        self.verify == Verify::Full
    }

    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        let own = self.own.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.authorities.iter().chain(own)
    }
}

/// Reads the keys. `hosts`: where the upstream is.
pub fn plan(
    written: &file::Upstream,
    tls: TlsMode,
    hosts: &[(String, u16)],
    findings: &mut Findings<'_>,
) -> Protection {
    let verify = written.verify.as_ref().and_then(|verify| word(verify, "verify", &VERIFY, &[], findings));
    let protection = Protection {
        verify: verify.unwrap_or_default(),
        pins: pins(written, findings),
        name: tls_name(written, findings),
        authorities: upstreams::authorities(&written.authorities_file, findings),
        own: own(written, findings),
    };
    judge(&protection, written, tls, hosts, findings);
    protection
}

fn judge(
    protection: &Protection,
    written: &file::Upstream,
    tls: TlsMode,
    hosts: &[(String, u16)],
    findings: &mut Findings<'_>,
) {
    let given = [
        ("verify", written.verify.as_ref().map(At::span)),
        ("pin", written.pin.as_ref().map(At::span)),
        ("tls_name", written.tls_name.as_ref().map(At::span)),
        ("client_certificate", written.client_certificate.as_ref().map(At::span)),
    ];
    if tls == TlsMode::None {
        for (key, place) in given {
            if let Some(place) = place {
                findings.refuse(place, format!("{key}: there is no TLS to this upstream: set tls"));
            }
        }
        return;
    }
    let Some(place) = written.verify.as_ref().map(At::span) else { return };
    if protection.verify == Verify::Pin && written.pin.is_none() {
        findings.refuse(place.clone(), "verify: no key is pinned: add pin = [\"sha256:...\"]");
    }
    if let (false, Some(file)) = (protection.by_authority(), &written.authorities_file) {
        findings.refuse(file.span(), "authorities_file: with this verify no authority is asked: take one of them away");
    }
    if protection.verify != Verify::NoneInsecure {
        return;
    }
    if let Some(pin) = &written.pin {
        findings.refuse(pin.span(), "pin: with verify = \"none_insecure\" nobody looks at it: write verify = \"pin\"");
    }
    if written.requiretls.as_ref().is_some_and(|flag| *flag.get_ref()) {
        findings.refuse(place.clone(), "verify: requiretls promises verified TLS: write \"full\" or \"pin\"");
    }
    let Some((host, _)) = hosts.iter().find(|(host, _)| !is_loopback(host)) else { return };
    if written.username.is_some() {
        let text = "verify: the password would go to whoever answers: write verify = \"pin\" and pin, which is as easy";
        findings.refuse(place, text);
    } else {
        let text =
            format!("verify: whoever answers for {host} is believed, and can read and change the mail: pin its key");
        findings.warn(Some(place), text);
    }
}

fn pins(written: &file::Upstream, findings: &mut Findings<'_>) -> Vec<[u8; 32]> {
    let Some(list) = &written.pin else { return Vec::new() };
    if list.get_ref().is_empty() || list.get_ref().len() > MOST_PINS {
        findings.refuse(list.span(), format!("pin: from 1 to {MOST_PINS} keys"));
    }
    let mut pins = Vec::new();
    for text in list.get_ref() {
        match pin(text.get_ref()) {
            Some(pin) => pins.push(pin),
            None => {
                let text = format!(
                    "pin: {:?}: write \"sha256:\" and the SHA-256 of the public key, in base64 (44 characters) or hexadecimal (64)",
                    text.get_ref()
                );
                findings.refuse(list.span(), text);
            }
        }
    }
    pins
}

fn pin(text: &str) -> Option<[u8; 32]> {
    let hash = text.strip_prefix("sha256:")?;
    if hash.len() != 64 {
        return STANDARD.decode(hash).ok()?.try_into().ok();
    }
    let digits: Vec<u8> = hash.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    let octets: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |sum, digit| sum * 16 + digit)).collect();
    octets.try_into().ok()
}

fn tls_name(written: &file::Upstream, findings: &mut Findings<'_>) -> Option<String> {
    let written = written.tls_name.as_ref()?;
    if !name::is_host(written.get_ref()) {
        findings.refuse(written.span(), format!("tls_name: {:?} is not a host name", written.get_ref()));
    }
    Some(written.get_ref().to_ascii_lowercase())
}

fn own(written: &file::Upstream, findings: &mut Findings<'_>) -> Option<(Source, Source)> {
    let alone = |text: &At<String>, key: &str, other: &str, findings: &mut Findings<'_>| {
        findings.refuse(text.span(), format!("{key}: {other} is missing beside it"));
    };
    match (&written.client_certificate, &written.client_key) {
        (Some(certificate), None) => alone(certificate, "client_certificate", "client_key", findings),
        (None, Some(key)) => alone(key, "client_key", "client_certificate", findings),
        _ => {}
    }
    let certificate = file_of(&written.client_certificate, "client_certificate", findings)?;
    file_of(&written.client_key, "client_key", findings).map(|key| (certificate, key))
}

fn file_of(written: &Option<At<String>>, key: &str, findings: &mut Findings<'_>) -> Option<Source> {
    let written = written.as_ref()?;
    Source::file(written.get_ref()).map_err(|why| findings.refuse(written.span(), format!("{key}: {why}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_u4_a_pin_is_a_whole_hash_in_base64_or_hexadecimal() {
        let base64 = STANDARD.encode([0xab; 32]);
        assert_eq!(pin(&format!("sha256:{base64}")), Some([0xab; 32]));
        assert_eq!(pin(&format!("sha256:{}", "aB".repeat(32))), Some([0xab; 32]));
        let bad = [
            String::new(),
            base64.clone(),
            format!("sha1:{base64}"),
            format!("sha256:{}", &base64[1..]),
            format!("sha256:{}", base64.trim_end_matches('=')),
            format!("sha256:{}", "ab".repeat(31)),
            format!("sha256:{}", "ag".repeat(32)),
        ];
        for bad in bad {
            assert_eq!(pin(&bad), None, "{bad}");
        }
    }
}
