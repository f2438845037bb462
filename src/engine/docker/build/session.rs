//! The session of a build: services that the builder may call while it builds.
//!
//! A session is an HTTP/2 connection on which the engine is the client. It fetches files
//! ([`super::filesync`]), secrets, registry logins and signatures of the ssh agent. The session
//! offers nothing that the build request does not name.

use std::{collections::BTreeMap, future::Future, path::PathBuf, pin::Pin, sync::Arc};

use bollard_buildkit_proto::{
    health::{
        HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
        health_check_response::ServingStatus,
        health_server::{Health, HealthServer},
    },
    moby::{
        buildkit::secrets::v1::{
            GetSecretRequest, GetSecretResponse,
            secrets_server::{Secrets, SecretsServer},
        },
        filesync::{
            packet::file_sync_server::FileSyncServer,
            v1::{
                CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
                GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
                VerifyTokenAuthorityResponse,
                auth_server::{Auth, AuthServer},
            },
        },
        sshforward::v1::{
            BytesMessage, CheckAgentRequest, CheckAgentResponse,
            ssh_server::{Ssh, SshServer},
        },
    },
};
use futures::{
    StreamExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use hyper::upgrade::Upgraded;
use hyper_util::{rt::TokioExecutor, service::TowerToHyperService};
use tokio::{io::AsyncWriteExt, net::UnixStream};
use tokio_util::io::ReaderStream;
use tonic::{Request, Response, Status, Streaming, service::Routes};

use super::filesync::SyncedDirs;
use crate::{
    project::{BuildSecret, BuildSecretSource},
    secret::Secret,
};

/// A login for a registry.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user name; empty for an identity token.
    pub username: String,
    /// The password, or the identity token.
    pub password: Secret<String>,
}

/// Finds the login for a registry by its host. Called only when the builder needs a login, because
/// it may have to run a credential helper.
pub type Logins = Arc<dyn Fn(String) -> BoxFuture<'static, Option<Login>> + Send + Sync>;

/// The services of a session.
pub(super) struct SessionServices {
    pub(super) folders: SyncedDirs,
    pub(super) secrets: BTreeMap<String, BuildSecret>,
    pub(super) logins: Option<Logins>,
    /// The socket of the ssh agent.
    pub(super) ssh_agent: Option<PathBuf>,
}

/// The header that announces a method that the engine may call.
pub(super) const METHOD_HEADER: &str = "X-Docker-Expose-Session-Grpc-Method";

impl SessionServices {
    /// Returns the methods that the engine may call, for the request that opens the session.
    pub(super) fn methods(&self) -> Vec<&'static str> {
        let mut methods = vec![
            "/grpc.health.v1.Health/Check",
            "/moby.filesync.v1.Auth/Credentials",
            "/moby.filesync.v1.FileSync/DiffCopy",
            "/moby.buildkit.secrets.v1.Secrets/GetSecret",
        ];
        if self.ssh_agent.is_some() {
            methods.push("/moby.sshforward.v1.SSH/CheckAgent");
            methods.push("/moby.sshforward.v1.SSH/ForwardAgent");
        }
        methods
    }

    /// Serves the session until the engine closes it. Dropping the future closes it at once.
    pub(super) fn serve(
        self,
        connection: Upgraded,
    ) -> impl Future<Output = Result<(), hyper::Error>> {
        let mut routes = Routes::new(HealthServer::new(HealthService))
            .add_service(AuthServer::new(Registries(self.logins)))
            .add_service(FileSyncServer::new(self.folders))
            .add_service(SecretsServer::new(SecretStore(self.secrets)));
        if let Some(agent) = self.ssh_agent {
            routes = routes.add_service(SshServer::new(SshAgent(agent)));
        }
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(connection, TowerToHyperService::new(routes.prepare()))
    }
}

/// Answers the engine's health checks. The engine ends a session that does not answer them.
struct HealthService;

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let status = ServingStatus::Serving.into();
        Ok(Response::new(HealthCheckResponse { status }))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("there is only one"))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("ask again instead"))
    }
}

/// Logins, for pulling base images.
struct Registries(Option<Logins>);

/// The builder then fetches its tokens itself, with the login.
const NO_TOKENS: &str = "tokens are not fetched on this side";

#[tonic::async_trait]
impl Auth for Registries {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        let login = match &self.0 {
            Some(logins) => logins(host).await,
            None => None,
        };
        let answer = login.map(|login| CredentialsResponse {
            username: login.username,
            secret: login.password.expose().clone(),
        });
        // Without a login, the registry is accessed anonymously.
        Ok(Response::new(answer.unwrap_or_default()))
    }

    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unavailable(NO_TOKENS))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unavailable(NO_TOKENS))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unavailable(NO_TOKENS))
    }
}

/// Secrets for `RUN --mount=type=secret`.
struct SecretStore(BTreeMap<String, BuildSecret>);

#[tonic::async_trait]
impl Secrets for SecretStore {
    /// Returns a secret. A missing secret is "not found", which the builder accepts if the mount is
    /// not `required`.
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let missing = || Status::not_found(format!("secret `{id}` is not offered"));
        let secret = self.0.get(&id).ok_or_else(missing)?;
        let data = match &secret.source {
            BuildSecretSource::Value(text) => text
                .expose()
                .map(|value| value.as_bytes().to_vec())
                .ok_or_else(missing)?,
            BuildSecretSource::File(path) => match tokio::fs::read(path).await {
                Ok(data) => data,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(missing());
                }
                Err(error) => {
                    return Err(Status::failed_precondition(format!(
                        "secret `{id}`: cannot read `{}`: {error}",
                        path.display()
                    )));
                }
            },
        };
        Ok(Response::new(GetSecretResponse { data }))
    }
}

/// The user's ssh agent, for `RUN --mount=type=ssh`.
struct SshAgent(PathBuf);

#[tonic::async_trait]
impl Ssh for SshAgent {
    type ForwardAgentStream =
        Pin<Box<dyn stream::Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        let id = request.into_inner().id;
        if id.is_empty() || id == "default" {
            return Ok(Response::new(CheckAgentResponse {}));
        }
        Err(Status::not_found(format!(
            "there is no ssh agent `{id}`, only the default one"
        )))
    }

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let (read, write) = UnixStream::connect(&self.0).await?.into_split();
        let answers = ReaderStream::new(read)
            .map_ok(|data| BytesMessage { data: data.into() })
            .map_err(Status::from);
        // The requests are forwarded by a stream that yields nothing, so that forwarding lasts
        // exactly as long as the answers.
        let questions = stream::try_unfold(
            (request.into_inner(), write),
            async |(mut questions, mut write)| {
                while let Some(question) = questions.message().await? {
                    write.write_all(&question.data).await?;
                }
                write.shutdown().await?;
                Ok::<Option<(BytesMessage, _)>, Status>(None)
            },
        );
        Ok(Response::new(stream::select(answers, questions).boxed()))
    }
}
