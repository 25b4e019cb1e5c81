//! What can be wrong with a certificate although it can be read: its time, and what it is meant for.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

/// How long before its end a certificate is told of. Whoever renews by itself does it a month before, or when a third of the time is
/// left: by then it has failed for weeks, and there still is time to mend that.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// When clients will refuse one of this chain, which they don't yet, if that is soon.
pub fn end(chain: &[CertificateDer<'_>], now: UnixTime) -> Option<String> {
    let soon = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + SOON);
    chain.iter().enumerate().find_map(|(at, certificate)| match judge(certificate, soon)? {
        Error::CertExpired { not_after, .. } => {
            let left = span(not_after.as_secs().saturating_sub(now.as_secs()));
            Some(format!("{}it expires in {left}", whose(at)))
        }
        _ => None,
    })
}

/// When the first of this chain ends, in Unix seconds.
pub fn ends(chain: &[CertificateDer<'_>]) -> Option<u64> {
    /// The end of the year 9999, behind which RFC 5280 section 4.1.2.5 has no date.
    const LAST: u64 = 253_402_300_799;
    let last = UnixTime::since_unix_epoch(Duration::from_secs(LAST));
    let end = |certificate| match judge(certificate, last)? {
        Error::CertExpired { not_after, .. } => Some(not_after.as_secs()),
        _ => None,
    };
    chain.iter().filter_map(end).min()
}

/// Whole days until then; negative when it is over.
pub fn days_left(chain: &[CertificateDer<'_>], now: UnixTime) -> Option<i64> {
    Some(days_until(ends(chain)?, now))
}

/// The same, until that Unix second.
pub fn days_until(second: u64, now: UnixTime) -> i64 {
    i64::try_from(second).unwrap_or(i64::MAX).saturating_sub_unsigned(now.as_secs()).div_euclid(86_400)
}

/// Which of a chain is meant, the first one but for its being named.
fn whose(at: usize) -> String {
    if at == 0 { String::new() } else { format!("certificate {} of the chain: ", at + 1) }
}

/// Why clients refuse one of this chain now, by this machine's clock; none when its time is right.
pub fn fault(chain: &[CertificateDer<'_>], now: UnixTime) -> Option<String> {
    let ago = |from: UnixTime, to: UnixTime| span(to.as_secs().saturating_sub(from.as_secs()));
    chain.iter().enumerate().find_map(|(at, certificate)| {
        let whose = whose(at);
        match judge(certificate, now)? {
            Error::CertExpired { not_after, .. } => Some(format!("{whose}it expired {} ago", ago(not_after, now))),
            Error::CertNotValidYet { not_before, .. } => {
                Some(format!("{whose}it is not valid for another {}, or the clock is wrong", ago(now, not_before)))
            }
            Error::InvalidCertValidity => Some(format!("{whose}it ends before it begins: no client takes it")),
            _ => None,
        }
    })
}

/// Whether it says that it may sign others, as an authority's does.
pub fn is_authority(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let then = match judge(certificate, now) {
        Some(Error::CertExpired { not_after, .. }) => not_after,
        Some(Error::CertNotValidYet { not_before, .. }) => not_before,
        other => return matches!(other, Some(Error::CaUsedAsEndEntity)),
    };
    matches!(judge(certificate, then), Some(Error::CaUsedAsEndEntity))
}

/// Why it can't be that of a server. It is judged without any authority, so there always is a reason, and what it says of itself
/// is looked at before who has signed it: first its time, then what it may be used for.
fn judge(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<Error> {
    let leaf = EndEntityCert::try_from(certificate).ok()?;
    leaf.verify_for_usage(&[], &[], &[], now, KeyUsage::server_auth(), None, None).err()
}

fn span(seconds: u64) -> String {
    let span = Duration::from_secs(seconds).as_secs();
    let (number, unit) = match span {
        0..7200 => (span / 60, "minute"),
        7200..172_800 => (span / 3600, "hour"),
        _ => (span / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: i32, to: i32, is_ca: IsCa) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["gate.example.net".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        params.is_ca = is_ca;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_is_told_by_its_time_and_by_what_it_may_sign() {
        // 2020-01-01.
        let day = |days: u64| UnixTime::since_unix_epoch(Duration::from_secs(1_577_836_800 + days * 86_400));
        let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
        for is_ca in [IsCa::NoCa, ca()] {
            let is_authority_s = is_ca == ca();
            let one = certificate(2020, 2021, is_ca);
            assert_eq!(fault(std::slice::from_ref(&one), day(1)), None);
            let ends = |days| end(std::slice::from_ref(&one), day(days));
            assert_eq!(ends(351), None, "it has fifteen days");
            assert_eq!(
                (ends(353).unwrap(), ends(365).unwrap()),
                ("it expires in 13 days".into(), "it expires in 24 hours".into())
            );
            assert_eq!(fault(std::slice::from_ref(&one), day(376)).unwrap(), "it expired 10 days ago");
            let early =
                fault(std::slice::from_ref(&one), UnixTime::since_unix_epoch(Duration::from_secs(1_577_826_000)));
            assert_eq!(early.unwrap(), "it is not valid for another 3 hours, or the clock is wrong");
            for now in [0, 1, 376].map(day) {
                assert_eq!(is_authority(&one, now), is_authority_s);
            }
        }
        let chain = [certificate(2020, 2030, IsCa::NoCa), certificate(2010, 2020, ca())];
        assert_eq!(fault(&chain, day(3)).unwrap(), "certificate 2 of the chain: it expired 3 days ago");
        let turned = [certificate(2021, 2020, IsCa::NoCa)];
        assert_eq!(fault(&turned, day(3)).unwrap(), "it ends before it begins: no client takes it");
    }
}
