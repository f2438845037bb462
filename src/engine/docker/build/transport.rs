//! Raw, upgraded connections to the engine, over any supported transport.
//!
//! The builder uses gRPC over two connections that begin as HTTP requests to the engine and are
//! then upgraded: `/grpc`, on which this program is the client, and `/session`, on which it is the
//! server. bollard supports both, but keeps them private together with its own set of session
//! services, which lacks file synchronization. So this module dials the same address once more. It
//! contains nothing about builds.

use std::{
    io::{Error, ErrorKind, Result},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::try_join};
use http_body_util::{BodyExt, Empty};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Body, Incoming},
    client::conn::http1,
    header,
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, join},
    net::{TcpStream, UnixStream},
    process::{Child, ChildStderr, Command},
    task::JoinHandle,
    time::timeout,
};

/// The transport to an engine.
#[derive(Debug, Clone)]
pub struct Transport {
    /// `unix://…`, `tcp://…`, `ssh://…`.
    address: String,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`, for TLS.
    tls: Option<PathBuf>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Maximum number of bytes that are kept of the messages of `ssh`.
const MOST_WORDS: usize = 4096;
/// Timeout for the end of `ssh` after its connection has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The default TCP ports of an engine, without and with TLS.
const PORTS: (u16, u16) = (2375, 2376);

impl Transport {
    /// Creates a transport for an address as in `DOCKER_HOST`. `tls` is the folder of the keys, if
    /// the connection uses TLS.
    #[must_use]
    pub fn new(address: impl Into<String>, tls: Option<PathBuf>) -> Self {
        Self {
            address: address.into(),
            tls,
        }
    }

    /// The address of the engine.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Requests a path and upgrades the connection to HTTP/2 without TLS (`h2c`).
    pub(super) async fn upgrade(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Upgraded> {
        let mut request = Request::post(path)
            .header(header::HOST, "docker")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "h2c");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(Error::other)?;
        let stream = TokioIo::new(self.dial().await?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(Error::other)?;
        let exchange = async move {
            let response = sender.send_request(request).await?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return hyper::upgrade::on(response).await.map(Ok);
            }
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok(Err(refusal(status, &body)))
        };
        // Boxed, because the compiler cannot prove otherwise that a future that awaits this one is
        // `Send`.
        let (upgraded, ()) = try_join(exchange.boxed(), connection.with_upgrades().boxed())
            .await
            .map_err(Error::other)?;
        upgraded
    }

    /// Returns the newest API version that the engine supports.
    pub(super) async fn api_version(&self) -> Result<(u32, u32)> {
        let headers = self.ping().await?;
        let version = headers.get("Api-Version");
        version
            .and_then(|version| version.to_str().ok()?.split_once('.'))
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
            .ok_or_else(|| Error::other("the engine does not report its version"))
    }

    /// Returns the headers of the engine's cheapest response (0.6 ms), in which it describes
    /// itself.
    pub(in crate::engine::docker) async fn ping(&self) -> Result<HeaderMap> {
        let request = Request::get("/_ping")
            .header(header::HOST, "docker")
            .body(Empty::<Bytes>::new())
            .map_err(Error::other)?;
        let response = if self.address.starts_with("ssh://") {
            let (stream, words) = dial_ssh(&self.address)?;
            match exchange(stream, request).await {
                Ok(response) => response,
                Err(error) => return Err(words.said(error).await),
            }
        } else {
            exchange(self.dial().await?, request).await?
        };
        if !response.status().is_success() {
            return Err(refusal(response.status(), b""));
        }
        Ok(response.headers().clone())
    }

    /// Sends a request on a connection of its own, which stays open while the response is read.
    pub(in crate::engine::docker) async fn send<B>(
        &self,
        request: Request<B>,
    ) -> Result<Response<Incoming>>
    where
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let stream = TokioIo::new(self.dial().await?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(Error::other)?;
        // The connection ends with the response. The reader of the response receives its errors.
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.map_err(Error::other)
    }

    async fn dial(&self) -> Result<Box<dyn Stream>> {
        let unknown = || Error::new(ErrorKind::InvalidInput, "an address of an unknown kind");
        let (scheme, rest) = self.address.split_once("://").ok_or_else(unknown)?;
        match scheme {
            "unix" => Ok(Box::new(UnixStream::connect(rest).await?)),
            "tcp" | "http" | "https" => self.dial_tcp(rest.trim_end_matches('/')).await,
            "ssh" => Ok(Box::new(dial_ssh(&self.address)?.0)),
            _ => Err(unknown()),
        }
    }

    async fn dial_tcp(&self, authority: &str) -> Result<Box<dyn Stream>> {
        let bare_v6 = authority.ends_with(']');
        let (host, port) = match authority.rsplit_once(':').filter(|_| !bare_v6) {
            Some((host, port)) => (host, port.parse().map_err(Error::other)?),
            None if self.tls.is_some() => (authority, PORTS.1),
            None => (authority, PORTS.0),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let Some(keys) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let config = tls_config(keys).map_err(Error::other)?;
        let name = ServerName::try_from(host.to_owned()).map_err(Error::other)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        Ok(Box::new(connector.connect(name, stream).await?))
    }
}

/// Sends one request and returns the head of the response.
async fn exchange(
    stream: impl Stream + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>> {
    let stream = TokioIo::new(stream);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(Error::other)?;
    let answer = async move { sender.send_request(request).await };
    let (response, ()) = try_join(answer.boxed(), connection.boxed())
        .await
        .map_err(Error::other)?;
    Ok(response)
}

/// Returns the error for a response that refuses a request.
fn refusal(status: StatusCode, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(body);
    let message = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|body| Some(body.get("message")?.as_str()?.to_owned()))
        .unwrap_or_else(|| text.trim().to_owned());
    Error::other(format!("the engine answered {status}: {message}"))
}

/// Connects through `ssh`, as the docker command does: the engine's own command carries the
/// connection, and `ssh` itself handles hosts, keys and agents.
fn dial_ssh(address: &str) -> Result<(impl Stream + use<>, Words)> {
    let mut child = Command::new("ssh")
        // `ssh` gives up before the timeout for the engine, and reports the reason.
        .args(["-o", "ConnectTimeout=10"])
        .args(["-o", "BatchMode=yes", "-T", "--", address])
        .args(["docker", "system", "dial-stdio"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Error::new(error.kind(), format!("`ssh` cannot be run: {error}")))?;
    let missing = || Error::other("`ssh` has no standard input and output");
    let output = child.stdout.take().ok_or_else(missing)?;
    let input = child.stdin.take().ok_or_else(missing)?;
    let words = Words::of(child.stderr.take().ok_or_else(missing)?);
    Ok((join(Kept(output, child), input), words))
}

/// Standard error of `ssh`, and of the command on the other machine.
struct Words(JoinHandle<String>);

impl Words {
    /// Reads standard error until the process ends. A process blocks if its output is not read.
    fn of(mut errors: ChildStderr) -> Self {
        Self(tokio::spawn(async move {
            let mut words = Vec::new();
            let mut part = [0; 1024];
            while let Ok(read @ 1..) = errors.read(&mut part).await {
                let room = MOST_WORDS.saturating_sub(words.len());
                words.extend_from_slice(&part[..read.min(room)]);
            }
            String::from_utf8_lossy(&words).into_owned()
        }))
    }

    /// Returns the reason for a missing response, as `ssh` reports it.
    async fn said(self, error: Error) -> Error {
        let words = timeout(LAST_WORDS, self.0).await;
        let words = words.ok().and_then(std::result::Result::ok);
        let words = words.unwrap_or_default();
        let lines: Vec<&str> = words.lines().map(str::trim).collect();
        let said = lines.join("; ");
        match said.trim_matches([';', ' ']) {
            "" => error,
            said => Error::other(format!("`ssh` says: {said}")),
        }
    }
}

/// Keeps a process alive while its output is read.
struct Kept<R>(
    R,
    #[expect(dead_code, reason = "it is killed when this is dropped")] Child,
);

impl<R: AsyncRead + Unpin> AsyncRead for Kept<R> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

fn tls_config(
    keys: &Path,
) -> std::result::Result<ClientConfig, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(keys.join("ca.pem"))? {
        roots.add(certificate?)?;
    }
    let certificates = CertificateDer::pem_file_iter(keys.join("cert.pem"))?
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(keys.join("key.pem"))?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates, key)?;
    Ok(config)
}
