//! A secret on its way into the vault: generated here or made elsewhere, and not hashed yet.

use crate::ipc::admin::credential::{Command, Material};
use crate::policy::derived::Salt;
use crate::policy::{phc, principal};
use crate::vault::login::credentials::Credential;
use crate::vault::login::hashing::{Hashed, Scram};
use crate::vault::login::key::Kind;
use crate::vault::login::tag::Tagger;
use crate::vault::login::{key, strength};
use crate::vault::store::credentials::Key;

#[derive(Debug)]
pub struct Fresh {
    pub id: String,
    pub material: Material,
    /// To be shown once: whoever imports a secret has it.
    pub generated: bool,
    /// Keys for SCRAM are to be derived from it, with this salt where it has no neighbour: the one that who asked for the name heard
    /// when it had no keys.
    pub scram: Option<Salt>,
    tag: Option<u16>,
}

impl Fresh {
    /// The secret that a command needs, if it needs one. `kind`: what keys of the credential that there is under that name are for.
    ///
    /// Errors: why what was given can't be one; never with a part of it.
    pub fn of(command: &Command, tagger: &Tagger, kind: impl Fn(&str) -> Option<Kind>) -> Result<Option<Self>, String> {
        let salt = |scram: bool| command.of().filter(|_| scram).map(|id| tagger.salt(id));
        match command {
            Command::Add { scram, .. } | Command::Rotate { scram, .. } => {
                let kind = match command {
                    Command::Add { policy, .. } => Kind::of(policy),
                    command => command.of().and_then(kind).unwrap_or(Kind::Live),
                };
                let (id, secret) = key::generate_for(kind)?;
                let tag = Some(tagger.tag(secret.expose()));
                Ok(Some(Self { id, material: Material::Secret(secret), generated: true, scram: salt(*scram), tag }))
            }
            Command::Import { scram: true, material: Material::Hash(_), .. } => {
                Err("keys for SCRAM can't be made of a hash: give the secret itself".to_owned())
            }
            Command::Import { policy, material: Material::Secret(secret), .. }
                if key::id(secret.expose()).is_some() && Kind::said_by(secret.expose()) != Some(Kind::of(policy)) =>
            {
                // What a key says of itself is what its users go by.
                let why = match (Kind::of(policy), Kind::said_by(secret.expose())) {
                    (Kind::Test, _) => "this key is none for tests: a test needs one that begins with gp_test_",
                    (_, Some(Kind::Test)) => {
                        "this key is one for tests, and nothing that it sends is to leave: import it with --test"
                    }
                    (Kind::Form, _) => "this key is none for forms: a form needs one that begins with gp_form_",
                    _ => "this key is a form's, and stands in public pages: import it with --form-origin",
                };
                Err(why.to_owned())
            }
            Command::Import { key, material, scram, .. } => {
                let fresh = Self::imported(key.as_deref(), material, tagger)?;
                Ok(Some(Self { scram: salt(*scram), ..fresh }))
            }
            _ => Ok(None),
        }
    }

    fn imported(id: Option<&str>, material: &Material, tagger: &Tagger) -> Result<Self, String> {
        let mut tag = None;
        let mut own = None;
        match material {
            Material::Hash(hash) => phc::check(hash.expose()).map_err(|why| format!("the hash {why}"))?,
            Material::Secret(secret) => {
                strength::check(secret.expose())?;
                own = key::id(secret.expose());
                tag = own.map(|_| tagger.tag(secret.expose()));
            }
        }
        let id = match (own, id) {
            (Some(own), Some(id)) if own != id => {
                return Err(format!("the secret is a key of Gatepost's with the key id {own:?}, not {id:?}"));
            }
            (Some(own), _) => own.to_owned(),
            (None, Some(id)) => id.to_owned(),
            (None, None) => key::fresh_id()?,
        };
        if !principal::is_key_id(&id) {
            return Err(format!("{id:?} can't be a key id: {}", principal::KEY_ID));
        }
        Ok(Self { id, material: material.clone(), generated: false, scram: None, tag })
    }

    /// Keys come beside those that the credential has.
    pub fn derives(&self, credential: Option<&Credential>, now_us: u64) -> Scram {
        match (self.scram, credential.and_then(|credential| credential.derived(now_us))) {
            (None, _) => Scram::No,
            (Some(salt), None) => Scram::Alone(salt),
            (Some(_), Some(keys)) => Scram::Beside(Box::new(keys.clone())),
        }
    }

    pub fn key(self, Hashed { phc, scram }: Hashed, now_us: u64) -> Key {
        Key { id: self.id, phc, scram, tag: self.tag, created_us: now_us, expires_us: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::policy::form::Form;
    use crate::secret::Secret;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
                        cmFuZG9tIG9jdGV0cyBvZiBhIGhhc2ggLSAzMiBsb25n";

    #[test]
    fn what_is_imported_gets_the_key_id_it_has_or_is_given() {
        let tagger = Tagger::new().unwrap();
        let import = |id: Option<&str>, material: Material| Fresh::imported(id, &material, &tagger);
        let secret = |text: &str| Material::Secret(Secret::new(text.to_owned()));
        let (id, key) = key::generate().unwrap();
        let ours = import(None, Material::Secret(key.clone())).unwrap();
        assert_eq!((ours.id.as_str(), ours.tag), (id.as_str(), Some(tagger.tag(key.expose()))));
        assert!(import(Some("other000"), Material::Secret(key)).unwrap_err().contains(&id));

        let plain = "kV7xpQ2mZx9Lr4Tn8Wb3Yc6Hd1Jf5Gs0Ka7Pv2Mq9Xz4Rt8";
        let theirs = import(Some("old1"), secret(plain)).unwrap();
        assert_eq!((theirs.id.as_str(), theirs.tag), ("old1", None));
        assert_eq!(import(None, secret(plain)).unwrap().id.len(), 8);
        assert!(import(Some("a b"), secret(plain)).unwrap_err().contains("key id"));
        assert!(import(None, secret("changeme")).is_err());

        // A key of ours says what it is for, and a credential for something else has none.
        for (wanted, given, why) in [
            (Kind::Live, Kind::Test, "--test"),
            (Kind::Test, Kind::Live, "gp_test_"),
            (Kind::Form, Kind::Test, "--test"),
            (Kind::Form, Kind::Live, "gp_form_"),
            (Kind::Live, Kind::Form, "--form-origin"),
            (Kind::Test, Kind::Form, "gp_test_"),
        ] {
            let (_, key) = key::generate_for(given).unwrap();
            let form = (wanted == Kind::Form).then(Form::default);
            let policy = Box::new(Policy { test: wanted == Kind::Test, form, ..Policy::default() });
            let material = Material::Secret(key);
            let command = Command::Import { id: "app".into(), policy, key: None, material, scram: false };
            assert!(Fresh::of(&command, &tagger, |_| None).unwrap_err().contains(why), "{wanted:?} {given:?}");
        }

        assert_eq!(import(Some("old1"), Material::Hash(Secret::new(HASH.into()))).unwrap().tag, None);
        assert!(import(None, Material::Hash(Secret::new("$2b$12$abcdefghijklmnopqrstuv".into()))).is_err());
    }
}
