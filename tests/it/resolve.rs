//! Resolution of a manifest on disk into a project: defaults, files, secrets, profiles, and the
//! errors for missing inputs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::too_many_lines, reason = "messages are shown whole")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
};

use cimandat::{
    diagnostic::{Report, Style},
    manifest::{self, Disk},
    project::{
        BuildSecretSource, ContainerSpec, ImageSource, Project, Service,
        resolve::{EngineHost, Resolution, resolve},
        rotation::Rotation,
        vault::StoreMode,
    },
    secret::Text,
};
use jiff::Timestamp;
use proptest::{bool::weighted, collection::vec, prelude::*};
use tempfile::TempDir;

/// A manifest whose service `web` has many settings.
const EVERYTHING: &str = r#"
network "edge" subnet="10.1.0.0/16"
network "outside" external=#true
volume "data" { label "tier" "hot" }
volume "shared" external=#true name="there"
service "db" {
    image "db:1"
    network "edge"
}
service "web" {
    image "web:1"
    command shell="exec web --port $$PORT"
    env PORT="80" LEVEL="debug"
    env-file "web.env"
    user "1000"
    network "edge" alias="www" priority=7 ipv4="10.1.2.3"
    network "outside"
    link "db" "database"
    external-link "mail"
    mac-address "02:42:ac:11:00:02"
    port 8080 to=80
    port "127.0.0.1:5353:53/udp"
    expose 9000
    volume "data" "/data" nocopy=#true
    volume "shared" "/shared" read-only=#true
    volume "/anonymous"
    bind "./www" "/www"
    bind "./made" "/made" create=#true
    tmpfs "/tmp" size="64MiB" mode=0o1777
    restart "on-failure" max=5
    limit cpus=1.5 memory="512MiB" pids=200
    healthcheck interval="5s" retries=3 { command "check" }
    logging "json-file" max-size="10m"
    gpus 2
    device "/dev/fuse"
    init #false
    read-only #true
}
"#;

/// A temporary folder with a manifest and its files, and the options of the resolution.
struct Stage {
    folder: TempDir,
    variables: BTreeMap<String, String>,
    resolution: Resolution,
}

impl Stage {
    fn new(manifest: &str) -> Self {
        let stage = Self {
            folder: TempDir::with_prefix("shop").unwrap(),
            variables: BTreeMap::new(),
            resolution: Resolution {
                project: None,
                profiles: BTreeSet::new(),
                services: BTreeSet::new(),
                store: StoreMode::ReadOnly,
                rotation: Rotation::default(),
                engine: EngineHost::ThisMachine,
                now: Timestamp::from_second(1_767_225_600).unwrap(),
            },
        };
        stage.file("cimandat.kdl", &format!("project \"shop\"\n{manifest}"))
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn profile(mut self, name: &str) -> Self {
        self.resolution.profiles.insert(name.to_owned());
        self
    }

    fn named(mut self, service: &str) -> Self {
        self.resolution.services.insert(service.to_owned());
        self
    }

    fn creating(mut self) -> Self {
        self.resolution.store = StoreMode::Create;
        self
    }

    fn resolve(&self) -> Result<Project, Report> {
        let request = manifest::Request {
            current: self.folder.path().to_owned(),
            variables: self.variables.clone(),
            ..manifest::Request::default()
        };
        let manifest = manifest::load(&request, &Disk)?;
        resolve(&manifest, &self.resolution)
    }

    fn project(&self) -> Project {
        self.resolve()
            .unwrap_or_else(|report| panic!("{}", render(&report)))
    }

    fn service(&self, name: &str) -> Service {
        self.project().services.get(name).unwrap().clone()
    }

    /// Replaces the path of the temporary folder by `/shop`.
    fn anonymous(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "/shop")
    }

    /// The container specification as it is recorded, one field per line.
    fn container(&self, name: &str) -> String {
        let record = serde_json::to_value(&self.service(name).container).unwrap();
        let fields = record.as_object().unwrap().iter();
        let lines: Vec<_> = fields
            .map(|(field, value)| format!("{field}: {value}"))
            .collect();
        self.anonymous(&lines.join("\n"))
    }

    fn mistakes(&self) -> String {
        let report = self.resolve().expect_err("a mistake");
        // The real path of the folder is longer than `/shop`, and lines would break elsewhere.
        self.anonymous(&report.render(Style {
            width: 300,
            colour: false,
        }))
    }
}

fn render(report: &Report) -> String {
    report.render(Style {
        width: 80,
        colour: false,
    })
}

