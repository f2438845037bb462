//! Errors for plans that are refused before anything is changed.

use thiserror::Error;

use super::{FieldChange, OverlapConflict, Reason};
use crate::{
    diagnostic::did_you_mean,
    name::{ImageRef, ServiceName},
};

/// One preflight error. All errors are reported at once.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PreflightError {
    /// A container of this name belongs to another owner.
    #[error("container `{name}`, which `{service}` needs, belongs to {owner}")]
    ForeignContainer {
        /// Service that needs the name.
        service: ServiceName,
        /// Name of the container.
        name: String,
        /// Another project, or an unknown owner.
        owner: String,
    },
    /// A container of this name carries the project's label, but was not created by `cimandat`.
    #[error(
        "container `{name}`, which `{service}` needs, carries the label of this project, but \
         was not created by `cimandat`"
    )]
    UnknownContainer {
        /// Service that needs the name.
        service: ServiceName,
        /// Name of the container.
        name: String,
    },
    /// A container differs from its record, and drift is refused.
    #[error("container `{name}` has drifted: {}", listed(changes))]
    Drifted {
        /// Current name of the container.
        name: String,
        /// Differing fields: the recorded and the observed value of each.
        changes: Vec<FieldChange>,
    },
    /// The containers of two services would have the same name.
    #[error("the containers of `{other}` and `{service}` would both be named `{name}`")]
    SameName {
        /// One of the services.
        service: ServiceName,
        /// The other service.
        other: ServiceName,
        /// Name of both containers.
        name: String,
    },
    /// A network of this name belongs to another owner.
    #[error("network `{name}` exists already and belongs to {owner}")]
    ForeignNetwork {
        /// Name on the engine.
        name: String,
        /// Another project, or an unknown owner.
        owner: String,
    },
    /// A volume of this name belongs to another owner.
    #[error("volume `{name}` exists already and belongs to {owner}")]
    ForeignVolume {
        /// Name on the engine.
        name: String,
        /// Another project, or an unknown owner.
        owner: String,
    },
    /// An external network does not exist.
    #[error("external network `{name}` does not exist")]
    NoNetwork {
        /// Name on the engine.
        name: String,
    },
    /// An external volume does not exist.
    #[error("external volume `{name}` does not exist")]
    NoVolume {
        /// Name on the engine.
        name: String,
    },
    /// The address range of a network is in use.
    #[error(
        "the range {subnet} of network `{name}` overlaps with {held} of network `{holder}`, which \
         is not of this project"
    )]
    RangeHeld {
        /// Name on the engine.
        name: String,
        /// Range in the manifest.
        subnet: String,
        /// Range that is in use.
        held: String,
        /// Network that uses the range.
        holder: String,
    },
    /// A network's definition changed, but not its subnet or bridge name, which only one network
    /// can have.
    #[error(
        "the definition of network `{name}` changed, and the new one needs the same subnet or bridge \
         name, which the old network uses until the deploy is committed"
    )]
    NetworkContends {
        /// Name on the engine.
        name: String,
    },
    /// A network's definition changed, and a service would stay behind on the old network.
    #[error(
        "the definition of network `{name}` changed, and service `{service}`, not part of this \
         deploy, would stay on the old network"
    )]
    NetworkLeft {
        /// Name on the engine.
        name: String,
        /// Service that uses the network and is not part of this deploy.
        service: ServiceName,
    },
    /// A volume's definition changed.
    #[error(
        "the definition of volume `{name}` changed{}, and a volume cannot be changed in place",
        in_brackets(changes)
    )]
    VolumeChanged {
        /// Name on the engine.
        name: String,
        /// Changed fields; empty if the old definition is not recorded.
        changes: Vec<FieldChange>,
    },
    /// A database of another major version would run on existing data.
    #[error(
        "`{service}` would run PostgreSQL {to} on data of PostgreSQL {from} (volume `{volume}`, \
         `{folder}`)"
    )]
    MajorVersion {
        /// Service that uses the data.
        service: ServiceName,
        /// Name of the volume on the engine.
        volume: String,
        /// Data directory inside the container.
        folder: String,
        /// Major version that wrote the data.
        from: String,
        /// Major version that would read the data.
        to: String,
    },
    /// A volume is to be copied, and a container that keeps running writes to it.
    #[error(
        "volume `{name}` is to be copied before `{service}` is replaced, and `{writer}`, which \
         is not, writes to it"
    )]
    SnapshotWriter {
        /// Name of the volume on the engine.
        name: String,
        /// Service that is replaced.
        service: ServiceName,
        /// Container that writes to the volume.
        writer: String,
    },
    /// A host port is held by a container outside of the project.
    #[error(
        "port {port} of this host, which `{service}` publishes, is held by container `{holder}`"
    )]
    PortHeld {
        /// Service that publishes the port.
        service: ServiceName,
        /// Host port.
        port: u16,
        /// Container that holds the port.
        holder: String,
    },
    /// An image is missing and must not be pulled.
    #[error(
        "image `{image}` of `{service}` is not on the engine, and {} forbids pulling it",
        if *.by_option { "`--pull never`" } else { "`pull \"never\"`" }
    )]
    NoImage {
        /// Service that needs the image.
        service: ServiceName,
        /// Image that is missing.
        image: ImageRef,
        /// Whether the command-line option forbids the pull, and not the manifest.
        by_option: bool,
    },
    /// The image of an earlier generation no longer exists.
    #[error("the image of `{service}` in generation {generation} is no longer on the engine")]
    ImageLost {
        /// Service that needs the image.
        service: ServiceName,
        /// Generation of the image.
        generation: u64,
    },
    /// A secret value of an earlier generation is no longer stored.
    #[error("{what} of `{service}` is no longer stored; only its digest is known")]
    ValueLost {
        /// Service that needs the value.
        service: ServiceName,
        /// Description of the value, as a sentence fragment.
        what: String,
    },
    /// An image is missing or out of date and must not be built.
    #[error(
        "the image of `{service}` is out of date or missing, and `--no-build` forbids building it"
    )]
    NotBuilt {
        /// Service that needs the image.
        service: ServiceName,
    },
    /// A named service does not exist in the project.
    #[error("there is no service or job `{service}` in this project")]
    NoService {
        /// Name that was given.
        service: String,
        /// Services and jobs that exist.
        known: Vec<String>,
    },
    /// A job that is to run again does not exist in the project.
    #[error("there is no job `{job}` in this project")]
    NoJob {
        /// Name that was given.
        job: String,
        /// Jobs that exist.
        known: Vec<String>,
    },
    /// An irreversible job would run again.
    #[error("`{job}` is irreversible and would run again, as {reason}")]
    JobAgain {
        /// Job that would run again.
        job: ServiceName,
        /// Reason for the run.
        reason: Reason,
    },
    /// A service must start its new container while the old one runs, and cannot.
    #[error("`{service}` cannot start its new container before the old one stops, as {because}")]
    CannotStartFirst {
        /// Service that must start first.
        service: ServiceName,
        /// Conflict that prevents it.
        because: OverlapConflict,
    },
    /// Steps depend on each other in a cycle.
    #[error("these steps depend on each other in a cycle: {among}")]
    Circle {
        /// Services and resources in the cycle.
        among: String,
    },
}

