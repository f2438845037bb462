//! Every field of a definition counts. On a running project in a simulated world, one field is
//! changed at a time: the plan shows exactly that field, and after `up` no change is left.
//!
//! The full specification is written without `..`, so that a new field does not compile until it
//! has a value here. Each value must differ from the field's default.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, time::Duration};

use cimandat::{
    engine::sim::{Latency, Sim},
    event::{Change, Outcome},
    name::{NetworkName, VolumeName},
    plan::{self, Action, CreateNetwork, Decision, FieldChange, Options, Plan, PlanView, Reason},
    project::{
        Attachment, BindCreation, ContainerSpec, Device, DeviceRequest, FileSet, HealthTest,
        Healthcheck, InjectedFile, Limits, Logging, Mount, MountKind, Network, NetworkMode,
        PortBinding, Project, Reservation, RestartPolicy, Subnet, Ulimit, Volume, hosts::Addresses,
    },
    secret::{Secret, Text, digest},
    unit::{ByteSize, Protocol},
};
use serde_json::{Value, json};

use crate::fixtures::{
    in_virtual_time, never, observe, project, project_name, service_name, up, wish, world,
};

mod service;

fn network_name(name: &str) -> NetworkName {
    NetworkName::new(name).unwrap()
}

fn volume_name(name: &str) -> VolumeName {
    VolumeName::new(name).unwrap()
}

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|it| (*it).to_owned()).collect()
}

