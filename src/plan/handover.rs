//! Whoever asks for a service by name is led from its old container to the new one, without a gap.
//!
//! A container cannot give up a name that it has in a network without leaving it, and leaving it
//! cuts what is under way. So names are not given up: consumers are given two more networks for the
//! time of the switch, and in each of them a link, which goes before all other names. The first
//! leads to the old container, so that the new one is not found before it has proven itself. The
//! second leads to the new one as soon as that is in it. When the old one is gone and the new one
//! has its final name, the second leads nowhere, and the service's own name is found again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Action, Change, ConnectNetwork, CreateNetwork, Decision, Reason, Step, Subject, Work,
    draft::{Draft, Key},
    switch::{Assembly, Turn},
};
use crate::{
    name::{ContainerName, NetworkName, ProjectName, ServiceName},
    project::{Attachment, Network, NetworkMode, Service},
    state::{Container, Status, label},
};

/// The engine's own network knows no names.
const NAMELESS: &str = "bridge";

/// A container of a service by its name now and its name from this deploy on.
struct Provider<'a> {
    service: &'a Service,
    old: &'a ContainerName,
    new: &'a ContainerName,
    /// It is switched; otherwise it is kept, and others of its service are switched.
    switched: bool,
}

/// Everything about one network in which services are switched.
pub(super) struct Passage<'a> {
    project: &'a ProjectName,
    network: &'a NetworkName,
    providers: Vec<Provider<'a>>,
    consumers: Vec<(&'a ContainerName, &'a Container)>,
}

impl Passage<'_> {
    /// The network that leads to old containers. It sorts behind the other one, as a name is
    /// looked up in the order of the networks' names.
    fn way_to_old(&self, generation: u64) -> String {
        format!("{}.{}.g{generation}.old", self.project, self.network)
    }

    /// The network that leads to new containers.
    fn way_to_new(&self, generation: u64) -> String {
        format!("{}.{}.g{generation}.new", self.project, self.network)
    }

    /// The steps that let new containers be found.
    pub fn published(&self, generation: u64) -> impl Iterator<Item = Key> {
        let new = self.way_to_new(generation);
        self.switched()
            .map(move |it| Key::Connect(new.clone(), it.new.clone()))
    }

    fn switched(&self) -> impl Iterator<Item = &Provider<'_>> {
        self.providers.iter().filter(|provider| provider.switched)
    }

    /// The names that a consumer asks for, and the containers that are meant, old or new. Several
    /// containers of a service are given to consumers in turn.
    fn links(&self, consumer: usize, new: bool) -> BTreeMap<String, ContainerName> {
        let (name, container) = self.consumers[consumer];
        let mut links = BTreeMap::new();
        let services: BTreeSet<&ServiceName> = self.switched().map(|it| &it.service.name).collect();
        for service in services.into_iter().filter(|it| **it != container.service) {
            let mine = self
                .providers
                .iter()
                .filter(|it| it.service.name == *service);
            let mine: Vec<&Provider<'_>> = mine.filter(|it| it.old != name).collect();
            let Some(provider) = mine.get(consumer % mine.len().max(1)) else {
                continue;
            };
            let target = if new { provider.new } else { provider.old };
            for alias in aliases(provider.service, self.network) {
                links.insert(alias, target.clone());
            }
        }
        links
    }
}

/// The names by which a service is found in a network.
fn aliases(service: &Service, network: &NetworkName) -> Vec<String> {
    let mut aliases = vec![service.name.to_string()];
    aliases.extend(attachment(service, network).map_or_else(Vec::new, |it| it.aliases.clone()));
    aliases
}

fn attachment<'a>(service: &'a Service, network: &NetworkName) -> Option<&'a Attachment> {
    match &service.container.network {
        NetworkMode::Networks(networks) => networks.get(network),
        _ => None,
    }
}

