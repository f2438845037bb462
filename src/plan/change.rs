//! What changed between two definitions, field by field.
//!
//! Works on the serialised forms, so that every field of a definition is compared without a list
//! of fields here. Values are compared, never their texts: two definitions that differ anywhere
//! have at least one change. Secrets come in sealed and leave as their names.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Map, Value};

use super::FieldChange;
use crate::{project::Kind, state::ContainerRecord};

/// The fields in which two definitions differ, sorted by path; empty only where they are equal.
#[must_use]
pub fn field_changes(from: &Value, to: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare("", (Some(from), Some(to)), &mut found);
    found.sort_by(|one, other| one.field.cmp(&other.field));
    found
}

/// In what a container that was made from one record is not what another one asks for.
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
        // Compared by its id, as a name may come to mean another image.
        image: _,
        // How it is deployed, and nothing of the container itself.
        depends_on: _,
        ready: _,
        // Where the networks are is compared with where they are to be.
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
        // What its start means for a rollback is not the container's.
        Kind::Job { .. } => Some("job".to_owned()),
    };
    compare("kind".to_owned(), word(*kind), word(wanted.kind));
    compare(
        "platform".to_owned(),
        platform.clone(),
        wanted.platform.clone(),
    );
    // What an earlier version did not record is not compared.
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

/// The value of a field on both sides; `None`: it is not there.
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
        // One of them consists of parts and the other does not.
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

/// Compares two lists. What stands in both is equal, wherever it stands; the rest is paired by
/// what a person tells the items apart by.
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
        // Only their order differs.
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

/// An item whose name it has alone is compared field by field. Of several with one name (bindings
/// of one port) each is shown as a whole, as their fields would not say which of them is meant.
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

/// The items of a list with their names.
fn named(items: &[Value]) -> Vec<(String, &Value)> {
    let name = |(index, item): (usize, _)| (key(item).unwrap_or((index + 1).to_string()), item);
    items.iter().enumerate().map(name).collect()
}

/// The names that more than one item has.
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

/// The fields of a value that has fields; none of one that is not there.
fn fields(value: Option<&Value>) -> Option<BTreeMap<&String, &Value>> {
    match value {
        None => Some(BTreeMap::new()),
        Some(Value::Object(fields)) if special(fields).is_none() => Some(fields.iter().collect()),
        Some(_) => None,
    }
}

/// The items of a list of things with fields; none of one that is empty or not there.
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

/// By what a person tells the items of a list apart: a port or mount by its target, a file set by
/// its folder, a file by its name. Several may have the same.
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

/// An item as a whole, without what its name says.
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

/// A value in one piece.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => special(fields).unwrap_or_else(|| value.to_string()),
        value => value.to_string(),
    }
}

/// What has fields and is one piece to a person: sealed texts and durations.
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

    const TWO: [(u16, &str); 2] = [(18_314, ""), (18_316, "127.0.0.1")];

    /// A specification with these bindings of one port.
    fn bindings(bindings: &[(u16, &str)]) -> Value {
        let port = |(published, host_ip): &(u16, &str)| json!({"target": 3000, "protocol": "tcp", "published": published, "host_ip": host_ip});
        json!({"ports": bindings.iter().map(port).collect::<Vec<_>>()})
    }

    #[test]
    fn each_binding_of_one_port_is_compared() {
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
    fn file_sets_of_one_folder_are_compared_apart() {
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
    fn nothing_and_an_empty_list_are_told_apart() {
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
    fn a_list_of_pairs_is_one_piece() {
        check_changes(
            &json!({"expose": [[80, "tcp"]]}),
            &json!({"expose": [[79, "udp"], [80, "tcp"]]}),
            &[r#"expose: [[80,"tcp"]] → [[79,"udp"],[80,"tcp"]]"#],
        );
    }

    #[test]
    fn values_are_compared_and_not_their_texts() {
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
        fn values_that_differ_have_a_change_and_equal_ones_none(
            from in any_value(),
            to in any_value(),
        ) {
            prop_assert_eq!(field_changes(&from, &to).is_empty(), from == to);
            prop_assert!(field_changes(&from, &from).is_empty());
        }
    }
}