fn map(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

/// Every mount kind with all its fields set. A new kind does not compile until it is listed here.
fn mount_kinds() -> Vec<MountKind> {
    let next = |kind: &MountKind| match kind {
        MountKind::Volume { .. } => Some(MountKind::Anonymous),
        MountKind::Anonymous => Some(MountKind::Bind {
            source: "/srv/data".to_owned(),
            create: BindCreation::Folder,
            propagation: Some("rslave".to_owned()),
        }),
        MountKind::Bind { .. } => Some(MountKind::Tmpfs {
            size: Some(ByteSize(1 << 20)),
            mode: Some(0o1777),
            exec: true,
            uid: Some(7),
            gid: Some(8),
        }),
        MountKind::Tmpfs { .. } => None,
    };
    let first = MountKind::Volume {
        volume: volume_name("data"),
        engine_name: "shop_data".to_owned(),
        nocopy: true,
        subpath: Some("inside".to_owned()),
    };
    chain(first, next)
}

fn network_modes() -> Vec<NetworkMode> {
    let next = |mode: &NetworkMode| match mode {
        NetworkMode::Networks(_) => Some(NetworkMode::Host),
        NetworkMode::Host => Some(NetworkMode::None),
        NetworkMode::None => Some(NetworkMode::Service(service_name("peer"))),
        NetworkMode::Service(_) => Some(NetworkMode::Container("other-db-1".to_owned())),
        NetworkMode::Container(_) => None,
    };
    let attachment = Attachment {
        aliases: list(&["store", "collection"]),
        ipv4: Some("10.1.0.7".to_owned()),
        ipv6: Some("fd00::7".to_owned()),
        mac: Some("02:00:00:00:00:07".to_owned()),
        priority: 10,
        links: list(&["other-db-1:db"]),
        options: map("com.example.speed", "fast"),
    };
    let networks = BTreeMap::from([
        (network_name("default"), attachment.clone()),
        (network_name("back"), attachment),
    ]);
    chain(NetworkMode::Networks(networks), next)
}

fn health_tests() -> Vec<HealthTest> {
    let next = |test: &HealthTest| match test {
        HealthTest::Command(command) if command.is_empty() => Some(HealthTest::Disabled),
        HealthTest::Command(_) => Some(HealthTest::Command(Vec::new())),
        HealthTest::Disabled => Some(HealthTest::Image),
        HealthTest::Image => Some(HealthTest::Shell("true".to_owned())),
        HealthTest::Shell(_) => None,
    };
    chain(HealthTest::Command(list(&["true", "-v"])), next)
}

fn restart_policies() -> Vec<RestartPolicy> {
    let next = |policy: &RestartPolicy| match policy {
        RestartPolicy::OnFailure { .. } => Some(RestartPolicy::No),
        RestartPolicy::No => Some(RestartPolicy::Always),
        RestartPolicy::Always => Some(RestartPolicy::UnlessStopped),
        RestartPolicy::UnlessStopped => None,
    };
    chain(RestartPolicy::OnFailure { max: 3 }, next)
}

fn chain<T: Clone>(first: T, next: impl Fn(&T) -> Option<T>) -> Vec<T> {
    std::iter::successors(Some(first), next).collect()
}

fn files() -> Vec<FileSet> {
    let file = |name: &str| InjectedFile {
        name: name.to_owned(),
        uid: 100,
        gid: 101,
        mode: 0o440,
        digest: digest(name.as_bytes()),
        content: Some(Secret::new(name.into())),
    };
    let set = |folder: &str| FileSet {
        folder: folder.to_owned(),
        volume: true,
        files: vec![file("one"), file("two")],
    };
    vec![set("/etc/app"), set("/run/secrets")]
}

/// A specification in which every field has a non-default value.
#[expect(clippy::too_many_lines, reason = "a line or more for each field")]
fn full() -> ContainerSpec {
    let port = |published, host_ip: &str| PortBinding {
        target: 80,
        protocol: Protocol::Tcp,
        published: Some(published),
        host_ip: host_ip.to_owned(),
    };
    let mounts = mount_kinds().into_iter().enumerate();
    let sealed = Text::sealed("u:${secret:pw}".to_owned(), "u:hunter2".to_owned());
    ContainerSpec {
        command: Some(list(&["serve", "-v"])),
        entrypoint: Some(list(&["/init", "--"])),
        env: BTreeMap::from([
            ("LOG.LEVEL".to_owned(), "debug".into()),
            ("URL".to_owned(), sealed),
        ]),
        user: Some("app".to_owned()),
        working_dir: Some("/srv".to_owned()),
        hostname: Some("web".to_owned()),
        domainname: Some("example.org".to_owned()),
        labels: map("org.example.team", "shop"),
        annotations: map("org.example.note", "yes"),
        ports: vec![port(8080, "127.0.0.1"), port(8081, "::1")],
        expose: vec![(81, Protocol::Tcp), (82, Protocol::Udp)],
        mounts: mounts
            .map(|(index, kind)| Mount {
                target: format!("/mnt/{index}"),
                read_only: true,
                kind,
            })
            .collect(),
        files: files(),
        network: network_modes().swap_remove(0),
        extra_hosts: BTreeMap::from([
            ("db.example.org".to_owned(), Addresses(list(&["10.2.0.1"]))),
            (
                "web.example.org".to_owned(),
                Addresses(list(&["10.2.0.2", "10.2.0.3"])),
            ),
        ]),
        dns: list(&["10.3.0.1", "10.3.0.2"]),
        dns_search: list(&["one.example.org", "two.example.org"]),
        dns_opt: list(&["rotate", "ndots:2"]),
        healthcheck: Some(Healthcheck {
            test: health_tests().swap_remove(0),
            interval: Some(Duration::from_secs(1)),
            timeout: Some(Duration::from_secs(2)),
            retries: Some(3),
            start_period: Some(Duration::from_secs(4)),
            start_interval: Some(Duration::from_secs(5)),
        }),
        init: true,
        read_only: true,
        privileged: true,
        tty: true,
        stdin_open: true,
        cap_add: list(&["NET_ADMIN", "SYS_TIME"]),
        cap_drop: list(&["CHOWN", "KILL"]),
        security_opt: list(&["no-new-privileges", "seccomp=unconfined"]),
        group_add: list(&["audio", "video"]),
        ulimits: BTreeMap::from([(
            "nofile".to_owned(),
            Ulimit {
                soft: 1024,
                hard: 2048,
            },
        )]),
        sysctls: map("net.core.somaxconn", "1024"),
        shm_size: Some(ByteSize(1 << 26)),
        stop_signal: Some("SIGINT".to_owned()),
        stop_grace_period: Some(Duration::from_millis(1500)),
        logging: Some(Logging {
            driver: "json-file".to_owned(),
            options: map("max-size", "1m"),
        }),
        devices: vec![device("/dev/fuse"), device("/dev/kvm")],
        device_requests: vec![DeviceRequest {
            driver: "nvidia".to_owned(),
            count: 2,
            ids: list(&["one", "two"]),
            capabilities: list(&["gpu", "compute"]),
            options: map("share", "no"),
        }],
        pid: Some("service:peer".to_owned()),
        ipc: Some("service:peer".to_owned()),
        uts: Some("host".to_owned()),
        userns_mode: Some("host".to_owned()),
        cgroup: Some("host".to_owned()),
        cgroup_parent: Some("/shop".to_owned()),
        runtime: Some("runc".to_owned()),
        storage_opt: map("size", "10G"),
        volumes_from: list(&["peer", "peer:ro"]),
        mem_swappiness: Some(10),
        oom_score_adj: Some(100),
        oom_kill_disable: true,
        blkio_weight: Some(500),
        limit: Limits {
            cpus: Some(0.5),
            memory: Some(ByteSize(1 << 27)),
            pids: Some(50),
        },
        reserve: Reservation {
            cpus: Some(0.25),
            memory: Some(ByteSize(1 << 26)),
        },
        restart: restart_policies().swap_remove(0),
    }
}

fn device(path: &str) -> Device {
    Device {
        source: path.to_owned(),
        target: path.to_owned(),
        permissions: "rwm".to_owned(),
    }
}

fn network(engine_name: &str) -> Network {
    Network {
        engine_name: engine_name.to_owned(),
        external: false,
        driver: "bridge".to_owned(),
        internal: true,
        attachable: true,
        ipv6: true,
        options: map("com.example.speed", "fast"),
        subnets: vec![
            subnet("10.1.0.0/16", "10.1.0.0/24", "10.1.0.1"),
            subnet("fd00::/64", "fd00::/80", "fd00::1"),
        ],
        labels: map("org.example.team", "shop"),
        service_names: Some(true),
    }
}

fn subnet(subnet: &str, range: &str, gateway: &str) -> Subnet {
    Subnet {
        subnet: subnet.to_owned(),
        range: Some(range.to_owned()),
        gateway: Some(gateway.to_owned()),
    }
}

fn volume(engine_name: &str) -> Volume {
    Volume {
        engine_name: engine_name.to_owned(),
        external: false,
        driver: "local".to_owned(),
        options: map("type", "tmpfs"),
        labels: map("org.example.team", "shop"),
        snapshot: true,
        shared: true,
    }
}

/// A project with a `web` of this specification, and with every service, network and volume that a
/// changed specification may name.
fn shop(spec: &ContainerSpec) -> Project {
    let needs = ["peer", "peerx"];
    let mut shop = project(&[wish("peer", &[]), wish("peerx", &[]), wish("web", &needs)]);
    for name in ["default", "defaultx", "back", "backx", "added"] {
        let network = Network {
            subnets: Vec::new(),
            ..network(&format!("shop_{name}"))
        };
        shop.networks.insert(network_name(name), network);
    }
    for name in ["data", "datax"] {
        let volume = Volume {
            snapshot: false,
            ..volume(&format!("shop_{name}"))
        };
        shop.volumes.insert(volume_name(name), volume);
    }
    let web = shop.services.get_mut("web").unwrap();
    web.container = spec.clone();
    shop
}

/// Fills in secret values, because a deserialized specification has none. Any value will do.
fn unsealed(mut spec: ContainerSpec) -> ContainerSpec {
    for file in spec.files.iter_mut().flat_map(|set| &mut set.files) {
        file.content = Some(Secret::new(Vec::new()));
    }
    for text in spec.env.values_mut() {
        if let Text::Sealed { value, .. } = text {
            *value = Some(Secret::new(String::new()));
        }
    }
    spec
}

/// One changed field, and the whole definition with this change.
struct Case {
    /// Path of the field, or of the list or map that contains it.
    field: String,
    changed: Value,
}

/// Returns one case per single change: every leaf changed, every field and item removed, one entry
/// added to every map and list, and every list reversed. Changes that deserialize to the same
/// definition are left out.
fn cases<T>(whole: &Value) -> Vec<Case>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let mut cases = Vec::new();
    let mut places = vec![(String::new(), String::new(), true)];
    while let Some((pointer, field, named)) = places.pop() {
        let value = whole.pointer(&pointer).unwrap();
        let at = cases.len();
        let named = named && !is_one_piece(value);
        for (part, other) in others(value) {
            let mut changed = whole.clone();
            *changed.pointer_mut(&pointer).unwrap() = other;
            let read = serde_json::from_value::<T>(changed);
            let Some(read) = read.ok().and_then(|read| serde_json::to_value(read).ok()) else {
                continue;
            };
            if read != *whole {
                let part = part.filter(|_| named);
                cases.push(Case {
                    field: joined(&field, part.as_deref()),
                    changed: read,
                });
                if value.is_string() {
                    break;
                }
            }
        }
        let parts: Vec<String> = match value {
            Value::Object(fields) => fields.keys().cloned().collect(),
            Value::Array(items) => (0..items.len()).map(|it| it.to_string()).collect(),
            _ => {
                // A tag can only change together with the fields of its variant.
                let is_a_tag = pointer.ends_with("/mount");
                assert!(cases.len() > at || is_a_tag, "nothing changes `{pointer}`");
                Vec::new()
            }
        };
        places.extend(parts.into_iter().map(|part| {
            let escaped = part.replace('~', "~0").replace('/', "~1");
            let field = joined(&field, Some(&part).filter(|_| named).map(String::as_str));
            (format!("{pointer}/{escaped}"), field, named)
        }));
    }
    cases
}

