//! TLS for a connection, with the verification of the server's certificate that the probe asks for.
//!
//! Never resumes a session, so that each probe sees the certificate that the server uses now.
//! Installs no process-wide provider.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

use super::error::ProbeError;
use crate::project::Tls;

/// A connection, plain or encrypted.
///
/// The encrypted variant is boxed, because its state is larger than a kilobyte.
pub type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// The encryption of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode<'a> {
    /// No encryption.
    Plain,
    /// Encryption without verification of the certificate.
    Anyone,
    /// Encryption with a certificate that this authority signed for this name.
    Signed {
        /// The authority, as PEM.
        authority: &'a str,
        /// The name that the certificate must contain.
        host: &'a str,
    },
    /// Encryption with a certificate of an authority that this host trusts.
    Public,
}

impl<'a> From<Option<&'a Tls>> for TlsMode<'a> {
    fn from(tls: Option<&'a Tls>) -> Self {
        match tls {
            None => Self::Plain,
            Some(Tls::Require) => Self::Anyone,
            Some(Tls::Verify { authority, host }) => Self::Signed { authority, host },
        }
    }
}

/// The protocol that the handshake names. Some servers require one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alpn {
    /// No protocol: the database protocols have no common ALPN name.
    Unnamed,
    /// `http/1.1`.
    Http1,
    /// `h2`.
    Http2,
}

/// Wraps a connection to a server. `name` is a name or an address of the server.
pub async fn wrap(
    stream: TcpStream,
    wrap: TlsMode<'_>,
    name: &str,
    speaks: Alpn,
) -> Result<Stream, ProbeError> {
    let (trust, name) = match wrap {
        TlsMode::Plain => return Ok(Either::Left(stream)),
        TlsMode::Anyone => (Verification::Anyone, name),
        TlsMode::Signed { authority, host } => {
            (Verification::Authority(authority.to_owned()), host)
        }
        TlsMode::Public => (Verification::Public, name),
    };
    let server = ServerName::try_from(name.to_owned())
        .map_err(|_| ProbeError::Mistaken(format!("no certificate can be for `{name}`")))?;
    let config = config(trust, speaks)?;
    match TlsConnector::from(config).connect(server, stream).await {
        Ok(stream) => Ok(Either::Right(Box::new(stream))),
        Err(error) => match error.get_ref().and_then(|cause| cause.downcast_ref()) {
            Some(error) => Err(trouble(error, name)),
            None => Err(error.into()),
        },
    }
}

/// The required signer of the certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Verification {
    Anyone,
    Authority(String),
    Public,
}

/// Returns the configuration of a kind, created once. There are as many as authorities in the
/// manifest.
fn config(trust: Verification, speaks: Alpn) -> Result<Arc<ClientConfig>, ProbeError> {
    static CONFIGS: Mutex<BTreeMap<(Verification, Alpn), Arc<ClientConfig>>> =
        Mutex::new(BTreeMap::new());
    let mut configs = CONFIGS.lock().unwrap_or_else(PoisonError::into_inner);
    let kind = (trust, speaks);
    if let Some(config) = configs.get(&kind) {
        return Ok(Arc::clone(config));
    }
    let config = Arc::new(configure(&kind.0, speaks)?);
    configs.insert(kind, Arc::clone(&config));
    Ok(config)
}

fn configure(trust: &Verification, speaks: Alpn) -> Result<ClientConfig, ProbeError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ProbeError::Handshake(error.to_string()))?;
    let mut config = match trust {
        Verification::Anyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NoVerifier(provider))),
        Verification::Authority(pem) => builder.with_root_certificates(authority(pem)?),
        Verification::Public => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            builder.with_root_certificates(roots)
        }
    }
    .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = match speaks {
        Alpn::Unnamed => vec![],
        Alpn::Http1 => vec![b"http/1.1".to_vec()],
        Alpn::Http2 => vec![b"h2".to_vec()],
    };
    Ok(config)
}

fn authority(pem: &str) -> Result<RootCertStore, ProbeError> {
    let unusable = || ProbeError::Mistaken("the authority holds no certificate in PEM".to_owned());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| unusable())?;
        roots.add(certificate).map_err(|_| unusable())?;
    }
    if roots.is_empty() {
        return Err(unusable());
    }
    Ok(roots)
}

fn trouble(error: &Error, name: &str) -> ProbeError {
    ProbeError::Handshake(match error {
        Error::InvalidMessage(_) => return ProbeError::WrongProtocol("TLS"),
        Error::InvalidCertificate(cause) => match cause {
            // The second error means an authority with the same name and another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the certificate is not signed by a trusted authority".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the certificate is not for `{name}`")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the certificate is not valid yet".to_owned()
            }
            cause => cause.to_string(),
        },
        error => error.to_string(),
    })
}

/// Accepts every certificate, even an invalid one: the probe asked for encryption only.
#[derive(Debug)]
struct NoVerifier(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
