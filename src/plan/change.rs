//! Differences between two definitions, field by field.
//!
//! The serialized forms are compared, so that every field of a definition is covered without a list
//! of fields here. Values are compared instead of their text forms: two definitions that differ
//! anywhere have at least one change. Secrets are sealed in the input and shown by name in the
//! output.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Map, Value};

use super::FieldChange;
use crate::{project::Kind, state::ContainerRecord};

/// Returns the fields in which two definitions differ, sorted by path. The result is empty only if
/// the definitions are equal.
#[must_use]
pub fn field_changes(from: &Value, to: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare("", (Some(from), Some(to)), &mut found);
    found.sort_by(|one, other| one.field.cmp(&other.field));
    found
}

/// Returns the fields in which a container created from `record` differs from the desired record.
pub(super) fn definition_changes(
    record: &ContainerRecord,
    wanted: &ContainerRecord,
) -> Vec<FieldChange> {
    let ContainerRecord {
        kind,
        spec,
        platform,
        name,
        service_names,
        // The image is compared by its id, because a reference can point to another image later.
        image: _,
        // These fields control the deploy and do not affect the container itself.
        depends_on: _,
        ready: _,
        // The placement of the networks is compared with the desired placement elsewhere.
        networks: _,
        addresses: _,
    } = record;
    let mut changes = field_changes(spec, &wanted.spec);
    let mut compare = |field: String, from: Option<String>, to: Option<String>| {
        if from != to {
            changes.push(FieldChange { field, from, to });
        }
    };
    let word = |kind: Kind| match kind {
        Kind::Service => Some("service".to_owned()),
        // Whether a start is irreversible affects the rollback, but not the container.
        Kind::Job { .. } => Some("job".to_owned()),
    };
    compare("kind".to_owned(), word(*kind), word(wanted.kind));
    compare(
        "platform".to_owned(),
        platform.clone(),
        wanted.platform.clone(),
    );
    // A field that an earlier version did not record is not compared.
    if let (Some(from), Some(to)) = (name, &wanted.name) {
        let names = (from.to_string(), to.to_string());
        compare("container-name".to_owned(), Some(names.0), Some(names.1));
    }
    for (network, from) in service_names {
        if let Some(to) = wanted.service_names.get(network) {
            let field = format!("network.networks.{network}.service_names");
            compare(field, Some(from.to_string()), Some(to.to_string()));
        }
    }
    changes
}

/// Values of a field on both sides; `None` if the field is absent.
type Sides<'a> = (Option<&'a Value>, Option<&'a Value>);

fn compare(path: &str, (from, to): Sides<'_>, found: &mut Vec<FieldChange>) {
    if from == to {
        return;
    }
    if let (Some(from), Some(to)) = (fields(from), fields(to))
        && !(from.is_empty() && to.is_empty())
    {
        let names: BTreeSet<&String> = from.keys().chain(to.keys()).copied().collect();
        for name in names {
            let sides = (from.get(name).copied(), to.get(name).copied());
            compare(&join(path, name), sides, found);
        }
    } else if let (Some(from), Some(to)) = (items(from), items(to))
        && !(from.is_empty() && to.is_empty())
    {
        compare_items(path, from, to, found);
    } else if let (Some(old), Some(new)) = (from, to)
        && (has_parts(old) || has_parts(new))
    {
        // Only one of the values consists of parts.
        compare(path, (from, None), found);
        compare(path, (None, to), found);
    } else {
        found.push(FieldChange {
            field: path.to_owned(),
            from: from.map(shown),
            to: to.map(shown),
        });
    }
}

/// Compares two lists. Items that occur in both lists are equal, regardless of their position. The
/// remaining items are paired by their identifying fields.
fn compare_items(path: &str, from: &[Value], to: &[Value], found: &mut Vec<FieldChange>) {
    let mut new: Vec<(String, &Value)> = named(to);
    let mut old: Vec<(String, &Value)> = named(from);
    let several: BTreeSet<String> = [&old, &new]
        .into_iter()
        .flat_map(|it| repeated(it))
        .collect();
    old.retain(|(_, item)| {
        let same = new.iter().position(|(_, other)| other == item);
        same.map(|index| new.remove(index)).is_none()
    });
    if old.is_empty() && new.is_empty() {
        // Only the order of the items differs.
        let names = |items| named(items).into_iter().map(|(name, _)| name).collect();
        let wholes = |items: &[Value]| items.iter().map(whole).collect();
        let names: (Vec<String>, Vec<String>) = (names(from), names(to));
        let (from, to) = if names.0 == names.1 {
            (wholes(from), wholes(to))
        } else {
            names
        };
        found.push(FieldChange {
            field: path.to_owned(),
            from: Some(from.join(", ")),
            to: Some(to.join(", ")),
        });
    }
    for (name, item) in old {
        let other = new.iter().position(|(other, _)| *other == name);
        let other = other.map(|index| new.remove(index).1);
        compare_item(path, (&name, &several), (Some(item), other), found);
    }
    for (name, item) in new {
        compare_item(path, (&name, &several), (None, Some(item)), found);
    }
}