fn files(container: &ContainerSpec) -> String {
    let mut text = String::new();
    for set in &container.files {
        let place = if set.volume { "volume" } else { "layer" };
        writeln!(text, "{} in a {place}", set.folder).unwrap();
        for file in &set.files {
            let (uid, gid, mode, name) = (file.uid, file.gid, file.mode, &file.name);
            writeln!(text, "  {uid}:{gid} {mode:04o} {name}").unwrap();
        }
    }
    text
}

fn gates(project: &Project) -> String {
    let mut text = String::new();
    for (name, service) in &project.services {
        let gate = &service.ready;
        let probes: Vec<_> = gate.probes.iter().map(ToString::to_string).collect();
        let (within, settle) = (gate.timeout, gate.stabilize);
        writeln!(
            text,
            "{name}: {} within {within:?}, settle {settle:?}",
            probes.join(", ")
        )
        .unwrap();
    }
    text
}

fn dependencies(service: &Service) -> String {
    let mut text = String::new();
    for (name, dependency) in &service.depends_on {
        let until = format!("{:?}", dependency.until).to_lowercase();
        let required = if dependency.required {
            ""
        } else {
            ", not required"
        };
        let restart = if dependency.restart {
            ", restarts with it"
        } else {
            ""
        };
        writeln!(text, "{name} {until}{required}{restart}").unwrap();
    }
    text
}

