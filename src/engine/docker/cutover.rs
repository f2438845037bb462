//! Reattaches containers to their networks: one container gains aliases, addresses and published
//! ports, and another container loses them.
//!
//! An endpoint cannot be changed in place, but it can be removed and recreated with the same
//! address. Open connections in both directions wait for the 0.1 to 0.2 s that this takes, and then
//! continue. The container is paused meanwhile, because its own requests would fail otherwise
//! (measured on engines 28.5 and 20.10). A container that waits for its next restart after a crash
//! cannot be paused, and the engine changes none of its endpoints. Such a container is stopped
//! meanwhile and started again.

use bollard::{
    errors::Error as Wire,
    models::{ContainerInspectResponse, ContainerState, EndpointSettings},
};

use super::{
    Docker, container,
    error::status,
    network::{self, settings},
    runtime_config::own_names,
    update,
};
use crate::{
    engine::EngineError,
    name::ContainerName,
    plan::{Attached, Cutover},
};

/// Performs a cutover. Endpoints that are already as desired are left unchanged.
///
/// Only the two engine calls that release and acquire a published port separate its loss from its
/// gain.
pub(super) async fn cutover(
    docker: &Docker,
    verb: &str,
    request: &Cutover,
) -> Result<(), EngineError> {
    let found = container::own_or_gone(docker, verb, &request.to.container).await?;
    // A cutover without a source container repairs manual changes, so it requires a fixed address.
    // Between two containers it is enough that the container has the address. Otherwise a container
    // that keeps running would be paused for nothing.
    let strict = request.from.is_none();
    let mut to = Side::new(docker, verb, (&request.to, strict), &found).await?;
    // The source container may have been removed in the meantime.
    let mut from = match &request.from {
        None => None,
        Some(from) => match container::own(docker, verb, &from.container).await? {
            None => None,
            Some(found) => Some(Side::new(docker, verb, (from, strict), &found).await?),
        },
    };
    let done = switch(&mut to, from.as_mut()).await;
    // Both containers continue even after a failure.
    let to = to.go_on(true).await;
    let from = match &mut from {
        None => Ok(()),
        Some(from) => from.go_on(true).await,
    };
    done.and(to).and(from)
}

async fn switch(to: &mut Side<'_>, from: Option<&mut Side<'_>>) -> Result<(), EngineError> {
    to.end_loop().await?;
    let Some(from) = from else {
        to.attach_again().await?;
        to.detach().await?;
        return to.attach().await;
    };
    from.end_loop().await?;
    // An address that the source container still has becomes free only when the source gets another
    // address, which may be the current address of the target container.
    let swaps = to.again.iter().chain(&to.missing).any(|(network, wanted)| {
        let wanted = wanted
            .ipam_config
            .as_ref()
            .and_then(|it| it.ipv4_address.as_ref());
        // Addresses in networks that the source container leaves are free by then.
        let kept = !from.surplus.contains(network);
        kept && wanted.is_some() && from.addresses.iter().any(|it| Some(it) == wanted)
    });
    if swaps {
        to.take_away().await?;
        from.attach_again().await?;
    }
    to.attach_again().await?;
    from.detach().await?;
    // An engine before 28 publishes ports on an internal network if no other network is left, but
    // not after the container is attached to the internal network again.
    let clings = !from.surplus.is_empty() && from.publishes().await?;
    if clings {
        from.again.append(&mut from.same);
        from.take_away().await?;
    }
    to.attach().await?;
    if clings || !swaps {
        from.attach_again().await?;
    }
    from.attach().await?;
    to.detach().await
}

/// The run state of a container during a cutover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// The container is not running.
    Ended,
    Runs,
    /// The container waits for its next restart after a crash.
    Loops,
    /// An interrupted cutover left the container paused.
    LeftPaused,
    /// This cutover paused the container.
    Paused,
    /// This cutover stopped the container, because it crashes repeatedly.
    Stopped,
}

impl Pace {
    fn of(container: &ContainerInspectResponse) -> Self {
        let state = container.state.as_ref();
        let is = |flag: fn(&ContainerState) -> Option<bool>| state.and_then(flag) == Some(true);
        // A container that waits for its next restart also counts as running.
        if is(|it| it.restarting) {
            Self::Loops
        } else if is(|it| it.paused) {
            Self::LeftPaused
        } else if is(|it| it.running) {
            Self::Runs
        } else {
            Self::Ended
        }
    }
}

/// A container of a cutover, and the differences between its endpoints and the desired ones.
struct Side<'a> {
    docker: &'a Docker,
    verb: &'a str,
    name: &'a ContainerName,
    pace: Pace,
    /// The current addresses in networks that the container stays in.
    addresses: Vec<String>,
    /// Networks in which the container's endpoint differs from the desired one.
    again: Vec<(String, EndpointSettings)>,
    /// Networks in which the container's endpoint is as desired.
    same: Vec<(String, EndpointSettings)>,
    /// Networks that the container is not attached to yet.
    missing: Vec<(String, EndpointSettings)>,
    /// Networks that the container has to leave.
    surplus: Vec<String>,
}

