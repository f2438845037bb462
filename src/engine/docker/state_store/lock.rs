//! The project lock. The client that creates the container with the lock's name holds the lock. Of
//! 16 clients that tried at the same time, exactly one got it (measured).

use std::{collections::HashMap, time::Duration};

use bollard::{
    body_full,
    errors::Error as Wire,
    models::ContainerInspectResponse,
    query_parameters::{
        ContainerArchiveInfoOptionsBuilder, ListContainersOptionsBuilder,
        RenameContainerOptionsBuilder, UploadToContainerOptionsBuilder,
        WaitContainerOptionsBuilder,
    },
};
use futures::TryStreamExt;
use jiff::Timestamp;
use tokio::time::timeout;

use super::{Created, labels, make, remove};
use crate::{
    engine::{
        EngineError, Lock, LockId, LockOutcome, ProcessIdentity,
        docker::{
            Docker, container, container_status,
            error::{present, status},
            ping,
        },
    },
    name::ProjectName,
    state::{Holder, label},
};

const TAKING: &str = "acquiring the lock";
const LOOKING: &str = "looking at the lock";
const BEATING: &str = "renewing the lock";
const FREEING: &str = "releasing the lock";

/// The file whose modification time is the holder's last heartbeat.
const SIGN: &str = "beat";

fn name(project: &ProjectName) -> String {
    format!("cimandat.lock.{project}")
}

pub(super) async fn take(
    docker: &Docker,
    project: &ProjectName,
    holder: &Holder,
) -> Result<LockOutcome, EngineError> {
    let name = name(project);
    let mut labels = labels(project, label::LOCK);
    labels.insert(
        label::HOLDER.to_owned(),
        serde_json::to_string(holder).unwrap_or_default(),
    );
    loop {
        match make(docker, TAKING, &name, labels.clone(), None).await? {
            Created::New(id) => return Ok(LockOutcome::Given(LockId(id))),
            Created::Taken => {
                // If the lock was released in between, some client gets it in each round, so the
                // loop makes progress.
                if let Some(lock) = find(docker, project).await? {
                    return Ok(LockOutcome::Held(lock));
                }
            }
        }
    }
}

pub(super) async fn find(
    docker: &Docker,
    project: &ProjectName,
) -> Result<Option<Lock>, EngineError> {
    let name = name(project);
    let inspected = present(docker.client.inspect_container(&name, None).await)
        .map_err(|wire| docker.doing(LOOKING, &name).failed(wire))?;
    let Some(inspected) = inspected else {
        return Ok(None);
    };
    let labels = container::labels(&inspected);
    let ours = labels.get(label::PROJECT).map(String::as_str) == Some(project.as_str())
        && labels.get(label::ROLE).map(String::as_str) == Some(label::LOCK);
    if !ours {
        return Err(EngineError::NotOwned { name });
    }
    let holder: Option<Holder> = labels
        .get(label::HOLDER)
        .and_then(|holder| serde_json::from_str(holder).ok());
    let id = inspected.id.clone().unwrap_or_default();
    let sign = last_sign(docker, &id, &inspected).await?;
    let now = ping::greet(&docker.place).await?.clock;
    let silent = sign.zip(now).map(|(sign, now)| now.duration_since(sign));
    let gone = |holder: &Holder| {
        let presence = ProcessIdentity {
            boot: holder.boot.clone(),
            pid: holder.pid,
            started: holder.started,
        };
        presence.is_gone()
    };
    Ok(Some(Lock {
        id: LockId(id),
        holder_exited: holder.as_ref().is_some_and(gone),
        holder,
        since_heartbeat: silent
            .and_then(|silent| Duration::try_from(silent).ok())
            .unwrap_or_default(),
    }))
}