fn joined(field: &str, part: Option<&str>) -> String {
    match part {
        None => field.to_owned(),
        Some(part) if field.is_empty() => part.to_owned(),
        Some(part) => format!("{field}.{part}"),
    }
}

/// Whether a value is shown as one piece: a list, a duration or a sealed text.
fn is_one_piece(value: &Value) -> bool {
    value.is_array() || value.get("secs").is_some() || value.get("sealed").is_some()
}

/// Returns other values for a place, each with the part that differs. Some of them do not
/// deserialize there. For a text, one value that does is enough.
fn others(value: &Value) -> Vec<(Option<String>, Value)> {
    let whole = |other: Value| (None, other);
    match value {
        Value::Null => Vec::new(),
        Value::Bool(value) => vec![whole(json!(!value))],
        Value::Number(number) => vec![whole(match number.as_i64() {
            Some(number) => json!(number + 1),
            None => json!(number.as_f64().unwrap() + 0.5),
        })],
        Value::String(text) => {
            let words = [
                "tcp",
                "udp",
                "refuse",
                "anonymous",
                "always",
                "image",
                "host",
            ];
            let words = words.map(str::to_owned);
            let others = [format!("{text}x")].into_iter().chain(words);
            others.map(|other| whole(Value::from(other))).collect()
        }
        Value::Object(fields) => {
            let less = fields.keys().map(|key| {
                let mut less = fields.clone();
                less.remove(key);
                (Some(key.clone()), Value::Object(less))
            });
            let more = fields.values().next().map(|value| {
                let mut more = fields.clone();
                more.insert("added".to_owned(), value.clone());
                (Some("added".to_owned()), Value::Object(more))
            });
            less.chain(more).collect()
        }
        Value::Array(items) => {
            let less = (0..items.len()).map(|index| {
                let mut less = items.clone();
                less.remove(index);
                less
            });
            let more = [items.clone(), items[..1].to_vec()].concat();
            let turned = items.iter().rev().cloned().collect();
            let all = less.chain([more, turned]);
            all.map(|items| whole(Value::from(items))).collect()
        }
    }
}

