//! The journal and the lock, as containers that are created and never started.
//!
//! Both are created from an empty image, so that they keep no image of the project in use. A prune
//! of containers removes both. The content of the journal's container is in a named volume, which
//! such a prune does not remove, so the next command only has to recreate the container.

mod lock;
mod pages;

use std::{collections::HashMap, time::Duration};

use bollard::{
    body_full,
    models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions},
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use futures::TryStreamExt;

use super::{
    Docker,
    error::{present, status},
};
use crate::{
    engine::{EngineError, Lock, LockId, LockOutcome, StateStore},
    journal::{Collection, Page},
    name::ProjectName,
    state::{Holder, label},
};

/// Repository and tag of the empty image for both containers.
const EMPTY: (&str, &str) = ("cimandat-empty", "1");

impl StateStore for Docker {
    async fn read_pages(
        &self,
        project: &ProjectName,
        from: Collection,
    ) -> Result<Vec<Page>, EngineError> {
        pages::read(self, project, from).await
    }

    async fn write_pages(&self, project: &ProjectName, pages: &[Page]) -> Result<(), EngineError> {
        pages::write(self, project, pages).await
    }

    async fn open_store(&self, project: &ProjectName) -> Result<(), EngineError> {
        pages::open(self, project).await
    }

    async fn remove_store(&self, project: &ProjectName) -> Result<(), EngineError> {
        pages::discard(self, project).await
    }

    async fn lock(
        &self,
        project: &ProjectName,
        holder: &Holder,
    ) -> Result<LockOutcome, EngineError> {
        lock::take(self, project, holder).await
    }

    async fn find_lock(&self, project: &ProjectName) -> Result<Option<Lock>, EngineError> {
        lock::find(self, project).await
    }

    async fn renew_lock(&self, lock: &LockId) -> Result<(), EngineError> {
        lock::beat(self, lock).await
    }

    async fn unlock(&self, project: &ProjectName, lock: &LockId) -> Result<(), EngineError> {
        lock::give_back(self, project, lock).await
    }

    async fn await_unlock(&self, lock: &LockId, patience: Duration) -> Result<(), EngineError> {
        lock::await_end(self, lock, patience).await
    }
}

/// The result of creating a container for the state store.
enum Created {
    /// The container was created and has this id.
    New(String),
    /// A container with that name exists.
    Taken,
}

/// Creates a container for the state store. Mounts a volume if one is given as name and target; a
/// volume that does not exist is created with the same labels.
async fn make(
    docker: &Docker,
    verb: &str,
    name: &str,
    labels: HashMap<String, String>,
    volume: Option<(&str, &str)>,
) -> Result<Created, EngineError> {
    let mount = |(volume, target): (&str, &str)| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume.to_owned()),
        target: Some(target.to_owned()),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            labels: Some(labels.clone()),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    let body = ContainerCreateBody {
        image: Some(format!("{}:{}", EMPTY.0, EMPTY.1)),
        // Never run. The engine requires a command.
        cmd: Some(vec!["-".to_owned()]),
        host_config: volume.map(|volume| HostConfig {
            mounts: Some(vec![mount(volume)]),
            ..HostConfig::default()
        }),
        labels: Some(labels.clone()),
        network_disabled: Some(true),
        ..ContainerCreateBody::default()
    };
    let create = || {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        docker.client.create_container(Some(options), body.clone())
    };
    let mut created = create().await;
    if created
        .as_ref()
        .is_err_and(|wire| status(wire) == Some(404))
    {
        make_empty_image(docker, verb).await?;
        created = create().await;
    }
    match created {
        Ok(created) => Ok(Created::New(created.id)),
        Err(wire) if status(&wire) == Some(409) => Ok(Created::Taken),
        Err(wire) => Err(docker.doing(verb, name).failed(wire)),
    }
}

/// Creates the empty image. Concurrent calls create the same image.
async fn make_empty_image(docker: &Docker, verb: &str) -> Result<(), EngineError> {
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(EMPTY.0)
        .tag(EMPTY.1)
        .build();
    let archive = tar::Builder::new(Vec::new())
        .into_inner()
        .map_err(|error| docker.doing(verb, EMPTY.0).broke(error.to_string()))?;
    docker
        .client
        .create_image(Some(options), Some(body_full(archive.into())), None)
        .try_collect::<Vec<_>>()
        .await
        .map(|_| ())
        .map_err(|wire| docker.doing(verb, EMPTY.0).failed(wire))
}

async fn remove(docker: &Docker, verb: &str, name: &str) -> Result<(), EngineError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).build();
    let removed = docker.client.remove_container(name, Some(options)).await;
    match present(removed) {
        Ok(_) => Ok(()),
        // Another client is removing the container.
        Err(wire) if status(&wire) == Some(409) => Ok(()),
        Err(wire) => Err(docker.doing(verb, name).failed(wire)),
    }
}

fn labels(project: &ProjectName, role: &str) -> HashMap<String, String> {
    HashMap::from([
        (label::PROJECT.to_owned(), project.to_string()),
        (label::ROLE.to_owned(), role.to_owned()),
    ])
}
