//! Would this secret log in? A question of an administrator's, who could hash it anyway: it is no login, so it is not counted
//! and not written down, and nobody is locked out by it.

use crate::ipc::admin::credential::{Trial, Verdict};
use crate::policy::mechanism::Mechanism;
use crate::policy::scope::Scope;
use crate::secret::Secret;
use crate::vault::login::credentials::{Candidates, Credentials, Way};
use crate::vault::login::reason::Reason;
use crate::vault::login::tag::Tagger;

/// What the secret is to be compared with; none when that is known to fail.
pub fn candidates(credentials: &Credentials, trial: &Trial, tagger: &Tagger) -> Option<Candidates> {
    let mechanism = if trial.scope == Scope::Smtp { Mechanism::Plain } else { Mechanism::Bearer };
    let found = match &trial.id {
        Some(id) => credentials.candidates(mechanism, id, trial.secret.expose(), tagger, &Secret::default()),
        None => credentials.candidates(Mechanism::Bearer, "", trial.secret.expose(), tagger, &Secret::default()),
    };
    // An SMTP client names its credential, a bearer has it named by the key.
    found.filter(|found| {
        let owner = found.credential.as_ref().map(|credential| &credential.id);
        trial.id.as_ref().is_none_or(|id| owner == Some(id))
    })
}

/// What comes of it when that one was found to fit.
pub fn verdict(candidates: Option<&Candidates>, found: Option<usize>, trial: &Trial, now_us: u64) -> Verdict {
    let no = |reason: Reason| Verdict { id: None, key: None, obstacles: vec![reason.word().to_owned()] };
    let Some(candidates) = candidates else {
        return no(if trial.scope == Scope::Smtp { Reason::Wrong } else { Reason::NotAKey });
    };
    let mark = found.and_then(|found| candidates.key(found));
    let (Some(credential), Some(mark)) = (&candidates.credential, mark) else { return no(Reason::Wrong) };
    // A login over HTTP needs one of two; here is asked for the one that the client is to use.
    let way = Way { address: trial.address, scopes: Some(trial.scope.alone()) };
    let mut obstacles = credential.obstacles(Some(mark), way, now_us);
    if !credential.certificates.is_empty() {
        // The secret alone is no login anywhere.
        obstacles.push(Reason::Certificate);
    }
    Verdict {
        id: Some(credential.id.clone()),
        key: credential.keys.iter().find(|key| key.mark == mark).map(|key| key.id.clone()),
        obstacles: obstacles.into_iter().map(|reason| reason.word().to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::slice::{Declared, DeclaredSecret};
    use crate::policy::Policy;
    use crate::policy::scope::Scopes;

    #[test]
    fn a_secret_alone_is_no_login_where_a_certificate_is_wanted() {
        let secret = DeclaredSecret { key: "imported".into(), hash: Secret::new("hash".into()), scram: None };
        for (certificates, obstacles) in
            [(vec![], vec![]), (vec!["dns:a.example".parse().unwrap()], vec!["certificate"])]
        {
            let (id, policy, secrets) = ("shop".into(), Policy::default(), vec![secret.clone()]);
            let declared = Declared { id, secrets, policy, certificates, enabled: true };
            let credentials = Credentials::new(&[declared], &[]);
            let secret = Secret::new("a password".to_owned());
            let trial = Trial { id: Some("shop".into()), secret, address: None, scope: Scope::Smtp };
            let candidates = candidates(&credentials, &trial, &Tagger::new().unwrap());
            assert_eq!(verdict(candidates.as_ref(), Some(0), &trial, 0).obstacles, obstacles);
        }
    }

    #[test]
    fn a_scope_is_the_one_that_is_asked_for_and_not_another_of_its_protocol() {
        let declared = |scope| {
            let secret = DeclaredSecret { key: "imported".into(), hash: Secret::new("hash".into()), scram: None };
            let policy = Policy { scopes: Scopes([scope].into()), ..Policy::default() };
            Declared { id: "shop".into(), secrets: vec![secret], policy, certificates: vec![], enabled: true }
        };
        for given in Scope::ALL {
            let credentials = Credentials::new(&[declared(given)], &[]);
            for scope in Scope::ALL {
                // A password names nobody; what of it is found is not asked here.
                let secret = Secret::new("a password".to_owned());
                let trial = Trial { id: Some("shop".into()), secret, address: None, scope };
                let plain = Trial { scope: Scope::Smtp, secret: Secret::new("a password".to_owned()), ..trial.clone() };
                let candidates = candidates(&credentials, &plain, &Tagger::new().unwrap());
                let obstacles = verdict(candidates.as_ref(), Some(0), &trial, 0).obstacles;
                let expected: &[&str] = if given == scope { &[] } else { &[Reason::Scope.word()] };
                assert_eq!(obstacles, expected, "{given} {scope}");
            }
        }
    }
}
