//! All fields of a service on a real engine: `plan` shows exactly the changed fields, the new
//! container has their values, and a further deploy changes nothing.
//!
//! Each row is one field. The rows of a service are changed together, so that the whole table costs
//! two containers per service. Fields that need a specially configured engine are not tested:
//! `cgroup-parent`, `gpus`, `storage-opt`, `userns-mode`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    fs,
};

use cimandat::event::Outcome;
use serde_json::{Value, json};

use crate::support::{World, free_port};

/// A field of a service, before and after the change.
struct Row {
    service: &'static str,
    before: String,
    after: String,
    /// The fields that the plan shows as changed.
    fields: Vec<String>,
    /// The JSON pointer to the new value in the engine's answer, and that value.
    seen: Option<(&'static str, Value)>,
}

fn row(service: &'static str, lines: (&str, &str), fields: &[&str]) -> Row {
    Row {
        service,
        before: lines.0.to_owned(),
        after: lines.1.to_owned(),
        fields: fields.iter().map(|it| (*it).to_owned()).collect(),
        seen: None,
    }
}

impl Row {
    /// Expects this value at this place of the engine's answer.
    fn seen(self, pointer: &'static str, value: Value) -> Self {
        Self {
            seen: Some((pointer, value)),
            ..self
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn process() -> Vec<Row> {
    let row = |lines, fields: &[&str]| row("process", lines, fields);
    vec![
        row(
            (r#"command "sleep" "600""#, r#"command "sleep" "601""#),
            &["command"],
        )
        .seen("/Config/Cmd", json!(["sleep", "601"])),
        row(
            (r#"entrypoint "env""#, r#"entrypoint "nice""#),
            &["entrypoint"],
        )
        .seen("/Config/Entrypoint", json!(["nice"])),
        row(
            (r#"env A="1" B="1""#, r#"env A="2" C="1""#),
            &["env.A", "env.B", "env.C"],
        ),
        row(("", r#"user "1000:1000""#), &["user"]).seen("/Config/User", json!("1000:1000")),
        row(
            (r#"working-dir "/tmp""#, r#"working-dir "/var""#),
            &["working_dir"],
        )
        .seen("/Config/WorkingDir", json!("/var")),
        row((r#"hostname "one""#, r#"hostname "two""#), &["hostname"])
            .seen("/Config/Hostname", json!("two")),
        row(("", r#"domainname "example.org""#), &["domainname"])
            .seen("/Config/Domainname", json!("example.org")),
        row(
            (r#"label "a.b"="1""#, r#"label "a.b"="2""#),
            &["labels.a.b"],
        )
        .seen("/Config/Labels/a.b", json!("2")),
        row(("", "init #false"), &["init"]).seen("/HostConfig/Init", Value::Null),
        row(("", "tty #true"), &["tty"]).seen("/Config/Tty", json!(true)),
        row(("", "stdin-open #true"), &["stdin_open"]).seen("/Config/OpenStdin", json!(true)),
        row(("", r#"stop-signal "SIGKILL""#), &["stop_signal"])
            .seen("/Config/StopSignal", json!("SIGKILL")),
        row(
            (r#"stop-grace-period "0s""#, r#"stop-grace-period "1s""#),
            &["stop_grace_period"],
        )
        .seen("/Config/StopTimeout", json!(1)),
        row(
            (
                r#"healthcheck interval="60s" { command "true"; }"#,
                r#"healthcheck interval="61s" retries=4 { command "true" "-v"; }"#,
            ),
            &[
                "healthcheck.interval",
                "healthcheck.retries",
                "healthcheck.test.command",
            ],
        )
        .seen("/Config/Healthcheck/Test", json!(["CMD", "true", "-v"])),
        row(
            (r#"restart "always""#, r#"restart "on-failure" max=3"#),
            &["restart", "restart.on-failure.max"],
        )
        .seen(
            "/HostConfig/RestartPolicy",
            json!({
                "Name": "on-failure", "MaximumRetryCount": 3,
            }),
        ),
        row(
            (
                r#"logging "json-file" max-size="1m""#,
                r#"logging "local" max-size="2m""#,
            ),
            &["logging.driver", "logging.options.max-size"],
        )
        .seen("/HostConfig/LogConfig/Type", json!("local")),
    ]
}

fn resources() -> Vec<Row> {
    let row = |lines, fields: &[&str]| row("resources", lines, fields);
    vec![
        row(
            (
                r#"limit cpus=0.5 memory="64MiB" pids=50"#,
                r#"limit cpus=0.75 memory="96MiB" pids=60"#,
            ),
            &["limit.cpus", "limit.memory", "limit.pids"],
        )
        .seen("/HostConfig/Memory", json!(96 << 20)),
        row(
            (r#"reserve memory="16MiB""#, r#"reserve memory="32MiB""#),
            &["reserve.memory"],
        )
        .seen("/HostConfig/MemoryReservation", json!(32 << 20)),
        row((r#"shm-size "8MiB""#, r#"shm-size "16MiB""#), &["shm_size"])
            .seen("/HostConfig/ShmSize", json!(16 << 20)),
        row(
            (
                r#"ulimit "nofile" 512"#,
                r#"ulimit "nofile" soft=256 hard=512"#,
            ),
            &["ulimits.nofile.soft"],
        )
        .seen("/HostConfig/Ulimits/0/Soft", json!(256)),
        row(
            ("oom-score-adj 100", "oom-score-adj 200"),
            &["oom_score_adj"],
        )
        .seen("/HostConfig/OomScoreAdj", json!(200)),
        // The engine omits fields that the kernel's control groups do not support.
        row(
            ("mem-swappiness 10", "mem-swappiness 20"),
            &["mem_swappiness"],
        ),
        row(("", "oom-kill-disable #true"), &["oom_kill_disable"]),
        row(("blkio weight=100", "blkio weight=200"), &["blkio_weight"]),
        row(
            (
                r#"device "/dev/zero" to="/dev/nought""#,
                r#"device "/dev/null" to="/dev/nought""#,
            ),
            &["devices[/dev/nought].source"],
        )
        .seen("/HostConfig/Devices/0/PathOnHost", json!("/dev/null")),
    ]
}

fn rights() -> Vec<Row> {
    let row = |lines, fields: &[&str]| row("rights", lines, fields);
    vec![
        row(("", "read-only #true"), &["read_only"])
            .seen("/HostConfig/ReadonlyRootfs", json!(true)),
        row(
            (r#"cap-add "SYS_TIME""#, r#"cap-add "SYS_TIME" "SYS_NICE""#),
            &["cap_add"],
        )
        .seen("/HostConfig/CapAdd/1", json!("SYS_NICE")),
        row(
            (r#"cap-drop "CHOWN" "KILL""#, r#"cap-drop "KILL""#),
            &["cap_drop"],
        )
        .seen("/HostConfig/CapDrop", json!(["KILL"])),
        row(
            ("", r#"security-opt "no-new-privileges""#),
            &["security_opt"],
        )
        .seen("/HostConfig/SecurityOpt/0", json!("no-new-privileges")),
        row(
            (r#"group-add "audio""#, r#"group-add "video""#),
            &["group_add"],
        )
        .seen("/HostConfig/GroupAdd", json!(["video"])),
        row(
            (
                r#"sysctl "net.core.somaxconn"="512""#,
                r#"sysctl "net.core.somaxconn"="1024""#,
            ),
            &["sysctls.net.core.somaxconn"],
        )
        .seen("/HostConfig/Sysctls/net.core.somaxconn", json!("1024")),
    ]
}

/// Returns the fields that need Engine 25. An earlier engine gives a privileged container all
/// capabilities that it knows, and fails on a machine that lacks some of them.
fn of_new_engines() -> Vec<Row> {
    let annotation = (r#"annotation note="1""#, r#"annotation note="2""#);
    vec![
        row("spaces", ("", "privileged #true"), &["privileged"])
            .seen("/HostConfig/Privileged", json!(true)),
        row("process", annotation, &["annotations.note"])
            .seen("/HostConfig/Annotations/note", json!("2")),
    ]
}

fn spaces() -> Vec<Row> {
    let row = |lines, fields: &[&str]| row("spaces", lines, fields);
    vec![
        row(("", r#"pid "host""#), &["pid"]).seen("/HostConfig/PidMode", json!("host")),
        row((r#"ipc "private""#, r#"ipc "shareable""#), &["ipc"])
            .seen("/HostConfig/IpcMode", json!("shareable")),
        row(("", r#"uts "host""#), &["uts"]).seen("/HostConfig/UTSMode", json!("host")),
        row((r#"cgroup "private""#, r#"cgroup "host""#), &["cgroup"])
            .seen("/HostConfig/CgroupnsMode", json!("host")),
        row(("", r#"runtime "io.containerd.runc.v2""#), &["runtime"])
            .seen("/HostConfig/Runtime", json!("io.containerd.runc.v2")),
    ]
}

/// `new`: the engine is version 25 or later, and accepts hardware addresses.
fn names(new: bool) -> Vec<Row> {
    let row = |lines, fields: &[&str]| row("names", lines, fields);
    let (before, after) = (
        r#"network "back" alias="store" priority=1"#,
        r#"network "back" alias="collection" priority=2 MAC; network "side""#,
    );
    let mac = if new {
        r#"mac="02:00:00:00:17:01""#
    } else {
        ""
    };
    let mut networks = vec![
        "network.networks.back.aliases",
        "network.networks.back.priority",
        "network.networks.side.priority",
    ];
    networks.extend(new.then_some("network.networks.back.mac"));
    vec![
        row((before, &after.replace("MAC", mac)), &networks),
        row(
            (r#"dns "10.0.0.1""#, r#"dns "10.0.0.2" "10.0.0.1""#),
            &["dns"],
        )
        .seen("/HostConfig/Dns", json!(["10.0.0.2", "10.0.0.1"])),
        row(("", r#"dns-search "example.org""#), &["dns_search"])
            .seen("/HostConfig/DnsSearch", json!(["example.org"])),
        row(
            (r#"dns-opt "rotate""#, r#"dns-opt "ndots:2""#),
            &["dns_opt"],
        )
        .seen("/HostConfig/DnsOptions", json!(["ndots:2"])),
        row(
            (
                r#"extra-host "db"="10.0.0.3""#,
                r#"extra-host "db"="10.0.0.4""#,
            ),
            &["extra_hosts.db"],
        )
        .seen("/HostConfig/ExtraHosts", json!(["db:10.0.0.4"])),
        row(("expose 80", r#"expose 80; expose "81/udp""#), &["expose"])
            .seen("/Config/ExposedPorts/81~1udp", json!({})),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn storage(folder: &str) -> Vec<Row> {
    let row = |lines: (&str, &str), fields: &[&str]| row("storage", lines, fields);
    let bind = |file: &str, more: &str| format!(r#"bind "{folder}/{file}" "/bound"{more}"#);
    vec![
        row(
            (
                r#"volume "one" "/data""#,
                r#"volume "two" "/data" read-only=#true"#,
            ),
            &[
                "mounts[/data].engine_name",
                "mounts[/data].read_only",
                "mounts[/data].volume",
            ],
        ),
        row(
            (
                &bind("one", ""),
                &bind("two", r#" read-only=#true propagation="private""#),
            ),
            &[
                "mounts[/bound].propagation",
                "mounts[/bound].read_only",
                "mounts[/bound].source",
            ],
        ),
        row(
            (
                r#"tmpfs "/memory" size="1MiB""#,
                r#"tmpfs "/memory" size="2MiB" mode=0o700 exec=#true uid=7 gid=8"#,
            ),
            &[
                "mounts[/memory].exec",
                "mounts[/memory].gid",
                "mounts[/memory].mode",
                "mounts[/memory].size",
                "mounts[/memory].uid",
            ],
        ),
        row(
            (
                r#"volume "one" "/again" nocopy=#true"#,
                r#"volume "/again""#,
            ),
            &[
                "mounts[/again].engine_name",
                "mounts[/again].mount",
                "mounts[/again].nocopy",
                "mounts[/again].volume",
            ],
        ),
        row(
            (
                r#"config "page" target="/etc/page""#,
                r#"config "page" target="/etc/page" uid=7 mode=0o400"#,
            ),
            &[
                "files[/etc].files[page].mode",
                "files[/etc].files[page].uid",
            ],
        ),
        row(
            (r#"secret "pw""#, r#"secret "pw" target="other""#),
            &[
                "files[/run/secrets].files[other].digest",
                "files[/run/secrets].files[other].gid",
                "files[/run/secrets].files[other].mode",
                "files[/run/secrets].files[other].name",
                "files[/run/secrets].files[other].uid",
                "files[/run/secrets].files[pw].digest",
                "files[/run/secrets].files[pw].gid",
                "files[/run/secrets].files[pw].mode",
                "files[/run/secrets].files[pw].name",
                "files[/run/secrets].files[pw].uid",
            ],
        ),
    ]
}

fn others(project: &str) -> Vec<Row> {
    let architecture = match env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    let platform = format!(r#"platform "linux/{architecture}""#);
    let own = format!(r#"container-name "{project}-mine""#);
    vec![
        row(
            "guest",
            (r#"network-mode "none""#, r#"network-mode "service:owner""#),
            &["network", "network.service"],
        ),
        row("guest", ("", r#"volumes-from "owner""#), &["volumes_from"]),
        row("platform", ("", &platform), &["platform"]),
        row("named", ("", &own), &["container-name"])
            .seen("/Name", json!(format!("/{project}-mine"))),
    ]
}

/// Returns the bindings of one port: one stays, one moves, one is removed and one is new.
fn bindings([one, two, three, four]: [u16; 4]) -> Vec<Row> {
    let before = format!(r#"port "{one}:3000"; port "127.0.0.1:{two}:3000"; port "{three}:3000""#);
    let after =
        format!(r#"port "127.0.0.1:{one}:3000"; port "127.0.0.1:{two}:3000"; port "{four}:3000""#);
    vec![row(
        "ports",
        (&before, &after),
        &["ports[3000/tcp]", "ports[3000/tcp]"],
    )]
}

fn manifest(world: &World, rows: &[Row], after: bool) {
    let mut services: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows {
        let line = if after { &row.after } else { &row.before };
        services.entry(row.service).or_default().push(line);
    }
    let mut text = r#"
        deploy stabilize="0s" history=1
        network "back"
        network "side"
        volume "one"
        volume "two"
        config "page" content="a page"
        secret "pw" generate="alphanumeric" length=8
        template "idle" {
            image "debian:trixie-slim"
            command "sleep" "600"
            stop-grace-period "0s"
        }
        service "owner" { use "idle"; volume "one" "/owned"; }
    "#
    .to_owned();
    for (service, lines) in services {
        let lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        let lines = lines.join("\n");
        let _ = writeln!(text, "service \"{service}\" {{\nuse \"idle\"\n{lines}\n}}");
    }
    world.manifest(&text);
}

/// Returns the fields that the plan shows as changed, by service.
fn planned(world: &World) -> BTreeMap<String, Vec<String>> {
    let shown = world.run(&["plan", "--format", "json"]).with_code(0);
    let shown: Value = serde_json::from_str(&shown.out).unwrap_or_default();
    let containers = shown["containers"].as_array().cloned().unwrap_or_default();
    let changed = containers.iter().filter(|it| it["change"] != "no-op");
    let fields = changed.map(|it| {
        let fields = it["reason"]["changes"].as_array();
        let field = |it: &Value| it["field"].as_str().unwrap_or_default().to_owned();
        let fields = fields.into_iter().flatten().map(field).collect();
        (
            it["service"].as_str().unwrap_or_default().to_owned(),
            fields,
        )
    });
    fields.collect()
}

/// Checks that each service has a new container, which runs with the new values.
#[track_caller]
fn check_in_force(world: &World, rows: &[Row], before: &BTreeMap<String, (String, bool)>) {
    let services: BTreeSet<&str> = rows.iter().map(|row| row.service).collect();
    for service in &services {
        let name = match *service {
            "named" => format!("{}-mine", world.project),
            service => world.name(service),
        };
        let inspected = world.api.get(&format!("/containers/{name}/json"));
        assert_eq!(inspected["State"]["Running"], true, "{name}");
        let was = before.get(&world.name(service)).map(|(id, _)| id.as_str());
        assert_ne!(inspected["Id"].as_str(), was, "{name} was not replaced");
        for row in rows.iter().filter(|row| row.service == *service) {
            let Some((pointer, value)) = &row.seen else {
                continue;
            };
            // Some engines report the full names of capabilities.
            let found = inspected.pointer(pointer).cloned().unwrap_or_default();
            let found = found.to_string().replace("CAP_", "");
            assert_eq!(found, value.to_string(), "{pointer} of {name}");
        }
    }
}

#[test]
fn changed_service_fields_are_planned_and_applied() {
    let Some(world) = World::new("fields") else {
        return;
    };
    for file in ["one", "two"] {
        fs::write(world.path(file), file).expect("a file beside the manifest");
    }
    let folder = world.path("one");
    let folder = folder
        .parent()
        .map(|it| it.display().to_string())
        .unwrap_or_default();
    let ports = [free_port(), free_port(), free_port(), free_port()];
    let new = world.api.speaks(44);
    let rows: Vec<Row> = [
        process(),
        resources(),
        rights(),
        spaces(),
        names(new),
        storage(&folder),
        others(&world.project),
        bindings(ports),
        if new { of_new_engines() } else { Vec::new() },
    ]
    .into_iter()
    .flatten()
    .collect();
    manifest(&world, &rows, false);
    world.up().with(0, Outcome::Converged);
    let before = world.containers();

    manifest(&world, &rows, true);
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in &rows {
        let fields = expected.entry(row.service.to_owned()).or_default();
        fields.extend(row.fields.iter().cloned());
    }
    for fields in expected.values_mut() {
        fields.sort();
    }
    let found = planned(&world);
    assert_eq!(found, expected);
    world.up().with(0, Outcome::Converged);

    check_in_force(&world, &rows, &before);
    let owner = before.get(&world.name("owner")).cloned();
    assert_eq!(world.containers().get(&world.name("owner")).cloned(), owner);
    let left = world.run(&["plan", "--exit-code"]).with_code(0).out;
    assert!(left.contains("no changes"), "{left}");
    assert!(!left.contains("drifted"), "{left}");
}

/// Returns the host side of the active bindings of port 3000, as the engine reports them.
fn bound(world: &World) -> BTreeSet<String> {
    let inspected = world.inspect("app");
    let bindings = inspected.pointer("/NetworkSettings/Ports/3000~1tcp");
    let bindings = bindings.and_then(Value::as_array).into_iter().flatten();
    let side = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    bindings
        .map(|it| format!("{}:{}", side(it, "HostIp"), side(it, "HostPort")))
        .filter(|binding| !binding.starts_with("::"))
        .collect()
}

#[test]
fn all_bindings_of_a_port_are_compared_and_applied() {
    let Some(world) = World::new("bindings") else {
        return;
    };
    let [one, two, three] = [free_port(), free_port(), free_port()];
    let own = |port: u16| format!("127.0.0.1:{port}");
    let all = |port: u16| format!("0.0.0.0:{port}");
    // Each turn: the bindings, and the change that the plan reports from the turn before.
    let turns = [
        (vec![all(one), own(two)], None),
        (
            vec![own(one), own(two)],
            Some(format!("{one} → {}", own(one))),
        ),
        (
            vec![own(three), own(two)],
            Some(format!("{} → {}", own(one), own(three))),
        ),
        (vec![own(two)], Some(format!("{} (gone)", own(three)))),
        (vec![all(one), own(two)], Some(format!("{one} (new)"))),
    ];
    for (bindings, message) in turns {
        let ports = bindings.iter().map(|it| match it.strip_prefix("0.0.0.0:") {
            Some(port) => format!("port \"{port}:3000\""),
            None => format!("port \"{it}:3000\""),
        });
        let ports: Vec<String> = ports.collect();
        world.manifest(&format!(
            r#"
            deploy stabilize="0s" history=1
            service "app" {{
                use "doomed"
                stop-grace-period "0s"
                ready {{ log "at work"; }}
                {}
            }}
            "#,
            ports.join("\n")
        ));
        if let Some(message) = message {
            let shown = world.run(&["plan", "--exit-code"]).with_code(2).out;
            let line = format!("ports[3000/tcp]: {message}\n");
            assert!(shown.contains(&line), "{line}{shown}");
            assert!(shown.contains("1 field changed"), "{shown}");
        }
        world.up().with(0, Outcome::Converged);
        assert_eq!(bound(&world), bindings.into_iter().collect());
        world.run(&["plan", "--exit-code"]).with_code(0);
    }
}

#[test]
fn changed_fields_of_networks_and_volumes_are_reported() {
    let Some(world) = World::new("resources") else {
        return;
    };
    let write = |network: &str, volume: &str| {
        world.manifest(&format!(
            r#"
            deploy stabilize="0s" history=1
            network "back" {network}
            volume "data" {volume}
            service "app" {{
                use "doomed"
                stop-grace-period "0s"
                network "back"
                volume "data" "/data"
                ready {{ log "at work"; }}
            }}
            "#
        ));
    };
    let label = |value: &str| format!(r#"{{ label team="{value}"; }}"#);
    write(&label("one"), &label("one"));
    world.up().with(0, Outcome::Converged);
    write(
        r#"internal=#true attachable=#true {
            label team="two"
            option "com.docker.network.bridge.enable_icc"="false"
        }"#,
        &label("one"),
    );
    let shown = world.run(&["plan", "--format", "json"]).with_code(0).out;
    let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
    let changes = shown["moved_networks"][0]["changes"].as_array().cloned();
    let fields = changes.iter().flatten().map(|it| it["field"].clone());
    assert_eq!(
        fields.collect::<Vec<_>>(),
        [
            "attachable",
            "internal",
            "labels.team",
            "options.com.docker.network.bridge.enable_icc"
        ]
    );
    assert_eq!(shown["containers"][0]["reason"]["kind"], "network-replaced");
    world.up().with(0, Outcome::Converged);
    let networks = world.api.networks(&world.project);
    let network = world.api.get(&format!("/networks/{}", networks[0]));
    assert_eq!(network["Internal"], true);
    assert_eq!(network["Attachable"], true);
    assert_eq!(network["Labels"]["team"], "two");
    let icc = network.pointer("/Options/com.docker.network.bridge.enable_icc");
    assert_eq!(icc, Some(&json!("false")));
    world.run(&["plan", "--exit-code"]).with_code(0);

    write("", &label("two"));
    let message = world.up().with_code(3).err;
    assert!(
        message.contains("changed (labels.team: one → two)"),
        "{message}"
    );
}
