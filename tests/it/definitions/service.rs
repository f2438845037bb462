//! The fields of a service outside its container specification.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cimandat::{
    engine::{Engine, Query, sim::Sim},
    event::{Change, Outcome},
    name::ImageRef,
    plan::{self, Options, Reason},
    project::{
        ContainerSpec, Dependency, Hook, ImageSource, Kind, Probe, Project, PullPolicy, Service,
        Until, UpdateOrder, Watch,
    },
    run::{Run, drive},
    state::State,
};

use super::{decision, deployed, shop};
use crate::fixtures::{in_virtual_time, never, project_name, service_name, settings};

/// Effect of a changed service field on its container.
enum Meaning {
    /// The container is replaced, with this field as the reason.
    Replaced,
    /// The container is replaced because its image changed.
    OtherImage,
    /// No effect: the field only controls the deploy.
    Nothing,
}

type Turn = (&'static str, Meaning, Box<dyn Fn(&mut Service)>);

/// A change for every field. A new field does not compile until it is listed here.
#[expect(clippy::too_many_lines, reason = "a table")]
fn turns(service: &Service) -> Vec<Turn> {
    fn turn(
        field: &'static str,
        meaning: Meaning,
        change: impl Fn(&mut Service) + 'static,
    ) -> Turn {
        (field, meaning, Box::new(change))
    }
    let Service {
        // Another name is another service.
        name: _,
        kind: _,
        image: _,
        pull: _,
        platform: _,
        // The number of containers does not change a single one.
        replicas: _,
        container_name: _,
        // Tested field by field in the parent module.
        container: _,
        depends_on: _,
        ready: _,
        update: _,
        post_start: _,
        pre_stop: _,
        watch: _,
    } = service;
    vec![
        turn("kind", Meaning::Replaced, |it| {
            it.kind = Kind::Job {
                irreversible: false,
            };
        }),
        turn("image", Meaning::OtherImage, |it| {
            it.image = ImageSource::Reference(ImageRef::new("app:2").unwrap());
        }),
        turn("pull", Meaning::Nothing, |it| it.pull = PullPolicy::Never),
        turn("platform", Meaning::Replaced, |it| {
            it.platform = Some("linux/arm64".to_owned());
        }),
        turn("container-name", Meaning::Replaced, |it| {
            it.container_name = Some("web".to_owned());
        }),
        turn("depends_on", Meaning::Nothing, |it| {
            let dependency = Dependency {
                until: Until::Started,
                required: false,
                restart: true,
            };
            it.depends_on.insert(service_name("peer"), dependency);
        }),
        turn("ready", Meaning::Nothing, |it| {
            it.ready.probes = vec![Probe::Started];
            it.ready.timeout = Duration::from_secs(77);
        }),
        turn("update", Meaning::Nothing, |it| {
            it.update.order = UpdateOrder::StopFirst;
            it.update.drain = Some(Duration::from_secs(77));
        }),
        turn("post_start", Meaning::Nothing, |it| {
            it.post_start.push(hook());
        }),
        turn("pre_stop", Meaning::Nothing, |it| it.pre_stop.push(hook())),
        turn("watch", Meaning::Nothing, |it| {
            it.watch.push(Watch {
                path: "/shop/web".into(),
                action: "rebuild".to_owned(),
                target: None,
                ignore: Vec::new(),
            });
        }),
    ]
}

fn hook() -> Hook {
    Hook {
        command: vec!["true".to_owned()],
        user: None,
        working_dir: None,
        privileged: false,
        env: BTreeMap::new(),
    }
}

#[test]
fn changed_service_field_has_expected_effect() {
    in_virtual_time(async {
        let before = shop(&ContainerSpec::default());
        for (field, meaning, change) in turns(&before.services["web"]) {
            let sim = deployed(&before).await;
            sim.add_image(ImageRef::new("app:2").unwrap(), "sha256:app2");
            let mut wanted = before.clone();
            change(wanted.services.get_mut("web").unwrap());
            let state = seen(&sim).await;
            let deploy = plan::deploy(&wanted, &state, &Options::default()).unwrap();
            let web = decision(&deploy, "web");
            match (meaning, &web.reason) {
                (Meaning::Replaced, Some(Reason::Changed { changes })) => {
                    let [change] = changes.as_slice() else {
                        panic!("{field}: {changes:?}");
                    };
                    assert_eq!(change.field, field);
                    assert_eq!(web.change, Change::Replace, "{field}");
                }
                (Meaning::OtherImage, Some(Reason::ImageUpdated { .. })) => {
                    assert_eq!(web.change, Change::Replace, "{field}");
                }
                (Meaning::Nothing, None) => {
                    assert!(deploy.plan.changes_nothing(), "{field}");
                }
                (_, reason) => panic!("{field}: {reason:?}"),
            }
            // A job has to exit, and the simulated programs keep running.
            if field == "kind" {
                continue;
            }
            let verdict = up_in(&sim, &wanted).await;
            assert!(
                matches!(verdict, Outcome::Converged | Outcome::Unchanged),
                "{field}: {verdict:?}"
            );
            let again = plan::deploy(&wanted, &seen(&sim).await, &Options::default()).unwrap();
            assert!(
                again.plan.changes_nothing(),
                "{field}: {:?}",
                again.decisions
            );
        }
    });
}

/// Observed state, including both images.
async fn seen(sim: &Sim) -> State {
    let images = ["app:1", "app:2"].map(|name| ImageRef::new(name).unwrap());
    let query = Query {
        images: images.into_iter().collect(),
        ..Query::of(project_name())
    };
    sim.observe(&query).await.unwrap()
}

async fn up_in(sim: &Sim, wanted: &Project) -> Outcome {
    let state = seen(sim).await;
    let deploy = plan::deploy(wanted, &state, &Options::default()).unwrap();
    let run = Run::new(deploy.plan, settings(state));
    let outcome = drive(Arc::new(sim.clone()), run, |_| (), never()).await;
    outcome.outcome
}
