//! Performs actions: one arm for each action, matched exhaustively.
//!
//! This module only dispatches. Each action is implemented in the module of its object.

use std::sync::Arc;

use bollard::query_parameters::{RemoveImageOptions, TagImageOptionsBuilder};
use futures::FutureExt;
use tokio::sync::mpsc::UnboundedSender;

use super::{
    Docker,
    build::{Builder, Transport},
    container, create, credentials, cutover,
    error::present,
    exec, network, pull, snapshot, update,
    users::{self, Used},
    volume,
};
use crate::{engine::EngineError, event::Progress, name::ImageRef, plan::Action};

/// Performs one action. Performing it twice has the effect of performing it once.
pub(super) async fn perform(
    docker: &Docker,
    action: &Action,
    progress: &UnboundedSender<Progress>,
) -> Result<(), EngineError> {
    let verb = action.verb();
    match action {
        // Large futures are boxed, so that the small ones stay small.
        Action::BuildImage(request) => Box::pin(builder(docker).build(request, progress)).await,
        Action::PullImage(request) => Box::pin(pull::pull(docker, request, progress)).await,
        Action::CreateNetwork(request) => network::create(docker, request).await,
        Action::RemoveNetwork(name) => network::remove(docker, name).await,
        Action::Cutover(request) => Box::pin(cutover::cutover(docker, verb, request)).await,
        Action::CreateVolume(request) => volume::create(docker, request).await,
        Action::RemoveVolume(name) => volume::remove(docker, name).await,
        Action::SnapshotVolume(request) => Box::pin(snapshot::take(docker, request)).await,
        Action::RestoreVolume(request) => Box::pin(snapshot::restore(docker, request)).await,
        Action::RemoveSnapshot(name) => snapshot::remove(docker, name).await,
        Action::CreateContainer(request) => Box::pin(create::create(docker, request)).await,
        Action::StartContainer(name) => container::start(docker, name).await,
        Action::StopContainer { container, grace } => {
            container::stop(docker, container, *grace).await
        }
        Action::RenameContainer { from, to } => container::rename(docker, from, to).await,
        Action::RemoveContainer(name) => container::remove(docker, name).await,
        Action::SetRestartPolicy { container, policy } => {
            container::set_restart_policy(docker, container, *policy).await
        }
        Action::SetAllowance {
            container,
            allowance,
        } => update::set_allowance(docker, verb, container, *allowance).await,
        Action::SetPaused { container, paused } => {
            update::set_paused(docker, verb, container, *paused).await
        }
        Action::RunHook(run) => exec::hook(docker, run).await,
        Action::TagImage { image, tag } => tag_image(docker, verb, image, tag).await,
        Action::RemoveImage(image) => remove_image(docker, verb, image).await,
    }
}

/// Returns a builder for the engine's BuildKit, at the same address.
fn builder(docker: &Docker) -> Builder {
    let wire = Transport::new(docker.place.address.clone(), docker.place.tls.clone());
    let configuration = docker.configuration.clone();
    let builder = Builder::new(wire).with_logins(Arc::new(move |host| {
        let configuration = configuration.clone();
        async move { credentials::login(configuration.as_deref(), &host).await }.boxed()
    }));
    match &docker.ssh_agent {
        Some(agent) => builder.with_ssh_agent(agent.clone()),
        None => builder,
    }
}

/// Adds a name to an image. An image that already has the name is left unchanged.
async fn tag_image(
    docker: &Docker,
    verb: &str,
    image: &ImageRef,
    tag: &ImageRef,
) -> Result<(), EngineError> {
    let (repository, tag_name) = tag
        .as_str()
        .rsplit_once(':')
        .unwrap_or((tag.as_str(), "latest"));
    let options = TagImageOptionsBuilder::new()
        .repo(repository)
        .tag(tag_name)
        .build();
    docker
        .client
        .tag_image(image.as_str(), Some(options))
        .await
        .map_err(|wire| docker.doing(verb, tag.as_str()).failed(wire))
}

/// Removes a name from an image, and the image with its last name. Never forces the removal, so an
/// image that a container uses stays.
async fn remove_image(docker: &Docker, verb: &str, image: &ImageRef) -> Result<(), EngineError> {
    let removing = docker.removing_image.lock().await;
    let removed = docker
        .client
        .remove_image(image.as_str(), None::<RemoveImageOptions>, None)
        .await;
    drop(removing);
    match present(removed) {
        Ok(_) => Ok(()),
        Err(wire) => {
            let doing = docker.doing(verb, image.as_str());
            Err(users::unremoved(docker, doing, Used::Image, wire).await)
        }
    }
}
