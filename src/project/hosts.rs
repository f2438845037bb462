//! Addresses of hosts by name, for additional lines of `/etc/hosts`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The addresses of hosts, by name.
pub type Hosts = BTreeMap<String, Addresses>;

/// The addresses of one host, in lookup order.
///
/// A single address is recorded as a string, as before several were supported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Recorded", into = "Recorded")]
pub struct Addresses(pub Vec<String>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Recorded {
    One(String),
    Several(Vec<String>),
}

impl From<Recorded> for Addresses {
    fn from(recorded: Recorded) -> Self {
        Self(match recorded {
            Recorded::One(address) => vec![address],
            Recorded::Several(addresses) => addresses,
        })
    }
}

impl From<Addresses> for Recorded {
    fn from(addresses: Addresses) -> Self {
        match <[String; 1]>::try_from(addresses.0) {
            Ok([address]) => Self::One(address),
            Err(several) => Self::Several(several),
        }
    }
}

/// Returns each address with the name of its host.
pub fn lines(hosts: &Hosts) -> impl Iterator<Item = (&str, &str)> {
    hosts.iter().flat_map(|(host, addresses)| {
        let addresses = addresses.0.iter();
        addresses.map(move |address| (host.as_str(), address.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_host_address_is_recorded_as_string() {
        let recorded = r#"{"a":"10.0.0.1","b":["10.0.0.2","10.0.0.3"]}"#;
        let hosts: Hosts = serde_json::from_str(recorded).unwrap();
        assert_eq!(serde_json::to_string(&hosts).unwrap(), recorded);
        let lines: Vec<_> = lines(&hosts).collect();
        assert_eq!(
            lines,
            [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("b", "10.0.0.3")]
        );
    }
}