/// Compares an item with a unique name field by field. Items that share a name (bindings of one
/// port) are each shown as a whole, because their fields would not identify the item.
fn compare_item(
    path: &str,
    (name, several): (&String, &BTreeSet<String>),
    sides: Sides<'_>,
    found: &mut Vec<FieldChange>,
) {
    let field = format!("{path}[{name}]");
    if several.contains(name) {
        found.push(FieldChange {
            field,
            from: sides.0.map(whole),
            to: sides.1.map(whole),
        });
    } else {
        compare(&field, sides, found);
    }
}

/// Returns the items of a list with their names. An item without a name is named by its position.
fn named(items: &[Value]) -> Vec<(String, &Value)> {
    let name = |(index, item): (usize, _)| (key(item).unwrap_or((index + 1).to_string()), item);
    items.iter().enumerate().map(name).collect()
}

/// Returns the names that several items share.
fn repeated(items: &[(String, &Value)]) -> impl Iterator<Item = String> {
    let mut count: BTreeMap<&String, usize> = BTreeMap::new();
    for (name, _) in items {
        *count.entry(name).or_default() += 1;
    }
    let several = count.into_iter().filter(|(_, count)| *count > 1);
    several
        .map(|(name, _)| name.clone())
        .collect::<Vec<_>>()
        .into_iter()
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// Returns the fields of a value with fields; an absent value has no fields.
fn fields(value: Option<&Value>) -> Option<BTreeMap<&String, &Value>> {
    match value {
        None => Some(BTreeMap::new()),
        Some(Value::Object(fields)) if special(fields).is_none() => Some(fields.iter().collect()),
        Some(_) => None,
    }
}

/// Returns the items of a list of values with fields; an absent or empty list has no items.
fn items(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        None => Some(&[]),
        Some(Value::Array(items)) => (items.is_empty() || holds_fields(items)).then_some(items),
        Some(_) => None,
    }
}

fn has_parts(value: &Value) -> bool {
    fields(Some(value)).is_some_and(|fields| !fields.is_empty())
        || items(Some(value)).is_some_and(|items| !items.is_empty())
}

fn holds_fields(items: &[Value]) -> bool {
    items.iter().any(|item| match item {
        Value::Object(_) => true,
        Value::Array(items) => holds_fields(items),
        _ => false,
    })
}

/// Returns the text that identifies an item of a list: the target of a port or mount, the folder of
/// a file set, the name of a file. Several items may share it.
fn key(item: &Value) -> Option<String> {
    let fields = item.as_object()?;
    let name = ["target", "folder", "name"]
        .into_iter()
        .find_map(|key| fields.get(key))?;
    Some(match (name, fields.get("protocol")) {
        (name, Some(Value::String(protocol))) => format!("{}/{protocol}", shown(name)),
        (name, _) => shown(name),
    })
}

/// Formats an item as a whole, without the fields in its name.
fn whole(item: &Value) -> String {
    let Some(fields) = item.as_object() else {
        return shown(item);
    };
    if let (Some(address), Some(port)) = (fields.get("host_ip"), fields.get("published")) {
        let port = match port {
            Value::Null => "any free port".to_owned(),
            port => shown(port),
        };
        return match address.as_str() {
            None | Some("") => port,
            Some(address) if address.contains(':') => format!("[{address}]:{port}"),
            Some(address) => format!("{address}:{port}"),
        };
    }
    let rest = fields
        .iter()
        .filter(|(name, _)| !["target", "folder", "name", "protocol"].contains(&name.as_str()));
    let rest: Vec<String> = rest
        .map(|(name, value)| format!("{name}={}", shown(value)))
        .collect();
    rest.join(", ")
}

/// Formats a value as one text.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => special(fields).unwrap_or_else(|| value.to_string()),
        value => value.to_string(),
    }
}

