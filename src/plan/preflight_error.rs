//! Why a plan is refused before anything is touched.

use thiserror::Error;

use super::{FieldChange, OverlapConflict, Reason};
use crate::{
    diagnostic::did_you_mean,
    name::{ImageRef, ServiceName},
};

/// One reason; all that are found are told at once.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PreflightError {
    /// A container of this name is not ours.
    #[error("container `{name}`, which `{service}` needs, belongs to {owner}")]
    ForeignContainer {
        /// Whose container it would be.
        service: ServiceName,
        /// The name.
        name: String,
        /// A project, or somebody unknown.
        owner: String,
    },
    /// A container of this name bears the project's label, but is not one that was made here.
    #[error(
        "container `{name}`, which `{service}` needs, bears the label of this project, but \
         `cimandat` did not make it"
    )]
    UnknownContainer {
        /// Whose container it would be.
        service: ServiceName,
        /// The name.
        name: String,
    },
    /// A container is not as it was made, and is to be left as it is.
    #[error("container `{name}` is not as it was made: {}", listed(changes))]
    Drifted {
        /// The name that it has now.
        name: String,
        /// Field by field: the recorded value, and the one found.
        changes: Vec<FieldChange>,
    },
    /// Two services' containers would have one name.
    #[error("the containers of `{other}` and `{service}` would both be called `{name}`")]
    SameName {
        /// One of them.
        service: ServiceName,
        /// The other.
        other: ServiceName,
        /// The name.
        name: String,
    },
    /// A network of this name is not ours.
    #[error("network `{name}` exists already and belongs to {owner}")]
    ForeignNetwork {
        /// The name on the engine.
        name: String,
        /// A project, or somebody unknown.
        owner: String,
    },
    /// A volume of this name is not ours.
    #[error("volume `{name}` exists already and belongs to {owner}")]
    ForeignVolume {
        /// The name on the engine.
        name: String,
        /// A project, or somebody unknown.
        owner: String,
    },
    /// An external network is not there.
    #[error("external network `{name}` does not exist")]
    NoNetwork {
        /// The name on the engine.
        name: String,
    },
    /// An external volume is not there.
    #[error("external volume `{name}` does not exist")]
    NoVolume {
        /// The name on the engine.
        name: String,
    },
    /// The address range of a network is in use.
    #[error(
        "the range {subnet} of network `{name}` overlaps with {held} of network `{holder}`, which \
         is not of this project"
    )]
    RangeHeld {
        /// The name on the engine.
        name: String,
        /// As the manifest says.
        subnet: String,
        /// The range that is in use.
        held: String,
        /// The network that has it.
        holder: String,
    },
    /// A network's definition changed, but not what only one network can have.
    #[error(
        "the definition of network `{name}` changed, and the new one needs the same subnet or bridge \
         name, which the old network uses until the deploy is committed"
    )]
    NetworkContends {
        /// The name on the engine.
        name: String,
    },
    /// A network's definition changed, and somebody would stay behind on the old one.
    #[error(
        "the definition of network `{name}` changed, and service `{service}`, not part of this \
         deploy, would stay on the old network"
    )]
    NetworkLeft {
        /// The name on the engine.
        name: String,
        /// Who uses it, and is not part of this deploy.
        service: ServiceName,
    },
    /// A volume's definition changed.
    #[error(
        "the definition of volume `{name}` changed{}, and a volume cannot be changed in place",
        in_brackets(changes)
    )]
    VolumeChanged {
        /// The name on the engine.
        name: String,
        /// Field by field; empty where it is not recorded what it was made from.
        changes: Vec<FieldChange>,
    },
    /// A database of another major version would run on the data that is there.
    #[error(
        "`{service}` would run PostgreSQL {to} on data of PostgreSQL {from} (volume `{volume}`, \
         `{folder}`)"
    )]
    MajorVersion {
        /// Whose data it is.
        service: ServiceName,
        /// The volume's name on the engine.
        volume: String,
        /// The data directory inside of the container.
        folder: String,
        /// The version that wrote it.
        from: String,
        /// The version that would read it.
        to: String,
    },
    /// A volume is to be copied, and somebody who goes on running writes to it.
    #[error(
        "volume `{name}` is to be copied before `{service}` is replaced, and `{writer}`, which \
         is not, writes to it"
    )]
    SnapshotWriter {
        /// The volume's name on the engine.
        name: String,
        /// Who is replaced.
        service: ServiceName,
        /// The container that writes.
        writer: String,
    },
    /// A port of the host is held by a container that is not the project's.
    #[error(
        "port {port} of this host, which `{service}` publishes, is held by container `{holder}`"
    )]
    PortHeld {
        /// Who wants it.
        service: ServiceName,
        /// Which.
        port: u16,
        /// Who has it.
        holder: String,
    },
    /// An image that must not be pulled is not there.
    #[error(
        "image `{image}` of `{service}` is not on the engine, and {} forbids pulling it",
        if *.by_option { "`--pull never`" } else { "`pull \"never\"`" }
    )]
    NoImage {
        /// Who wants it.
        service: ServiceName,
        /// Which.
        image: ImageRef,
        /// The command's option says so, and not the manifest.
        by_option: bool,
    },
    /// The image of an earlier generation is gone.
    #[error("the image of `{service}` in generation {generation} is not on the engine any more")]
    ImageLost {
        /// Whose.
        service: ServiceName,
        /// Which.
        generation: u64,
    },
    /// A secret value of an earlier generation is gone.
    #[error("{what} of `{service}` is no longer stored; only its digest is known")]
    ValueLost {
        /// Whose.
        service: ServiceName,
        /// In a fragment.
        what: String,
    },
    /// An image that must not be built is not there.
    #[error(
        "the image of `{service}` is out of date or missing, and `--no-build` forbids building it"
    )]
    NotBuilt {
        /// Who wants it.
        service: ServiceName,
    },
    /// A service that was named is not in the project.
    #[error("there is no service or job `{service}` in this project")]
    NoService {
        /// As it was named.
        service: String,
        /// Those that are.
        known: Vec<String>,
    },
    /// A job that was to run again is not in the project.
    #[error("there is no job `{job}` in this project")]
    NoJob {
        /// As it was named.
        job: String,
        /// Those that are.
        known: Vec<String>,
    },
    /// A job whose work cannot be undone would run again.
    #[error("`{job}` is irreversible and would run again, as {reason}")]
    JobAgain {
        /// Which.
        job: ServiceName,
        /// Why.
        reason: Reason,
    },
    /// A service is to start its new container while the old one runs, and cannot.
    #[error("`{service}` cannot start its new container before the old one stops, as {because}")]
    CannotStartFirst {
        /// Who.
        service: ServiceName,
        /// Why not.
        because: OverlapConflict,
    },
    /// Steps wait for each other.
    #[error("these steps depend on each other in a circle: {among}")]
    Circle {
        /// Services and resources.
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

/// What a name may have been meant for, and all that it can be.
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
         or convert it with `pg_upgrade`; where the image does that itself, `--allow-major` \
         lets it, best with the volume `snapshot=\"before-switch\"`"
    )
}

fn run_or_not(job: &ServiceName) -> String {
    format!("`--rerun {job}` runs it again; `--no-rerun` takes it for done")
}

impl PreflightError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::ForeignContainer { .. } => {
                "remove or rename that container, or give this project another name (`-p NAME`)"
                    .to_owned()
            }
            Self::UnknownContainer { .. } => {
                "it was made by hand with this project's label; remove or rename it".to_owned()
            }
            Self::Drifted { .. } => "`cimandat up` without `--drift refuse` puts it right; \
                                     what is to stay belongs into the manifest"
                .to_owned(),
            Self::ImageLost { .. } => "`cimandat history` shows which generations there is a way \
                                       back to"
                .to_owned(),
            Self::ValueLost { .. } => "put the value back where it came from, or deploy the \
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
                 give up `snapshot=\"before-switch\"`"
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
    fn missing_image_is_blamed_on_who_forbids_to_pull_it() {
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
