//! Services with the layers below them: defaults, templates, and the same service in other files.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Kind, Service,
    body::{self, BodyKind},
    context::LowerContext,
    lower::{Declared, repeated},
    merge::{self, Action, Item, explode, merge},
    node::Node,
    reader::Reader,
};
use crate::{
    diagnostic::{ReferenceError, did_you_mean, step},
    name::ServiceName,
    span::{Span, Spanned},
};

/// Bodies of services, templates and the defaults, from all files.
#[derive(Default)]
pub(super) struct Services {
    defaults: Vec<Body>,
    templates: BTreeMap<String, Vec<Body>>,
    named: BTreeMap<String, Vec<Body>>,
}

/// Result of lowering all services.
pub(super) struct Lowered {
    pub services: BTreeMap<ServiceName, Service>,
    pub declared: Declared,
}

/// One block in one file.
struct Body {
    file: usize,
    node: Node,
    items: Vec<Item>,
}

impl Services {
    /// Adds a `service`, `job`, `template` or `defaults` of a file.
    pub fn take(&mut self, node: &Node, file: usize, scope: &LowerContext<'_>) {
        let (action, node) = merge::annotated(node, scope);
        let name = node.first_text().unwrap_or_default().to_owned();
        let (kind, place, bodies) = match node.name.value.as_str() {
            "defaults" => ("defaults", "`defaults`".to_owned(), &mut self.defaults),
            "template" => {
                let place = format!("template `{name}`");
                (
                    "template",
                    place,
                    self.templates.entry(name.clone()).or_default(),
                )
            }
            kind => {
                let kind = if kind == "job" { "job" } else { "service" };
                let place = format!("{kind} `{name}`");
                (kind, place, self.named.entry(name.clone()).or_default())
            }
        };
        if let Some(twin) = bodies.iter().find(|other| other.file == file) {
            repeated(kind, &name, &node, &twin.node, scope);
            return;
        }
        match action {
            Action::Lay => {}
            Action::Remove | Action::Replace => bodies.clear(),
        }
        if action != Action::Remove {
            let items = explode(node.children(), &place, scope);
            bodies.push(Body { file, node, items });
        }
    }

    /// Merges all layers and lowers the services.
    pub fn lower(&self, scope: &LowerContext<'_>) -> Lowered {
        let templates = Templates::new(self, scope);
        self.check_templates(&templates, scope);
        let mut services = BTreeMap::new();
        for bodies in self.named.values() {
            if let Some(service) = self.service(bodies, &templates, scope) {
                services.insert(service.name.value.clone(), service);
            }
        }
        let names = |bodies: &BTreeMap<String, Vec<Body>>| {
            let last = bodies
                .iter()
                .filter_map(|(name, all)| Some((name.clone(), all.last()?)));
            last.map(|(name, body)| (name, body.node.head()))
                .collect::<BTreeMap<_, _>>()
        };
        let declared = BTreeMap::from([
            ("service", names(&self.named)),
            ("template", names(&self.templates)),
        ]);
        Lowered { services, declared }
    }

    fn service(
        &self,
        bodies: &[Body],
        templates: &Templates<'_>,
        scope: &LowerContext<'_>,
    ) -> Option<Service> {
        let header = header(bodies, scope)?;
        let own = bodies.iter().map(|body| body.items.clone());
        let defaults = self.defaults.iter().map(|body| body.items.clone());
        let uses = uses(defaults.clone().chain(own.clone()), scope);
        let mut layers: Vec<Vec<Item>> = defaults.collect();
        for name in &uses {
            layers.extend(templates.layers(&name.value));
        }
        if let Kind::Job { .. } = header.kind {
            // Nodes for services that keep running are not inherited by a job.
            for layer in &mut layers {
                layer.retain(|item| !ONLY_SERVICES.contains(&item.node.name.value.as_str()));
            }
            not_for_jobs(bodies, scope);
        }
        layers.extend(own);
        let nodes = merge(layers.into_iter().map(without_uses), scope);
        Some(body::lower(
            header.name,
            header.kind,
            &nodes,
            BodyKind::Run,
            scope,
        ))
    }

    /// Lowers templates and defaults by themselves, so that errors in unused ones are reported,
    /// too. The report removes duplicates.
    fn check_templates(&self, templates: &Templates<'_>, scope: &LowerContext<'_>) {
        let defaults = ServiceName::new("defaults").ok();
        let unnamed = self.defaults.iter().filter_map(|body| {
            let mut reader = Reader::new(&body.node, scope);
            reader.children();
            reader.end();
            Some((
                Spanned::new(defaults.clone()?, body.node.name.span),
                vec![body.items.clone()],
            ))
        });
        let named = self.templates.iter().filter_map(|(name, bodies)| {
            let mut read = None;
            for body in bodies {
                let mut reader = Reader::new(&body.node, scope);
                read = reader.argument::<ServiceName>("a name");
                reader.children();
                reader.end();
            }
            Some((read?, templates.layers(name)))
        });
        for (name, layers) in unnamed.chain(named) {
            // A `(remove)` may refer to a node that only a service has.
            let nodes = merge(layers.into_iter().map(without_uses), &scope.silent());
            body::lower(name, Kind::Service, &nodes, BodyKind::Check, scope);
        }
    }
}