impl Assembly<'_> {
    /// The networks in which services are switched and somebody could ask for them.
    pub fn passages<'a>(&'a self, turns: &'a [Turn<'a>]) -> Vec<Passage<'a>> {
        let networks = self.project.networks.iter();
        networks
            .filter(|(_, network)| network.engine_name != NAMELESS)
            .filter_map(|(name, _)| {
                let place = self.networks.get(name)?;
                // Where everybody is now; whoever is new may be in its successor.
                let there = place.predecessor.as_ref();
                let there = there.map_or(&place.engine_name, |it| &it.engine_name);
                let mut providers: Vec<Provider<'_>> = turns
                    .iter()
                    .filter_map(|turn| self.provider(turn, name, there))
                    .collect();
                let switched = providers.iter().filter(|it| it.switched);
                let switched: BTreeSet<&ServiceName> =
                    switched.map(|it| &it.service.name).collect();
                providers.retain(|it| switched.contains(&it.service.name));
                let consumers = self.consumers(there);
                let passage = Passage {
                    project: &self.project.name,
                    network: name,
                    providers,
                    consumers,
                };
                let asked = (0..passage.consumers.len())
                    .any(|consumer| !passage.links(consumer, true).is_empty());
                asked.then_some(passage)
            })
            .collect()
    }

    fn provider<'a>(
        &'a self,
        turn: &'a Turn<'a>,
        network: &NetworkName,
        engine_name: &str,
    ) -> Option<Provider<'a>> {
        let current = self.current(turn)?;
        let there = attachment(turn.service, network).is_some()
            && current.networks.contains_key(engine_name)
            && current.condition.status == Status::Running;
        let switched = turn.starts_first();
        (there && (switched || turn.decision.change == Change::Keep)).then_some(Provider {
            service: turn.service,
            old: turn.decision.current.as_ref()?,
            new: turn.name,
            switched,
        })
    }

    /// Containers that run in a network and may ask for others. Not those that are restarted in
    /// this deploy: what they find at their start they may remember for longer than the way lasts.
    fn consumers(&self, engine_name: &str) -> Vec<(&ContainerName, &Container)> {
        let stays = |decision: &&Decision| {
            matches!(decision.change, Change::Keep | Change::Replace)
                && self.project.services.contains_key(&decision.service)
        };
        let theirs = self.decisions.iter().filter(stays);
        let names = theirs.filter_map(|decision| decision.current.as_ref());
        names
            .filter_map(|name| self.state.containers.get_key_value(name))
            .filter(|(_, it)| {
                it.condition.status == Status::Running && it.networks.contains_key(engine_name)
            })
            .collect()
    }

    /// Lays both ways, and lets new containers start only when nobody finds them by accident.
    pub fn lay(&self, draft: &mut Draft, passages: &[Passage<'_>]) {
        for passage in passages {
            let (old, new) = (
                passage.way_to_old(self.generation),
                passage.way_to_new(self.generation),
            );
            for network in [&old, &new] {
                let action = self.temporary(passage, network);
                let step = Step::act(action, subject(passage), Reason::Handover);
                draft.add(Key::Network(network.clone()), step, self.created());
            }
            for joined in self.join(draft, passage, false) {
                for provider in passage.switched() {
                    draft.needs(&Key::Start(provider.new.clone()), joined.clone());
                }
            }
            self.join(draft, passage, true);
        }
    }

    /// Lets consumers into one of the two networks, and after them those that are found through it,
    /// dependents before what they depend on: a link that leads somewhere before its owner has an
    /// address in the network would send it the wrong way.
    ///
    /// A switch goes on without a consumer; that one may ask in vain for a moment, and it is warned
    /// of. Nothing here is done for a consumer's own sake, so that nobody's way hangs on it.
    fn join(&self, draft: &mut Draft, passage: &Passage<'_>, new: bool) -> Vec<Key> {
        let network = if new {
            passage.way_to_new(self.generation)
        } else {
            passage.way_to_old(self.generation)
        };
        let found = |name: &ContainerName| {
            let mut providers = passage.providers.iter();
            providers.any(|it| it.old == name && !(new && it.switched))
        };
        // They are in dependency order.
        let all = passage.consumers.iter().enumerate().rev();
        let (last, first): (Vec<_>, Vec<_>) = all.partition(|(_, (name, _))| found(name));
        let mut joined: Vec<Key> = Vec::new();
        for (consumer, (name, _)) in first.into_iter().chain(last) {
            let links = passage.links(consumer, new);
            let is_found = found(name);
            if links.is_empty() && !is_found {
                continue;
            }
            let mut needs = vec![Key::Network(network.clone())];
            if is_found {
                needs.extend(joined.iter().cloned());
            }
            let key = Key::Connect(network.clone(), (*name).clone());
            let step = act(connect(&network, name, links), subject(passage)).optional();
            draft.add(key.clone(), step, needs);
            joined.push(key);
        }
        joined
    }

    /// The new container is found from now on: gives the steps that let it be.
    pub fn publish(
        &self,
        draft: &mut Draft,
        turn: &Turn<'_>,
        passages: &[Passage<'_>],
        proven: &Key,
    ) -> Vec<Key> {
        let mine = passages
            .iter()
            .filter(|passage| passage.switched().any(|it| it.new == turn.name));
        mine.map(|passage| {
            let new = passage.way_to_new(self.generation);
            let key = Key::Connect(new.clone(), turn.name.clone());
            let consumers = passage.consumers.iter();
            let mut needs: Vec<Key> = consumers
                .map(|(name, _)| Key::Connect(new.clone(), (*name).clone()))
                .collect();
            needs.extend([proven.clone(), Key::Network(new.clone())]);
            let step = act(
                connect(&new, turn.name, BTreeMap::new()),
                turn.subject.clone(),
            );
            draft.add(key.clone(), step, needs);
            key
        })
        .collect()
    }

    /// After the commit, when every new container has its final name: both ways are given up.
    pub fn give_up(&self, draft: &mut Draft, passages: &[Passage<'_>]) {
        for passage in passages {
            let (old, new) = (
                passage.way_to_old(self.generation),
                passage.way_to_new(self.generation),
            );
            let duration = passage.switched().map(|it| it.service.update.drain).max();
            let renamed = passage.switched().map(|it| Key::Rename(it.new.clone()));
            let left = Key::Drain(new.clone());
            let work = Work::Drain {
                object: new.clone(),
                duration: duration.unwrap_or(Duration::ZERO),
            };
            let step = Step::new(work, subject(passage), Reason::Handover).after_commit();
            draft.add(left.clone(), step, renamed);
            let stops = passage.switched().map(|it| Key::Stop(it.old.clone()));
            let needs: Vec<Key> = stops.chain([left]).collect();
            for network in [old, new] {
                remove_way(draft, network, subject(passage), needs.iter().cloned());
            }
        }
        // What a run that was cut off has left.
        for (name, network) in &self.state.networks {
            let ours = network.project.as_deref() == Some(self.project.name.as_str());
            if ours && network.definition.as_deref() == Some(label::HANDOVER) {
                let name_of = network.name.clone().unwrap_or_else(|| name.clone());
                let subject = Subject::Network { name: name_of };
                remove_way(draft, name.clone(), subject, []);
            }
        }
    }

    /// Without a way out, so that nobody's default route changes.
    fn temporary(&self, passage: &Passage<'_>, engine_name: &str) -> Action {
        let network = Network {
            engine_name: engine_name.to_owned(),
            external: false,
            driver: "bridge".to_owned(),
            internal: true,
            attachable: false,
            ipv6: false,
            options: BTreeMap::new(),
            subnets: Vec::new(),
            labels: BTreeMap::new(),
        };
        Action::CreateNetwork(Box::new(CreateNetwork {
            project: self.project.name.clone(),
            // Not the manifest's: it is none of its networks.
            name: NetworkName::new(engine_name).unwrap_or_else(|_| passage.network.clone()),
            network,
            definition: label::HANDOVER.to_owned(),
        }))
    }
}

fn subject(passage: &Passage<'_>) -> Subject {
    Subject::Network {
        name: passage.network.to_string(),
    }
}

fn connect(
    network: &str,
    container: &ContainerName,
    links: BTreeMap<String, ContainerName>,
) -> ConnectNetwork {
    ConnectNetwork {
        network: network.to_owned(),
        container: container.clone(),
        links,
    }
}

fn act(connect: ConnectNetwork, subject: Subject) -> Step {
    let action = Action::ConnectNetwork(Box::new(connect));
    Step::act(action, subject, Reason::Handover)
}

fn remove_way(
    draft: &mut Draft,
    network: String,
    subject: Subject,
    needs: impl IntoIterator<Item = Key>,
) {
    let action = Action::RemoveNetwork(network.clone());
    let step = Step::act(action, subject, Reason::Handover).after_commit();
    draft.add(Key::Leave(network), step, needs);
}
