//! Commands while the service is stopped: the vault's own code, in a process that has become the vault's user and entered its
//! sandbox.

pub mod transfer;

use std::path::Path;

use super::admin::credential::perform_offline;
use super::admin::downgrade;
use super::audit::ledger::now_us;
use super::audit::masks::Masks;
use super::queue::listing::look;
use super::queue::{self, Order};
use super::restored;
use super::store::open::Database;
use super::store::{Failure, Store, schema};
use crate::config::slice::Declared;
use crate::ipc::admin::credential::{Command, Response};
use crate::ipc::admin::queue::{Command as Question, Counts, Response as Seen};
use crate::policy::mask::Mask;

/// The vault of a stopped service. Events of what is done here are sealed when the service starts.
///
/// Errors of all that it does: in words, with what to do: why it was refused, a database in use or unfit.
#[derive(Clone, Copy, Debug)]
pub struct Stopped<'a> {
    pub home: &'a Path,
    /// Of `[audit]`.
    pub mask: Mask,
    pub declared: &'a [Declared],
}

impl Stopped<'_> {
    /// Does a command about credentials.
    pub fn credential(&self, command: Command, actor: &str) -> Result<Vec<Response>, String> {
        self.open(|store, _| perform_offline(store, command, self.declared, actor))
    }

    /// Carries out an order over the queue.
    pub fn queue(&self, order: &Order) -> Result<Counts, String> {
        self.open(|store, database| {
            queue::carry_out_here(store, order).map_err(|error| format!("{}: {error}", database.path.display()))
        })
    }

    /// Takes the database back to the form that the version before opens.
    pub fn downgrade(&self, actor: &str) -> Result<(), String> {
        self.open(|store, database| {
            let told = store.transaction(|store| {
                store.tell_unclean_stop()?;
                downgrade::tell(store, actor)
            });
            told.map_err(|error| format!("{}: {error}", database.path.display()))?
        })?;
        schema::take_back(self.home)
    }

    /// Looks at the queue: `work` is given a way to have commands about it answered, each in a transaction of its own.
    pub fn look(
        &self,
        actor: &str,
        work: impl FnOnce(&mut dyn FnMut(Question) -> Result<Vec<Seen>, String>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.open(|store, database| {
            let explain = |error: Failure| format!("{}: {error}", database.path.display());
            work(&mut |command| {
                let looked = store.transaction(|store| {
                    if command.leaves_a_trace() {
                        store.tell_unclean_stop()?;
                    }
                    look(store, &command, actor, now_us())
                });
                looked.map_err(explain)
            })
        })
    }

    /// Works on the store as the running vault has it: auditors are shown what the masks let them see.
    fn open<T>(&self, work: impl FnOnce(&mut Store<'_>, &Database) -> Result<T, String>) -> Result<T, String> {
        let database = Database::open(self.home)?;
        let explain = |error: &dyn std::fmt::Display| format!("{}: {error}", database.path.display());
        let mut store = Store::prepare(&database).map_err(|error| explain(&error))?;
        let credentials = store.transaction(|store| store.credentials.all()).map_err(|error| explain(&error))?;
        store.ledger.masks = Masks::new(self.mask, self.declared, &credentials);
        store.marker.is_restored = restored::is_marked(&self.home.join("db"))?;
        let done = work(&mut store, &database)?;
        store.checkpoint(true).map_err(|error| explain(&error))?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::admin::credential::{Entry, Material, Queue, Trial};
    use crate::policy::Policy;
    use crate::policy::derived::Keys;
    use crate::policy::scope::Scope;
    use crate::secret::Secret;
    use crate::vault::login::credentials::Credentials;
    use crate::vault::login::proof;

    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            std::fs::create_dir(home.path().join("db")).unwrap();
            Self(home)
        }

        fn stopped<'a>(&'a self, declared: &'a [Declared]) -> Stopped<'a> {
            Stopped { home: self.0.path(), mask: Mask::LocalPart, declared }
        }

        fn all(&self, command: Command) -> Result<Vec<Response>, String> {
            self.stopped(&[]).credential(command, "uid 0")
        }

        fn ask(&self, command: Command) -> Result<Response, String> {
            self.all(command).map(|mut answers| answers.remove(0))
        }

        fn secret(&self, command: Command) -> (String, Secret<String>) {
            match self.ask(command).unwrap() {
                Response::Secret { key, secret, .. } => (key, secret),
                other => panic!("{other:?}"),
            }
        }

        fn entry(&self) -> Entry {
            match self.ask(Command::Show { id: "shop".into() }).unwrap() {
                Response::Entry(entry) => *entry,
                other => panic!("{other:?}"),
            }
        }

        /// What is in the way of this secret.
        fn obstacles(&self, secret: &Secret<String>) -> Vec<String> {
            let (secret, scope) = (secret.clone(), Scope::Smtp);
            let trial = Trial { id: Some("shop".into()), secret, address: None, scope };
            match self.ask(Command::Test(trial)).unwrap() {
                Response::Tested(verdict) => verdict.obstacles,
                other => panic!("{other:?}"),
            }
        }

        /// The keys of each secret.
        fn kept(&self) -> Vec<Option<String>> {
            let database = Database::open(self.0.path()).unwrap();
            let mut all = database.connection.prepare("SELECT scram FROM credential_secret").unwrap();
            all.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        }

        fn events(&self) -> Vec<(String, Option<String>)> {
            let database = Database::open(self.0.path()).unwrap();
            let mut all = database.connection.prepare("SELECT event, data FROM audit_event ORDER BY seq").unwrap();
            all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
        }
    }

    fn id() -> String {
        "shop".to_owned()
    }

    fn policy() -> Policy {
        Policy { senders: vec!["@example.net".parse().unwrap()], ..Policy::default() }
    }

    #[test]
    fn the_life_of_a_credential_while_the_service_is_stopped() {
        let bench = Bench::new();
        let (one, first) = bench.secret(Command::Add { id: id(), policy: Box::new(policy()), scram: false });
        assert!(
            bench
                .ask(Command::Add { id: id(), policy: Box::new(policy()), scram: false })
                .unwrap_err()
                .contains("already")
        );
        assert!(bench.ask(Command::Add { id: "no good".into(), policy: Box::new(policy()), scram: false }).is_err());
        assert!(bench.obstacles(&first).is_empty());
        assert_eq!(bench.obstacles(&Secret::new("guess".into())), ["wrong-name-or-password"]);

        bench.ask(Command::Set { id: id(), patch: r#"{"limits":{"per_day":5}}"#.into() }).unwrap();
        assert_eq!(bench.entry().policy.limits.per_day, Some(5));
        let same = bench.ask(Command::Set { id: id(), patch: r#"{"limits":{"per_day":5}}"#.into() });
        assert!(same.unwrap_err().contains("already"));

        bench.ask(Command::Disable { id: id(), queue: Queue::Deliver }).unwrap();
        assert_eq!(bench.obstacles(&first), ["disabled"]);
        assert!(bench.ask(Command::Disable { id: id(), queue: Queue::Deliver }).unwrap_err().contains("already"));
        bench.ask(Command::Enable { id: id() }).unwrap();
        assert!(bench.ask(Command::Enable { id: id() }).unwrap_err().contains("not disabled"));

        let (two, second) = bench.secret(Command::Rotate { id: id(), overlap: None, scram: false });
        assert!(bench.obstacles(&first).is_empty() && bench.obstacles(&second).is_empty());
        let third = bench.ask(Command::Rotate { id: id(), overlap: None, scram: false }).unwrap_err();
        assert!(third.contains(&one) && third.contains(&two), "{third}");
        let retire = |key: Option<&str>| {
            bench.ask(Command::Retire { id: id(), key: key.map(str::to_owned), queue: Queue::Deliver })
        };
        assert!(retire(Some("nobodys")).is_err());
        retire(None).unwrap();
        assert_eq!(bench.obstacles(&first), ["wrong-name-or-password"]);
        assert!(bench.obstacles(&second).is_empty());
        assert!(retire(None).unwrap_err().contains("no rotation"));
        assert!(retire(Some(&two)).unwrap_err().contains("only live secret"));

        bench.ask(Command::Remove { id: id(), queue: Queue::Deliver }).unwrap();
        assert!(bench.ask(Command::Show { id: id() }).unwrap_err().contains("list"));
        assert_eq!(bench.all(Command::List).unwrap().len(), 0);

        let events = bench.events();
        let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
        let expected = ["create", "change", "disable", "enable", "rotate", "rotate", "revoke"];
        assert_eq!(names, expected.map(|word| format!("credential.{word}")));
        assert_eq!(events[1].1.as_deref(), Some(r#"{"changed":{"limits.per_day":[null,5]}}"#));
        let everything = format!("{events:?}");
        for secret in [&first, &second] {
            assert!(!everything.contains(&secret.expose()[17..]), "a secret is in the log");
        }
    }

    #[test]
    fn enabling_lifts_a_suspension_by_rule_also_of_a_declared_credential() {
        use crate::vault::audit::{ledger::now_us, month};
        use crate::vault::limits::suspension::Suspension;
        let bench = Bench::new();
        let declared = [Declared { id: id(), secrets: vec![], policy: policy(), certificates: vec![], enabled: true }];
        let enable = || bench.stopped(&declared).credential(Command::Enable { id: id() }, "uid 0");
        assert!(enable().unwrap_err().contains("configuration"));
        let now = now_us();
        let held = Suspension { credential: id(), day: month::today(now).0, until_us: Some(now + 3_600_000_000) };
        {
            let database = Database::open(bench.0.path()).unwrap();
            Store::prepare(&database).unwrap().transaction(|store| store.consumption.suspend(&held)).unwrap();
        }
        enable().unwrap();
        assert!(enable().is_err(), "it is lifted");
        let events = bench.events();
        assert_eq!(events, [("credential.enable".to_owned(), Some(r#"{"suspension":"lifted"}"#.to_owned()))]);
    }

    #[test]
    fn an_overlap_ends_the_old_secret_by_itself() {
        let bench = Bench::new();
        let (_, first) = bench.secret(Command::Add { id: id(), policy: Box::new(policy()), scram: false });
        let (_, second) =
            bench.secret(Command::Rotate { id: id(), overlap: Some(std::time::Duration::ZERO), scram: false });
        assert_eq!(bench.obstacles(&first), ["key-expired"]);
        assert!(bench.obstacles(&second).is_empty());
        // It counts no longer, and makes room.
        let (_, third) = bench.secret(Command::Rotate { id: id(), overlap: None, scram: false });
        assert_eq!(bench.obstacles(&first), ["wrong-name-or-password"]);
        assert!(bench.obstacles(&second).is_empty() && bench.obstacles(&third).is_empty());
    }

    #[test]
    fn rule_a17_keys_are_derived_where_it_is_asked_for_with_one_salt_for_a_credential_and_never_told() {
        let bench = Bench::new();
        let rotate = |scram| Command::Rotate { id: id(), overlap: None, scram };
        let (one, first) = bench.secret(Command::Add { id: id(), policy: Box::new(policy()), scram: true });
        let (_, second) = bench.secret(rotate(true));
        let texts: Vec<String> = bench.kept().into_iter().map(Option::unwrap).collect();
        let keys: Vec<Keys> = texts.iter().map(|text| Keys::parse(text).unwrap()).collect();
        assert!(keys[0].is_beside(&keys[1]) && texts[0] != texts[1]);
        for secret in [first, second] {
            let own = proof::with(&secret, keys[0].iterations, keys[0].salt).unwrap();
            assert_eq!(texts.iter().filter(|text| *text == own.text().expose()).count(), 1);
        }
        bench.ask(Command::Retire { id: id(), key: Some(one), queue: Queue::Hold }).unwrap();
        bench.secret(rotate(false));
        assert_eq!(bench.entry().keys.iter().map(|key| key.scram).collect::<Vec<_>>(), [true, false]);
        assert_eq!(bench.kept().iter().flatten().count(), 1);
        assert!(!format!("{:?} {:?}", bench.events(), bench.entry()).contains("SCRAM-"));
    }

    #[test]
    fn rule_a17_the_answer_to_a_name_is_one_before_it_has_keys_with_them_and_when_they_are_gone() {
        let bench = Bench::new();
        let asked = || {
            let database = Database::open(bench.0.path()).unwrap();
            let mut store = Store::prepare(&database).unwrap();
            let known = store.transaction(|store| Ok((store.credentials.all()?, store.credentials.tagger()?)));
            let (stored, tagger) = known.unwrap();
            let offer = Credentials::new(&[], &stored).offer(&id(), &tagger, now_us());
            let keys = offer.keys.iter().filter(|(mark, _)| mark.is_some()).count();
            ((offer.salt, offer.iterations), keys)
        };
        let (nobody, _) = asked();
        let (one, _) = bench.secret(Command::Add { id: id(), policy: Box::new(policy()), scram: false });
        assert_eq!(asked(), (nobody, 0));
        let rotate = |scram| bench.secret(Command::Rotate { id: id(), overlap: None, scram }).0;
        let two = rotate(true);
        assert_eq!(asked(), (nobody, 1));
        let retire = |key| bench.ask(Command::Retire { id: id(), key: Some(key), queue: Queue::Deliver }).unwrap();
        retire(one);
        rotate(false);
        retire(two);
        assert_eq!(asked(), (nobody, 0));
        rotate(true);
        assert_eq!(asked(), (nobody, 1));
        bench.ask(Command::Remove { id: id(), queue: Queue::Deliver }).unwrap();
        assert_eq!(asked(), (nobody, 0));
    }

    #[test]
    fn what_was_made_elsewhere_is_imported_and_what_is_weak_is_not() {
        let bench = Bench::new();
        let import = |id: &str, key: Option<&str>, material: Material| {
            bench.ask(Command::Import {
                id: id.into(),
                policy: Box::new(policy()),
                key: key.map(str::to_owned),
                material,
                scram: false,
            })
        };
        let own = Secret::new("kV7xpQ2mZx9Lr4Tn8Wb3Yc6Hd1Jf5Gs0Ka7Pv2Mq9Xz4Rt8".to_owned());
        assert!(import("shop", None, Material::Secret(Secret::new("changeme".into()))).is_err());
        assert!(bench.events().is_empty());
        import("shop", Some("old1"), Material::Secret(own.clone())).unwrap();
        assert!(bench.obstacles(&own).is_empty());
        let hash = crate::vault::login::hashing::hash_here(&own).unwrap();
        let taken = import("till", Some("old1"), Material::Hash(hash.clone())).unwrap_err();
        assert!(taken.contains("\"shop\""), "{taken}");
        import("till", Some("old2"), Material::Hash(hash)).unwrap();
        let trial = Trial { id: Some("till".into()), secret: own, address: None, scope: Scope::Smtp };
        let Response::Tested(verdict) = bench.ask(Command::Test(trial)).unwrap() else { panic!() };
        assert_eq!((verdict.key.as_deref(), verdict.obstacles.len()), (Some("old2"), 0));
        assert_eq!(bench.all(Command::List).unwrap().len(), 2);
    }

    #[test]
    fn what_is_declared_is_listed_and_cant_be_changed_here() {
        let bench = Bench::new();
        let declared = [Declared { id: id(), secrets: vec![], policy: policy(), certificates: vec![], enabled: false }];
        let ask = |command| bench.stopped(&declared).credential(command, "uid 0");
        for command in [
            Command::Add { id: id(), policy: Box::new(policy()), scram: false },
            Command::Enable { id: id() },
            Command::Rotate { id: id(), overlap: None, scram: false },
            Command::Remove { id: id(), queue: Queue::Deliver },
        ] {
            assert!(ask(command).unwrap_err().contains("configuration"));
        }
        let listed = ask(Command::List).unwrap();
        let [Response::Entry(entry)] = listed.as_slice() else { panic!("{listed:?}") };
        assert!(entry.declared && !entry.enabled);
    }
}
