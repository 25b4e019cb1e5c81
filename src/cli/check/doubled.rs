//! Credentials of the file whose id, or a key id, the vault has, too: two of one name, of which one is in force.

use crate::config::slice::Declared;
use crate::ipc::admin::credential::KeyEntry;

/// What there is to say of each, in a line. `kept`: what the vault has.
pub fn doubled<'a>(
    declared: &[Declared],
    kept: impl Iterator<Item = (&'a str, &'a [KeyEntry])> + Clone,
) -> Vec<String> {
    let mut lines = Vec::new();
    for Declared { id, secrets, .. } in declared {
        if kept.clone().any(|(other, _)| other == id) {
            lines.push(format!(
                "credential {id:?} is in the vault, too: a reload refuses one that is new here, and a start has this one in force and not \
                 the vault's. Give it another id, or take the vault's away: gatepost credential remove {id}"
            ));
            continue;
        }
        for secret in secrets {
            let key = &secret.key;
            let owner = kept.clone().find(|(_, keys)| keys.iter().any(|own| own.id == *key));
            if let Some((owner, _)) = owner {
                lines.push(format!(
                    "credential {id:?}: the key id {key:?} is that of {owner:?} in the vault, too: a reload refuses one that is new here, \
                     and whoever shows it as a key is {id:?}, never {owner:?}. Choose another, or rotate the vault's: gatepost credential \
                     rotate {owner}"
                ));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_stands_in_both_places_is_told_of_and_nothing_else() {
        let text = "version = 1\nhostname = \"gate.example.net\"\n[[listener]]\nname = \"local\"\n\
                    address = [\"127.0.0.1:2587\"]\nprotocol = \"smtp\"\ntls = \"none\"\n[[credential]]\nid = \"app\"\n\
                    senders = [\"@example.net\"]\nsecrets = [{ key = \"v5Rpm2RT\", hash = \"$argon2id$v=19$m=19456,t=2,p=1$\
                    c29tZXNhbHRzb21lc2FsdA$cmFuZG9tIG9jdGV0cyBvZiBhIGhhc2ggLSAzMiBsb25n\" }]\n";
        let plan = Config::foresee(std::path::Path::new("gatepost.toml"), text).unwrap();
        let key = |id: &str| KeyEntry {
            id: id.to_owned(),
            created_us: None,
            expires_us: None,
            expired: false,
            generated: true,
            scram: false,
        };
        let (same, other) = ([key("v5Rpm2RT")], [key("aaaaaaaa")]);
        let told = |id: &'static str, keys: &[KeyEntry]| doubled(&plan.credentials, [(id, keys)].into_iter());
        assert!(told("web", &other).is_empty());
        assert!(matches!(told("app", &same).as_slice(), [line] if line.contains("gatepost credential remove app")));
        assert!(matches!(told("web", &same).as_slice(), [line] if line.contains("\"v5Rpm2RT\" is that of \"web\"")));
    }
}