impl<'a> Side<'a> {
    async fn new(
        docker: &'a Docker,
        verb: &'a str,
        (request, strict): (&'a Attached, bool),
        found: &ContainerInspectResponse,
    ) -> Result<Self, EngineError> {
        let endpoints = found.network_settings.as_ref();
        let endpoints = endpoints.and_then(|it| it.networks.clone());
        let endpoints = endpoints.unwrap_or_default();
        let kept = endpoints
            .iter()
            .filter(|(network, _)| request.endpoints.contains_key(*network));
        let addresses = kept.filter_map(|(_, it)| it.ip_address.clone());
        let mut side = Self {
            docker,
            verb,
            name: &request.container,
            pace: Pace::of(found),
            addresses: addresses.collect(),
            again: Vec::new(),
            same: Vec::new(),
            missing: Vec::new(),
            surplus: Vec::new(),
        };
        for (network, spec) in &request.endpoints {
            let wanted = settings(docker, verb, network, spec).await?;
            match endpoints.get(network) {
                None => side.missing.push((network.clone(), wanted)),
                Some(there) if is_as((there, found), &wanted, strict) => {
                    side.same.push((network.clone(), wanted));
                }
                Some(_) => side.again.push((network.clone(), wanted)),
            }
        }
        let wanted = |network: &&String| request.endpoints.contains_key(*network);
        let surplus = endpoints.keys().filter(|it| !wanted(it));
        side.surplus = surplus.cloned().collect();
        Ok(side)
    }

    /// Stops a container that waits for its next restart, if its endpoints change.
    async fn end_loop(&mut self) -> Result<(), EngineError> {
        let changes = self.again.len() + self.missing.len() + self.surplus.len() > 0;
        if self.pace == Pace::Loops && changes {
            container::stop(self.docker, self.name, None).await?;
            self.pace = Pace::Stopped;
        }
        Ok(())
    }

    /// Pauses a running container.
    async fn hold(&mut self) -> Result<(), EngineError> {
        if self.pace != Pace::Runs {
            return Ok(());
        }
        let name = self.name.as_str();
        match self.docker.client.pause_container(name).await {
            Ok(()) => self.pace = Pace::Paused,
            // The container has crashed in the meantime.
            Err(wire) if refuses(&wire, "is restarting") => {
                self.pace = Pace::Loops;
                self.end_loop().await?;
            }
            Err(wire) if refuses(&wire, "is not running") => self.pace = Pace::Ended,
            Err(wire) if refuses(&wire, "is already paused") => self.pace = Pace::LeftPaused,
            Err(wire) => return Err(self.docker.doing(self.verb, name).failed(wire)),
        }
        Ok(())
    }

    /// Unpauses a container that this cutover paused. At the end of the cutover, also unpauses a
    /// container that was paused before and starts a container that was stopped.
    async fn go_on(&mut self, at_the_end: bool) -> Result<(), EngineError> {
        match self.pace {
            Pace::Stopped if at_the_end => container::start(self.docker, self.name).await?,
            Pace::LeftPaused if !at_the_end => return Ok(()),
            Pace::Paused | Pace::LeftPaused => {
                update::set_paused(self.docker, self.verb, self.name, false).await?;
            }
            _ => return Ok(()),
        }
        self.pace = Pace::Runs;
        Ok(())
    }

    /// Recreates the differing endpoints while the container is paused.
    async fn attach_again(&mut self) -> Result<(), EngineError> {
        if self.again.is_empty() {
            return Ok(());
        }
        self.hold().await?;
        self.replace_endpoints().await?;
        self.go_on(false).await
    }

    /// Removes the differing endpoints. The container stays paused until they are recreated.
    async fn take_away(&mut self) -> Result<(), EngineError> {
        if self.again.is_empty() {
            return Ok(());
        }
        self.hold().await?;
        for (network, _) in &self.again {
            self.disconnect(network).await?;
        }
        Ok(())
    }

    async fn replace_endpoints(&self) -> Result<(), EngineError> {
        for (network, wanted) in &self.again {
            self.disconnect(network).await?;
            self.connect(network, wanted).await?;
        }
        Ok(())
    }

    /// Returns whether the container currently publishes a host port.
    async fn publishes(&self) -> Result<bool, EngineError> {
        let found = container::own(self.docker, self.verb, self.name).await?;
        let settings = found.and_then(|it| it.network_settings);
        let ports = settings.and_then(|it| it.ports).unwrap_or_default();
        let mut bindings = ports.into_values().flatten();
        Ok(bindings.any(|it| !it.is_empty()))
    }

    async fn attach(&self) -> Result<(), EngineError> {
        for (network, wanted) in &self.missing {
            self.connect(network, wanted).await?;
        }
        Ok(())
    }

    async fn detach(&self) -> Result<(), EngineError> {
        for network in &self.surplus {
            self.disconnect(network).await?;
        }
        Ok(())
    }

    async fn connect(&self, network: &str, wanted: &EndpointSettings) -> Result<(), EngineError> {
        let doing = self.docker.doing(self.verb, self.name.as_str());
        network::connect(self.docker, doing, (network, self.name), wanted).await
    }

    async fn disconnect(&self, network: &str) -> Result<(), EngineError> {
        let doing = self.docker.doing(self.verb, self.name.as_str());
        network::disconnect(self.docker, doing, (network, self.name)).await
    }
}

/// Returns whether the engine refuses to pause a container with this message.
fn refuses(wire: &Wire, words: &str) -> bool {
    status(wire) == Some(409)
        && matches!(wire, Wire::DockerResponseServerError { message, .. } if message.contains(words))
}

/// Returns whether an endpoint is as desired. Compares everything that drift detection compares,
/// except the MAC address, which the engine sets only at create. An address that the engine
/// assigned is accepted, unless `strict` requires a fixed one.
fn is_as(
    (there, container): (&EndpointSettings, &ContainerInspectResponse),
    wanted: &EndpointSettings,
    strict: bool,
) -> bool {
    let own = own_names(there, container);
    let names = |endpoint: &EndpointSettings| {
        let mut names = endpoint.aliases.clone().unwrap_or_default();
        names.retain(|name| !own.contains(name));
        names.sort();
        names.dedup();
        names
    };
    let text = |text: Option<&String>| text.filter(|it| !it.is_empty()).cloned();
    let ipam = |endpoint: &EndpointSettings| endpoint.ipam_config.clone().unwrap_or_default();
    let ipv4 = |endpoint: &EndpointSettings| text(ipam(endpoint).ipv4_address.as_ref());
    let ipv6 = |endpoint: &EndpointSettings| text(ipam(endpoint).ipv6_address.as_ref());
    let links = |endpoint: &EndpointSettings| endpoint.links.clone().unwrap_or_default();
    let options = |endpoint: &EndpointSettings| endpoint.driver_opts.clone().unwrap_or_default();
    let observed = there.ip_address.clone().filter(|_| !strict);
    let address = ipv4(wanted).is_none_or(|it| ipv4(there).or(observed) == Some(it));
    let priority = wanted
        .gw_priority
        .is_none_or(|wanted| there.gw_priority.unwrap_or_default() == wanted);
    address
        && priority
        && ipv6(there) == ipv6(wanted)
        && names(there) == names(wanted)
        && links(there) == links(wanted)
        && options(there) == options(wanted)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::EndpointIpamConfig;

    use super::*;

    /// Returns an endpoint with fixed addresses and a current address; each may be empty.
    fn endpoint(ipv4: &str, ipv6: &str, has: &str) -> EndpointSettings {
        let text = |text: &str| Some(text.to_owned());
        EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: text(ipv4),
                ipv6_address: text(ipv6),
                ..EndpointIpamConfig::default()
            }),
            ip_address: text(has),
            ..EndpointSettings::default()
        }
    }

    #[track_caller]
    fn check(there: &EndpointSettings, wanted: &EndpointSettings, lenient: bool, strict: bool) {
        let container = ContainerInspectResponse::default();
        let is = |strict| is_as((there, &container), wanted, strict);
        assert_eq!((is(false), is(true)), (lenient, strict));
    }

    #[test]
    fn assigned_address_is_accepted_unless_strict() {
        let wanted = endpoint("10.1.0.2", "", "");
        let fixed = endpoint("10.1.0.2", "", "10.1.0.2");
        check(&fixed, &wanted, true, true);
        check(&endpoint("", "", "10.1.0.2"), &wanted, true, false);
        check(&endpoint("", "", "10.1.0.3"), &wanted, false, false);
        check(&fixed, &endpoint("", "", ""), true, true);
    }

    #[test]
    fn drifted_endpoint_is_not_as_desired() {
        let wanted = endpoint("", "fd00::2", "");
        let there = endpoint("", "fd00::2", "10.1.0.3");
        check(&there, &wanted, true, true);
        check(&endpoint("", "fd00::3", ""), &wanted, false, false);
        check(&endpoint("", "", ""), &wanted, false, false);
        check(&there, &endpoint("", "", ""), false, false);
        let driver_opts = Some(HashMap::from([("mtu".to_owned(), "1400".to_owned())]));
        let other = EndpointSettings {
            driver_opts,
            ..there
        };
        check(&other, &wanted, false, false);
    }
}
