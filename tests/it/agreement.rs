//! Agreement of the manifest check with the engine: names, images, addresses, ranges, hosts,
//! signals.
//!
//! The same values are put into a manifest and into a request to the real engine. The engine must
//! accept every value that the check accepts. A current engine refuses every value that the check
//! refuses, unless the value is marked as [`OURS`]; older engines report some errors later or
//! never. Nothing is left behind: most requests name an image that does not exist, so that the
//! engine validates the values and then creates nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeMap, path::PathBuf};

use cimandat::manifest::{Request, load};
use serde_json::{Value, json};

use crate::support::{Api, IMAGE};

/// The engine accepts the value, but the result is unusable.
const OURS: &str = "refused by us alone: ";

/// Older engines refuse the value.
const NEWER: &str = "refused by older engines: ";

/// The first engine that validates all of these values at creation.
const CURRENT: u32 = 28;

/// An image that no engine has.
const NOWHERE: &str = "it-agreement.invalid/nothing:1";

fn with_engine(test: &str, body: impl FnOnce(&Api)) {
    let required = std::env::var("CIMANDAT_TEST_ENGINE").is_ok_and(|value| value == "require");
    match Api::of_this_machine() {
        Ok(api) => body(&api),
        Err(why) => {
            assert!(!required, "{why}");
            skip(test, &why);
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped test must not pass in silence"
)]
fn skip(test: &str, why: &str) {
    eprintln!("skipped `{test}`: {why}");
}

/// Returns whether `check` finds no error in a manifest.
fn accepts(manifest: &str) -> bool {
    let path = PathBuf::from("/shop/cimandat.kdl");
    let files = BTreeMap::from([(path, manifest.to_owned())]);
    let request = Request {
        current: PathBuf::from("/shop"),
        ..Request::default()
    };
    load(&request, &files).is_ok()
}

/// Returns the value as a quoted string of a manifest.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('\n', "\\n").replace('$', "$$"))
}

/// Returns a manifest of one service with an additional line.
fn service(line: &str) -> String {
    format!("service \"web\" {{\n    image \"debian\"\n    {line}\n}}\n")
}