/// Formats a value that has fields and is shown as one text: a sealed text or a duration.
fn special(fields: &Map<String, Value>) -> Option<String> {
    if fields.len() != 2 {
        return None;
    }
    if let (Some(Value::String(sealed)), Some(Value::String(digest))) =
        (fields.get("sealed"), fields.get("digest"))
    {
        let digest = digest.get(..6).unwrap_or(digest);
        return Some(format!("{sealed} (secret, #{digest})"));
    }
    let (secs, nanos) = (
        fields.get("secs")?.as_u64()?,
        fields.get("nanos")?.as_u64()?,
    );
    let duration = Duration::from_secs(secs).checked_add(Duration::from_nanos(nanos))?;
    Some(format!("{duration:?}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
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
    fn changes_name_fields_by_path_items_by_key() {
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
    fn changed_secret_shows_name_and_digest() {
        check_changes(
            &json!({"env": {"U": {"sealed": "p:${secret:db}", "digest": "aaaaaaaaaa"}}}),
            &json!({"env": {"U": {"sealed": "p:${secret:db}", "digest": "bbbbbbbbbb"}}}),
            &["env.U: p:${secret:db} (secret, #aaaaaa) → p:${secret:db} (secret, #bbbbbb)"],
        );
    }

    #[test]
    fn durations_and_scalar_lists_are_single_values() {
        check_changes(
            &json!({"stop": {"secs": 30, "nanos": 0}, "command": ["a"]}),
            &json!({"stop": {"secs": 1, "nanos": 500_000_000}, "command": ["a", "b"]}),
            &["command: [\"a\"] → [\"a\",\"b\"]", "stop: 30s → 1.5s"],
        );
    }

    const TWO: [(u16, &str); 2] = [(18_314, ""), (18_316, "127.0.0.1")];

    /// A specification with these bindings of one port.
    fn bindings(bindings: &[(u16, &str)]) -> Value {
        let port = |(published, host_ip): &(u16, &str)| json!({"target": 3000, "protocol": "tcp", "published": published, "host_ip": host_ip});
        json!({"ports": bindings.iter().map(port).collect::<Vec<_>>()})
    }

    #[test]
    fn port_bindings_are_compared_individually() {
        let field = "ports[3000/tcp]";
        for (to, expected) in [
            (
                vec![(18_314, "127.0.0.1"), TWO[1]],
                "18314 → 127.0.0.1:18314",
            ),
            (vec![(18_315, ""), TWO[1]], "18314 → 18315"),
            (vec![(18_314, "::1"), TWO[1]], "18314 → [::1]:18314"),
            (vec![TWO[1]], "18314 → -"),
            (vec![TWO[0]], "127.0.0.1:18316 → -"),
            (vec![TWO[0], (18_310, ""), TWO[1]], "- → 18310"),
        ] {
            let expected = format!("{field}: {expected}");
            check_changes(&bindings(&TWO), &bindings(&to), &[&expected]);
        }
        check_changes(
            &bindings(&TWO[1..]),
            &bindings(&[(18_310, ""), TWO[1]]),
            &["ports[3000/tcp]: - → 18310"],
        );
        let swapped = [TWO[1], TWO[0]];
        check_changes(
            &bindings(&TWO),
            &bindings(&swapped),
            &["ports: 18314, 127.0.0.1:18316 → 127.0.0.1:18316, 18314"],
        );
    }

    #[test]
    fn file_sets_of_one_folder_are_compared_individually() {
        let set = |volume: bool, digest: &str| json!({"folder": "/etc", "volume": volume, "files": [{"name": "a", "digest": digest}]});
        check_changes(
            &json!({"files": [set(false, "1"), set(true, "2")]}),
            &json!({"files": [set(false, "3"), set(true, "2")]}),
            &[
                r#"files[/etc]: files=[{"digest":"1","name":"a"}], volume=false → files=[{"digest":"3","name":"a"}], volume=false"#,
            ],
        );
    }

    #[test]
    fn absent_field_differs_from_empty_list() {
        check_changes(
            &json!({}),
            &json!({"entrypoint": []}),
            &["entrypoint: - → []"],
        );
        check_changes(
            &json!({"test": {"command": []}}),
            &json!({"test": "disabled"}),
            &["test: - → disabled", "test.command: [] → -"],
        );
        check_changes(&json!({"a": {}}), &json!({}), &["a: {} → -"]);
        check_changes(&json!({"a": null}), &json!({}), &["a: null → -"]);
    }

    #[test]
    fn list_of_pairs_is_single_value() {
        check_changes(
            &json!({"expose": [[80, "tcp"]]}),
            &json!({"expose": [[79, "udp"], [80, "tcp"]]}),
            &[r#"expose: [[80,"tcp"]] → [[79,"udp"],[80,"tcp"]]"#],
        );
    }

    #[test]
    fn values_with_equal_text_are_still_changes() {
        let sealed = |digest: &str| json!({"sealed": "${secret:a}", "digest": digest});
        check_changes(
            &json!({"a": sealed("aaaaaa1"), "b": "1"}),
            &json!({"a": sealed("aaaaaa2"), "b": 1}),
            &[
                "a: ${secret:a} (secret, #aaaaaa) → ${secret:a} (secret, #aaaaaa)",
                "b: 1 → 1",
            ],
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let key = prop::sample::select(vec![
            "target",
            "name",
            "folder",
            "protocol",
            "published",
            "host_ip",
            "sealed",
            "digest",
            "secs",
            "nanos",
            "a",
            "a.b",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3u64).prop_map(Value::from),
            prop::sample::select(vec!["", "1", "a", "tcp"]).prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn field_changes_are_empty_only_if_equal(
            from in any_value(),
            to in any_value(),
        ) {
            prop_assert_eq!(field_changes(&from, &to).is_empty(), from == to);
            prop_assert!(field_changes(&from, &from).is_empty());
        }
    }
}