fn listed(changes: &[FieldChange]) -> String {
    let listed: Vec<String> = changes.iter().map(ToString::to_string).collect();
    listed.join("; ")
}

fn in_brackets(changes: &[FieldChange]) -> String {
    if changes.is_empty() {
        String::new()
    } else {
        format!(" ({})", listed(changes))
    }
}

/// Returns the most similar name and the list of all valid names.
fn among(name: &str, known: &[String], kind: &str) -> String {
    if known.is_empty() {
        return format!("it has no {kind}");
    }
    let meant = did_you_mean(name, known.iter().map(String::as_str));
    let meant = meant.map(|meant| format!("{meant} ")).unwrap_or_default();
    format!("{meant}its {kind} are {}", known.join(", "))
}

fn convert(from: &str, to: &str) -> String {
    format!(
        "dump the data with {from} (`pg_dumpall`) and load it into a new volume with {to}, \
         or convert it with `pg_upgrade`; where the image does that itself, `--allow-major-upgrade` \
         lets it, best with the volume `snapshot=\"before-update\"`"
    )
}

fn run_or_not(job: &ServiceName) -> String {
    format!("`--rerun {job}` runs it again; `--no-rerun` assumes that it is done")
}

impl PreflightError {
    /// Returns advice on how to resolve the error.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::ForeignContainer { .. } => {
                "remove or rename that container, or give this project another name (`-p NAME`)"
                    .to_owned()
            }
            Self::UnknownContainer { .. } => {
                "it was created manually with this project's label; remove or rename it".to_owned()
            }
            Self::Drifted { .. } => "`cimandat up` without `--drift error` repairs it; \
                                     add changes to keep to the manifest"
                .to_owned(),
            Self::ImageLost { .. } => "`cimandat history` shows which generations can be \
                                       rolled back to"
                .to_owned(),
            Self::ValueLost { .. } => "restore the value at its source, or deploy the \
                                       manifest of that time with `cimandat up`"
                .to_owned(),
            Self::SameName { .. } => "give one of them another `container-name`".to_owned(),
            Self::ForeignNetwork { .. } | Self::ForeignVolume { .. } => {
                "declare it `external=#true` to use it as it is, or give it another `name=`"
                    .to_owned()
            }
            Self::NoNetwork { name } => format!("make it with `docker network create {name}`"),
            Self::NoVolume { name } => format!("make it with `docker volume create {name}`"),
            Self::NetworkContends { .. } => "give it another subnet, too; or run `cimandat down`, \
                                             which keeps volumes, and `cimandat up` again"
                .to_owned(),
            Self::NetworkLeft { .. } => {
                "run `cimandat up` without naming services, so that all move together".to_owned()
            }
            Self::RangeHeld { holder, .. } => format!(
                "give the network another `subnet`, or remove the other network if nothing uses it \
                 (`docker network rm {holder}`)"
            ),
            Self::VolumeChanged { .. } => {
                "give the volume another name and move its data, or take the change back".to_owned()
            }
            Self::MajorVersion { from, to, .. } => convert(from, to),
            Self::SnapshotWriter { .. } => {
                "mount the volume `read-only=#true` there, replace both (`--force-recreate`), or \
                 give up `snapshot=\"before-update\"`"
                    .to_owned()
            }
            Self::PortHeld { holder, .. } => {
                format!("stop it (`docker stop {holder}`), or publish another port")
            }
            Self::NoImage {
                image, by_option, ..
            } => load_or_pull(image, *by_option),
            Self::NotBuilt { .. } => "leave out `--no-build`".to_owned(),
            Self::NoService { service, known } => among(service, known, "services"),
            Self::NoJob { job, known } => among(job, known, "jobs"),
            Self::JobAgain { job, .. } => run_or_not(job),
            Self::CannotStartFirst { .. } => "say `update order=\"auto\"`".to_owned(),
            Self::Circle { .. } => {
                "give up one of the dependencies, or move the ports in two steps".to_owned()
            }
        }
    }
}

fn load_or_pull(image: &ImageRef, by_option: bool) -> String {
    let allow = if by_option {
        "leave out `--pull never`"
    } else {
        "set `pull \"missing\"`"
    };
    format!("load it (`docker load`), pull it (`docker pull {image}`), or {allow}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_image_error_names_source_of_prohibition() {
        let told = |by_option| {
            let refusal = PreflightError::NoImage {
                service: ServiceName::new("web").unwrap(),
                image: ImageRef::new("nginx").unwrap(),
                by_option,
            };
            format!("{refusal}; {}", refusal.help())
        };
        let by_option = told(true);
        assert!(by_option.contains("`--pull never` forbids"), "{by_option}");
        assert!(
            by_option.ends_with("leave out `--pull never`"),
            "{by_option}"
        );
        let by_manifest = told(false);
        assert!(
            by_manifest.ends_with("set `pull \"missing\"`"),
            "{by_manifest}"
        );
    }
}
