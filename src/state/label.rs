//! The labels that `cimandat` writes: the contract by which it knows its own.
//!
//! The first group is ours; the second is what tools that show Compose projects look for. Compose's
//! `config-hash` is never written, or Compose would take the containers for its own.

/// The project's name. Whatever does not bear it is never touched.
pub const PROJECT: &str = "io.cimandat.project";
/// The name of the service or job.
pub const SERVICE: &str = "io.cimandat.service";
/// Which of a service's containers, counted from 1.
pub const REPLICA: &str = "io.cimandat.replica";
/// The generation that made a container, a volume or a snapshot, counted from 1.
pub const GENERATION: &str = "io.cimandat.generation";
/// The serialised [`super::Record`]; of a network or volume its serialised definition.
pub const RECORD: &str = "io.cimandat.record";
/// The manifest's name of a network or volume.
pub const NAME: &str = "io.cimandat.name";
/// Digest of the definition of a network or volume.
pub const DEFINITION: &str = "io.cimandat.definition";
/// On a snapshot: the name on the engine of the volume that it is of.
pub const SNAPSHOT_OF: &str = "io.cimandat.snapshot-of";
/// On a container that only copies: the snapshot's name on the engine.
pub const SNAPSHOT: &str = "io.cimandat.snapshot";

/// What a container of our own is for, that runs nothing, or its volume: [`LOCK`] or [`JOURNAL`].
pub const ROLE: &str = "io.cimandat.role";
/// The [`ROLE`] of the project's lock.
pub const LOCK: &str = "lock";
/// The [`ROLE`] of the project's journal.
pub const JOURNAL: &str = "journal";
/// Who holds the lock: a serialised [`super::Holder`].
pub const HOLDER: &str = "io.cimandat.holder";

/// The project's name, for other tools.
pub const COMPOSE_PROJECT: &str = "com.docker.compose.project";
/// The service's name, for other tools.
pub const COMPOSE_SERVICE: &str = "com.docker.compose.service";
/// Which of a service's containers, for other tools.
pub const COMPOSE_NUMBER: &str = "com.docker.compose.container-number";
/// `True` for a container of a one-off command, for other tools.
pub const COMPOSE_ONEOFF: &str = "com.docker.compose.oneoff";
/// The manifests, comma-separated, for other tools.
pub const COMPOSE_FILES: &str = "com.docker.compose.project.config_files";
/// The manifest's folder, for other tools.
pub const COMPOSE_DIRECTORY: &str = "com.docker.compose.project.working_dir";
