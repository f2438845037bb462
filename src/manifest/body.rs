//! The body of a `service` or a `job`: lowers merged nodes to a [`Service`].
//!
//! Nodes of the same shape (a text, a switch, a list of words, names with values) share one reading
//! function. Each other node has a function in the file of its kind.

use super::{
    Dependency, ImageSource, Kind, Mode, Placement, Pull, Restart, Service, Until, Update,
    UpdateOrder, certificate,
    context::LowerContext,
    field::blank,
    file, gate,
    image::{self, Origin},
    limit,
    map::pairs,
    merge_rule, mount, network,
    node::Node,
    port, process,
    reader::{Reader, texts, unknown_node},
    scalar::{ContainerPath, Read, one_of, whole},
};
use crate::{
    diagnostic::{ReferenceError, SchemaError},
    name::ServiceName,
    span::Spanned,
};

/// Purpose for which a service's body is lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// The body is run, so it needs an image.
    Run,
    /// The body is only checked: a template or the defaults.
    Check,
}

/// Lowers the merged nodes of a service.
pub(super) fn lower(
    name: Spanned<ServiceName>,
    kind: Kind,
    nodes: &[Node],
    purpose: BodyKind,
    scope: &LowerContext<'_>,
) -> Service {
    let mut sources = Origin::default();
    // The service's own name is a placeholder until the image is known.
    let unknown = ImageSource::Of(name.clone());
    let mut service = blank(name, kind, unknown);
    for node in nodes {
        if !sources.takes(node, scope) {
            service.take(node, scope);
        }
    }
    service.exclusions(nodes, scope);
    match sources.source(nodes, scope) {
        Some(image) => service.image = image,
        None if purpose == BodyKind::Run && image::is_silent(nodes) => {
            scope.mistake(ReferenceError::NoImage {
                kind: if kind == Kind::Service {
                    "service"
                } else {
                    "job"
                },
                name: service.name.to_string(),
                at: service.name.span,
            });
        }
        None => {}
    }
    service
}

const PULLS: &[(&str, Pull)] = &[
    ("always", Pull::Always),
    ("missing", Pull::Missing),
    ("never", Pull::Never),
];
const UNTILS: &[(&str, Until)] = &[
    ("started", Until::Started),
    ("ready", Until::Ready),
    ("completed", Until::Completed),
];
const ORDERS: &[(&str, UpdateOrder)] = &[
    ("auto", UpdateOrder::Auto),
    ("start-first", UpdateOrder::StartFirst),
    ("stop-first", UpdateOrder::StopFirst),
];
const MODES: &[(&str, Mode)] = &[("replicated", Mode::Replicated), ("global", Mode::Global)];
const RESTARTS: &[(&str, Restart)] = &[
    ("no", Restart::No),
    ("always", Restart::Always),
    ("unless-stopped", Restart::UnlessStopped),
    ("on-failure", Restart::OnFailure { max: None }),
];

impl Service {
    fn take(&mut self, node: &Node, scope: &LowerContext<'_>) {
        let known = self.take_plain(node, scope)
            || self.take_run(node, scope)
            || self.take_network(node, scope)
            || self.take_storage(node, scope)
            || self.take_resource(node, scope);
        if !known {
            let place = match self.kind {
                Kind::Service => "a service",
                Kind::Job { .. } => "a job",
            };
            unknown_node(node, place, &merge_rule::names(), scope);
        }
    }

    /// Reads nodes of a simple shape.
    fn take_plain(&mut self, node: &Node, scope: &LowerContext<'_>) -> bool {
        let name = node.name.value.as_str();
        if let Some(field) = self.text(name) {
            *field = single(node, scope);
        } else if let Some(field) = self.switch(name) {
            *field = single(node, scope).map(|found: Spanned<bool>| found.value);
        } else if let Some(field) = self.words(name) {
            let mut reader = Reader::new(node, scope);
            field.extend(texts(reader.all("a value")));
            reader.end();
        } else if let Some(field) = self.pairs(name) {
            field.extend(pairs(node, scope));
        } else {
            return false;
        }
        true
    }