/// Whether a change concerns this field or a part of it.
fn is_of(change: &FieldChange, field: &str) -> bool {
    change.field == field
        || change
            .field
            .strip_prefix(field)
            .is_some_and(|rest| rest.starts_with(['.', '[']))
}

fn decision<'a>(deploy: &'a plan::DeploymentPlan, service: &str) -> &'a Decision {
    let mut decisions = deploy.decisions.iter();
    let found = decisions.find(|it| it.service.as_str() == service);
    found.unwrap()
}

/// Deploys the project over the running one. Asserts that the plan changes only this field of
/// `web`, that `web` gets another container, and that no change is left afterwards.
async fn check(sim: &Sim, wanted: &Project, field: &str) {
    let before = observe(sim).await;
    let deploy = plan::deploy(wanted, &before, &Options::default()).unwrap();
    let Some(Reason::Changed { changes }) = &decision(&deploy, "web").reason else {
        panic!("{field}: {:?}", decision(&deploy, "web"));
    };
    assert!(!changes.is_empty(), "{field}");
    assert!(
        changes.iter().all(|change| is_of(change, field)),
        "{field}: {changes:?}"
    );
    for decision in &deploy.decisions {
        let replaced = decision.service.as_str() == "web";
        let expected = if replaced {
            Change::Replace
        } else {
            Change::NoOp
        };
        assert_eq!(decision.change, expected, "{field}: {decision:?}");
    }
    let ended = up(sim, wanted, never()).await;
    assert_eq!(ended.outcome.outcome, Outcome::Converged, "{field}");
    let after = observe(sim).await;
    let web = &after.containers["shop-web-1"];
    assert_ne!(web.id, before.containers["shop-web-1"].id, "{field}");
    let wanted_spec = serde_json::to_value(&wanted.services["web"].container).unwrap();
    assert_eq!(web.record.as_ref().unwrap().spec, wanted_spec, "{field}");
    let again = plan::deploy(wanted, &after, &Options::default()).unwrap();
    assert!(
        again.plan.changes_nothing(),
        "{field}: {:?}",
        again.decisions
    );
    assert_eq!(sim.breaches(), Vec::<String>::new(), "{field}");
}

