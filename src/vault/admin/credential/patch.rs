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
        let words: Vec<String> = Delivery::WORDS.iter().map(|(word, _)| format!("{word:?}")).collect();
        return Err(format!("delivery {mode:?}: write {}", words.join(" or ")));
    }
    let mut value = serde_json::to_value(policy).map_err(|error| format!("the policy can't be written: {error}"))?;
    merge(&mut value, patch);
    let policy: Policy = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let limits = &policy.limits;
    if limits.burst.is_some() && limits.per_minute.or(limits.per_hour).is_none() {
        return Err("burst is part of a rate: give --per-minute or --per-hour beside it".to_owned());
    }
    if limits.recipients_burst.is_some() && limits.recipients_per_minute.or(limits.recipients_per_hour).is_none() {
        let rates = "--recipients-per-minute or --recipients-per-hour";
        return Err(format!("recipients_burst is part of a rate: give {rates} beside it"));
    }
    Ok(policy)
}

/// What differs, by its place in the policy: a number or a mask with what it was, of all else only that it changed, because
/// addresses are nobody's business in the log.
pub fn differences(before: &Policy, after: &Policy) -> Value {
    let (before, after) = (serde_json::to_value(before), serde_json::to_value(after));
    let mut found = serde_json::Map::new();
    if let (Ok(before), Ok(after)) = (before, after) {
        differ("", &before, &after, &mut found);
    }
    Value::Object(found)
}

fn differ(path: &str, before: &Value, after: &Value, found: &mut serde_json::Map<String, Value>) {
    if let (Value::Object(before), Value::Object(after)) = (before, after) {
        for (name, value) in after {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            differ(&path, before.get(name).unwrap_or(&Value::Null), value, found);
        }
    } else if before != after {
        let is_plain = |value: &Value| value.is_number() || value.is_null() || value.is_boolean();
        let said = match path == "mask" || is_plain(before) && is_plain(after) {
            true => serde_json::json!([before, after]),
            false => Value::from("changed"),
        };
        found.insert(path.to_owned(), said);
    }
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
    fn numbers_are_told_and_addresses_are_not() {
        let before = patched(&Policy::default(), r#"{"senders":["rosa@example.net"],"limits":{"per_day":6}}"#).unwrap();
        let after = r#"{"senders":["@example.net"],"limits":{"per_day":null},"max_size":5000,"description":"rosa","mask":"none"}"#;
        let after = patched(&before, after).unwrap();
        let expected = serde_json::json!({
            "senders": "changed", "limits.per_day": [6, null], "max_size": [null, 5000], "description": "changed",
            "mask": [null, "none"],
        });
        assert_eq!(differences(&before, &after), expected);
    }

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
            (r#"{"delivery":"falback"}"#, "\"spool\" or \"direct\" or \"fallback\""),
            (r#"{"limits":{"per_minute":null}}"#, "--per-minute"),
            ("nonsense", "can't be read"),
        ] {
            let error = patched(&start, bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
