//! The certificate of a client as a part of its login, or as all of it.
//!
//! That there is one, and which, is the edge's word: an edge that was taken over can claim any. So a certificate alone is
//! believed only where the listener offers EXTERNAL, and everywhere else it is asked for beside the password.

use std::rc::Rc;

use super::credentials::{Credential, Credentials, Known};
use super::reason::Reason;
use super::{Login, fail, guard, succeed, way};
use crate::config::slice::ClientCertificates;
use crate::ipc::session::Denial;
use crate::policy::certificate::Presented;
use crate::vault::Vault;
use crate::vault::audit::ledger::now_us;

/// What the client showed, where it was asked.
pub fn presented(login: &Login) -> Option<&Presented> {
    login.listener.client_certificates?;
    login.tls.as_ref()?.client.as_deref()
}

/// Whether the right certificate stands beside the right password: one of the credential's own, wherever it has any, and
/// on a listener that demands one.
pub fn suits(login: &Login, credential: &Credential) -> Result<(), Reason> {
    let is_demanded = login.listener.client_certificates == Some(ClientCertificates::Require);
    let has_own = !credential.certificates.is_empty();
    match presented(login).is_some_and(|shown| credential.holds(shown)) || !(is_demanded || has_own) {
        true => Ok(()),
        false => Err(Reason::Certificate),
    }
}

/// Whose certificate it is: of the one named, or of the only one that there is. Who sends with a provider's key needs that, too.
fn holder(credentials: &Credentials, login: &Login) -> Option<Rc<Credential>> {
    let shown = presented(login)?;
    let is_enough = |credential: &&Rc<Credential>| credential.policy.pass_through.is_none();
    let mut holders = credentials.iter().filter(|credential| credential.holds(shown)).filter(is_enough);
    let found = match login.user.is_empty() {
        true => holders.next().filter(|_| holders.next().is_none()),
        false => holders.find(|credential| credential.id == login.user),
    };
    found.cloned()
}

/// A login by the certificate alone (RFC 4422 appendix A). It counts as failed until it is right, like any other.
pub async fn decide(vault: &Vault, mut login: Login) -> Result<Known, Denial> {
    let holder = holder(&vault.authority.borrow().credentials, &login);
    if login.user.is_empty() {
        // What fails is counted under some name: without one, all that come without would be one.
        let shown = presented(&login).map(ToString::to_string);
        login.user = holder.as_ref().map(|holder| holder.id.clone()).or(shown).unwrap_or_default();
    }
    let attempt = guard::begin(vault, &login, holder.as_deref()).await?;
    // It may have changed while that was counted.
    let current = holder.and_then(|holder| vault.authority.borrow().credentials.get(&holder.id).cloned());
    let Some(current) = current.filter(|current| presented(&login).is_some_and(|shown| current.holds(shown))) else {
        return Err(fail(vault, &login, &attempt, None, Reason::Certificate).await);
    };
    if let Some(reason) = current.obstacles(None, way(&login), now_us()).into_iter().next() {
        return Err(fail(vault, &login, &attempt, Some(&current), reason).await);
    }
    guard::welcome(vault, &login, &attempt).await;
    succeed(vault, &login, &current, None).await;
    Ok(Known::by(current, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::slice::Declared;
    use crate::ipc::session::Tls;
    use crate::policy::Policy;
    use crate::policy::mechanism::Mechanism;
    use crate::secret::Secret;
    use crate::vault::visitor::tests::listener;

    fn credentials(wanted: &[(&str, &str)]) -> Credentials {
        let declared = |(id, wanted): &(&str, &str)| Declared {
            id: (*id).to_owned(),
            secrets: vec![],
            certificates: wanted.split_whitespace().map(|one| one.parse().unwrap()).collect(),
            policy: Policy { pass_through: (*id == "passes").then(|| "provider".into()), ..Policy::default() },
            enabled: true,
        };
        Credentials::new(&wanted.iter().map(declared).collect::<Vec<_>>(), &[])
    }

    fn login(asked: Option<ClientCertificates>, user: &str, name: Option<&str>) -> Login {
        let client = name.map(|name| Presented { key: [7; 32], names: vec![name.to_owned()] });
        Login {
            session: uuid::Uuid::nil(),
            address: "192.0.2.1".parse().unwrap(),
            listener: Rc::new(crate::config::slice::Counter { client_certificates: asked, ..listener(&[]) }),
            mechanism: Mechanism::External,
            user: user.to_owned(),
            password: Secret::new(String::new()),
            tls: Some(Tls { version: "TLSv1.3".into(), cipher: "x".into(), client: client.map(Box::new) }),
        }
    }

    const ASKS: Option<ClientCertificates> = Some(ClientCertificates::Request);

    #[test]
    fn what_an_edge_claims_on_a_listener_that_does_not_ask_is_no_certificate() {
        let all = credentials(&[("till", "dns:till.example.net")]);
        let till = all.get("till").unwrap();
        assert_eq!(suits(&login(ASKS, "till", Some("till.example.net")), till), Ok(()));
        assert_eq!(suits(&login(None, "till", Some("till.example.net")), till), Err(Reason::Certificate));
        assert!(holder(&all, &login(None, "", Some("till.example.net"))).is_none());
    }

    #[test]
    fn a_certificate_names_one_credential_or_the_client_must() {
        let both = ("passes", "dns:both.example dns:c.example");
        let all = credentials(&[("a", "dns:both.example dns:a.example"), ("b", "dns:both.example"), ("c", ""), both]);
        let id = |user: &str, name| holder(&all, &login(ASKS, user, Some(name))).map(|found| found.id.clone());
        assert_eq!(id("", "a.example").as_deref(), Some("a"));
        assert_eq!(id("", "both.example"), None);
        assert_eq!(id("b", "both.example").as_deref(), Some("b"));
        assert_eq!((id("b", "a.example"), id("c", "a.example"), id("", "c")), (None, None, None));
        // It would send with the gate's own key.
        assert_eq!((id("", "c.example"), id("passes", "c.example")), (None, None));
    }

    #[test]
    fn a_listener_that_demands_one_takes_nobody_who_has_none() {
        let all = credentials(&[("a", "dns:a.example"), ("free", "")]);
        let demands = Some(ClientCertificates::Require);
        let suits = |asked, id: &str, name| suits(&login(asked, id, name), all.get(id).unwrap()).is_ok();
        assert!(suits(demands, "a", Some("a.example")) && !suits(demands, "a", Some("b.example")));
        assert!(!suits(demands, "free", Some("a.example")) && !suits(demands, "free", None));
        assert!(suits(ASKS, "free", None) && suits(None, "free", None) && !suits(ASKS, "a", None));
    }
}