/// Returns the time of the last heartbeat. The creation of the lock is the first one.
async fn last_sign(
    docker: &Docker,
    id: &str,
    inspected: &ContainerInspectResponse,
) -> Result<Option<Timestamp>, EngineError> {
    let made = || {
        let seconds = inspected.created?.unix_timestamp();
        Timestamp::from_second(seconds).ok()
    };
    let options = ContainerArchiveInfoOptionsBuilder::new().path(SIGN).build();
    let found = docker
        .client
        .get_container_archive_info(id, Some(options))
        .await;
    let found = present(found).map_err(|wire| docker.doing(LOOKING, id).failed(wire))?;
    let sign = found.and_then(|stat| container_status::time(stat.modification_time.as_deref()));
    Ok(sign.or_else(made))
}

pub(super) async fn beat(docker: &Docker, lock: &LockId) -> Result<(), EngineError> {
    let doing = docker.doing(BEATING, &lock.0);
    let now = ping::greet(&docker.place).await?.clock;
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(0);
    header.set_mode(0o600);
    let seconds = now.map_or(0, Timestamp::as_second);
    header.set_mtime(u64::try_from(seconds).unwrap_or(0));
    let mut archive = tar::Builder::new(Vec::new());
    let archive = archive
        .append_data(&mut header, SIGN, std::io::empty())
        .and_then(|()| archive.into_inner())
        .map_err(|error| doing.broke(error.to_string()))?;
    let options = UploadToContainerOptionsBuilder::new().path("/").build();
    let sent = docker
        .client
        .upload_to_container(&lock.0, Some(options), body_full(archive.into()))
        .await;
    match sent {
        Err(wire) if status(&wire) == Some(404) => Err(EngineError::NotFound {
            what: "the lock".to_owned(),
        }),
        sent => sent.map_err(|wire| doing.failed(wire)),
    }
}

/// Releases a lock by its id, so that a newer lock with the same name is not affected. The rename
/// frees the name at once; the removal takes longer.
pub(super) async fn give_back(
    docker: &Docker,
    project: &ProjectName,
    lock: &LockId,
) -> Result<(), EngineError> {
    let short: String = lock.0.chars().take(12).collect();
    let aside = format!("{}.{short}", name(project));
    let options = RenameContainerOptionsBuilder::new().name(&aside).build();
    let renamed = docker.client.rename_container(&lock.0, options).await;
    match present(renamed) {
        // Another client has already started to release this lock.
        Ok(_) => {}
        Err(wire) if matches!(status(&wire), Some(400 | 409)) => {}
        Err(wire) => return Err(docker.doing(FREEING, &lock.0).failed(wire)),
    }
    remove(docker, FREEING, &lock.0).await?;
    sweep(docker, project).await
}

/// Removes locks that no longer hold anything, because their client was killed between the rename
/// and the removal.
async fn sweep(docker: &Docker, project: &ProjectName) -> Result<(), EngineError> {
    let aside = format!("/{}.", name(project));
    let wanted = [
        format!("{}={project}", label::PROJECT),
        format!("{}={}", label::ROLE, label::LOCK),
    ];
    let filters = HashMap::from([("label", wanted.to_vec())]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let listed = docker.client.list_containers(Some(options)).await;
    let listed = listed.map_err(|wire| docker.doing(FREEING, "locks").failed(wire))?;
    for lock in listed {
        let named = lock.names.unwrap_or_default();
        if let (true, Some(id)) = (named.iter().any(|it| it.starts_with(&aside)), lock.id) {
            remove(docker, FREEING, &id).await?;
        }
    }
    Ok(())
}

pub(super) async fn await_end(
    docker: &Docker,
    lock: &LockId,
    patience: Duration,
) -> Result<(), EngineError> {
    let options = WaitContainerOptionsBuilder::new()
        .condition("removed")
        .build();
    let client = docker.client.clone().with_timeout(patience);
    let gone = client
        .wait_container(&lock.0, Some(options))
        .try_collect::<Vec<_>>();
    match timeout(patience, gone).await {
        Err(_)
        | Ok(Ok(_) | Err(Wire::RequestTimeoutError | Wire::DockerContainerWaitError { .. })) => {
            Ok(())
        }
        Ok(Err(wire)) => present(Err::<(), _>(wire))
            .map(|_| ())
            .map_err(|wire| docker.doing(LOOKING, &lock.0).failed(wire)),
    }
}