/// Compares both for each value: `manifest` returns the manifest for the check, `engine` returns
/// whether the engine accepts the value.
fn agree(
    api: &Api,
    values: &[String],
    manifest: impl Fn(&str) -> String,
    engine: impl Fn(&str) -> Result<(), String>,
) {
    let version = api.get("/version");
    let version = version["Version"].as_str().unwrap();
    let major: u32 = version.split('.').next().unwrap().parse().unwrap();
    let is_old = major < CURRENT;
    let mut wrong = Vec::new();
    for value in values {
        let (bare, may_be_stricter) = match value.strip_prefix(OURS) {
            Some(bare) => (bare, true),
            None => (value.as_str(), is_old),
        };
        let (bare, may_be_looser) = match bare.strip_prefix(NEWER) {
            Some(bare) => (bare, is_old),
            None => (bare, false),
        };
        let (accepted, taken) = (accepts(&manifest(bare)), engine(bare));
        let allowed = if accepted {
            may_be_looser
        } else {
            may_be_stricter
        };
        if accepted != taken.is_ok() && !allowed {
            wrong.push(format!(
                "{bare:?}: accepted {accepted}, the engine: {taken:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// Returns whether the engine accepts a container of which only the image is missing.
fn takes(api: &Api, mut body: Value) -> Result<(), String> {
    if body["Image"].is_null() {
        body["Image"] = NOWHERE.into();
    }
    let reply = api.ask("POST", "/containers/create", Some(&body));
    let said = String::from_utf8_lossy(&reply.body).into_owned();
    match reply.status {
        404 => Ok(()),
        400 => Err(said),
        // The beginning of an image's ID is a valid image name, too.
        201 => {
            let made: Value = serde_json::from_str(&said).unwrap();
            let id = made["Id"].as_str().unwrap();
            api.ask("DELETE", &format!("/containers/{id}?force=1"), None);
            Ok(())
        }
        other => panic!("{other} for {body}: {said}"),
    }
}

/// Returns all sequences of these letters up to a length.
fn combined(letters: &[&str], longest: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..longest {
        last = last
            .iter()
            .flat_map(|begun| letters.iter().map(move |next| format!("{begun}{next}")))
            .collect();
        all.extend(last.clone());
    }
    all
}

/// An object on the engine that is removed on drop, also after a failure.
struct Made<'a> {
    api: &'a Api,
    path: String,
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        self.api.ask("DELETE", &self.path, None);
    }
}

fn random() -> u32 {
    getrandom::u32().unwrap()
}

#[test]
fn service_and_project_names_form_valid_image_names() {
    with_engine("names_of_services", |api| {
        // Capital letters are converted to lower case, and one letter is enough.
        let names = combined(&["a", "B", ".", "_", "-"], 4);
        let names: Vec<_> = names
            .into_iter()
            .filter(|name| name.starts_with(['a', 'B']))
            .collect();
        agree(
            api,
            &names,
            |name| format!("service {} {{ image \"debian\" }}", quoted(name)),
            |name| {
                let image = format!("p-{}:g1", name.to_lowercase());
                takes(api, json!({ "Image": image }))
            },
        );
        let names = combined(&["a", "1", "_", "-"], 4);
        let names: Vec<_> = names
            .into_iter()
            .filter(|name| !name.is_empty() && !name.starts_with(['_', '-']))
            // With a trailing dash a project's name looks like the prefix of another.
            .map(|name| {
                let mark = if name.ends_with('-') { OURS } else { "" };
                format!("{mark}{name}")
            })
            .collect();
        agree(
            api,
            &names,
            |name| format!("project {}\n{}", quoted(name), service("")),
            |name| takes(api, json!({ "Image": format!("{name}-web:g1") })),
        );
    });
}

/// Returns image references, valid and invalid.
fn images() -> Vec<String> {
    let digits = "0123456789abcdef".repeat(4);
    let mut images = texts(&[
        "db",
        "Db",
        "a/b/c",
        "refused by older engines: A/b",
        "A.b/c",
        "a/B",
        "a//b",
        "/a",
        "a/",
        "a b",
        "db:",
        "db::1",
        "db:a:b",
        "db:_x",
        "db:.x",
        "db:-x",
        "db:X.y-z_",
        "localhost/db",
        "r:5000/db",
        "r.example:/db",
        "r_e.example/db",
        "R_e/db",
        "refused by older engines: [::1]:5000/db",
        "refused by older engines: [::1]/db",
        "[::x]/db",
        "-a/b",
        "a-/b",
        "a.b-/c",
        "db@",
        "db@x",
        "db@sha256:12",
        "ä",
        "db:ä",
        "a\nb",
        "a.b:1/c/d:e",
    ]);
    images.extend([
        digits.clone(),
        format!("sha256:{digits}"),
        format!("db@sha256:{digits}"),
        format!("db:1@sha256:{digits}"),
        format!("db@sha256:{digits}x"),
        format!("db@sha256:{}", digits.to_uppercase()),
        format!("db@sha512:{digits}"),
        format!("db@sha512:{digits}{digits}"),
        format!("db@md5:{}", &digits[..32]),
        format!("{NEWER}{}", "x".repeat(247)),
        "x".repeat(248),
        format!("{NEWER}r.example/{}", "x".repeat(255)),
        format!("r.example/{}", "x".repeat(256)),
        format!("db:{}", "x".repeat(128)),
        format!("db:{}", "x".repeat(129)),
    ]);
    images.extend(combined(&["a", ".", "_", "-", "/", ":"], 3));
    // The engine reports an empty image as another error.
    images.retain(|image| !image.is_empty());
    images
}

#[test]
fn image_references_agree_with_engine() {
    with_engine("images", |api| {
        agree(
            api,
            &images(),
            |image| format!("service \"web\" {{ image {} }}", quoted(image)),
            |image| takes(api, json!({ "Image": image })),
        );
    });
}

#[test]
fn container_names_agree_with_engine() {
    with_engine("names_of_containers", |api| {
        let body = json!({ "Image": IMAGE, "Cmd": ["true"] });
        let own = format!("it-agreement-{:08x}", random());
        let id = api.create(&own, &body);
        let path = format!("/containers/{id}?force=1");
        let _made = Made { api, path };
        let mut names: Vec<String> = combined(&["a", "_", "-", " "], 2);
        names.retain(|name| !name.is_empty());
        names.extend(texts(&["A1", "a/b", "ä1", "a:b"]));
        // A name in use by another container is valid, too; the random end makes a name unused.
        let names: Vec<String> = names
            .into_iter()
            .flat_map(|name| [name.clone(), format!("{name}{own}")])
            .collect();
        agree(
            api,
            &names,
            |name| service(&format!("container-name {}", quoted(name))),
            |name| {
                let path = format!("/containers/{id}/rename?name={}", percent(name));
                let reply = api.ask("POST", &path, None);
                match reply.status {
                    204 | 409 => Ok(()),
                    _ => Err(String::from_utf8_lossy(&reply.body).into_owned()),
                }
            },
        );
    });
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| {
        encoded + &format!("%{byte:02X}")
    })
}

#[test]
fn volume_names_agree_with_engine() {
    with_engine("names_of_volumes", |api| {
        let own = format!("it-agreement-{:08x}", random());
        let mut names = texts(&["a", "-a", "a b", "ä1", "a/b"]);
        names.extend([".", "_", "-", "A", ":"].map(|end| format!("{own}{end}")));
        names.push(format!("{OURS}{own}{}", "x".repeat(220)));
        agree(
            api,
            &names,
            |name| format!("volume \"data\" name={}\n{}", quoted(name), service("")),
            |name| {
                let body = json!({ "Name": name });
                let reply = api.ask("POST", "/volumes/create", Some(&body));
                if reply.status == 201 {
                    api.ask("DELETE", &format!("/volumes/{name}"), None);
                    return Ok(());
                }
                Err(String::from_utf8_lossy(&reply.body).into_owned())
            },
        );
        // Names that are derived from a volume's name fit into the engine's limit.
        let longest = format!("{}_{}.before-g12345678", "p".repeat(63), "v".repeat(160));
        assert!(longest.len() <= 255);
    });
}

#[test]
fn network_names_agree_with_engine() {
    with_engine("names_of_networks", |api| {
        let own = format!("it-agreement-{:08x}", random());
        let mut names = texts(&["", " ", "bridge", "host", "none", "default"]);
        names.extend([" x", "/x", "ä"].map(|end| format!("{own}{end}")));
        agree(
            api,
            &names,
            |name| format!("network \"data\" name={}\n{}", quoted(name), service("")),
            |name| make_network(api, &json!({ "Name": name, "Internal": true })),
        );
    });
}

/// Creates a network and removes it again.
fn make_network(api: &Api, body: &Value) -> Result<(), String> {
    let reply = api.ask("POST", "/networks/create", Some(body));
    let said = String::from_utf8_lossy(&reply.body).into_owned();
    if reply.status != 201 {
        return Err(said);
    }
    let made: Value = serde_json::from_str(&said).unwrap();
    api.ask(
        "DELETE",
        &format!("/networks/{}", made["Id"].as_str().unwrap()),
        None,
    );
    Ok(())
}

#[test]
fn network_ranges_agree_with_engine() {
    with_engine("ranges", |api| {
        // Only values that the engine refuses before it allocates the range: after a later refusal
        // it keeps a part of the range allocated.
        let ranges = texts(&[
            "10.214.0.0/24",
            "10.214.0.1/24",
            "10.214.0.0/33",
            "10.214.0.0",
            "10.214/16",
            "10.214.0.0/24 10.214.0.0/25",
            "10.214.0.0/24 10.214.0.128/25",
            "10.214.0.0/24 10.214.0.5/25",
            "10.214.0.0/24 10.214.1.0/25",
            "10.214.0.0/24 10.214.0.0/16",
            "10.214.0.0/24 - 10.214.0.9",
            "10.214.0.0/24 - 10.214.1.9",
            "10.214.0.0/24 - fd14::1",
            "10.214.0.0/24 - 10.214.0",
            "fd14::/64",
            "fd14::1/64",
            "fd14::/64 fd14::/80 fd14::5",
            "fd14::/64 fd15::/80",
        ]);
        let parts = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let given = |part: Option<&String>| part.filter(|part| *part != "-").cloned();
        agree(
            api,
            &ranges,
            |text| {
                let parts = parts(text);
                let range = given(parts.get(1)).map(|it| format!(" range={}", quoted(&it)));
                let gateway = given(parts.get(2)).map(|it| format!(" gateway={}", quoted(&it)));
                format!(
                    "network \"data\" {{ subnet {}{}{}; }}\n{}",
                    quoted(&parts[0]),
                    range.unwrap_or_default(),
                    gateway.unwrap_or_default(),
                    service("")
                )
            },
            |text| {
                let parts = parts(text);
                let mut config = json!({ "Subnet": parts[0] });
                if let Some(range) = given(parts.get(1)) {
                    config["IPRange"] = range.into();
                }
                if let Some(gateway) = given(parts.get(2)) {
                    config["Gateway"] = gateway.into();
                }
                let name = format!("it-agreement-{:08x}", random());
                let body = json!({
                    "Name": name, "EnableIPv6": parts[0].contains("::"), "Internal": true,
                    "IPAM": { "Config": [config] },
                });
                make_network(api, &body)
            },
        );
    });
}

#[test]
fn overlapping_ranges_are_refused_by_both() {
    with_engine("overlaps", |api| {
        let pairs = texts(&[
            "10.215.0.0/24 10.215.1.0/24",
            "10.215.2.0/24 10.215.2.0/24",
            "10.215.4.0/23 10.215.5.0/24",
            "10.215.6.128/25 10.215.6.0/24",
            "10.215.8.0/25 10.215.8.128/25",
        ]);
        let both = |text: &str| -> (String, String) {
            let (one, other) = text.split_once(' ').unwrap();
            (one.to_owned(), other.to_owned())
        };
        agree(
            api,
            &pairs,
            |text| {
                let (one, other) = both(text);
                let networks =
                    format!("network \"a\" subnet=\"{one}\"\nnetwork \"b\" subnet=\"{other}\"");
                format!("{networks}\n{}", service(""))
            },
            |text| {
                let (one, other) = both(text);
                let body = |range: &str| {
                    let name = format!("it-agreement-{:08x}", random());
                    json!({
                        "Name": name, "Internal": true,
                        "IPAM": { "Config": [{ "Subnet": range }] },
                    })
                };
                let reply = api.ask("POST", "/networks/create", Some(&body(&one)));
                let made: Value = serde_json::from_slice(&reply.body).unwrap();
                let second = make_network(api, &body(&other));
                api.ask(
                    "DELETE",
                    &format!("/networks/{}", made["Id"].as_str().unwrap()),
                    None,
                );
                second
            },
        );
    });
}

#[test]
fn fixed_addresses_agree_with_engine() {
    with_engine("fixed_addresses", |api| {
        let name = format!("it-agreement-{:08x}", random());
        let body = json!({
            "Name": name, "Internal": true,
            "IPAM": { "Config": [{ "Subnet": "10.216.0.0/24", "Gateway": "10.216.0.9" }] },
        });
        assert_eq!(api.ask("POST", "/networks/create", Some(&body)).status, 201);
        let path = format!("/networks/{name}");
        let _made = Made { api, path };
        let addresses = texts(&[
            "10.216.0.1",
            "10.216.0.200",
            "10.216.0.0",
            "10.216.0.255",
            "10.216.0.9",
            "10.216.1.1",
        ]);
        agree(
            api,
            &addresses,
            |address| {
                let network = "network \"a\" { subnet \"10.216.0.0/24\" gateway=\"10.216.0.9\"; }";
                let line = format!("network \"a\" ipv4={}", quoted(address));
                format!("{network}\n{}", service(&line))
            },
            |address| {
                let endpoint = json!({ "IPAMConfig": { "IPv4Address": address } });
                starts(
                    api,
                    &json!({
                        "HostConfig": { "NetworkMode": name },
                        "NetworkingConfig": { "EndpointsConfig": { &name: endpoint } },
                    }),
                )
            },
        );
    });
}

#[test]
fn hardware_addresses_agree_with_engine() {
    with_engine("hardware_addresses", |api| {
        let name = format!("it-agreement-{:08x}", random());
        let body = json!({ "Name": name, "Internal": true });
        assert_eq!(api.ask("POST", "/networks/create", Some(&body)).status, 201);
        let path = format!("/networks/{name}");
        let _made = Made { api, path };
        let macs = texts(&[
            "02:42:ac:11:00:02",
            "x",
            "02:42:ac:11:00:02:03:04",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "refused by us alone: 02-42-ac-11-00-02",
        ]);
        agree(
            api,
            &macs,
            |mac| {
                let line = format!("network \"a\" mac={}", quoted(mac));
                format!("network \"a\"\n{}", service(&line))
            },
            |mac| {
                starts(
                    api,
                    &json!({
                        "HostConfig": { "NetworkMode": name },
                        "NetworkingConfig": { "EndpointsConfig": { &name: { "MacAddress": mac } } },
                    }),
                )
            },
        );
    });
}

/// Returns whether the engine creates and starts a container.
fn starts(api: &Api, body: &Value) -> Result<(), String> {
    let mut body = body.clone();
    body["Image"] = IMAGE.into();
    body["Cmd"] = json!(["true"]);
    let name = format!("it-agreement-{:08x}", random());
    let path = format!("/containers/create?name={name}");
    let made = api.ask("POST", &path, Some(&body));
    let said = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    if made.status != 201 {
        return Err(said(&made.body));
    }
    let started = api.ask("POST", &format!("/containers/{name}/start"), None);
    api.ask("DELETE", &format!("/containers/{name}?force=1&v=1"), None);
    match started.status {
        204 => Ok(()),
        _ => Err(said(&started.body)),
    }
}

#[test]
fn extra_hosts_agree_with_engine() {
    with_engine("extra_hosts", |api| {
        let addresses = texts(&[
            "10.0.0.1",
            "10.0.0",
            "",
            "host-gateway",
            "::1",
            "[::1]",
            "refused by us alone: 10.0.0.1 ",
            "01.2.3.4",
            "fe80::1%eth0",
            "example.com",
            "::ffff:1.2.3.4",
        ]);
        agree(
            api,
            &addresses,
            |address| service(&format!("extra-host \"db\" {}", quoted(address))),
            |address| {
                let host = json!({ "ExtraHosts": [format!("db:{address}")] });
                takes(api, json!({ "HostConfig": host }))
            },
        );
        let names = texts(&[
            "db",
            "",
            "d_b.example",
            "ä",
            "-x",
            "refused by us alone: d b",
            "refused by us alone: a\nb",
        ]);
        agree(
            api,
            &names,
            |name| service(&format!("extra-host {} \"10.0.0.1\"", quoted(name))),
            |name| {
                let host = json!({ "ExtraHosts": [format!("{name}:10.0.0.1")] });
                takes(api, json!({ "HostConfig": host }))
            },
        );
    });
}

#[test]
fn hosts_and_name_servers_agree_with_engine() {
    with_engine("hosts", |api| {
        let mut names = texts(&["web", "a.b", "a_b", "-a", "refused by us alone: a b"]);
        names.extend(["x".repeat(64), "x".repeat(65)]);
        agree(
            api,
            &names,
            |name| service(&format!("hostname {}", quoted(name))),
            |name| starts(api, &json!({ "Hostname": name })),
        );
        let servers = texts(&[
            "1.1.1.1",
            "::1",
            "fe80::1%eth0",
            "1.1.1.1%eth0",
            "dns",
            "1.1.1",
            "",
        ]);
        agree(
            api,
            &servers,
            |server| service(&format!("dns {}", quoted(server))),
            |server| starts(api, &json!({ "HostConfig": { "Dns": [server] } })),
        );
    });
}

#[test]
fn signals_agree_with_engine() {
    with_engine("signals", |api| {
        let mut signals = texts(&[
            "SIGTERM",
            "term",
            "Int",
            "SIGFOO",
            "0",
            "1",
            "15",
            "64",
            "RTMIN+3",
            "SIGRTMIN+15",
            "RTMIN+16",
            "RTMAX-14",
            "RTMAX-15",
            "RTMIN-1",
            "SIG",
            "15x",
            "refused by us alone: -1",
            "refused by us alone: 65",
        ]);
        signals.extend(
            "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL IO IOT KILL PIPE POLL PROF PWR QUIT RTMAX RTMIN \
             SEGV STKFLT STOP SYS TRAP TSTP TTIN TTOU UNUSED URG USR1 USR2 VTALRM WINCH XCPU XFSZ \
             EMT INFO LOST"
                .split(' ')
                .map(str::to_owned),
        );
        agree(
            api,
            &signals,
            |signal| service(&format!("stop-signal {}", quoted(signal))),
            |signal| takes(api, json!({ "StopSignal": signal })),
        );
    });
}
