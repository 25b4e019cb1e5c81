//! Certificates whose time is over or nearly so: ours, which listeners show, and those of authorities, by which they believe
//! clients. What the service's log is told of them.

use std::collections::BTreeMap;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};

use super::clients;
use crate::certificate::validity;

/// How often the running service looks: more often than any certificate is renewed, and seldom enough for a line each time.
pub const DAILY: Duration = Duration::from_secs(24 * 3600);

/// A chain and the listeners that show it.
#[derive(Debug)]
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    listeners: Vec<String>,
}

/// Authorities of one file and the listeners that believe them.
#[derive(Debug)]
struct Believed {
    authorities: Vec<CertificateDer<'static>>,
    listeners: Vec<String>,
}

/// All that are shown, by their number, and all that are believed.
#[derive(Debug, Default)]
pub struct Renewals {
    shown: BTreeMap<u16, Shown>,
    believed: Vec<Believed>,
}

impl Renewals {
    /// That certificate, which was added, is shown by that listener too.
    pub fn also(&mut self, number: u16, listener: &str) {
        if let Some(shown) = self.shown.get_mut(&number) {
            shown.listeners.push(listener.to_owned());
        }
    }

    /// That listener is the first that shows this chain.
    pub fn add(&mut self, number: u16, listener: &str, chain: Vec<CertificateDer<'static>>) {
        self.shown.insert(number, Shown { chain, listeners: vec![listener.to_owned()] });
    }

    /// That listener believes clients by these.
    pub fn believe(&mut self, listener: &str, authorities: &[CertificateDer<'static>]) {
        match self.believed.iter_mut().find(|one| one.authorities == authorities) {
            Some(same) => same.listeners.push(listener.to_owned()),
            None => {
                self.believed
                    .push(Believed { authorities: authorities.to_vec(), listeners: vec![listener.to_owned()] });
            }
        }
    }

    /// Each listener that shows one, and when that ends.
    pub fn ends(&self) -> Vec<(String, u64)> {
        let all = self.shown.values().filter_map(|shown| Some((&shown.listeners, validity::ends(&shown.chain)?)));
        all.flat_map(|(listeners, ends)| listeners.iter().map(move |listener| (listener.clone(), ends))).collect()
    }

    /// A line for each that clients refuse now, or soon will, and for each file of authorities with one that is not of now.
    pub fn tell(&self, now: UnixTime) {
        for Due { listeners, why, what } in self.due(now) {
            match what {
                What::Refused => tracing::warn!(listeners, why, "clients refuse this listener's certificate: renew it"),
                What::Ending => {
                    tracing::warn!(listeners, why, "a certificate ends soon, and its renewal is late: renew it");
                }
                What::Authority => tracing::warn!(
                    listeners,
                    why,
                    "clients are believed by an authority whose own time is not now: take it out if they should not be"
                ),
            }
        }
    }

    fn due(&self, now: UnixTime) -> Vec<Due> {
        let due = |shown: &Shown| {
            let fault = validity::fault(&shown.chain, now);
            let what = if fault.is_some() { What::Refused } else { What::Ending };
            let why = fault.or_else(|| validity::end(&shown.chain, now))?;
            Some(Due { listeners: shown.listeners.join(", "), why, what })
        };
        let outdated = |believed: &Believed| {
            let why = clients::outdated(&believed.authorities, now)?;
            Some(Due { listeners: believed.listeners.join(", "), why, what: What::Authority })
        };
        self.shown.values().filter_map(due).chain(self.believed.iter().filter_map(outdated)).collect()
    }
}

/// What is told of one.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    listeners: String,
    why: String,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Refused,
    Ending,
    Authority,
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn a_certificate_that_ends_is_told_once_with_all_who_show_it() {
        let mut params = CertificateParams::new(vec!["gate.example.net".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        let chain = vec![params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()];
        let mut renewals = Renewals::default();
        renewals.add(3, "a", chain.clone());
        renewals.also(3, "b");
        // 2020-01-01, and 366 days to the end.
        let day = |days: u64| UnixTime::since_unix_epoch(Duration::from_secs(1_577_836_800 + days * 86_400));
        let told = |why: &str, what| vec![Due { listeners: "a, b".into(), why: why.into(), what }];
        assert_eq!(renewals.due(day(300)), []);
        assert_eq!(renewals.due(day(363)), told("it expires in 3 days", What::Ending));
        assert_eq!(renewals.due(day(376)), told("it expired 10 days ago", What::Refused));
    }

    #[test]
    fn an_authority_is_told_when_its_time_is_over_and_not_before_once_with_all_who_believe_it() {
        let authority = |year| {
            let mut params = CertificateParams::new(vec![]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(year, 1, 1));
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
        };
        let both = [authority(2030), authority(2021)];
        let mut renewals = Renewals::default();
        renewals.believe("a", &both);
        renewals.believe("b", &both[..1]);
        renewals.believe("c", &both);
        let day = |days: u64| UnixTime::since_unix_epoch(Duration::from_secs(1_577_836_800 + days * 86_400));
        let why = "certificate 2: it expired 10 days ago".to_owned();
        assert_eq!(renewals.due(day(363)), [], "its end changes nothing");
        assert_eq!(renewals.due(day(376)), [Due { listeners: "a, c".into(), why, what: What::Authority }]);
    }
}
