//! A certificate and its key in one file, and the fields of the certificate.
//!
//! Read-only: the authority creates and renews certificates.

use std::{collections::BTreeSet, net::IpAddr};

use rcgen::KeyPair;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    pem::parse_x509_pem,
};

use crate::secret::Secret;

/// A certificate and its key.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: Secret<String>,
    pub(super) facts: Facts,
}

/// The fields of a certificate that the authority compares.
pub(super) struct Facts {
    pub(super) subject: String,
    pub(super) hosts: BTreeSet<String>,
    /// Expiry, in seconds since the Unix epoch.
    pub(super) until: i64,
    /// Identifier of the certificate's own key.
    pub(super) key: Vec<u8>,
    /// Identifier of the key that signed the certificate.
    pub(super) signed_by: Vec<u8>,
}

impl Pair {
    pub(super) fn read(content: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(content).map_err(|error| error.to_string())?;
        let certificate = block(text, "CERTIFICATE").ok_or("no certificate in it")?;
        let key = block(text, "PRIVATE KEY").ok_or("no key in it")?;
        let pair = KeyPair::from_pem(key).map_err(|error| error.to_string())?;
        let (_, pem) = parse_x509_pem(certificate.as_bytes()).map_err(|e| e.to_string())?;
        let parsed = pem.parse_x509().map_err(|error| error.to_string())?;
        if parsed.public_key().subject_public_key.data.as_ref() != pair.public_key_raw() {
            return Err("the key is that of another certificate".to_owned());
        }
        Ok(Self {
            certificate: certificate.to_owned(),
            key: Secret::new(key.to_owned()),
            facts: Facts::of(&parsed),
        })
    }
}

impl Facts {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut facts = Self {
            subject: String::new(),
            hosts: BTreeSet::new(),
            until: certificate.validity().not_after.timestamp(),
            key: Vec::new(),
            signed_by: Vec::new(),
        };
        if let Some(Ok(name)) = certificate
            .subject()
            .iter_common_name()
            .next()
            .map(x509_parser::x509::AttributeTypeAndValue::as_str)
        {
            name.clone_into(&mut facts.subject);
        }
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    facts
                        .hosts
                        .extend(names.general_names.iter().filter_map(host));
                }
                ParsedExtension::SubjectKeyIdentifier(id) => facts.key = id.0.to_vec(),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    let id = id.key_identifier.as_ref();
                    facts.signed_by = id.map(|id| id.0.to_vec()).unwrap_or_default();
                }
                _ => {}
            }
        }
        facts
    }
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// Returns the first PEM block of this kind, with its BEGIN and END lines.
fn block<'a>(text: &'a str, kind: &str) -> Option<&'a str> {
    let (begin, end) = (
        format!("-----BEGIN {kind}-----"),
        format!("-----END {kind}-----"),
    );
    let start = text.find(&begin)?;
    let length = text[start..].find(&end)? + end.len();
    let rest = &text[start + length..];
    let line_end = rest.len() - rest.trim_start_matches(['\r', '\n']).len();
    Some(&text[start..start + length + line_end])
}
