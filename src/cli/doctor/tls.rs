//! TLS: certificates as clients will see them, and the connections to upstreams.

use std::fs::File;
use std::io::Read;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::EndEntityCert;

use super::Look;
use super::exposure::is_exposed;
use super::finding::Sheet;
use super::unseen::Unseen;
use crate::certificate::validity;
use crate::cli::check;
use crate::config::plan::{Certificate, Listener};
use crate::config::slice::{Protocol, TlsMode, Verify};

/// As `gatepost check`: a whole bundle is a quarter of it.
const MOST: u64 = 1 << 20;

type Chain = Vec<CertificateDer<'static>>;

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    let (mut chains, mut unseen): (Vec<(u16, Chain)>, _) = (Vec::new(), Unseen::default());
    for pair in &look.plan.certificates {
        match read(pair) {
            Ok(chain) => {
                time(pair, &chain, sheet);
                order(pair, &chain, sheet);
                chains.push((pair.number, chain));
            }
            Err(why) => unseen.add("a certificate", &pair.chain, &why),
        }
    }
    unseen.tell(&["tls.expiry", "tls.order", "tls.names"], sheet);
    for listener in look.plan.listeners.iter().filter(|listener| listener.tls != TlsMode::None) {
        names(listener, &look.plan.hostname, &chains, sheet);
    }
    shown(look, &chains, sheet);
    let count = chains.len();
    sheet.pass_unless_told("tls.expiry", format!("{count} certificates have more than two weeks left"));
    sheet.pass_unless_told("tls.order", format!("{count} chains are in order"));
    sheet.pass_unless_told("tls.names", "the certificates bear the names that clients know");
    upstreams(look, sheet);
}

fn read(pair: &Certificate) -> Result<Chain, String> {
    let mut text = Vec::new();
    File::from(pair.chain.open()?).take(MOST).read_to_end(&mut text).map_err(|error| error.to_string())?;
    check::certificates(&text)
}

fn time(pair: &Certificate, chain: &Chain, sheet: &mut Sheet) {
    let renew = "renew it, and see why what renews it by itself did not; it is taken when the file changes";
    if let Some(why) = validity::fault(chain, UnixTime::now()) {
        sheet.fail("tls.expiry", format!("{}: {why}", pair.chain), "clients refuse it: nobody can send", renew);
    } else if let Some(why) = validity::end(chain, UnixTime::now()) {
        sheet.warn("tls.expiry", format!("{}: {why}", pair.chain), "from then on clients refuse it", renew);
    }
}

/// Each certificate is followed by that of its issuer: RFC 8446 section 4.4.2, and what clients of TLS 1.2 insist on.
fn order(pair: &Certificate, chain: &Chain, sheet: &mut Sheet) {
    let parsed: Vec<EndEntityCert<'_>> = chain.iter().filter_map(|one| EndEntityCert::try_from(one).ok()).collect();
    let wrong = parsed.iter().zip(parsed.iter().skip(1)).position(|(one, next)| one.issuer() != next.subject());
    if let Some(at) = wrong {
        sheet.warn(
            "tls.order",
            format!("{}: certificate {} is not by the authority behind it", pair.chain, at + 1),
            "some clients can't put a chain together that is out of order, and refuse it",
            "write the server's certificate first, then that of its issuer, and so on; the root can be left out",
        );
    }
}

/// For clients elsewhere it must be one that they can know.
fn names(listener: &Listener, hostname: &str, chains: &[(u16, Chain)], sheet: &mut Sheet) {
    let own: Vec<&Chain> = listener
        .certificates
        .iter()
        .filter_map(|number| chains.iter().find(|(known, _)| known == number).map(|(_, chain)| chain))
        .collect();
    let bears = |name: &str| {
        let Ok(wanted) = ServerName::try_from(name) else { return false };
        let leaves = own.iter().filter_map(|chain| EndEntityCert::try_from(chain.first()?).ok());
        leaves.into_iter().any(|leaf| leaf.verify_is_valid_for_subject_name(&wanted).is_ok())
    };
    if own.is_empty() || !is_exposed(listener) && bears("localhost") {
        return;
    }
    let hosts = &listener.reach.hosts;
    let wanted: Vec<&str> = match listener.protocol {
        Protocol::Http if !hosts.is_empty() => hosts.iter().map(String::as_str).collect(),
        _ => vec![hostname],
    };
    for name in wanted.into_iter().filter(|name| !bears(name)) {
        sheet.warn(
            "tls.names",
            format!("listener {:?}: no certificate of its bears the name {name:?}", listener.name),
            "clients that check who they speak with refuse it, and those that were told not to are open to whoever is on the way",
            format!("get a certificate for {name}, or set hostname (hosts over HTTP) to the name that clients use"),
        );
    }
}

/// A renewal that the running service has not taken ends nothing until what it shows ends.
fn shown(look: &Look<'_>, chains: &[(u16, Chain)], sheet: &mut Sheet) {
    let shown = match &look.overview {
        Ok(overview) => &overview.shown,
        Err(why) => return sheet.skip("tls.shown", "the certificates that the running service shows", why.clone()),
    };
    let now = UnixTime::now();
    for listener in &look.plan.listeners {
        let of_files = chains.iter().filter(|(number, _)| listener.certificates.contains(number));
        let first = of_files.filter_map(|(_, chain)| validity::ends(chain)).min();
        let (Some(first), Some(ends)) = (first, shown.get(&listener.name).copied()) else { continue };
        if ends >= first {
            continue;
        }
        let [days, renewed] = [ends, first].map(|ends| validity::days_until(ends, now));
        let what = format!(
            "listener {:?} shows a certificate that has {days} days left, and that in its file has {renewed}",
            listener.name
        );
        let why = "what was renewed was not taken, and clients refuse what is shown once it ends";
        let fix = "gatepost reload, which says why if it can't";
        match days < 0 {
            true => sheet.fail("tls.shown", what, why, fix),
            false => sheet.warn("tls.shown", what, why, fix),
        }
    }
    sheet.pass_unless_told("tls.shown", format!("{} listeners show what their files have", shown.len()));
}

fn upstreams(look: &Look<'_>, sheet: &mut Sheet) {
    let is_near = |host: &str| host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    for upstream in &look.plan.upstreams {
        if upstream.hosts.iter().all(|(host, _)| is_near(host)) {
            continue;
        }
        let name = &upstream.name;
        if upstream.tls == TlsMode::None {
            sheet.warn(
                "tls.upstreams",
                format!("mail goes to upstream {name:?} without TLS"),
                "whoever is on the way reads and changes it",
                "tls = \"starttls\" or \"implicit\" for it",
            );
        } else if upstream.protection.verify == Verify::NoneInsecure {
            sheet.warn(
                "tls.upstreams",
                format!("upstream {name:?} is believed by its answering (verify = \"none_insecure\")"),
                "whoever is on the way can be it",
                "verify = \"full\", with authorities_file where its authority is your own, or \"pin\"",
            );
        }
    }
    sheet.pass_unless_told("tls.upstreams", "upstreams elsewhere are spoken to by TLS, and checked");
}
