//! What a running edge says once a day without being asked.

use rcgen::{BasicConstraints, IsCa, date_time_ymd};
use tokio::time::sleep;

use super::*;
use crate::log::heard::hear;

fn expired(is_ca: IsCa) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec!["gate.example.net".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    params.is_ca = is_ca;
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_told_again_each_day_that_it_is_in_use() {
    let heard = hear();
    let mut renewals = Renewals::default();
    renewals.add(3, "submission", vec![expired(IsCa::NoCa)]);
    renewals.believe("devices", &[expired(IsCa::Ca(BasicConstraints::Unconstrained))]);
    let gate = Gate::showing(renewals);
    let told = || {
        let ours = heard.lines(&["WARN", "clients refuse this listener's certificate", "submission", "it expired "]);
        let authority = heard.lines(&["WARN", "believed by an authority", "devices", "certificate 1: it expired "]);
        (ours, authority)
    };
    let minute = Duration::from_secs(60);
    sleep(DAILY - minute).await;
    assert_eq!(told(), (0, 0), "the start has told of it");
    sleep(2 * minute).await;
    assert_eq!(told(), (1, 1));
    sleep(DAILY).await;
    assert_eq!(told(), (2, 2));
    drop(gate);
}