#[test]
fn minimal_service_gets_every_default() {
    let stage = Stage::new("service \"web\" { image \"nginx:1.29\" }");
    insta::assert_snapshot!(stage.container("web"), @r#"
    init: true
    limit: {}
    network: {"networks":{"default":{"priority":0}}}
    reserve: {}
    restart: "no"
    "#);
    let project = stage.project();
    let network = project.networks.get("default").unwrap();
    assert_eq!(
        (network.engine_name.as_str(), network.driver.as_str()),
        ("shop_default", "bridge")
    );
    insta::assert_snapshot!(gates(&project), @"web: started within 60s, settle 1s");
    assert_eq!(project.services["web"].replicas, 1);
    assert_eq!(project.deploy.history, 5);
}

#[test]
fn full_service_keeps_all_settings() {
    let stage = Stage::new(EVERYTHING)
        .file(
            "web.env",
            "LEVEL=info\nHOME\nSHELL\nURL=http://${HOST:-localhost}\n",
        )
        .file("www/index.html", "")
        .variable("HOME", "/root");
    insta::assert_snapshot!(stage.container("web"), @r#"
    command: ["/bin/sh","-c","exec web --port $PORT"]
    device_requests: [{"capabilities":["gpu"],"count":2,"driver":""}]
    devices: [{"permissions":"rwm","source":"/dev/fuse","target":"/dev/fuse"}]
    env: {"HOME":"/root","LEVEL":"debug","PORT":"80","URL":"http://localhost"}
    expose: [[9000,"tcp"]]
    healthcheck: {"interval":{"nanos":0,"secs":5},"retries":3,"test":{"command":["check"]}}
    limit: {"cpus":1.5,"memory":536870912,"pids":200}
    logging: {"driver":"json-file","options":{"max-size":"10m"}}
    mounts: [{"mount":"anonymous","target":"/anonymous"},{"engine_name":"shop_data","mount":"volume","nocopy":true,"target":"/data","volume":"data"},{"create":"folder","mount":"bind","source":"/shop/made","target":"/made"},{"engine_name":"there","mount":"volume","read_only":true,"target":"/shared","volume":"shared"},{"mode":1023,"mount":"tmpfs","size":67108864,"target":"/tmp"},{"create":"refuse","mount":"bind","source":"/shop/www","target":"/www"}]
    network: {"networks":{"edge":{"aliases":["www"],"ipv4":"10.1.2.3","links":["mail:mail"],"mac":"02:42:ac:11:00:02","priority":7},"outside":{"links":["mail:mail"],"priority":0}}}
    ports: [{"host_ip":"127.0.0.1","protocol":"udp","published":5353,"target":53},{"host_ip":"","protocol":"tcp","published":8080,"target":80}]
    read_only: true
    reserve: {}
    restart: {"on-failure":{"max":5}}
    user: "1000"
    "#);
    insta::assert_snapshot!(stage.container("db"), @r#"
    init: true
    limit: {}
    network: {"networks":{"edge":{"aliases":["database"],"priority":0}}}
    reserve: {}
    restart: "no"
    "#);
}

#[test]
fn start_first_with_port_gets_internal_network() {
    let manifest = |rest: &str| {
        format!(
            r#"
            network "inner" internal=#true
            service "db" {{ image "debian"; network "default"; {rest} }}
            service "web" {{
                image "debian"
                port 80
                network "default"
                network "inner"
                depends-on "db"
                update order="start-first"
            }}
            "#
        )
    };
    let networks = |stage: &Stage, service: &str| -> Vec<String> {
        match stage.service(service).container.network {
            cimandat::project::NetworkMode::Networks(attached) => {
                attached.keys().map(ToString::to_string).collect()
            }
            other => panic!("{other:?}"),
        }
    };
    let apart = Stage::new(&manifest(""));
    assert_eq!(networks(&apart, "db"), ["default", "web-cutover"]);
    assert_eq!(networks(&apart, "web"), ["default", "inner", "web-cutover"]);
    let project = apart.project();
    let added = &project.networks["web-cutover"];
    assert!(added.internal && added.engine_name == "shop_web-cutover");
    // Where both services already share an internal network, none is added.
    let together = Stage::new(&manifest(r#"network "inner""#));
    assert_eq!(networks(&together, "web"), ["default", "inner"]);
}

#[test]
fn gates_and_conditions_have_defaults() {
    let stage = Stage::new(
        r#"
        defaults { image "x:1" }
        service "plain" {}
        service "checked" { healthcheck start-period="30s" { command "check" } }
        service "unchecked" { healthcheck disable=#true }
        service "gated" { ready { tcp 80; started } }
        service "slow" { ready timeout="3m" stabilize="5s" { http 80 } }
        job "migrate" {}
        service "other" { network-mode "service:plain" }
        service "all" {
            depends-on "plain" "checked" "unchecked" "gated" "migrate"
            depends-on "slow" until="started" restart=#true
            pid "service:other"
        }
        "#,
    );
    let project = stage.project();
    insta::assert_snapshot!(gates(&project), @r"
    all: started within 60s, settle 1s
    checked: healthcheck within 90s, settle 0ns
    gated: tcp 80, started within 60s, settle 1s
    migrate: exit within 60s, settle 0ns
    other: started within 60s, settle 1s
    plain: started within 60s, settle 1s
    slow: http 80 / within 180s, settle 5s
    unchecked: started within 60s, settle 1s
    ");
    insta::assert_snapshot!(dependencies(&project.services["all"]), @r"
    checked ready
    gated ready
    migrate completed
    other started, restarts with it
    plain started
    slow started, restarts with it
    unchecked started
    ");
    insta::assert_snapshot!(dependencies(&project.services["other"]), @"plain started, restarts with it");
}

#[test]
fn secrets_configs_and_certificates_become_files() {
    let stage = Stage::new(
        r#"
        secret "password" generate="alphanumeric"
        secret "token" file="token"
        secret "key" env="KEY"
        config "site" file="site.conf"
        config "motd" content="hello"
        config "login" content="user:${secret:token}"
        certificate "web" host="web"
        service "open" {
            image "x:1"
            secret "password"
            secret "token" target="api" uid=10 mode=0o400
            secret "key" target="/etc/web/key"
            config "site" target="/etc/web/site.conf"
            config "motd"
            config "login" target="/etc/login/user"
            certificate "web" "/run/certs" uid=999
            authority "/run/certs"
            authority "/run/trust"
        }
        service "closed" {
            image "x:1"
            read-only #true
            config "site" target="/etc/web/site.conf"
        }
        service "mounted" {
            image "x:1"
            tmpfs "/etc/web"
            config "site" target="/etc/web/sites/site.conf"
        }
        "#,
    )
    .file("token", "hunter2\n")
    .file("site.conf", "listen 80")
    .variable("KEY", "correct horse");
    let project = stage.project();
    insta::assert_snapshot!(files(&project.services["open"].container), @r"
    / in a layer
      0:0 0444 motd
    /etc/login in a volume
      0:0 0444 user
    /etc/web in a volume
      0:0 0444 key
      0:0 0444 site.conf
    /run/certs in a volume
      999:0 0444 ca.crt
      999:0 0444 tls.crt
      999:0 0400 tls.key
    /run/secrets in a volume
      10:0 0400 api
      0:0 0444 password
    /run/trust in a volume
      0:0 0444 ca.crt
    ");
    insta::assert_snapshot!(files(&project.services["closed"].container), @r"
    /etc/web in a volume
      0:0 0444 site.conf
    ");
    insta::assert_snapshot!(files(&project.services["mounted"].container), @r"
    /etc/web/sites in a volume
      0:0 0444 site.conf
    ");
    assert!(
        !stage.folder.path().join(".cimandat").exists(),
        "looking writes nothing"
    );

    let made = stage.creating().project();
    let digests = |project: &Project| {
        let sets = project.services["open"].container.files.clone();
        let files = sets.into_iter().flat_map(|set| set.files);
        files
            .map(|file| (file.name, file.digest))
            .collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (digests(&project), digests(&made));
    let changed = before
        .iter()
        .filter(|(name, digest)| after[*name] != **digest);
    let changed: Vec<_> = changed.map(|(name, _)| name.as_str()).collect();
    assert_eq!(changed, ["ca.crt", "password", "tls.crt", "tls.key"]);
}

#[test]
fn secret_is_sealed_everywhere_and_generated_once() {
    let stage = Stage::new(
        r#"
        secret "db" generate="hex" bytes=16
        service "web" {
            build "." { arg TOKEN="${secret:db}"; secret "npm" secret="db" }
            env URL="postgresql://u:${secret:db}@db/x" PLAIN="x"
            post-start { command "warm"; env KEY="${secret:db}" }
            ready { redis 6379 password="${secret:db}" }
        }
        "#,
    )
    .file("Dockerfile", "FROM scratch")
    .creating();
    let service = stage.service("web");
    let value = fs::read_to_string(stage.folder.path().join(".cimandat/shop/secrets/db")).unwrap();
    let url = &service.container.env["URL"];
    assert_eq!(url.shown(), "postgresql://u:${secret:db}@db/x");
    assert_eq!(
        url.expose(),
        Some(format!("postgresql://u:{value}@db/x").as_str())
    );
    assert_eq!(service.container.env["PLAIN"], Text::from("x"));
    assert_eq!(
        service.post_start[0].env["KEY"].expose(),
        Some(value.as_str())
    );
    let ImageSource::Build(build) = &service.image else {
        panic!("{:?}", service.image)
    };
    assert_eq!(build.args["TOKEN"].expose(), Some(value.as_str()));
    let BuildSecretSource::Value(secret) = &build.secrets["npm"].source else {
        panic!("a value")
    };
    assert_eq!(secret.expose(), Some(value.as_str()));

    let shown = format!("{service:?}") + &serde_json::to_string(&service.container).unwrap();
    assert!(!shown.contains(&value), "{shown}");
    let again = stage.service("web");
    assert_eq!(again.container, service.container);
}

#[test]
fn profiles_select_services() {
    let manifest = r#"
        defaults { image "x:1" }
        service "web" {
            depends-on "debugger" required=#false
        }
        service "debugger" { profile "debug" }
        service "load" {
            profile "test"
            depends-on "web" "report"
        }
        service "report" { profile "test" }
        verify { unreachable "web" 80; unreachable "load" 80 }
    "#;
    let chosen = |stage: &Stage| {
        let project = stage.project();
        let names: Vec<_> = project.services.keys().map(ToString::to_string).collect();
        format!("{} ({} checks)", names.join(" "), project.verify.len())
    };
    let stage = Stage::new(manifest);
    assert_eq!(chosen(&stage), "web (1 checks)");
    assert!(stage.service("web").depends_on.is_empty());
    let stage = stage.profile("debug");
    assert_eq!(chosen(&stage), "debugger web (1 checks)");
    assert_eq!(stage.service("web").depends_on.len(), 1);
    assert_eq!(
        chosen(&Stage::new(manifest).profile("*")),
        "debugger load report web (2 checks)"
    );
    assert_eq!(
        chosen(&Stage::new(manifest).named("load")),
        "load report web (2 checks)"
    );
}

#[test]
fn build_paths_are_absolute() {
    let stage = Stage::new(
        r#"
        service "web" {
            image "web:dev"
            build "./app" dockerfile="../docker/Web.Dockerfile" target="run" {
                context "lib" "./lib"
                context "base" "docker-image://debian:13"
                secret "ca" file="nowhere.pem" required=#false
                secret "token" env="TOKEN"
                arg MODE="fast"
                arg "HOME"
                arg "UNSET"
            }
        }
        service "worker" { image-of "web" }
        "#,
    )
    .file("app/main.rs", "")
    .file("lib/lib.rs", "")
    .file("docker/Web.Dockerfile", "FROM base")
    .variable("HOME", "/root")
    .variable("TOKEN", "hunter2");
    let ImageSource::Build(build) = stage.service("web").image else {
        panic!("no build")
    };
    insta::assert_snapshot!(stage.anonymous(&format!("{build:#?}")), @r#"
    Build {
        context: "/shop/app",
        dockerfile: "/shop/docker/Web.Dockerfile",
        inline: None,
        target: Some(
            "run",
        ),
        args: {
            "HOME": Plain(
                "/root",
            ),
            "MODE": Plain(
                "fast",
            ),
        },
        secrets: {
            "token": BuildSecret {
                source: Value(
                    Sealed {
                        shown: "${TOKEN}",
                        digest: "f52fbd32b2b3b86f",
                        value: Some(
                            Secret(…),
                        ),
                    },
                ),
                required: true,
            },
        },
        ssh: false,
        contexts: {
            "base": "docker-image://debian:13",
            "lib": "/shop/lib",
        },
        network: None,
        pull: false,
        no_cache: false,
        platforms: [],
        labels: {},
        tags: [
            `web:dev`,
        ],
        cache_from: [],
        cache_to: [],
        extra_hosts: {},
        shm_size: None,
    }
    "#);
    assert!(matches!(stage.service("worker").image, ImageSource::Of(web) if web.as_str() == "web"));
}

#[test]
fn missing_inputs_are_all_reported() {
    let stage = Stage::new(
        r#"
        secret "missing" file="secrets/none"
        secret "unset" env="NO_SUCH_VARIABLE"
        config "gone" file="gone.conf"
        service "web" {
            build "app" dockerfile="Dockerfil" {
                secret "token" env="NO_TOKEN"
                context "lib" "nolib"
            }
            bind "./www" "/www"
            env-file "none.env"
            env-file "bad.env"
            label-file "none.labels"
            secret "missing"
            secret "unset"
            config "gone" target="/etc/gone"
            pid "service:debugger"
            depends-on "debugger"
        }
        service "debugger" {
            image "x:1"
            profile "debug"
            ready { healthcheck }
            healthcheck disable=#true
        }
        "#,
    )
    .file("app/Dockerfile", "FROM scratch")
    .file("bad.env", "A=1\nB=${UNSET}\n")
    .profile("debgu");
    insta::assert_snapshot!(stage.mistakes(), @r#"
    project::unknown_profile

      × no service is in the profile `debgu`
      help: did you mean `debug`?

    project::secret

      × secret `missing` has no value: cannot read `/shop/secrets/none`: No such file or directory (os error 2)
       ╭─[cimandat.kdl:3:31]
     2 │ 
     3 │         secret "missing" file="secrets/none"
       ·                               ───────┬──────
       ·                                      ╰── declared here
     4 │         secret "unset" env="NO_SUCH_VARIABLE"
       ╰────
      help: make the file, or let the value be made with `generate=`

    project::secret

      × secret `unset` has no value: variable `NO_SUCH_VARIABLE` is not set
       ╭─[cimandat.kdl:4:28]
     3 │         secret "missing" file="secrets/none"
     4 │         secret "unset" env="NO_SUCH_VARIABLE"
       ·                            ─────────┬────────
       ·                                     ╰── declared here
     5 │         config "gone" file="gone.conf"
       ╰────
      help: set `NO_SUCH_VARIABLE` in the environment or in an env-file

    project::config

      × config `gone` has no content: cannot read `/shop/gone.conf`: No such file or directory (os error 2)
       ╭─[cimandat.kdl:5:28]
     4 │         secret "unset" env="NO_SUCH_VARIABLE"
     5 │         config "gone" file="gone.conf"
       ·                            ─────┬─────
       ·                                 ╰── declared here
     6 │         service "web" {
       ╰────

    project::missing_path

      × Dockerfile `/shop/app/Dockerfil` does not exist
       ╭─[cimandat.kdl:7:36]
     6 │         service "web" {
     7 │             build "app" dockerfile="Dockerfil" {
       ·                                    ─────┬─────
       ·                                         ╰── named here
     8 │                 secret "token" env="NO_TOKEN"
       ╰────
      help: did you mean `Dockerfile`?

    project::build_secret

      × build secret `token` has no value: variable `NO_TOKEN` is not set
       ╭─[cimandat.kdl:8:36]
     7 │             build "app" dockerfile="Dockerfil" {
     8 │                 secret "token" env="NO_TOKEN"
       ·                                    ─────┬────
       ·                                         ╰── needed by the build
     9 │                 context "lib" "nolib"
       ╰────
      help: make it optional with `required=#false`

    project::missing_path

      × named context `/shop/nolib` does not exist
        ╭─[cimandat.kdl:9:31]
      8 │                 secret "token" env="NO_TOKEN"
      9 │                 context "lib" "nolib"
        ·                               ───┬───
        ·                                  ╰── named here
     10 │             }
        ╰────
      help: a path is relative to the folder of the file that contains it

    project::missing_path

      × bind source `/shop/www` does not exist
        ╭─[cimandat.kdl:11:18]
     10 │             }
     11 │             bind "./www" "/www"
        ·                  ───┬───
        ·                     ╰── named here
     12 │             env-file "none.env"
        ╰────
      help: make it, or let `up` make a folder there: `create=#true`

    project::missing_path

      × env-file `/shop/none.env` does not exist
        ╭─[cimandat.kdl:12:22]
     11 │             bind "./www" "/www"
     12 │             env-file "none.env"
        ·                      ─────┬────
        ·                           ╰── named here
     13 │             env-file "bad.env"
        ╰────
      help: create it, or mark it optional: `optional=#true`

    project::env_file

      × `/shop/bad.env`, line 2, column 3: variable `UNSET` is not set
        ╭─[cimandat.kdl:13:22]
     12 │             env-file "none.env"
     13 │             env-file "bad.env"
        ·                      ────┬────
        ·                          ╰── in this file
     14 │             label-file "none.labels"
        ╰────
      help: set it in the environment or in an env-file, or give it a default: `${UNSET:-value}`; a value in single quotes is taken as it is

    project::missing_path

      × label-file `/shop/none.labels` does not exist
        ╭─[cimandat.kdl:14:24]
     13 │             env-file "bad.env"
     14 │             label-file "none.labels"
        ·                        ──────┬──────
        ·                              ╰── named here
     15 │             secret "missing"
        ╰────

    project::disabled

      × `web` shares a namespace with `debugger`, whose profiles are not enabled
        ╭─[cimandat.kdl:18:17]
     17 │             config "gone" target="/etc/gone"
     18 │             pid "service:debugger"
        ·                 ─────────┬────────
        ·                          ╰── not part of this deploy
     19 │             depends-on "debugger"
        ╰────
      help: switch it on by `--profile debug`

    project::disabled

      × `web` depends on `debugger`, whose profiles are not enabled
        ╭─[cimandat.kdl:19:24]
     18 │             pid "service:debugger"
     19 │             depends-on "debugger"
        ·                        ─────┬────
        ·                             ╰── not part of this deploy
     20 │         }
        ╰────
      help: switch it on by `--profile debug`, or do without it by `required=#false`

    13 errors
    "#);
}

/// Creates a symbolic link in the folder of the manifest.
fn linked(stage: Stage, link: &str, target: &str) -> Stage {
    std::os::unix::fs::symlink(target, stage.folder.path().join(link)).unwrap();
    stage
}

#[test]
fn dangling_symlink_is_reported() {
    let mut stage = Stage::new(
        r#"
        secret "key" file="key.pem"
        config "conf" file="conf"
        service "web" {
            image "x:1"
            bind "./current" "/www"
            bind "./made" "/made" create=#true
            secret "key"
            config "conf"
            env-file "web.env"
            build "app" dockerfile="Dockerfile"
        }
        "#,
    );
    for (link, target) in [
        ("current", "releases/7"),
        ("made", "nowhere"),
        ("key.pem", "/etc/no/such/key.pem"),
        ("conf", "current/conf"),
        ("web.env", "web.env"),
        ("app", "current"),
    ] {
        stage = linked(stage, link, target);
    }
    insta::assert_snapshot!(stage.mistakes(), @r#"
    project::secret

      × secret `key` has no value: cannot read `/shop/key.pem`: it is a link to `/etc/no/such/key.pem`, which does not exist
       ╭─[cimandat.kdl:3:27]
     2 │ 
     3 │         secret "key" file="key.pem"
       ·                           ────┬────
       ·                               ╰── declared here
     4 │         config "conf" file="conf"
       ╰────
      help: make the file, or let the value be made with `generate=`

    project::config

      × config `conf` has no content: cannot read `/shop/conf`: it is a link to `/shop/releases/7`, which does not exist
       ╭─[cimandat.kdl:4:28]
     3 │         secret "key" file="key.pem"
     4 │         config "conf" file="conf"
       ·                            ───┬──
       ·                               ╰── declared here
     5 │         service "web" {
       ╰────

    project::missing_path

      × bind source `/shop/current` is a link to `/shop/releases/7`, which does not exist
       ╭─[cimandat.kdl:7:18]
     6 │             image "x:1"
     7 │             bind "./current" "/www"
       ·                  ─────┬─────
       ·                       ╰── named here
     8 │             bind "./made" "/made" create=#true
       ╰────
      help: fix the link, or use the path of its target

    project::missing_path

      × bind source `/shop/made` is a link to `/shop/nowhere`, which does not exist
       ╭─[cimandat.kdl:8:18]
     7 │             bind "./current" "/www"
     8 │             bind "./made" "/made" create=#true
       ·                  ────┬───
       ·                      ╰── named here
     9 │             secret "key"
       ╰────
      help: fix the link, or use the path of its target

    project::missing_path

      × env-file `/shop/web.env` does not exist: `/shop/web.env` is a link to itself
        ╭─[cimandat.kdl:11:22]
     10 │             config "conf"
     11 │             env-file "web.env"
        ·                      ────┬────
        ·                          ╰── named here
     12 │             build "app" dockerfile="Dockerfile"
        ╰────
      help: fix the link, or use the path of its target

    project::missing_path

      × build context `/shop/app` is a link to `/shop/releases/7`, which does not exist
        ╭─[cimandat.kdl:12:19]
     11 │             env-file "web.env"
     12 │             build "app" dockerfile="Dockerfile"
        ·                   ──┬──
        ·                     ╰── named here
     13 │         }
        ╰────
      help: fix the link, or use the path of its target

    6 errors
    "#);
}

#[test]
fn dot_env_folder_is_ignored() {
    let stage = Stage::new("service \"web\" { image \"x:1\" }").file(".env/bin/python", "");
    assert_eq!(stage.project().services.len(), 1);
    // A folder with the name of a manifest is ignored as well.
    let below = stage.folder.path().join("below");
    fs::create_dir_all(below.join(manifest::FILE_NAME)).unwrap();
    let found = manifest::find(&below, &Disk);
    assert_eq!(found, Some(stage.folder.path().join(manifest::FILE_NAME)));
}

#[test]
fn tmpfs_keeps_owner_and_exec() {
    let stage = Stage::new(
        r#"
        service "web" {
            image "x:1"
            tmpfs "/run/web" exec=#true uid=1000 gid=1001 mode=0o700
            tmpfs "/tmp" size="1MiB"
        }
        "#,
    );
    let mounts = serde_json::to_string(&stage.service("web").container.mounts).unwrap();
    assert_eq!(
        mounts,
        r#"[{"target":"/run/web","mount":"tmpfs","mode":448,"exec":true,"uid":1000,"gid":1001},{"target":"/tmp","mount":"tmpfs","size":1048576}]"#
    );
}

#[test]
fn misplaced_files_are_reported() {
    let stage = Stage::new(
        r#"
        secret "a" file="a"
        secret "b" file="b"
        config "c" file="a"
        certificate "odd" host="no such host"
        certificate "one" host="one"
        certificate "two" host="two"
        service "web" {
            image "x:1"
            read-only #true
            tmpfs "/run/web"
            healthcheck disable=#true
            ready { healthcheck }
            secret "a"
            secret "b" target="/run/web/b"
            config "c"
            certificate "odd" "/run/odd"
            certificate "one" "/run/certs"
            certificate "two" "/run/certs"
        }
        "#,
    )
    .file("a", "1")
    .file("b", "2")
    .creating();
    insta::assert_snapshot!(stage.mistakes(), @r#"
    project::certificate

      × a certificate cannot be for `no such host`
       ╭─[cimandat.kdl:6:32]
     5 │         config "c" file="a"
     6 │         certificate "odd" host="no such host"
       ·                                ───────┬──────
       ·                                       ╰── requested here
     7 │         certificate "one" host="one"
       ╰────
      help: a host is a name (`db`, `db.example.org`, `*.example.org`) or an IP address

    project::gate_without_check

      × the gate of `web` probes a health check that is disabled
        ╭─[cimandat.kdl:13:13]
     12 │             tmpfs "/run/web"
     13 │             healthcheck disable=#true
        ·             ─────┬─────
        ·                  ╰── switched off here
     14 │             ready { healthcheck }
        ·                     ─────┬─────
        ·                          ╰── never healthy
     15 │             secret "a"
        ╰────
      help: use another probe (`tcp`, `http`, `exec`, …), or enable the health check

    project::folder_clash

      × `/run/web` in `web` holds both a mount and files that are put there
        ╭─[cimandat.kdl:12:19]
     11 │             read-only #true
     12 │             tmpfs "/run/web"
        ·                   ─────┬────
        ·                        ╰── mounted there
     13 │             healthcheck disable=#true
     14 │             ready { healthcheck }
     15 │             secret "a"
     16 │             secret "b" target="/run/web/b"
        ·                               ──────┬─────
        ·                                     ╰── put there
     17 │             config "c"
        ╰────
      help: put the files into another folder with `target=`, or mount elsewhere

    project::file_in_root

      × `/c` needs a folder of its own: the root of the container cannot be written
        ╭─[cimandat.kdl:17:20]
     16 │             secret "b" target="/run/web/b"
     17 │             config "c"
        ·                    ─┬─
        ·                     ╰── put there
     18 │             certificate "odd" "/run/odd"
        ╰────
      help: say `target="/etc/web/file"`, or any other folder

    project::file_clash

      × two files are put at `/run/certs/tls.crt` in `web`
        ╭─[cimandat.kdl:19:31]
     18 │             certificate "odd" "/run/odd"
     19 │             certificate "one" "/run/certs"
        ·                               ──────┬─────
        ·                                     ╰── first put there
     20 │             certificate "two" "/run/certs"
        ·                               ──────┬─────
        ·                                     ╰── put there again
     21 │         }
        ╰────
      help: put one of them elsewhere

    5 errors
    "#);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Removes lines at random. What still loads is resolved or refused, with the same result each
    /// time.
    #[test]
    fn partial_manifest_is_resolved_or_refused(
        keep in vec(weighted(0.9), EVERYTHING.lines().count())
    ) {
        let lines = EVERYTHING.lines().zip(keep);
        let lines = lines.filter(|(line, keep)| *keep || line.ends_with('{') || *line == "}");
        let text: Vec<_> = lines.map(|(line, _)| line).collect();
        let stage = Stage::new(&text.join("\n")).file("www/index.html", "");
        let shown = |result| match result {
            Ok(project) => format!("{project:?}"),
            Err(report) => render(&report),
        };
        prop_assert_eq!(shown(stage.resolve()), shown(stage.resolve()));
    }
}

#[test]
fn binary_secret_in_string_is_refused() {
    let stage = Stage::new(
        r#"
        secret "raw" file="raw"
        service "web" {
            image "x:1"
            secret "raw"
            env RAW="${secret:raw}"
        }
        "#,
    );
    fs::write(stage.folder.path().join("raw"), [0xff, 0xfe]).unwrap();
    insta::assert_snapshot!(stage.mistakes(), @r#"
    project::binary_secret

      × secret `raw` is not text, and cannot be part of a string
       ╭─[cimandat.kdl:7:21]
     6 │             secret "raw"
     7 │             env RAW="${secret:raw}"
       ·                     ───────┬───────
       ·                            ╰── used here
     8 │         }
       ╰────
      help: give it to the service as a file: `secret "raw"`

    1 error
    "#);
}

#[test]
fn remote_engine_skips_bind_source_check() {
    let mut stage =
        Stage::new("service \"web\" { image \"x:1\"; bind \"/no/such/folder\" \"/x\" }");
    assert!(stage.resolve().is_err());
    stage.resolution.engine = EngineHost::AnotherMachine;
    assert_eq!(stage.service("web").container.mounts.len(), 1);
}

#[test]
fn project_name_can_be_overridden() {
    let mut stage = Stage::new("volume \"data\"\nservice \"web\" { image \"x:1\" }");
    stage.resolution.project = Some(cimandat::name::ProjectName::new("staging").unwrap());
    let project = stage.project();
    assert_eq!(project.volumes["data"].engine_name, "staging_data");
    assert_eq!(project.networks["default"].engine_name, "staging_default");
    assert_eq!(
        project.directory,
        fs::canonicalize(stage.folder.path()).unwrap()
    );
}

#[test]
fn reference_manifests_resolve() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["hello", "ci-mandat"] {
        let request = manifest::Request {
            current: root.to_owned(),
            files: vec![root.join(format!("manifests/{name}.kdl"))],
            ..manifest::Request::default()
        };
        let resolution = Stage::new("").resolution;
        let manifest = manifest::load(&request, &Disk).unwrap_or_else(|r| panic!("{}", render(&r)));
        let project = resolve(&manifest, &resolution).unwrap_or_else(|r| panic!("{}", render(&r)));
        assert_eq!(project.name.as_str(), name);
    }
}
