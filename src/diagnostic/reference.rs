//! Does it fit together with the rest of the manifest?

use miette::{Diagnostic, LabeledSpan};
use thiserror::Error;

use crate::span::Span;

/// A step of a circle, shown at its place: `` `a` waits for `b` ``.
#[must_use]
pub fn step(at: Span, text: String) -> LabeledSpan {
    LabeledSpan::new_with_span(Some(text), at)
}

/// A mistake that shows only when parts of the manifest are put together.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum ReferenceError {
    /// Declared twice in one file.
    #[error("{kind} `{name}` is declared twice")]
    #[diagnostic(code(manifest::duplicate))]
    Duplicate {
        /// What it is: `service`, `network`, …
        kind: &'static str,
        /// Its name.
        name: String,
        /// The second.
        #[label(primary, "declared again")]
        at: Span,
        /// The first.
        #[label("first declared here")]
        first: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A name that nothing bears.
    #[error("{kind} `{name}` is not declared")]
    #[diagnostic(code(manifest::unknown_reference))]
    Unknown {
        /// What it should be: `service`, `network`, …
        kind: &'static str,
        /// What was written.
        name: String,
        /// Where.
        #[label("no such {kind}")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// Services that wait for one another.
    #[error("services wait for one another: {path}")]
    #[diagnostic(
        code(manifest::dependency_cycle),
        help("one of them has to start first: take one `depends-on` out")
    )]
    DependencyCycle {
        /// The circle: `` `a` → `b` → `a` ``.
        path: String,
        /// Each of its steps.
        #[label(collection)]
        steps: Vec<LabeledSpan>,
    },
    /// A service that waits for itself.
    #[error("`{service}` depends on itself")]
    #[diagnostic(code(manifest::self_dependency), help("take it out of `depends-on`"))]
    SelfDependency {
        /// Which.
        service: String,
        /// Where.
        #[label("its own name")]
        at: Span,
    },
    /// Templates that use one another.
    #[error("templates use one another: {path}")]
    #[diagnostic(code(manifest::template_cycle), help("take one `use` out"))]
    TemplateCycle {
        /// The circle.
        path: String,
        /// Each of its steps.
        #[label(collection)]
        steps: Vec<LabeledSpan>,
    },
    /// A port of the host given to two.
    #[error("port {port} of this host is published twice, {who}")]
    #[diagnostic(code(manifest::port_clash))]
    PortClash {
        /// As published: `80/tcp`.
        port: String,
        /// By whom: `` by `a` and by `b` ``.
        who: String,
        /// The service that comes first.
        one: String,
        /// The service that comes second.
        other: String,
        /// The second.
        #[label(primary, "published again by `{other}`")]
        at: Span,
        /// The first.
        #[label("published by `{one}`")]
        first: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// Names of services that are one name where capital letters do not count.
    #[error("the names of the services `{one}` and `{other}` differ only in case")]
    #[diagnostic(
        code(manifest::name_clash),
        help("a service's name is also a host name and part of an image name, which ignore case")
    )]
    NameClash {
        /// The service that comes first.
        one: String,
        /// The service that comes second.
        other: String,
        /// The second.
        #[label(primary, "the same name")]
        at: Span,
        /// The first.
        #[label("first named here")]
        first: Span,
    },
    /// Ranges of addresses that have some in common.
    #[error("the ranges of the networks `{one}` and `{other}` overlap")]
    #[diagnostic(code(manifest::subnet_clash))]
    SubnetClash {
        /// The network that comes first.
        one: String,
        /// The network that comes second.
        other: String,
        /// The range of the second.
        range: String,
        /// The second.
        #[label(primary, "`{range}` is in use")]
        at: Span,
        /// The first.
        #[label("by this network")]
        first: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// An address given to two containers of one network.
    #[error("`{one}` and `{other}` have the same address in the network `{network}`")]
    #[diagnostic(
        code(manifest::address_clash),
        help("give one of them another address, or leave it to the engine")
    )]
    AddressClash {
        /// The address.
        address: String,
        /// The network.
        network: String,
        /// The service that comes first.
        one: String,
        /// The service that comes second.
        other: String,
        /// The second.
        #[label(primary, "`{address}` again")]
        at: Span,
        /// The first.
        #[label("first given here")]
        first: Span,
    },
    /// An address that the engine would not give in this network.
    #[error("`{address}` cannot be an address in the network `{network}`: {cause}")]
    #[diagnostic(code(manifest::fixed_address))]
    FixedAddress {
        /// The address.
        address: String,
        /// The network.
        network: String,
        /// Why not.
        cause: String,
        /// Where it is given.
        #[label("given here")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A container's name given to two.
    #[error("two services name their container `{name}`")]
    #[diagnostic(
        code(manifest::container_name_clash),
        help("a container's name is unique")
    )]
    ContainerNameClash {
        /// The name.
        name: String,
        /// The second.
        #[label(primary, "named again")]
        at: Span,
        /// The first.
        #[label("first named here")]
        first: Span,
    },
    /// Two things at one path of a container.
    #[error("two things are put at `{target}` in {place}")]
    #[diagnostic(
        code(manifest::mount_clash),
        help("leave one of them out, or put it elsewhere")
    )]
    MountClash {
        /// The path.
        target: String,
        /// The service or template.
        place: String,
        /// The second.
        #[label(primary, "put here again")]
        at: Span,
        /// The first.
        #[label("first put here")]
        first: Span,
    },
    /// Something that only one container can have, with more than one container.
    #[error("`{service}` has {replicas} replicas, and only one of them can have {what}")]
    #[diagnostic(code(manifest::not_with_replicas))]
    NotWithReplicas {
        /// The service.
        service: String,
        /// How many.
        replicas: u32,
        /// What: a name, a port of this host, an address.
        what: String,
        /// Where it is given.
        #[label(primary, "for one container only")]
        at: Span,
        /// Where the replicas are given.
        #[label("{replicas} containers")]
        count: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A range of ports of the host that is too short for the replicas.
    #[error("`{service}` has {replicas} replicas and only {ports} ports for them")]
    #[diagnostic(code(manifest::too_few_ports))]
    TooFewPorts {
        /// The service.
        service: String,
        /// How many replicas.
        replicas: u32,
        /// How many ports.
        ports: usize,
        /// The range.
        #[label(primary, "{ports} ports, one for each replica")]
        at: Span,
        /// Where the replicas are given.
        #[label("{replicas} replicas")]
        count: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// No image.
    #[error("{kind} `{name}` has no image")]
    #[diagnostic(
        code(manifest::no_image),
        help("say `image \"name:tag\"`, `build \"folder\"` or `image-of \"service\"`")
    )]
    NoImage {
        /// `service` or `job`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Where it is declared.
        #[label("from which image?")]
        at: Span,
    },
    /// Something that a job cannot have.
    #[error("a job has no `{node}`")]
    #[diagnostic(code(manifest::not_for_jobs))]
    NotForJobs {
        /// The node.
        node: String,
        /// Where.
        #[label("not in a job")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// Waiting for the end of what does not end.
    #[error("`{name}` is a service, which keeps running and never completes")]
    #[diagnostic(
        code(manifest::never_completes),
        help("declare it as `job \"{name}\"`, or wait `until=\"ready\"`")
    )]
    NeverCompletes {
        /// The service that is waited for.
        name: String,
        /// Where.
        #[label("waits for its end")]
        at: Span,
    },
    /// A service that takes its image from itself.
    #[error("`{service}` takes its image from itself")]
    #[diagnostic(
        code(manifest::own_image),
        help("name another service, or say `image` or `build`")
    )]
    OwnImage {
        /// Which.
        service: String,
        /// Where.
        #[label("its own name")]
        at: Span,
    },
    /// Services that take their image from one another.
    #[error("services take their image from one another: {path}")]
    #[diagnostic(
        code(manifest::image_cycle),
        help("one of them has to say `image` or `build`")
    )]
    ImageCycle {
        /// The circle.
        path: String,
        /// Each of its steps.
        #[label(collection)]
        steps: Vec<LabeledSpan>,
    },
}
