//! Certificates of ours that must be renewed: who shows them, and what the service's log is told of them.

use std::collections::BTreeMap;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};

use super::validity;

/// How often the running service looks: more often than any certificate is renewed, and seldom enough for a line each time.
pub const DAILY: Duration = Duration::from_secs(24 * 3600);

/// A chain and the listeners that show it.
#[derive(Debug)]
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    listeners: Vec<String>,
}

/// All that are shown, by their number.
#[derive(Debug, Default)]
pub struct Renewals(BTreeMap<u16, Shown>);

impl Renewals {
    /// That certificate, which was added, is shown by that listener too.
    pub fn also(&mut self, number: u16, listener: &str) {
        if let Some(shown) = self.0.get_mut(&number) {
            shown.listeners.push(listener.to_owned());
        }
    }

    /// That listener is the first that shows this chain.
    pub fn add(&mut self, number: u16, listener: &str, chain: Vec<CertificateDer<'static>>) {
        self.0.insert(number, Shown { chain, listeners: vec![listener.to_owned()] });
    }

    /// A line for each that clients refuse now, or soon will.
    pub fn tell(&self, now: UnixTime) {
        for Due { listeners, why, is_refused } in self.due(now) {
            if is_refused {
                tracing::warn!(listeners, why, "clients refuse this listener's certificate: renew it");
            } else {
                tracing::warn!(listeners, why, "a certificate ends soon, and its renewal is late: renew it");
            }
        }
    }

    fn due(&self, now: UnixTime) -> Vec<Due> {
        let due = |shown: &Shown| {
            let fault = validity::fault(&shown.chain, now);
            let is_refused = fault.is_some();
            let why = fault.or_else(|| validity::end(&shown.chain, now))?;
            Some(Due { listeners: shown.listeners.join(", "), why, is_refused })
        };
        self.0.values().filter_map(due).collect()
    }
}

/// What is told of one.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    listeners: String,
    why: String,
    is_refused: bool,
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn a_certificate_that_ends_is_told_once_with_all_who_show_it() {
        let mut params = CertificateParams::new(vec!["gate.example.net".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        let chain = vec![params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()];
        let mut renewals = Renewals::default();
        renewals.add(3, "a", chain);
        renewals.also(3, "b");
        // 2020-01-01, and 366 days to the end.
        let day = |days: u64| UnixTime::since_unix_epoch(Duration::from_secs(1_577_836_800 + days * 86_400));
        let told = |why: &str, is_refused| vec![Due { listeners: "a, b".into(), why: why.into(), is_refused }];
        assert_eq!(renewals.due(day(300)), []);
        assert_eq!(renewals.due(day(363)), told("it expires in 3 days", false));
        assert_eq!(renewals.due(day(376)), told("it expired 10 days ago", true));
    }
}
