//! Checks of references: undeclared names, and services that wait for one another.

use std::collections::BTreeMap;

use crate::{
    diagnostic::{ReferenceError, did_you_mean, step},
    manifest::{
        BuildSecretSource, Check, ImageSource, Kind, MountKind, NetworkMode, Service, Until,
        context::LowerContext,
        cycle::{Edges, Step, circles, shown},
        interpolate::Layer,
        lower::{Declarations, Declared},
    },
    span::Span,
};

/// Checks every name that is referenced.
pub(super) fn check(parts: &Declarations, layers: &[Layer], scope: &LowerContext<'_>) {
    let names = Names {
        declared: &parts.declared,
        scope,
    };
    for secret in layers.iter().flat_map(|layer| &layer.secrets) {
        names.secret(secret.value.as_str(), secret.span);
    }
    for service in parts.services.values() {
        names.service(service);
    }
    for check in &parts.verify {
        if let Check::Unreachable { service, .. } | Check::Exec { service, .. } = &check.value {
            names.one("service", service.as_str(), service.span);
        }
    }
    conditions(parts, scope);
    waits(parts, scope);
    images(parts, scope);
}

struct Names<'a> {
    declared: &'a Declared,
    scope: &'a LowerContext<'a>,
}

impl Names<'_> {
    fn one(&self, kind: &'static str, name: &str, at: Span) {
        let known = self.declared.get(kind);
        if known.is_some_and(|known| known.contains_key(name)) {
            return;
        }
        let near = did_you_mean(
            name,
            known.into_iter().flatten().map(|(name, _)| name.as_str()),
        );
        let help = near.or_else(|| {
            let rest = match kind {
                "secret" => " generate=\"alphanumeric\"",
                "config" => " file=\"…\"",
                "certificate" => " host=\"…\"",
                "service" => " { … }",
                _ => "",
            };
            Some(format!(
                "declare it at the top level: `{kind} \"{name}\"{rest}`"
            ))
        });
        let name = name.to_owned();
        self.scope.mistake(ReferenceError::Unknown {
            kind,
            name,
            at,
            help,
        });
    }

    fn secret(&self, name: &str, at: Span) {
        self.one("secret", name, at);
    }

    fn service(&self, service: &Service) {
        self.image(service);
        for (name, dependency) in &service.depends_on {
            self.one("service", name.as_str(), dependency.span);
        }
        for link in &service.links {
            self.one("service", link.service.as_str(), link.service.span);
        }
        for (name, _) in &service.volumes_from {
            self.one("service", name.as_str(), name.span);
        }
        if let Some(mode) = &service.network_mode
            && let NetworkMode::Service(name) = &mode.value
        {
            self.one("service", name.as_str(), mode.span);
        }
        for namespace in [&service.isolation.pid, &service.isolation.ipc]
            .into_iter()
            .flatten()
        {
            if let Some(name) = namespace.value.strip_prefix("service:") {
                self.one("service", name, namespace.span);
            }
        }
        for (name, attachment) in &service.networks {
            // The network that is shared by services without a network of their own.
            if name.as_str() != "default" {
                self.one("network", name.as_str(), attachment.span);
            }
        }
        self.files(service);
    }

    fn image(&self, service: &Service) {
        match &service.image {
            ImageSource::Of(of) => self.one("service", of.as_str(), of.span),
            ImageSource::Build { build, .. } => {
                for secret in build.secrets.values() {
                    if let BuildSecretSource::Secret(name) = &secret.source.value {
                        self.secret(name.as_str(), secret.source.span);
                    }
                }
            }
            ImageSource::Reference(_) => {}
        }
    }

    fn files(&self, service: &Service) {
        for mount in &service.mounts {
            if let MountKind::Volume { name, .. } = &mount.kind {
                self.one("volume", name.as_str(), name.span);
            }
        }
        for secret in &service.secrets {
            self.secret(secret.name.as_str(), secret.name.span);
        }
        for config in &service.configs {
            self.one("config", config.name.as_str(), config.name.span);
        }
        for certificate in &service.certificates {
            self.one(
                "certificate",
                certificate.name.as_str(),
                certificate.name.span,
            );
        }
    }
}

/// Reports dependencies that wait for the completion of a service: a service keeps running.
fn conditions(parts: &Declarations, scope: &LowerContext<'_>) {
    let all = parts
        .services
        .values()
        .flat_map(|service| &service.depends_on);
    for (name, dependency) in all.filter(|(_, found)| found.until == Some(Until::Completed)) {
        let target = parts.services.get(name);
        if target.is_some_and(|target| target.kind == Kind::Service) {
            scope.mistake(ReferenceError::NeverCompletes {
                name: name.to_string(),
                at: dependency.span,
            });
        }
    }
}

/// Reason that one service starts after another, for the label.
#[derive(Clone, Copy)]
enum Wait {
    DependsOn,
    Namespace,
    Volumes,
}

fn waits(parts: &Declarations, scope: &LowerContext<'_>) {
    let mut edges = Edges::new();
    let mut reasons: BTreeMap<(&str, &str), Wait> = BTreeMap::new();
    for service in parts.services.values() {
        let own = service.name.as_str();
        let mut add = |to: &'_ str, at: Span, wait: Wait| {
            let Some((to, _)) = parts.services.get_key_value(to) else {
                return;
            };
            reasons.entry((own, to.as_str())).or_insert(wait);
            edges.entry(own).or_default().push((to.as_str(), at));
        };
        for (name, dependency) in &service.depends_on {
            add(name.as_str(), dependency.span, Wait::DependsOn);
        }
        if let Some(mode) = &service.network_mode
            && let NetworkMode::Service(name) = &mode.value
        {
            add(name.as_str(), mode.span, Wait::Namespace);
        }
        for (name, _) in &service.volumes_from {
            add(name.as_str(), name.span, Wait::Volumes);
        }
    }
    for (name, targets) in &edges {
        for (_, at) in targets.iter().filter(|(to, _)| to == name) {
            let service = (*name).to_owned();
            scope.mistake(ReferenceError::SelfDependency { service, at: *at });
        }
    }
    for circle in circles(&edges) {
        let text = |(from, to, at): &Step<'_>| {
            let verb = match reasons.get(&(*from, *to)) {
                Some(Wait::Namespace) => "shares the network of",
                Some(Wait::Volumes) => "has the volumes of",
                Some(Wait::DependsOn) | None => "waits for",
            };
            step(*at, format!("`{from}` {verb} `{to}`"))
        };
        scope.mistake(ReferenceError::DependencyCycle {
            path: shown(&circle),
            steps: circle.iter().map(text).collect(),
        });
    }
}

/// Reports services that take their image from one another.
fn images(parts: &Declarations, scope: &LowerContext<'_>) {
    let mut edges = Edges::new();
    for service in parts.services.values() {
        let ImageSource::Of(of) = &service.image else {
            continue;
        };
        // Without any image, the service's own name is a placeholder (see `body`).
        let stands_in = of.span == service.name.span;
        if of.value == service.name.value && !stands_in {
            let service = service.name.to_string();
            scope.mistake(ReferenceError::OwnImage {
                service,
                at: of.span,
            });
        } else if let Some((to, _)) = parts.services.get_key_value(&of.value) {
            edges
                .entry(service.name.as_str())
                .or_default()
                .push((to.as_str(), of.span));
        }
    }
    for circle in circles(&edges) {
        let text =
            |(from, to, at): &Step<'_>| step(*at, format!("`{from}` has the image of `{to}`"));
        scope.mistake(ReferenceError::ImageCycle {
            path: shown(&circle),
            steps: circle.iter().map(text).collect(),
        });
    }
}
