//! A change to a policy: a JSON Merge Patch (RFC 7396) of its JSON.

use serde_json::Value;

use crate::policy::{Delivery, Policy};

/// The policy with the patch applied.
///
/// Errors: in words: what is no member of a policy, or no value for one.
pub fn patched(policy: &Policy, patch: &str) -> Result<Policy, String> {
    let patch: Value = serde_json::from_str(patch).map_err(|error| format!("the change can't be read: {error}"))?;
    if let Some(mode) = patch.get("delivery").and_then(Value::as_str)
        && serde_json::from_value::<Delivery>(mode.into()).is_err()
    {
        return Err(format!("delivery {mode:?}: this version has only \"spool\""));
    }
    let mut value = serde_json::to_value(policy).map_err(|error| format!("the policy can't be written: {error}"))?;
    merge(&mut value, patch);
    let policy: Policy = serde_json::from_value(value).map_err(|error| error.to_string())?;
    if let (None, Some(_)) = (policy.limits.per_minute, policy.limits.burst) {
        return Err("burst is part of a rate: give --per-minute beside it".to_owned());
    }
    Ok(policy)
}

/// RFC 7396 section 2.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(members) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(object) = target.as_object_mut() else { return };
    for (name, value) in members {
        if value.is_null() {
            object.remove(&name);
        } else {
            merge(object.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        let start = patched(&Policy::default(), r#"{"senders":["@example.net"],"limits":{"per_minute":6,"burst":5}}"#);
        let start = start.unwrap();
        assert_eq!((start.limits.per_minute, start.limits.burst, start.senders.len()), (Some(6), Some(5), 1));
        let next = patched(&start, r#"{"limits":{"per_minute":60,"burst":null}}"#).unwrap();
        assert_eq!((next.limits.per_minute, next.limits.burst, next.senders.len()), (Some(60), None, 1));
        for (bad, why) in [
            (r#"{"senders":["nobody"]}"#, "user@domain"),
            (r#"{"sneders":[]}"#, "sneders"),
            (r#"{"delivery":"direct"}"#, "only \"spool\""),
            (r#"{"limits":{"per_minute":null}}"#, "--per-minute"),
            ("nonsense", "can't be read"),
        ] {
            let error = patched(&start, bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