    /// Reads nodes that set what runs, and when.
    fn take_run(&mut self, node: &Node, scope: &LowerContext<'_>) -> bool {
        match node.name.value.as_str() {
            "command" => self.command = process::command(node, scope),
            "container-name" => self.container_name = single(node, scope),
            "depends-on" => self.depends(node, scope),
            "endpoint-mode" => {
                let known = [("vip", "vip"), ("dnsrr", "dnsrr")];
                let found = word(node, "a mode", &known, scope);
                self.placement.endpoint_mode = found.map(|found| found.map(str::to_owned));
            }
            "entrypoint" => self.entrypoint = process::command(node, scope),
            "env" => process::env(node, &mut self.env, scope),
            "env-file" => self.env_files.extend(process::env_file(node, scope)),
            "healthcheck" => self.healthcheck = process::healthcheck(node, scope),
            "label-file" => self.label_files.extend(single(node, scope)),
            "logging" => self.logging = process::logging(node, scope),
            "mode" => self.placement.mode = word(node, "a mode", MODES, scope),
            "placement" => place(&mut self.placement, node, scope),
            "post-start" => self.post_start.extend(process::hook(node, scope)),
            "pre-stop" => self.pre_stop.extend(process::hook(node, scope)),
            "profile" => self.profiles.extend(single(node, scope)),
            "pull" => self.pull = word(node, "a policy", PULLS, scope),
            "ready" => self.ready = gate::lower(node, scope),
            "replicas" => self.replicas = number(node, 0..=10_000, scope),
            "restart" => self.restart = restart(node, scope),
            "stop-grace-period" => {
                self.stop_grace_period = single(node, scope).map(|found| found.value);
            }
            "stop-signal" => self.stop_signal = process::signal(node, scope),
            "update" => self.update = update(node, scope),
            "watch" => self.watch.extend(process::watch(node, scope)),
            "working-dir" => {
                let path = single::<ContainerPath>(node, scope);
                self.working_dir = path.map(|path| path.map(|path| path.0));
            }
            _ => return false,
        }
        true
    }

    fn depends(&mut self, node: &Node, scope: &LowerContext<'_>) {
        let mut reader = Reader::new(node, scope);
        let names = reader.all::<ServiceName>("a service");
        let until = reader.word("until", UNTILS);
        let required = reader.property("required").unwrap_or(true);
        let restart = reader.flag("restart");
        reader.end();
        for name in names {
            let span = name.span;
            self.depends_on.insert(
                name.value,
                Dependency {
                    span,
                    until,
                    required,
                    restart,
                },
            );
        }
    }

    fn take_network(&mut self, node: &Node, scope: &LowerContext<'_>) -> bool {
        match node.name.value.as_str() {
            "dns" => self.dns.extend(network::name_servers(node, scope)),
            "expose" => self.expose.extend(port::expose(node, scope)),
            "external-link" => self.external_links.extend(single(node, scope)),
            "extra-host" => {
                network::extra_hosts(node, &["host-gateway"], &mut self.extra_hosts, scope);
            }
            "hostname" => self.hostname = network::host_name(node, scope),
            "link" => self.links.extend(network::link(node, scope)),
            "mac-address" => {
                let mut reader = Reader::new(node, scope);
                let written = reader.needed("a hardware address");
                reader.end();
                self.mac_address = written
                    .and_then(|found| Some(Spanned::new(network::mac(found, scope)?, found.span)));
            }
            "network" => {
                let found = network::attachment(node, scope);
                self.networks
                    .extend(found.map(|(name, attachment)| (name.value, attachment)));
            }
            "network-mode" => self.network_mode = network::mode(node, scope),
            "port" => self.ports.extend(port::lower(node, scope)),
            _ => return false,
        }
        true
    }

    fn take_storage(&mut self, node: &Node, scope: &LowerContext<'_>) -> bool {
        match node.name.value.as_str() {
            "authority" => self
                .authorities
                .extend(certificate::lower_authority(node, scope)),
            "bind" | "tmpfs" | "volume" => self.mounts.extend(mount::lower(node, scope)),
            "certificate" => self
                .certificates
                .extend(certificate::lower_use(node, scope)),
            "config" => self.configs.extend(file::lower(node, scope)),
            "secret" => self.secrets.extend(file::lower(node, scope)),
            "volumes-from" => {
                let mut reader = Reader::new(node, scope);
                let name = reader.argument("a service");
                let read_only = reader.flag("read-only");
                reader.end();
                self.volumes_from.extend(name.map(|name| (name, read_only)));
            }
            _ => return false,
        }
        true
    }

