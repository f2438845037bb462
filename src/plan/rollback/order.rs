//! Dependencies between services, as recorded on containers.
//!
//! Records of different generations may contradict each other. The order is then one of the
//! possible orders and never a cycle.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::ServiceName;

/// Services in dependency order, dependencies first.
#[derive(Debug, Default)]
pub(super) struct Order<'a> {
    needs: BTreeMap<&'a ServiceName, BTreeSet<&'a ServiceName>>,
    places: BTreeMap<&'a ServiceName, usize>,
}

impl<'a> Order<'a> {
    /// Orders services by their dependencies.
    pub fn of(needs: BTreeMap<&'a ServiceName, BTreeSet<&'a ServiceName>>) -> Self {
        let mut order = Self {
            needs,
            places: BTreeMap::new(),
        };
        let services: Vec<&ServiceName> = order.needs.keys().copied().collect();
        let mut begun = BTreeSet::new();
        for service in services {
            order.place(service, &mut begun);
        }
        order
    }

    /// Places a service after all its dependencies. The traversal does not recurse, because
    /// dependency chains can be long.
    fn place(&mut self, first: &'a ServiceName, begun: &mut BTreeSet<&'a ServiceName>) {
        let mut path = vec![(first, false)];
        while let Some((service, needs_are_placed)) = path.pop() {
            if needs_are_placed {
                let place = self.places.len();
                self.places.entry(service).or_insert(place);
            } else if begun.insert(service) {
                path.push((service, true));
                let needs = self.needs.get(service).into_iter().flatten();
                path.extend(needs.map(|need| (*need, false)));
            }
        }
    }

    /// Returns the direct and transitive dependencies of a service that come before it in the
    /// order.
    pub fn before(&self, service: &ServiceName) -> BTreeSet<&'a ServiceName> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&ServiceName> = vec![service];
        while let Some(next) = open.pop() {
            for need in self.needs.get(next).into_iter().flatten() {
                if found.insert(*need) {
                    open.push(need);
                }
            }
        }
        let place = self.places.get(service).copied().unwrap_or(usize::MAX);
        found.retain(|need| self.places.get(need).is_some_and(|its| *its < place));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(edges: &[(&str, &str)], service: &str) -> Vec<String> {
        let names: Vec<(ServiceName, ServiceName)> = edges
            .iter()
            .map(|(a, b)| (ServiceName::new(*a).unwrap(), ServiceName::new(*b).unwrap()))
            .collect();
        let mut needs: BTreeMap<&ServiceName, BTreeSet<&ServiceName>> = BTreeMap::new();
        for (a, b) in &names {
            needs.entry(a).or_default().insert(b);
        }
        let order = Order::of(needs);
        let service = ServiceName::new(service).unwrap();
        order
            .before(&service)
            .into_iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn transitive_dependencies_come_before() {
        assert_eq!(
            before(&[("web", "api"), ("api", "db")], "web"),
            ["api", "db"]
        );
        assert!(before(&[("web", "api")], "api").is_empty());
    }

    #[test]
    fn contradictory_records_form_no_cycle() {
        let edges = [("a", "b"), ("b", "a")];
        assert_eq!(before(&edges, "a").len() + before(&edges, "b").len(), 1);
    }
}
