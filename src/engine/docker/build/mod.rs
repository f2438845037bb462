//! Builds images with the engine's built-in BuildKit.
//!
//! ```text
//!   client ─ /grpc ──── Solve ───▶ builds the image and sets its names
//!                       Status ──▶ steps and their output, as they arrive     (progress)
//!   engine ─ /session ─ FileSync ▶ the context, the Dockerfile's folder       (filesync, symlinks)
//!                       Secrets, Auth, SSH                                    (session)
//! ```
//!
//! The module opens two upgraded connections itself (`transport`) and does not use bollard's
//! driver, whose session holds the whole context as one archive in memory. Each build has one
//! session with a random name, so builds run concurrently, even of the same context. The caller's
//! future polls everything. Dropping it closes both connections, and the engine then cancels the
//! build. This module does not decide whether to build.

mod failure;
mod filesync;
mod frontend;
mod progress;
mod session;
mod symlinks;
mod transport;

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use bollard_buildkit_proto::moby::buildkit::v1::{
    SolveRequest, StatusRequest, control_client::ControlClient,
};
use futures::{
    FutureExt,
    future::{self, Either, Ready},
};
use hyper::{Uri, upgrade::Upgraded};
use tokio::sync::mpsc::UnboundedSender;
use tonic::transport::{Channel, Endpoint};

use self::{
    failure::failure,
    filesync::SyncedDirs,
    frontend::{SealedArg, Wanted},
    progress::ProgressLog,
    session::{METHOD_HEADER, SessionServices},
};
pub use self::{
    session::{Login, Logins},
    transport::Transport,
};
use crate::{
    engine::EngineError, event::Progress, name::ImageRef, plan::BuildImage, project::build_inputs,
};

/// Builds images on one engine.
#[derive(Clone)]
pub struct Builder {
    wire: Transport,
    logins: Option<Logins>,
    ssh_agent: Option<PathBuf>,
}

/// Timeout for the last status reports after the end of a build. BuildKit's own client waits as
/// long. A build that was refused before it began never sends any.
const LAST_REPORTS: Duration = Duration::from_secs(3);

/// The API version of Engine 23, the first engine whose front-end supports named contexts. An older
/// engine ignores them silently and looks for images with their names.
const NAMED_CONTEXTS: (u32, u32) = (1, 42);

/// Maximum size of a message from the engine in bytes, as in containerd and BuildKit.
const MESSAGE: usize = 16 << 20;

impl Builder {
    /// Creates a builder without logins and without an ssh agent.
    #[must_use]
    pub const fn new(wire: Transport) -> Self {
        Self {
            wire,
            logins: None,
            ssh_agent: None,
        }
    }

    /// Adds logins for registries, for base images that are not public.
    #[must_use]
    pub fn with_logins(mut self, logins: Logins) -> Self {
        self.logins = Some(logins);
        self
    }

    /// Adds the ssh agent at this socket, for builds that request it.
    #[must_use]
    pub fn with_ssh_agent(mut self, socket: PathBuf) -> Self {
        self.ssh_agent = Some(socket);
        self
    }

