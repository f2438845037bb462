//! The labels that `cimandat` writes, and by which it recognizes its own resources.
//!
//! The first group is specific to `cimandat`. The second group is for tools that show Compose
//! projects. Compose's `config-hash` is never written, because Compose would then treat the
//! containers as its own.

/// Name of the project. Resources without this label are never changed.
pub const PROJECT: &str = "io.cimandat.project";
/// Name of the service or job.
pub const SERVICE: &str = "io.cimandat.service";
/// Replica number within the service, counted from 1.
pub const REPLICA: &str = "io.cimandat.replica";
/// Generation that created a container, a volume or a snapshot, counted from 1.
pub const GENERATION: &str = "io.cimandat.generation";
/// The serialised [`super::ContainerRecord`]; on a network or volume, its serialised definition.
pub const RECORD: &str = "io.cimandat.record";
/// Name of a network or volume in the manifest.
pub const NAME: &str = "io.cimandat.name";
/// Digest of the definition of a network or volume.
pub const DEFINITION: &str = "io.cimandat.definition";
/// On a snapshot: name of its source volume on the engine.
pub const SNAPSHOT_OF: &str = "io.cimandat.snapshot-of";
/// On a helper container that copies a volume: name of the snapshot on the engine.
pub const SNAPSHOT: &str = "io.cimandat.snapshot";

/// Role of an internal container that runs nothing, or of its volume: [`LOCK`] or [`JOURNAL`].
pub const ROLE: &str = "io.cimandat.role";
/// The [`ROLE`] of the project's lock.
pub const LOCK: &str = "lock";
/// The [`ROLE`] of the project's journal.
pub const JOURNAL: &str = "journal";
/// Holder of the lock: a serialised [`super::Holder`].
pub const HOLDER: &str = "io.cimandat.holder";

/// Name of the project, for Compose tools.
pub const COMPOSE_PROJECT: &str = "com.docker.compose.project";
/// Name of the service, for Compose tools.
pub const COMPOSE_SERVICE: &str = "com.docker.compose.service";
/// Replica number within the service, for Compose tools.
pub const COMPOSE_NUMBER: &str = "com.docker.compose.container-number";
/// `True` for a container of a one-off command, for Compose tools.
pub const COMPOSE_ONEOFF: &str = "com.docker.compose.oneoff";
/// Manifest files, comma-separated, for Compose tools.
pub const COMPOSE_FILES: &str = "com.docker.compose.project.config_files";
/// Folder of the manifest, for Compose tools.
pub const COMPOSE_DIRECTORY: &str = "com.docker.compose.project.working_dir";
