//! Valid manifests: the ones shipped with the program, and the results of merging.

use std::{collections::BTreeMap, path::PathBuf};

use cimandat::{
    diagnostic::Style,
    manifest::{Disk, EnvValue, Manifest, MountKind, Request, STANDARD_INPUT, Service, load},
};
use proptest::prelude::*;

const REFERENCE: &str = include_str!("../../manifests/ci-mandat.kdl");

fn loaded(name: &str) -> Manifest {
    let request = Request {
        current: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        files: vec![PathBuf::from("manifests").join(name)],
        ..Request::default()
    };
    load(&request, &Disk).unwrap_or_else(|report| {
        panic!(
            "{}",
            report.render(Style {
                width: 80,
                colour: false
            })
        )
    })
}

/// Loads these texts as files in memory. The first one is the main manifest.
fn merged(texts: &[&str]) -> Manifest {
    let name = |index: usize| format!("/shop/{index}.kdl");
    let files: BTreeMap<PathBuf, String> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| (PathBuf::from(name(index)), (*text).to_owned()))
        .chain([(
            PathBuf::from("/shop/.env"),
            "COUNT=2\nTTY=true\nTAG=file\n".to_owned(),
        )])
        .collect();
    let request = Request {
        current: PathBuf::from("/shop"),
        files: (0..texts.len())
            .map(|index| PathBuf::from(name(index)))
            .collect(),
        variables: BTreeMap::from([("TAG".to_owned(), "process".to_owned())]),
        ..Request::default()
    };
    load(&request, &files).unwrap_or_else(|report| {
        panic!(
            "{}",
            report.render(Style {
                width: 80,
                colour: false
            })
        )
    })
}

fn web(texts: &[&str]) -> Service {
    merged(texts)
        .services
        .remove("web")
        .expect("a service `web`")
}

fn env(service: &Service) -> Vec<String> {
    let shown = |value: &EnvValue| match value {
        EnvValue::Value(template) => format!("={template}"),
        EnvValue::PassThrough => String::new(),
    };
    service
        .env
        .iter()
        .map(|(name, value)| format!("{name}{}", shown(&value.value)))
        .collect()
}

fn ports(service: &Service) -> Vec<String> {
    let show = |port: &cimandat::manifest::Port| {
        let host = port
            .host_ip
            .map(|address| format!("{address}:"))
            .unwrap_or_default();
        let published = port
            .published
            .map_or("any".to_owned(), |port| port.to_string());
        let last = port.last.map(|last| format!("-{last}")).unwrap_or_default();
        format!("{host}{published}{last}:{}/{}", port.target, port.protocol)
    };
    service.ports.iter().map(show).collect()
}

#[test]
fn reference_manifest_loads() {
    let manifest = loaded("ci-mandat.kdl");
    assert_eq!(manifest.project.as_str(), "ci-mandat");
    let names: Vec<_> = manifest.services.keys().map(ToString::to_string).collect();
    assert_eq!(
        names,
        ["backend", "frontend", "migrate", "postgres", "redis"]
    );
    let backend = &manifest.services["backend"];
    assert_eq!(backend.isolation.read_only, Some(true));
    assert_eq!(backend.env.len(), 13);
    assert_eq!(backend.secrets.len(), 3);
    assert_eq!(backend.depends_on.len(), 3);
    assert_eq!(manifest.verify.len(), 6);
    assert_eq!(manifest.networks["data"].internal, Some(true));
}

#[test]
fn manifest_loads_from_standard_input() {
    let text = r#"
        include "more.kdl"
        service "web" { image "x:1"; bind "./www" "/www" }
    "#;
    let more = "service \"db\" { image \"x:1\" }".to_owned();
    let files = BTreeMap::from([(PathBuf::from("/srv/my shop/more.kdl"), more)]);
    let request = Request {
        current: PathBuf::from("/srv/my shop"),
        files: vec![PathBuf::from(STANDARD_INPUT)],
        standard_input: Some(text.to_owned()),
        ..Request::default()
    };
    let manifest = load(&request, &files).unwrap();
    assert_eq!(manifest.project.as_str(), "myshop");
    assert_eq!(manifest.directory, PathBuf::from("/srv/my shop"));
    assert_eq!(manifest.services.len(), 2);
    let MountKind::Bind { source, .. } = &manifest.services["web"].mounts[0].kind else {
        panic!("no bind")
    };
    assert_eq!(source.value, PathBuf::from("/srv/my shop/www"));

    // An error on standard input is reported for `<stdin>`, and `./-` names a file.
    let bad = Request {
        standard_input: Some("service \"web\" { imgae \"x\" }".to_owned()),
        ..request.clone()
    };
    let report = load(&bad, &files).unwrap_err();
    assert_eq!(report.entries()[0].file.as_deref(), Some("<stdin>"));
    let named = Request {
        files: vec![PathBuf::from("./-")],
        ..request
    };
    let report = load(&named, &files).unwrap_err();
    assert_eq!(report.entries()[0].code, "manifest::unreadable");
}

