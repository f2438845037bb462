//! What changed between two definitions, field by field.
//!
//! Works on the serialised forms, so that every field of a definition is compared without a list
//! of fields here. Secrets come in sealed and leave as their names.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::FieldChange;

/// The fields in which two definitions differ, sorted by path.
#[must_use]
pub fn field_changes(from: &Value, to: &Value) -> Vec<FieldChange> {
    let (from, to) = (leaves(from), leaves(to));
    let mut fields: Vec<&String> = from.keys().chain(to.keys()).collect();
    fields.sort();
    fields.dedup();
    fields
        .into_iter()
        .filter(|field| from.get(*field) != to.get(*field))
        .map(|field| FieldChange {
            field: field.clone(),
            from: from.get(field).cloned(),
            to: to.get(field).cloned(),
        })
        .collect()
}

fn leaves(value: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect("", value, &mut found);
    found
}

fn collect(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    if let Some(shown) = as_leaf(value) {
        found.insert(path.to_owned(), shown);
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                collect(&join(path, name), value, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let name = key(item).unwrap_or_else(|| (index + 1).to_string());
                collect(&format!("{path}[{name}]"), item, found);
            }
        }
        _ => {}
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// By what a person tells the items of a list apart: a port or mount by its target, a file set by
/// its folder, a file by its name.
fn key(item: &Value) -> Option<String> {
    let fields = item.as_object()?;
    let name = ["target", "folder", "name"]
        .into_iter()
        .find_map(|key| fields.get(key))?;
    Some(match (name, fields.get("protocol")) {
        (name, Some(Value::String(protocol))) => format!("{}/{protocol}", plain(name)),
        (name, _) => plain(name),
    })
}

/// Texts, numbers, lists of them, sealed texts and durations are shown in one piece.
fn as_leaf(value: &Value) -> Option<String> {
    match value {
        Value::Object(fields) => {
            if let (Some(Value::String(shown)), Some(Value::String(digest)), 2) =
                (fields.get("sealed"), fields.get("digest"), fields.len())
            {
                return Some(format!(
                    "{shown} (secret, #{})",
                    digest.get(..6).unwrap_or(digest)
                ));
            }
            let (secs, nanos) = (
                fields.get("secs")?.as_u64()?,
                fields.get("nanos")?.as_u64()?,
            );
            let duration = Duration::from_secs(secs) + Duration::from_nanos(nanos);
            Some(format!("{duration:?}"))
        }
        Value::Array(items) => {
            let scalar = |item: &Value| !item.is_object() && !item.is_array();
            (!items.is_empty() && items.iter().all(scalar)).then(|| value.to_string())
        }
        scalar => Some(plain(scalar)),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_changes(from: &Value, to: &Value, expected: &[&str]) {
        let shown: Vec<String> = field_changes(from, to)
            .into_iter()
            .map(|change| {
                let side = |side: Option<String>| side.unwrap_or_else(|| "-".to_owned());
                format!(
                    "{}: {} → {}",
                    change.field,
                    side(change.from),
                    side(change.to)
                )
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn equal_definitions_have_no_changes() {
        check_changes(
            &json!({"a": [1, {"target": 1}]}),
            &json!({"a": [1, {"target": 1}]}),
            &[],
        );
    }

    #[test]
    fn fields_are_named_by_their_path_and_items_by_their_key() {
        check_changes(
            &json!({"env": {"PORT": "1", "OLD": "x"}, "ports": [{"target": 80, "protocol": "tcp", "published": 80}]}),
            &json!({"env": {"PORT": "2"}, "ports": [{"target": 80, "protocol": "tcp", "published": 81}]}),
            &[
                "env.OLD: x → -",
                "env.PORT: 1 → 2",
                "ports[80/tcp].published: 80 → 81",
            ],
        );
    }

    #[test]
    fn a_secret_shows_its_name_and_that_it_changed() {
        check_changes(
            &json!({"env": {"U": {"sealed": "p:${secret:db}", "digest": "aaaaaaaaaa"}}}),
            &json!({"env": {"U": {"sealed": "p:${secret:db}", "digest": "bbbbbbbbbb"}}}),
            &["env.U: p:${secret:db} (secret, #aaaaaa) → p:${secret:db} (secret, #bbbbbb)"],
        );
    }

    #[test]
    fn durations_and_lists_are_one_piece() {
        check_changes(
            &json!({"stop": {"secs": 30, "nanos": 0}, "command": ["a"]}),
            &json!({"stop": {"secs": 1, "nanos": 500_000_000}, "command": ["a", "b"]}),
            &["command: [\"a\"] → [\"a\",\"b\"]", "stop: 30s → 1.5s"],
        );
    }
}
