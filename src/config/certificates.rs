//! The certificates of listeners: pairs of files, in the order in which they are chosen from.

use super::file::{At, Pair as Written};
use super::findings::Findings;
use super::plan::{Certificate, number};
use super::source::Source;

/// Each is two descriptors of the keyholder, which may have 256 with its channels.
const MOST: usize = 100;

/// A certificate's file and that of its key.
pub type Pair = (Source, Source);

/// What one table names: `certificate` and `key`, then `certificates`. The first is shown to whoever asks for no name, or
/// for one that none of them bears. None: it names none at all.
pub fn pairs(
    certificate: &Option<At<String>>,
    key: &Option<At<String>>,
    further: &Option<Vec<At<Written>>>,
    findings: &mut Findings<'_>,
) -> Option<Vec<Pair>> {
    if certificate.is_none() && key.is_none() && further.is_none() {
        return None;
    }
    let mut pairs: Vec<Pair> = pair(certificate, key, findings).into_iter().collect();
    for table in further.iter().flatten() {
        let written = table.get_ref();
        if written.certificate.is_none() && written.key.is_none() {
            findings.refuse(table.span(), "certificates: each is { certificate = \"FILE\", key = \"FILE\" }");
        }
        pairs.extend(pair(&written.certificate, &written.key, findings));
    }
    if further.as_ref().is_some_and(Vec::is_empty) && pairs.is_empty() {
        findings.refuse_whole("certificates is empty: name a certificate and its key, or drop it");
    }
    Some(pairs)
}

/// Certificate and key, which come together.
fn pair(certificate: &Option<At<String>>, key: &Option<At<String>>, findings: &mut Findings<'_>) -> Option<Pair> {
    let mut open = |written: &At<String>, name: &str| match Source::file(written.get_ref()) {
        Ok(source) => Some(source),
        Err(why) => {
            findings.refuse(written.span(), format!("{name}: {why}"));
            None
        }
    };
    match (certificate, key) {
        (Some(certificate), Some(key)) => Option::zip(open(certificate, "certificate"), open(key, "key")),
        (Some(alone), None) => {
            findings.refuse(alone.span(), "certificate: key is missing beside it");
            None
        }
        (None, Some(alone)) => {
            findings.refuse(alone.span(), "key: certificate is missing beside it");
            None
        }
        (None, None) => None,
    }
}

/// Every pair of files once, numbered.
#[derive(Default)]
pub struct Certificates(Vec<Certificate>);

impl Certificates {
    pub fn number(&mut self, (chain, key): Pair, findings: &mut Findings<'_>) -> u16 {
        let names = (chain.to_string(), key.to_string());
        let known = self.0.iter().find(|known| (known.chain.to_string(), known.key.to_string()) == names);
        if let Some(known) = known {
            return known.number;
        }
        if self.0.len() == MOST {
            findings.refuse_whole(format!("more than {MOST} certificates"));
        }
        let number = number(self.0.len(), "certificates", findings);
        self.0.push(Certificate { number, chain, key });
        number
    }

    pub fn into_list(self) -> Vec<Certificate> {
        self.0
    }
}