#[test]
fn extra_host_accepts_several_addresses() {
    let service = web(&[
        r#"
        defaults { extra-host "db" "10.0.0.9"; extra-host "mail" "10.0.0.8" }
        service "web" {
            image "x"
            extra-host "db" "10.0.0.1" "10.0.0.2"
            extra-host "db" "::1"
            extra-host cache="host-gateway"
            extra-host { search "10.0.0.3" "10.0.0.4"; search "10.0.0.3" }
        }
        "#,
        r#"service "web" { (remove)extra-host "cache" }"#,
    ]);
    let found: Vec<_> = service
        .extra_hosts
        .iter()
        .map(|(host, addresses)| format!("{host} {}", addresses.join(" ")))
        .collect();
    assert_eq!(
        found,
        [
            "db 10.0.0.1 10.0.0.2 ::1",
            "mail 10.0.0.8",
            "search 10.0.0.3 10.0.0.4"
        ]
    );
}

#[test]
fn hello_manifest_loads() {
    let manifest = loaded("hello.kdl");
    assert_eq!(ports(&manifest.services["web"]), ["8080:8080/tcp"]);
}

#[test]
fn port_syntax_variants_all_parse() {
    let service = web(&[r#"service "web" {
        image "x"
        port 3000
        port 8080 to=80
        port 0 to=81
        port "127.0.0.1:5432:5432/udp"
        port 9000 host-ip="::1" protocol="udp"
        port "4000-4001:5000-5001"
        port "8081-8083:82"
        port "[::1]:8084-8085:83/udp"
        port "8086-8088" to=84
        port "8089-8089:85"
    }"#]);
    let expected = [
        "3000:3000/tcp",
        "8080:80/tcp",
        "any:81/tcp",
        "127.0.0.1:5432:5432/udp",
        "::1:9000:9000/udp",
        "4000:5000/tcp",
        "4001:5001/tcp",
        "8081-8083:82/tcp",
        "::1:8084-8085:83/udp",
        "8086-8088:84/tcp",
        "8089:85/tcp",
    ];
    assert_eq!(ports(&service), expected);
}

#[test]
fn later_layers_override_by_key() {
    let service = web(&[
        r#"
        defaults { init #true; env A="defaults" B="defaults" }
        template "base" { env B="base" C="base"; tmpfs "/tmp"; limit cpus=1.0 memory="1GiB" }
        volume "data"
        service "web" {
            use "base"
            image "x:1"
            command "run" "slowly"
            env C="web" D="web"
            volume "data" "/tmp/"
            limit memory="2GiB"
            port 80
        }"#,
        r#"service "web" { image "x:2"; command "run"; env D="later"; port 8080 to=80; port 81 }"#,
    ]);
    assert_eq!(env(&service), ["A=defaults", "B=base", "C=web", "D=later"]);
    assert_eq!(ports(&service), ["8080:80/tcp", "81:81/tcp"]);
    assert!(
        matches!(service.mounts[..], [ref only] if matches!(only.kind, MountKind::Volume { .. }))
    );
    assert_eq!(service.limit.cpus, Some(1.0));
    assert_eq!(service.limit.memory.map(|size| size.0), Some(2 << 30));
    assert_eq!(service.init, Some(true));
    let command = service.command.expect("a command").value;
    assert_eq!(
        command,
        cimandat::manifest::Command::Exec(vec!["run".to_owned()])
    );
}

#[test]
fn inherited_values_can_be_removed_and_replaced() {
    let service = web(&[r#"
        template "base" {
            env A="1" B="2"
            port 80
            port 81
            cap-drop "ALL"
            limit cpus=1.0 memory="1GiB"
            depends-on "db" "cache"
        }
        service "db" { image "x" }
        service "cache" { image "x" }
        service "web" {
            use "base"
            image "x"
            (remove)env "A"
            (remove)port 80
            (remove)cap-drop
            (replace)limit pids=5
            (remove)depends-on "db"
        }"#]);
    assert_eq!(env(&service), ["B=2"]);
    assert_eq!(ports(&service), ["81:81/tcp"]);
    assert!(service.isolation.cap_drop.is_empty());
    assert_eq!((service.limit.cpus, service.limit.pids), (None, Some(5)));
    assert_eq!(
        service
            .depends_on
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["cache"]
    );
}

#[test]
fn service_defaults_do_not_apply_to_jobs() {
    let manifest = merged(&[r#"
        defaults { restart "always"; replicas 2; init #true }
        job "migrate" irreversible=#true { image "x" }
        service "web" { image "x" }
    "#]);
    let (job, web) = (&manifest.services["migrate"], &manifest.services["web"]);
    assert_eq!(
        (job.restart.is_none(), job.replicas.is_none(), job.init),
        (true, true, Some(true))
    );
    assert_eq!(web.replicas.map(|replicas| replicas.value), Some(2));
}

#[test]
fn variables_take_type_of_their_context() {
    let service = web(&[r#"service "web" {
        image "x:${TAG}"
        replicas "${COUNT}"
        tty "${TTY}"
        env "HOME"
        env { SHELL; PRICE "5$$"; URL "u:${secret:key}@h" }
    }
    secret "key" generate="hex""#]);
    assert_eq!(service.replicas.map(|replicas| replicas.value), Some(2));
    assert_eq!(service.tty, Some(true));
    assert_eq!(
        env(&service),
        ["HOME", "PRICE=5$", "SHELL", "URL=u:${secret:key}@h"]
    );
    let cimandat::manifest::ImageSource::Reference(image) = service.image else {
        panic!("an image by reference");
    };
    // The process environment overrides `.env`.
    assert_eq!(image.as_str(), "x:process");
}

#[test]
fn relative_paths_resolve_against_their_file() {
    let files = BTreeMap::from([
        (
            PathBuf::from("/shop/cimandat.kdl"),
            "include \"parts/web.kdl\"".to_owned(),
        ),
        (
            PathBuf::from("/shop/parts/web.kdl"),
            "service \"web\" { image \"x\"; bind \"./conf\" \"/conf\"; bind \"~/c\" \"/c\" }"
                .to_owned(),
        ),
    ]);
    let request = Request {
        current: PathBuf::from("/shop/below"),
        variables: BTreeMap::from([("HOME".to_owned(), "/home/me".to_owned())]),
        ..Request::default()
    };
    let manifest = load(&request, &files).expect("a manifest");
    assert_eq!(manifest.project.as_str(), "shop");
    let sources: Vec<_> = manifest.services["web"]
        .mounts
        .iter()
        .map(|mount| match &mount.kind {
            MountKind::Bind { source, .. } => source.value.display().to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sources, ["/shop/parts/conf", "/home/me/c"]);
}

/// Loads any text. Loading must terminate, and its errors must render.
fn survives(text: &str) {
    let files = BTreeMap::from([(PathBuf::from("/shop/cimandat.kdl"), text.to_owned())]);
    let request = Request {
        current: PathBuf::from("/shop"),
        ..Request::default()
    };
    if let Err(report) = load(&request, &files) {
        assert!(!report.mistakes().is_empty());
        for entry in report.entries() {
            assert!(!entry.message.is_empty() && entry.code.starts_with("manifest::"));
        }
        let drawn = report.render(Style {
            width: 80,
            colour: false,
        });
        assert!(drawn.ends_with(&format!("{report}\n")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_text_never_panics(text in "(.|\\n){0,200}") {
        survives(&text);
    }

    #[test]
    fn random_tokens_never_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "service", "job", "\"web\"", "{", "}", "\n", "port", "80", "\"80:80\"", "env",
                "A=\"1\"", "A", "#true", "(remove)", "(replace)", "use", "template", "defaults",
                "\"${X:-1}\"", "\"${secret:s}\"", "ready", "http", "timeout=", "\"5s\"", "build",
                "volume", "\"/data\"", "network", "limit", "memory=", "depends-on", "until=", ";",
                "image", "1.5", "-1", "#null", "é", "secret", "generate=\"hex\"", "ulimit", "gpus",
            ]),
            0..60,
        ),
    ) {
        survives(&words.join(" "));
    }

    #[test]
    fn mutated_reference_manifest_never_panics(
        at: prop::sample::Index,
        length in 0_usize..40,
        other in "(.|\\n){0,6}",
    ) {
        let letters: Vec<char> = REFERENCE.chars().collect();
        let from = at.index(letters.len());
        let to = (from + length).min(letters.len());
        let changed: String = letters[..from].iter().chain(other.chars().collect::<Vec<_>>().iter()).chain(&letters[to..]).collect();
        survives(&changed);
    }
}