    fn take_resource(&mut self, node: &Node, scope: &LowerContext<'_>) -> bool {
        match node.name.value.as_str() {
            "blkio" => {
                let mut reader = Reader::new(node, scope);
                self.isolation.blkio_weight = reader.number("weight", 10..=1000);
                reader.end();
            }
            "device" => self.devices.extend(limit::device(node, scope)),
            "gpus" => self.reservation.devices.extend(limit::gpus(node, scope)),
            "limit" => self.limit = limit::limits(node, scope),
            "mem-swappiness" => {
                self.isolation.mem_swappiness = number(node, 0..=100, scope).map(|it| it.value);
            }
            "oom-score-adj" => {
                self.isolation.oom_score_adj = number(node, -1000..=1000, scope).map(|it| it.value);
            }
            "reserve" => {
                let reserve = limit::reservation(node, scope);
                self.reservation.cpus = reserve.cpus;
                self.reservation.memory = reserve.memory;
                self.reservation.devices.extend(reserve.devices);
            }
            "shm-size" => self.shm_size = single(node, scope).map(|found| found.value),
            "ulimit" => self.ulimits.extend(limit::ulimit(node, scope)),
            _ => return false,
        }
        true
    }

    /// Reports nodes that exclude each other.
    fn exclusions(&self, nodes: &[Node], scope: &LowerContext<'_>) {
        let find = |name: &str| nodes.iter().find(|node| node.name.value == name);
        for (one, other, help) in [
            (
                "network-mode",
                "network",
                "a container has its own network stack or another's",
            ),
            (
                "network-mode",
                "mac-address",
                "the address is that of the other network stack",
            ),
            (
                "privileged",
                "cap-add",
                "a privileged container has every capability",
            ),
        ] {
            let (Some(first), Some(second)) = (find(one), find(other)) else {
                continue;
            };
            if one == "privileged" && self.isolation.privileged != Some(true) {
                continue;
            }
            let (a, b) = (first.head(), second.head());
            scope.mistake(SchemaError::Conflict {
                one: format!("`{one}`"),
                other: format!("`{other}`"),
                at: a.max(b),
                first: a.min(b),
                help: Some(help.to_owned()),
            });
        }
    }
}

/// Returns the only argument of a node that has nothing else.
fn single<T: Read>(node: &Node, scope: &LowerContext<'_>) -> Option<Spanned<T>> {
    let mut reader = Reader::new(node, scope);
    let found = reader.argument("a value");
    reader.end();
    found
}

fn number<T: TryFrom<i128>>(
    node: &Node,
    range: std::ops::RangeInclusive<i128>,
    scope: &LowerContext<'_>,
) -> Option<Spanned<T>> {
    let mut reader = Reader::new(node, scope);
    let written = reader.needed("a number");
    reader.end();
    let what = format!("`{}`", node.name.value);
    Some(Spanned::new(
        whole(written?, scope, &what, range)?,
        written?.span,
    ))
}

fn word<T: Clone>(
    node: &Node,
    wanted: &str,
    words: &[(&str, T)],
    scope: &LowerContext<'_>,
) -> Option<Spanned<T>> {
    let mut reader = Reader::new(node, scope);
    let written = reader.needed(wanted);
    reader.end();
    let what = format!("`{}`", node.name.value);
    Some(Spanned::new(
        one_of(written?, scope, &what, words)?,
        written?.span,
    ))
}

fn restart(node: &Node, scope: &LowerContext<'_>) -> Option<Spanned<Restart>> {
    let mut reader = Reader::new(node, scope);
    let written = reader.needed("a policy, such as `\"unless-stopped\"`");
    let policy = written.and_then(|scalar| one_of(scalar, scope, "`restart`", RESTARTS));
    let policy = match policy {
        Some(Restart::OnFailure { .. }) => Some(Restart::OnFailure {
            max: reader.number("max", 1..=i128::from(u32::MAX)),
        }),
        other => other,
    };
    reader.end();
    Some(Spanned::new(policy?, node.head()))
}

fn update(node: &Node, scope: &LowerContext<'_>) -> Update {
    let mut reader = Reader::new(node, scope);
    let update = Update {
        order: reader.word("order", ORDERS),
        drain: reader.property("drain"),
        keeps_address: reader.word("address", &[("keep", true), ("new", false)]),
        parallelism: reader.number("parallelism", 1..=10_000),
    };
    reader.end();
    update
}

fn place(placement: &mut Placement, node: &Node, scope: &LowerContext<'_>) {
    let mut reader = Reader::new(node, scope);
    for child in reader.children() {
        match child.name.value.as_str() {
            "constraint" => placement.constraints.extend(single(child, scope)),
            "spread" => placement.spread.extend(single(child, scope)),
            _ => unknown_node(child, "`placement`", &["constraint", "spread"], scope),
        }
    }
    reader.end();
}