async fn deployed(wanted: &Project) -> Sim {
    let sim = world(7);
    let ended = up(&sim, wanted, never()).await;
    assert_eq!(ended.outcome.outcome, Outcome::Converged);
    sim
}

fn twin(sim: &Sim) -> Sim {
    sim.fork(Latency::new(7, Duration::from_millis(20)))
}

#[test]
fn full_spec_sets_every_field() {
    let spec = format!("{:?}", full());
    for nothing in ["None", "false", "[]", "{}", "\"\"", ": 0"] {
        assert!(!spec.contains(nothing), "`{nothing}` in {spec}");
    }
}

#[test]
fn changed_spec_field_replaces_container() {
    in_virtual_time(async {
        let whole = serde_json::to_value(full()).unwrap();
        let cases = cases::<ContainerSpec>(&whole);
        let sim = deployed(&shop(&full())).await;
        for case in &cases {
            let spec: ContainerSpec = serde_json::from_value(case.changed.clone()).unwrap();
            check(&twin(&sim), &shop(&unsealed(spec)), &case.field).await;
        }
        // Every field was changed or removed at least once.
        let fields = whole.as_object().unwrap();
        for field in fields.keys() {
            let changed = cases
                .iter()
                .any(|it| it.changed.get(field) != fields.get(field));
            assert!(changed, "{field}");
        }
        assert!(cases.len() > 300, "{}", cases.len());
    });
}

/// Checks the change from each of these values to each other one.
async fn check_variants<T: Clone>(field: &str, values: &[T], put: impl Fn(&mut ContainerSpec, T)) {
    let with = |value: &T| {
        let mut spec = ContainerSpec {
            network: NetworkMode::None,
            ..ContainerSpec::default()
        };
        put(&mut spec, value.clone());
        shop(&spec)
    };
    for (from, value) in values.iter().enumerate() {
        let sim = deployed(&with(value)).await;
        for (to, other) in values.iter().enumerate() {
            if from != to {
                check(&twin(&sim), &with(other), field).await;
            }
        }
    }
}

#[test]
fn changed_variant_replaces_container() {
    in_virtual_time(async {
        check_variants("network", &network_modes(), |spec, it| spec.network = it).await;
        check_variants("restart", &restart_policies(), |spec, it| spec.restart = it).await;
        check_variants("mounts", &mount_kinds(), |spec, kind| {
            spec.mounts.push(Mount {
                target: "/mnt".to_owned(),
                read_only: false,
                kind,
            });
        })
        .await;
        check_variants("healthcheck.test", &health_tests(), |spec, test| {
            spec.healthcheck = Some(Healthcheck {
                test,
                interval: None,
                timeout: None,
                retries: None,
                start_period: None,
                start_interval: None,
            });
        })
        .await;
        let lists = [None, Some(Vec::new()), Some(list(&["a"]))];
        check_variants("entrypoint", &lists, |spec, it| spec.entrypoint = it).await;
        check_variants("command", &lists, |spec, it| spec.command = it).await;
    });
}

#[test]
fn changed_network_field_replaces_network() {
    in_virtual_time(async {
        let spec = ContainerSpec {
            network: network_modes().swap_remove(0),
            ..ContainerSpec::default()
        };
        let shop = |network: Network| {
            let mut shop = shop(&spec);
            shop.networks.insert(network_name("back"), network);
            shop
        };
        let sim = deployed(&shop(network("shop_back"))).await;
        let whole = serde_json::to_value(network("shop_back")).unwrap();
        for case in cases::<Network>(&whole) {
            let changed: Network = serde_json::from_value(case.changed).unwrap();
            let another = changed.external || changed.engine_name != "shop_back";
            if another || case.field == "service_names" {
                // Skipped: another network, or a setting of the containers in it.
                continue;
            }
            let (sim, wanted) = (twin(&sim), shop(changed));
            let state = observe(&sim).await;
            let deploy = match plan::deploy(&wanted, &state, &Options::default()) {
                Ok(deploy) => deploy,
                Err(refusals) => {
                    // Two networks cannot have the same subnet at the same time.
                    assert!(refusals[0].to_string().contains("needs the same subnet"));
                    continue;
                }
            };
            let shown = PlanView::new(&wanted, &Plan::default(), &deploy);
            assert_eq!(shown.moved_networks.len(), 1, "{}", case.field);
            let found = &shown.moved_networks[0].changes;
            assert!(!found.is_empty(), "{}", case.field);
            assert!(found.iter().all(|it| is_of(it, &case.field)), "{found:?}");
            let reason = decision(&deploy, "web").reason.clone();
            let network = network_name("back");
            assert_eq!(reason, Some(Reason::NetworkReplaced { network }));
            let ended = up(&sim, &wanted, never()).await;
            assert_eq!(ended.outcome.outcome, Outcome::Converged, "{}", case.field);
            let again = plan::deploy(&wanted, &observe(&sim).await, &Options::default());
            assert!(again.unwrap().plan.changes_nothing(), "{}", case.field);
        }
    });
}