/// Nodes that are not allowed in a job.
const ONLY_SERVICES: [&str; 3] = ["replicas", "restart", "update"];

fn not_for_jobs(bodies: &[Body], scope: &LowerContext<'_>) {
    let items = bodies.iter().flat_map(|body| &body.items);
    for item in items.filter(|item| ONLY_SERVICES.contains(&item.node.name.value.as_str())) {
        scope.mistake(ReferenceError::NotForJobs {
            node: item.node.name.value.clone(),
            at: item.node.head(),
            help: Some("a job runs once and ends; a `service` keeps running".to_owned()),
        });
    }
}

struct Header {
    name: Spanned<ServiceName>,
    kind: Kind,
}

/// Returns the name and the kind, from the last file that sets them.
fn header(bodies: &[Body], scope: &LowerContext<'_>) -> Option<Header> {
    let mut found = None;
    let mut irreversible = false;
    for body in bodies {
        let mut reader = Reader::new(&body.node, scope);
        let name = reader.argument::<ServiceName>("a name");
        let job = reader.name() == "job";
        if job {
            irreversible = reader.property("irreversible").unwrap_or(irreversible);
        }
        reader.children();
        reader.end();
        let kind = if job {
            Kind::Job { irreversible }
        } else {
            Kind::Service
        };
        found = name.map(|name| Header { name, kind });
    }
    found
}

fn without_uses(layer: Vec<Item>) -> Vec<Item> {
    layer
        .into_iter()
        .filter(|item| item.node.name.value != "use")
        .collect()
}

/// Returns the templates that the layers use, in order.
fn uses(layers: impl Iterator<Item = Vec<Item>>, scope: &LowerContext<'_>) -> Vec<Spanned<String>> {
    let only = layers.map(|layer| {
        layer
            .into_iter()
            .filter(|item| item.node.name.value == "use")
            .collect::<Vec<_>>()
    });
    let read = |node: &Node| {
        let mut reader = Reader::new(node, scope);
        let name = reader.argument::<String>("a template's name");
        reader.end();
        name
    };
    merge(only, scope).iter().filter_map(read).collect()
}

/// Templates, and the templates that each of them uses.
struct Templates<'a> {
    bodies: &'a BTreeMap<String, Vec<Body>>,
    uses: BTreeMap<&'a str, Vec<Spanned<String>>>,
}

impl<'a> Templates<'a> {
    fn new(services: &'a Services, scope: &LowerContext<'_>) -> Self {
        let bodies = &services.templates;
        let mut all = BTreeMap::new();
        for (name, template) in bodies {
            let items = template.iter().map(|body| body.items.clone());
            all.insert(name.as_str(), uses(items, scope));
        }
        let templates = Self { bodies, uses: all };
        let stacks = services.named.values().map(Vec::as_slice);
        for stack in stacks.chain([services.defaults.as_slice()]) {
            let items = stack.iter().map(|body| body.items.clone());
            templates.check_names(&uses(items, &scope.silent()), scope);
        }
        for known in templates.uses.values() {
            templates.check_names(known, scope);
        }
        templates.check_cycles(scope);
        templates
    }

    fn check_names(&self, uses: &[Spanned<String>], scope: &LowerContext<'_>) {
        for name in uses
            .iter()
            .filter(|name| !self.bodies.contains_key(&name.value))
        {
            scope.mistake(ReferenceError::Unknown {
                kind: "template",
                name: name.value.clone(),
                at: name.span,
                help: did_you_mean(&name.value, self.bodies.keys().map(String::as_str)),
            });
        }
    }

    /// Returns the layers of a template, after those of the templates that it uses; each template
    /// is included once.
    fn layers(&self, name: &str) -> Vec<Vec<Item>> {
        let mut layers = Vec::new();
        self.collect(name, &mut BTreeSet::new(), &mut layers);
        layers
    }

    fn collect<'b>(
        &'b self,
        name: &'b str,
        seen: &mut BTreeSet<&'b str>,
        layers: &mut Vec<Vec<Item>>,
    ) {
        if !seen.insert(name) {
            return;
        }
        for used in self.uses.get(name).into_iter().flatten() {
            self.collect(&used.value, seen, layers);
        }
        let own = self.bodies.get(name).into_iter().flatten();
        layers.extend(own.map(|body| body.items.clone()));
    }

    fn check_cycles(&self, scope: &LowerContext<'_>) {
        let edges = self.uses.iter().map(|(name, used)| {
            let used = used
                .iter()
                .map(|used| (used.value.as_str(), used.span))
                .collect();
            (*name, used)
        });
        for circle in super::cycle::circles(&edges.collect()) {
            let text =
                |(from, to, at): &(&str, &str, Span)| step(*at, format!("`{from}` uses `{to}`"));
            scope.mistake(ReferenceError::TemplateCycle {
                path: super::cycle::shown(&circle),
                steps: circle.iter().map(text).collect(),
            });
        }
    }
}