    /// Builds an image and gives it all its names.
    ///
    /// Dropping the future cancels the build.
    ///
    /// # Errors
    /// [`EngineError::Build`] when the build fails, with the step that failed and its last lines;
    /// [`EngineError::Transport`] when the connection to the engine fails.
    pub async fn build(
        &self,
        request: &BuildImage,
        progress: &UnboundedSender<Progress>,
    ) -> Result<(), EngineError> {
        let attempt = Solve { request };
        // Removed when it is dropped, which is after the build.
        let inline = attempt.inline_dockerfile()?;
        let dockerfile = match &inline {
            Some(folder) => folder.path().join(INLINE),
            None => request.build.dockerfile.clone(),
        };
        attempt.check_required_secrets()?;
        attempt.check_named_contexts(&self.wire).await?;
        let wanted = Wanted::new(request, &dockerfile).map_err(|SealedArg(name)| {
            attempt.refused(format!("the value of build argument `{name}` is not known"))
        })?;
        let id = random_id().map_err(|error| attempt.broken(&error))?;
        let offer = SessionServices {
            folders: SyncedDirs::new(wanted.folders.clone(), progress.clone()),
            secrets: request.build.secrets.clone(),
            logins: self.logins.clone(),
            ssh_agent: self.ssh_agent.clone().filter(|_| request.build.ssh),
        };
        let headers = session_headers(&id, request, &offer);
        let session = self.wire.upgrade("/session", &headers);
        let control = self.wire.upgrade("/grpc", &[]);
        let opened = future::try_join(session, control).await;
        let (session, control) = opened.map_err(|error| attempt.broken(&error))?;
        let control = connect(control)
            .await
            .map_err(|error| attempt.broken(&error))?;
        let solve = solve_request(id, request, wanted);
        let work = pin!(attempt.solve(control, solve, progress));
        match future::select(work, pin!(offer.serve(session))).await {
            Either::Left((result, _)) => result,
            // The session ends before the build only when the engine stops.
            Either::Right((_, work)) => work.await,
        }
    }
}

/// A build in progress.
struct Solve<'a> {
    request: &'a BuildImage,
}

/// The file name of a Dockerfile that is inline in the manifest.
const INLINE: &str = "Dockerfile";

impl Solve<'_> {
    fn refused(&self, cause: String) -> EngineError {
        EngineError::Build {
            service: self.request.service.to_string(),
            step: String::new(),
            cause,
            output: Vec::new(),
        }
    }

    fn broken(&self, error: &dyn std::error::Error) -> EngineError {
        let mut cause = error.to_string();
        let mut inner = error.source();
        while let Some(error) = inner {
            cause = format!("{cause}: {error}");
            inner = error.source();
        }
        EngineError::Transport {
            verb: "building image".to_owned(),
            object: self.object(),
            cause,
        }
    }

    fn object(&self) -> String {
        let tag = self.request.tags.first().map(ToString::to_string);
        tag.unwrap_or_else(|| self.request.service.to_string())
    }

    fn inline_dockerfile(&self) -> Result<Option<tempfile::TempDir>, EngineError> {
        let Some(text) = &self.request.build.inline else {
            return Ok(None);
        };
        let write = || {
            let folder = tempfile::tempdir()?;
            std::fs::write(folder.path().join(INLINE), text)?;
            Ok(Some(folder))
        };
        write().map_err(|error: io::Error| self.refused(format!("writing the Dockerfile: {error}")))
    }

    /// Fails if a required secret is missing. The builder would notice only at the step that needs
    /// it.
    fn check_required_secrets(&self) -> Result<(), EngineError> {
        use crate::project::BuildSecretSource::{File, Value};
        for (id, secret) in &self.request.build.secrets {
            let there = match &secret.source {
                File(path) => path.exists(),
                Value(text) => text.expose().is_some(),
            };
            if secret.required && !there {
                return Err(self.refused(match &secret.source {
                    File(path) => format!("secret `{id}`: `{}` does not exist", path.display()),
                    Value(_) => format!("the value of secret `{id}` is not known"),
                }));
            }
        }
        Ok(())
    }

    async fn check_named_contexts(&self, wire: &Transport) -> Result<(), EngineError> {
        let Some(name) = self.request.build.contexts.keys().next() else {
            return Ok(());
        };
        let api = wire.api_version().await;
        let (major, minor) = api.map_err(|error| self.broken(&error))?;
        if (major, minor) >= NAMED_CONTEXTS {
            return Ok(());
        }
        Err(self.refused(format!(
            "named contexts (`{name}`) need Engine 23.0 or newer, and this one is older (API \
             {major}.{minor})"
        )))
    }

    async fn solve(
        &self,
        control: ControlClient<Channel>,
        request: SolveRequest,
        progress: &UnboundedSender<Progress>,
    ) -> Result<(), EngineError> {
        let mut solver = control.clone();
        let reports = StatusRequest {
            r#ref: request.r#ref.clone(),
        };
        let mut story = ProgressLog::default();
        let result = {
            let mut listening = pin!(listen(control, reports, &mut story, progress).fuse());
            let solving = pin!(solver.solve(request));
            match future::select(solving, &mut listening).await {
                Either::Left((result, _)) => {
                    // Late reports are worth a short wait, but not an error.
                    let _ = tokio::time::timeout(LAST_REPORTS, listening).await;
                    result
                }
                Either::Right(((), solving)) => solving.await,
            }
        };
        match result {
            Ok(_) => Ok(()),
            Err(status) => {
                let service = self.request.service.as_str();
                Err(failure(service, status.message(), story.failed()))
            }
        }
    }
}