#[test]
fn changed_volume_field_is_refused_by_name() {
    in_virtual_time(async {
        let spec = ContainerSpec {
            mounts: vec![Mount {
                target: "/data".to_owned(),
                read_only: false,
                kind: mount_kinds().swap_remove(0),
            }],
            ..ContainerSpec::default()
        };
        let shop = |volume: Volume| {
            let mut shop = shop(&spec);
            shop.volumes.insert(volume_name("data"), volume);
            shop
        };
        let sim = deployed(&shop(volume("shop_data"))).await;
        let whole = serde_json::to_value(volume("shop_data")).unwrap();
        let state = observe(&sim).await;
        for case in cases::<Volume>(&whole) {
            let changed: Volume = serde_json::from_value(case.changed).unwrap();
            if changed.external || changed.engine_name != "shop_data" {
                continue;
            }
            let planned = plan::deploy(&shop(changed), &state, &Options::default());
            if ["snapshot", "shared"].contains(&case.field.as_str()) {
                assert!(planned.unwrap().plan.changes_nothing());
                continue;
            }
            let refusals = planned.unwrap_err();
            assert_eq!(refusals.len(), 1, "{}: {refusals:?}", case.field);
            let message = refusals[0].to_string();
            assert!(
                message.contains(&format!("changed ({}", case.field)),
                "{message}"
            );
        }
    });
}

#[test]
fn changed_service_names_replaces_attached_containers() {
    in_virtual_time(async {
        let spec = ContainerSpec {
            network: NetworkMode::Networks(BTreeMap::from([
                (network_name("default"), Attachment::default()),
                (network_name("back"), Attachment::default()),
            ])),
            ..ContainerSpec::default()
        };
        for external in [false, true] {
            let shop = |service_names| {
                let mut shop = shop(&spec);
                let back = Network {
                    external,
                    service_names,
                    ..shop.networks["back"].clone()
                };
                shop.networks.insert(network_name("back"), back);
                shop
            };
            let first = shop(Some(false));
            let sim = world(7);
            if external {
                let network = first.networks["back"].clone();
                let create = CreateNetwork {
                    project: project_name(),
                    name: network_name("back"),
                    network,
                    definition: "foreign".to_owned(),
                };
                sim.by_hand(&Action::CreateNetwork(Box::new(create)))
                    .unwrap();
            }
            let ended = up(&sim, &first, never()).await;
            assert_eq!(ended.outcome.outcome, Outcome::Converged);
            for names in [Some(true), Some(false)] {
                check(&sim, &shop(names), "network.networks.back.service_names").await;
            }
        }
    });
}

/// The recorded format is on the labels of existing networks and volumes. Another format would
/// count as a changed definition.
#[test]
fn recorded_network_and_volume_format_is_stable() {
    let network = Network {
        service_names: None,
        subnets: Vec::new(),
        ..network("shop_back")
    };
    let volume = volume("shop_data").definition();
    insta::assert_snapshot!(serde_json::to_string(&network.definition()).unwrap(), @r#"{"engine_name":"shop_back","external":false,"driver":"bridge","internal":true,"attachable":true,"ipv6":true,"options":{"com.example.speed":"fast"},"subnets":[],"labels":{"org.example.team":"shop"}}"#);
    insta::assert_snapshot!(serde_json::to_string(&volume).unwrap(), @r#"{"engine_name":"shop_data","external":false,"driver":"local","options":{"type":"tmpfs"},"labels":{"org.example.team":"shop"},"snapshot":false}"#);
}
