//! Servers for the probes: listeners of this process, server processes, and certificates.

use std::{
    fs,
    future::Future,
    net::TcpListener as StdListener,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;

use super::LOOPBACK;

/// Returns a free port outside the range from which the system assigns ports itself, so that a
/// connection of another test cannot take it before the server does.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // A concurrent run of the tests starts at another port.
    let first = std::process::id() % 1000 * 10;
    let free = || {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + (first + next) % 10_000;
        let port = u16::try_from(port).expect("below 30,000");
        StdListener::bind((LOOPBACK, port)).is_ok().then_some(port)
    };
    (0..10_000).find_map(|_| free()).expect("a free port")
}

/// Sends the same bytes to every client after its first message, and closes the connection.
pub async fn babbler(says: &'static [u8]) -> u16 {
    listen(move |mut stream| async move {
        let mut heard = [0; 1024];
        let _ = stream.read(&mut heard).await;
        let _ = stream.write_all(says).await;
        let _ = stream.shutdown().await;
        // Further input is read, so that the bytes arrive before the end of the connection.
        while matches!(stream.read(&mut heard).await, Ok(1..)) {}
    })
    .await
}

async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

/// The HTTP version of a server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

/// Starts an HTTP server, with TLS if it has a certificate.
pub async fn web<S, F, B>(version: Version, certificate: Option<&Certificate>, service: S) -> u16
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let acceptor = certificate.map(|certificate| certificate.acceptor(version));
    listen(move |stream| {
        let (acceptor, service) = (acceptor.clone(), service.clone());
        async move {
            let stream = match acceptor {
                None => Either::Left(stream),
                // A client may reject the certificate; that does not concern the server.
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => Either::Right(stream),
                    Err(_) => return,
                },
            };
            converse(version, stream, service).await;
        }
    })
    .await
}

async fn converse<S, F, B>(
    version: Version,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
) where
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TokioIo::new(stream);
    let service = service_fn(move |request| {
        let response = service(request);
        async move { Ok::<_, std::convert::Infallible>(response.await) }
    });
    // An abrupt end of the connection by the client does not concern the server.
    let _ = match version {
        Version::Http1 => {
            http1::Builder::new()
                .serve_connection(stream, service)
                .await
        }
        Version::Http2 => {
            http2::Builder::new(TokioExecutor::new())
                .serve_connection(stream, service)
                .await
        }
    };
}

/// A certificate for one name, with the authority that signed it; all in PEM.
pub struct Certificate {
    pub authority: String,
    pub chain: String,
    pub key: String,
}

impl Certificate {
    pub fn of(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .expect("a name")
            .signed_by(&key, &authority)
            .expect("a certificate");
        Self {
            authority: authority.pem(),
            chain: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn acceptor(&self, version: Version) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_slice(self.chain.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM");
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate and its key");
        config.alpn_protocols = vec![match version {
            Version::Http1 => b"http/1.1".to_vec(),
            Version::Http2 => b"h2".to_vec(),
        }];
        Arc::new(config).into()
    }
}

/// Finds a program on this machine; `None` skips the test, which is not allowed where all must run.
#[expect(clippy::print_stderr, reason = "a test that did nothing has to say so")]
pub fn program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = folders
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    let required = std::env::var("CIMANDAT_TEST_ENGINE").is_ok_and(|value| value == "require");
    assert!(found.is_some() || !required, "`{name}` is not installed");
    if found.is_none() {
        eprintln!("skipped: `{name}` is not installed");
    }
    found
}

/// A folder for a server that refuses to run as root: the server's user owns it, if this process is
/// root.
pub struct Home {
    pub folder: tempfile::TempDir,
    user: Option<(u32, u32)>,
}

impl Home {
    pub fn of(user: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = fs::metadata("/proc/self").expect("/proc").uid() == 0;
        let user = root.then(|| account(user));
        let home = Self { folder, user };
        home.give(home.folder.path());
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only the server's user may read.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let file = self.path(name);
        fs::write(&file, text).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
        self.give(&file);
        file
    }

    pub fn give(&self, path: &Path) {
        if let Some((user, group)) = self.user {
            chown(path, Some(user), Some(group)).expect("another owner");
        }
    }

    pub fn command(&self, program: &Path) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        command.current_dir(self.folder.path());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}

/// Returns the IDs of a user and of its group.
fn account(name: &str) -> (u32, u32) {
    let accounts = fs::read_to_string("/etc/passwd").expect("accounts");
    let line = accounts
        .lines()
        .find(|line| line.split(':').next() == Some(name));
    let mut fields = line.expect("the server's user").split(':').skip(2);
    let mut number = || fields.next().and_then(|field| field.parse().ok());
    number().zip(number()).expect("numbers")
}

/// A server process, which ends with the test.
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
