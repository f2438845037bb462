//! Errors in references between parts of the manifest.

use miette::{Diagnostic, LabeledSpan};
use thiserror::Error;

use crate::span::Span;

/// Label for one step of a cycle, shown at the span of that step: `` `a` waits for `b` ``.
#[must_use]
pub fn step(at: Span, text: String) -> LabeledSpan {
    LabeledSpan::new_with_span(Some(text), at)
}

/// An error that shows only when parts of the manifest are combined.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum ReferenceError {
    /// A name is declared twice in one file.
    #[error("{kind} `{name}` is declared twice")]
    #[diagnostic(code(manifest::duplicate))]
    Duplicate {
        /// Kind of the declaration: `service`, `network`, …
        kind: &'static str,
        /// Name that is declared twice.
        name: String,
        /// Span of the second declaration.
        #[label(primary, "declared again")]
        at: Span,
        /// Span of the first declaration.
        #[label("first declared here")]
        first: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A reference to a name that is not declared.
    #[error("{kind} `{name}` is not declared")]
    #[diagnostic(code(manifest::unknown_reference))]
    Unknown {
        /// Expected kind: `service`, `network`, …
        kind: &'static str,
        /// The text that was written.
        name: String,
        /// Span of the reference.
        #[label("no such {kind}")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// Services wait for one another.
    #[error("services wait for one another: {path}")]
    #[diagnostic(
        code(manifest::dependency_cycle),
        help("remove one of these `depends-on`")
    )]
    DependencyCycle {
        /// Path of the cycle: `` `a` → `b` → `a` ``.
        path: String,
        /// One label for each step of the cycle.
        #[label(collection)]
        steps: Vec<LabeledSpan>,
    },
    /// A service waits for itself.
    #[error("`{service}` depends on itself")]
    #[diagnostic(code(manifest::self_dependency), help("remove it from `depends-on`"))]
    SelfDependency {
        /// Name of the service.
        service: String,
        /// Span of the service's own name.
        #[label("its own name")]
        at: Span,
    },
    /// Templates use one another.
    #[error("templates use one another: {path}")]
    #[diagnostic(code(manifest::template_cycle), help("remove one of these `use`"))]
    TemplateCycle {
        /// Path of the cycle.
        path: String,
        /// One label for each step of the cycle.
        #[label(collection)]
        steps: Vec<LabeledSpan>,
    },
    /// A port of the host is published twice.
    #[error("port {port} of this host is published twice, {who}")]
    #[diagnostic(code(manifest::port_clash))]
    PortClash {
        /// Port as published: `80/tcp`.
        port: String,
        /// Services that publish the port: `` by `a` and by `b` ``.
        who: String,
        /// Name of the first service.
        one: String,
        /// Name of the second service.
        other: String,
        /// Span of the second publication.
        #[label(primary, "published again by `{other}`")]
        at: Span,
        /// Span of the first publication.
        #[label("published by `{one}`")]
        first: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// Two service names differ only in the case of their letters.
    #[error("the names of the services `{one}` and `{other}` differ only in case")]
    #[diagnostic(
        code(manifest::name_clash),
        help("a service's name is also a host name and part of an image name, which ignore case")
    )]
    NameClash {
        /// Name of the first service.
        one: String,
        /// Name of the second service.
        other: String,
        /// Span of the second name.
        #[label(primary, "the same name")]
        at: Span,
        /// Span of the first name.
        #[label("first named here")]
        first: Span,
    },
    /// The address ranges of two networks overlap.
    #[error("the ranges of the networks `{one}` and `{other}` overlap")]
    #[diagnostic(code(manifest::subnet_clash))]
    SubnetClash {
        /// Name of the first network.
        one: String,
        /// Name of the second network.
        other: String,
        /// Address range of the second network.
        range: String,
        /// Span of the second range.
        #[label(primary, "`{range}` is in use")]
        at: Span,
        /// Span of the first range.
        #[label("by this network")]
        first: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// Two containers of one network have the same fixed address.
    #[error("`{one}` and `{other}` have the same address in the network `{network}`")]
    #[diagnostic(
        code(manifest::address_clash),
        help("give one of them another address, or leave it to the engine")
    )]
    AddressClash {
        /// The address.
        address: String,
        /// Name of the network.
        network: String,
        /// Name of the first service.
        one: String,
        /// Name of the second service.
        other: String,
        /// Span of the second attachment.
        #[label(primary, "`{address}` again")]
        at: Span,
        /// Span of the first attachment.
        #[label("first given here")]
        first: Span,
    },
    /// A fixed address that the engine would reject in this network.
    #[error("`{address}` cannot be an address in the network `{network}`: {cause}")]
    #[diagnostic(code(manifest::fixed_address))]
    FixedAddress {
        /// The address.
        address: String,
        /// Name of the network.
        network: String,
        /// Reason that the address is not allowed.
        cause: String,
        /// Span of the attachment with the address.
        #[label("given here")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// Two services name their container the same.
    #[error("two services name their container `{name}`")]
    #[diagnostic(
        code(manifest::container_name_clash),
        help("a container's name is unique")
    )]
    ContainerNameClash {
        /// Name of the container.
        name: String,
        /// Span of the second occurrence.
        #[label(primary, "named again")]
        at: Span,
        /// Span of the first occurrence.
        #[label("first named here")]
        first: Span,
    },
    /// Two mounts, secrets or configs have the same path in a container.
    #[error("two files or mounts have the target `{target}` in {place}")]
    #[diagnostic(
        code(manifest::mount_clash),
        help("remove one of them, or change its target")
    )]
    MountClash {
        /// Path inside the container.
        target: String,
        /// Service or template.
        place: String,
        /// Span of the second occurrence.
        #[label(primary, "used again")]
        at: Span,
        /// Span of the first occurrence.
        #[label("first used here")]
        first: Span,
    },
    /// A setting for a single container, in a service with more than one replica.
    #[error("`{service}` has {replicas} replicas, and only one of them can have {what}")]
    #[diagnostic(code(manifest::not_with_replicas))]
    NotWithReplicas {
        /// The service.
        service: String,
        /// Number of replicas.
        replicas: u32,
        /// Description of the setting: a name, a port of this host, an address.
        what: String,
        /// Span of the setting.
        #[label(primary, "for one container only")]
        at: Span,
        /// Span of the number of replicas.
        #[label("{replicas} containers")]
        count: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A range of host ports is too short for the replicas.
    #[error("`{service}` has {replicas} replicas and only {ports} ports for them")]
    #[diagnostic(code(manifest::too_few_ports))]
    TooFewPorts {
        /// The service.
        service: String,
        /// Number of replicas.
        replicas: u32,
        /// Number of ports.
        ports: usize,
        /// Span of the range.
        #[label(primary, "{ports} ports, one for each replica")]
        at: Span,
        /// Span of the number of replicas.
        #[label("{replicas} replicas")]
        count: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A service or a job has no image.
    #[error("{kind} `{name}` has no image")]
    #[diagnostic(
        code(manifest::no_image),
        help("say `image \"name:tag\"`, `build \"folder\"` or `image-of \"service\"`")
    )]
    NoImage {
        /// `service` or `job`.
        kind: &'static str,
        /// Name of the service or job.
        name: String,
        /// Span of the declaration.
        #[label("from which image?")]
        at: Span,
    },
    /// A node that is not allowed in a job.
    #[error("a job has no `{node}`")]
    #[diagnostic(code(manifest::not_for_jobs))]
    NotForJobs {
        /// Name of the node.
        node: String,
        /// Span of the node.
        #[label("not in a job")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A dependency waits for the completion of a service, and a service does not complete.
    #[error("`{name}` is a service, which keeps running and never completes")]
    #[diagnostic(
        code(manifest::never_completes),
        help("declare it as `job \"{name}\"`, or wait `until=\"ready\"`")
    )]
    NeverCompletes {
        /// Name of the service that is waited for.
        name: String,
        /// Span of the dependency.
        #[label("waits for its end")]
        at: Span,
    },
    /// A service takes its image from itself.
    #[error("`{service}` takes its image from itself")]
    #[diagnostic(
        code(manifest::own_image),
        help("name another service, or say `image` or `build`")
    )]
    OwnImage {
        /// Name of the service.
        service: String,
        /// Span of the service's own name.
        #[label("its own name")]
        at: Span,
    },
    /// Services take their image from one another.
    #[error("services take their image from one another: {path}")]
    #[diagnostic(
        code(manifest::image_cycle),
        help("one of them has to say `image` or `build`")
    )]
    ImageCycle {
        /// Path of the cycle.
        path: String,
        /// One label for each step of the cycle.
        #[label(collection)]
        steps: Vec<LabeledSpan>,
    },
}