async fn listen(
    mut control: ControlClient<Channel>,
    request: StatusRequest,
    story: &mut ProgressLog,
    progress: &UnboundedSender<Progress>,
) {
    // A build does not need its reports: the result shows whether it failed.
    let Ok(reports) = control.status(request).await else {
        return;
    };
    let mut reports = reports.into_inner();
    while let Ok(Some(report)) = reports.message().await {
        for step in story.take(report) {
            let _ = progress.send(step);
        }
    }
}

fn solve_request(id: String, request: &BuildImage, wanted: Wanted) -> SolveRequest {
    let names: Vec<_> = request.tags.iter().map(ImageRef::as_str).collect();
    SolveRequest {
        r#ref: id.clone(),
        session: id,
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs: wanted.attributes,
        // The deprecated fields, because an engine before 25 supports no others.
        exporter_deprecated: "moby".to_owned(),
        exporter_attrs_deprecated: HashMap::from([("name".to_owned(), names.join(","))]),
        entitlements: wanted.entitlements,
        cache: Some(wanted.cache),
        ..SolveRequest::default()
    }
}

fn session_headers(
    id: &str,
    request: &BuildImage,
    offer: &SessionServices,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("X-Docker-Expose-Session-Uuid", id.to_owned()),
        ("X-Docker-Expose-Session-Name", request.service.to_string()),
        ("X-Docker-Expose-Session-Sharedkey", shared_key(request)),
    ];
    for method in offer.methods() {
        headers.push((METHOD_HEADER, method.to_owned()));
    }
    headers
}

/// Returns the key under which the builder keeps the files of a build, to compare them with the
/// next build's files.
///
/// The builder compares sizes and times, not contents, so folders of two machines with the same
/// path must not share a key. The builder also keeps the cached steps of a folder whose permissions
/// alone changed (seen on engine 28.5), so permissions are part of the key.
fn shared_key(request: &BuildImage) -> String {
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    let build = &request.build;
    let mut key = machine;
    for path in [&build.context, &build.dockerfile] {
        key.push(0);
        key.extend_from_slice(path.as_os_str().as_encoded_bytes());
    }
    key.push(0);
    key.extend_from_slice(build_inputs::unusual_folders(build).as_bytes());
    crate::secret::digest(&key)
}

/// Returns 25 characters, the length of BuildKit's own ids. BuildKit uses the id in its logs.
fn random_id() -> io::Result<String> {
    let mut bytes = [0; 25];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let letters = bytes.iter().map(|byte| char::from(b'a' + byte % 26));
    Ok(letters.collect())
}

async fn connect(stream: Upgraded) -> Result<ControlClient<Channel>, tonic::transport::Error> {
    // The address is a placeholder: the connection already exists.
    let channel = Endpoint::from_static("http://docker")
        .connect_with_connector(SingleUseConnector(Some(stream)))
        .await?;
    Ok(ControlClient::new(channel).max_decoding_message_size(MESSAGE))
}

/// Returns a connection once. There is no other connection when this one breaks.
struct SingleUseConnector(Option<Upgraded>);

impl tower_service::Service<Uri> for SingleUseConnector {
    type Response = Upgraded;
    type Error = io::Error;
    type Future = Ready<io::Result<Upgraded>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let broken = || io::Error::from(io::ErrorKind::NotConnected);
        future::ready(self.0.take().ok_or_else(broken))
    }
}
