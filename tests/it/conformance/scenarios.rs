//! Behaviour of engines as scenarios. Measured on Engine 28.5.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use cimandat::{
    engine::sim::ExternalAction,
    name::{ContainerName, ImageRef},
    plan::{Action, RunHook},
    project::{Hook, RestartPolicy},
    state::PublishedPort,
    unit::Protocol,
};

use super::scenario::{IMAGE, Scenario};
use crate::support::free_port;

fn hook(container: ContainerName) -> Action {
    Action::RunHook(Box::new(RunHook {
        container,
        hook: Hook {
            command: vec!["true".to_owned()],
            user: None,
            working_dir: None,
            privileged: false,
            env: std::collections::BTreeMap::new(),
        },
    }))
}

pub fn a_name_has_one_holder() -> Scenario {
    let it = Scenario::new("name");
    let web = || it.container("web");
    let other = ExternalAction::Run {
        container: it.name("other"),
        ports: Vec::new(),
    };
    let (make, again) = (web().make(), web().make());
    let later = web().generation(2).make();
    let beside = web().generation(2).called("web.g2").make();
    let taken = it.container("other").make();
    let renames = [
        it.rename("web.g2", "web"),
        it.rename("web.g2", "other"),
        it.rename("web.g2", "web.g3"),
        it.rename("web.g2", "web.g3"),
        it.rename("gone", "nowhere"),
    ];
    let [onto_ours, onto_theirs, away, away_again, gone] = renames;
    it.hand(other, "")
        .act(make, "ok", "web created")
        .act(again, "ok", "web created")
        .act(later, "refused 409", "web created")
        .act(taken, "foreign", "web created")
        .act(beside, "ok", "web created; web.g2 created")
        .act(onto_ours, "refused 409", "web created; web.g2 created")
        .act(onto_theirs, "foreign", "web created; web.g2 created")
        .act(away, "ok", "web created; web.g3 created")
        .act(away_again, "ok", "web created; web.g3 created")
        .act(gone, "gone", "web created; web.g3 created")
}

pub fn a_port_is_bound_at_the_start() -> Scenario {
    let it = Scenario::new("port");
    let (port, theirs) = (free_port(), free_port());
    let a = it
        .container("a")
        .port("127.0.0.1", Some(port))
        .on("out", None)
        .make();
    let b = it
        .container("b")
        .port("127.0.0.1", Some(port))
        .on("out", None)
        .make();
    let c = it
        .container("c")
        .port("127.0.0.2", Some(port))
        .on("out", None)
        .make();
    let d = it.container("d").port("", None).on("out", None).make();
    let late = it
        .container("e")
        .port("", Some(theirs))
        .on("out", None)
        .make();
    let held = PublishedPort {
        host_ip: String::new(),
        published: theirs,
        target: 80,
        protocol: Protocol::Tcp,
    };
    let other = ExternalAction::Run {
        container: it.name("other"),
        ports: vec![held],
    };
    let [start_a, start_b, start_b_now] = [it.start("a"), it.start("b"), it.start("b")];
    let [start_c, start_d, start_e] = [it.start("c"), it.start("d"), it.start("e")];
    let stop_a = it.stop("a");
    let out = it.network("out", None);
    it.hand(other, "")
        .act(out, "ok", "")
        .act(a, "ok", "a created")
        .act(b, "ok", "a created; b created")
        .act(start_a, "ok", "a running; b created")
        .act(start_b, "port taken", "a running; b created")
        .act(c, "ok", "a running; b created; c created")
        .act(start_c, "ok", "a running; b created; c running")
        .act(stop_a, "ok", "a exited 0; b created; c running")
        .act(start_b_now, "ok", "a exited 0; b running; c running")
        .act(d, "ok", "a exited 0; b running; c running; d created")
        .act(start_d, "ok", "a exited 0; b running; c running; d running")
        .act(
            late,
            "ok",
            "a exited 0; b running; c running; d running; e created",
        )
        .act(
            start_e,
            "port taken",
            "a exited 0; b running; c running; d running; e created",
        )
}

pub fn again_is_the_same() -> Scenario {
    let it = Scenario::new("again");
    let make = it.container("web").make();
    let no_image = it.container("none").image("it-conform-none:1").make();
    let gone = it.name("gone");
    let hooks = [
        hook(it.name("web")),
        hook(it.name("web")),
        hook(gone.clone()),
    ];
    let [hook_early, hook_now, hook_gone] = hooks;
    let turns = [
        it.start("web"),
        it.start("web"),
        it.stop("web"),
        it.stop("web"),
    ];
    let [start, start_again, stop, stop_again] = turns;
    let removes = [it.remove("web"), it.remove("web"), it.remove("web")];
    let [remove_early, remove, remove_again] = removes;
    let policy = it.policy("web", RestartPolicy::OnFailure { max: 3 });
    let [start_gone, stop_gone] = [it.start("gone"), it.stop("gone")];
    let policy_gone = it.policy("gone", RestartPolicy::Always);
    it.act(no_image, "no image", "")
        .act(make, "ok", "web created")
        .act(hook_early, "refused 409", "web created")
        .act(start, "ok", "web running")
        .act(start_again, "ok", "web running")
        .act(hook_now, "ok", "web running")
        .act(policy, "ok", "web running")
        .act(remove_early, "refused 409", "web running")
        .act(stop, "ok", "web exited 0")
        .act(stop_again, "ok", "web exited 0")
        .act(remove, "ok", "")
        .act(remove_again, "ok", "")
        .act(start_gone, "gone", "")
        .act(stop_gone, "ok", "")
        .act(policy_gone, "gone", "")
        .act(hook_gone, "gone", "")
}

pub fn an_anonymous_volume_is_removed_with_its_last_container() -> Scenario {
    let it = Scenario::new("anonymous");
    let one = it.container("one").anonymous().make();
    let two = it.container("two").anonymous().make();
    let [start, stop, remove] = [it.start("one"), it.stop("one"), it.remove("one")];
    let by_hand = ExternalAction::Remove(it.name("two"));
    it.act(one, "ok", "one created")
        .act(two, "ok", "one created; two created")
        .act(start, "ok", "one running; two created")
        .act(stop, "ok", "one exited 0; two created")
        .act(remove, "ok", "two created")
        .hand(by_hand, "")
}

pub fn a_mounted_volume_is_not_removed() -> Scenario {
    let it = Scenario::new("volume");
    let [make, again, changed] = ["a", "a", "b"].map(|text| it.volume("data", text));
    let web = it.container("web").volume("data").make();
    let stray = it.container("stray").volume("unlabelled").make();
    let remove = || Action::RemoveVolume(it.engine_name("data"));
    let foreign = Action::RemoveVolume(it.engine_name("unlabelled"));
    let [early, start, running, stop] = [remove(), it.start("web"), remove(), it.stop("web")];
    let [stopped, remove_web, now, twice] = [remove(), it.remove("web"), remove(), remove()];
    it.act(make, "ok", "")
        .act(again, "ok", "")
        .act(changed, "ok", "")
        .act(web, "ok", "web created")
        .act(early, "in use", "web created")
        .act(start, "ok", "web running")
        .act(running, "in use", "web running")
        .act(stop, "ok", "web exited 0")
        .act(stopped, "in use", "web exited 0")
        .act(remove_web, "ok", "")
        .act(now, "ok", "")
        .act(twice, "ok", "")
        .act(stray, "ok", "stray created")
        .act(foreign, "foreign", "stray created")
}

pub fn a_network_in_use_is_not_removed() -> Scenario {
    let it = Scenario::new("network");
    let [make, again] = [it.network("net", None), it.network("net", None)];
    let changed = it.network("net", Some("10.213.77.0/24"));
    let web = it.container("web").on("net", None).make();
    let missing = it.container("lost").on("nowhere", None).make();
    let (start_lost, remove_lost) = (it.start("lost"), it.remove("lost"));
    let remove = || Action::RemoveNetwork(it.engine_name("net"));
    let [start, running, stop] = [it.start("web"), remove(), it.stop("web")];
    let [stopped, twice, start_without] = [remove(), remove(), it.start("web")];
    it.act(make, "ok", "")
        .act(again, "ok", "")
        .act(changed, "refused 409", "")
        .act(missing, "ok", "lost created")
        .act(start_lost, "refused 404", "lost created")
        .act(remove_lost, "ok", "")
        .act(web, "ok", "web created")
        .act(start, "ok", "web running")
        .act(running, "in use", "web running")
        .act(stop, "ok", "web exited 0")
        .act(stopped, "ok", "web exited 0")
        .act(twice, "ok", "web exited 0")
        .act(start_without, "refused 404", "web exited 128")
}

pub fn a_frozen_container_can_only_be_stopped() -> Scenario {
    let it = Scenario::new("frozen");
    let make = it.container("web").make();
    let [start, start_frozen, start_again] = [it.start("web"), it.start("web"), it.start("web")];
    let [remove, stop, hook] = [it.remove("web"), it.stop("web"), hook(it.name("web"))];
    let [pause, pause_again] = [
        ExternalAction::Pause(it.name("web")),
        ExternalAction::Pause(it.name("web")),
    ];
    let unpause = ExternalAction::Unpause(it.name("web"));
    let policy = it.policy("web", RestartPolicy::Always);
    it.act(make, "ok", "web created")
        .act(start, "ok", "web running")
        .hand(pause, "web paused")
        .act(start_frozen, "refused 409", "web paused")
        .act(hook, "refused 409", "web paused")
        .act(remove, "refused 409", "web paused")
        .act(policy, "ok", "web paused")
        .hand(unpause, "web running")
        .hand(pause_again, "web paused")
        .act(stop, "ok", "web exited 0")
        .act(start_again, "ok", "web running")
}

pub fn policies_decide_what_comes_back() -> Scenario {
    let it = Scenario::new("policies");
    let make = it.container("web").make();
    let start = || it.start("web");
    let [first, second] = [start(), start()];
    let policy = |policy| it.policy("web", policy);
    let once = policy(RestartPolicy::OnFailure { max: 1 });
    let unless = policy(RestartPolicy::UnlessStopped);
    let [never, always] = [policy(RestartPolicy::No), policy(RestartPolicy::Always)];
    let failure = || it.end("web", 3);
    let success = || it.end("web", 0);
    let [failed, failed_twice, failed_thrice] = [failure(), failure(), failure()];
    let [ended, ended_twice] = [success(), success()];
    let third = start();
    it.act(make, "ok", "web created")
        .act(first, "ok", "web running")
        .hand(failed, "web exited 3")
        .act(unless, "ok", "web exited 3")
        .act(second, "ok", "web running")
        .hand(ended, "web running, restarted 1")
        .act(always, "ok", "web running, restarted 1")
        .hand(failed_twice, "web running, restarted 2")
        .act(never, "ok", "web running, restarted 2")
        .hand(ended_twice, "web exited 0, restarted 2")
        .act(once, "ok", "web exited 0, restarted 2")
        .act(third, "ok", "web running")
        .hand(failed_thrice, "web running, restarted 1")
}

pub fn what_is_stopped_by_hand_stays_stopped() -> Scenario {
    let it = Scenario::new("by-hand");
    let make = it.container("web").make();
    let (start, restart) = (it.start("web"), ExternalAction::Start(it.name("web")));
    let policy = it.policy("web", RestartPolicy::Always);
    let [stop, kill] = [
        ExternalAction::Stop(it.name("web")),
        ExternalAction::Kill(it.name("web")),
    ];
    it.act(make, "ok", "web created")
        .act(start, "ok", "web running")
        .act(policy, "ok", "web running")
        .hand(kill, "web exited 137")
        .hand(restart, "web running")
        .hand(stop, "web exited 0")
}

pub fn what_is_removed_by_hand_is_gone() -> Scenario {
    let it = Scenario::new("removed");
    let make = it.container("web").make();
    let [start, start_gone] = [it.start("web"), it.start("web")];
    let [stop_gone, remove_gone] = [it.stop("web"), it.remove("web")];
    let by_hand = ExternalAction::Remove(it.name("web"));
    it.act(make, "ok", "web created")
        .act(start, "ok", "web running")
        .hand(by_hand, "")
        .act(start_gone, "gone", "")
        .act(stop_gone, "ok", "")
        .act(remove_gone, "ok", "")
}

pub fn pruning_takes_what_nobody_uses() -> Scenario {
    let it = Scenario::new("prune");
    let [net, used] = [it.network("net", None), it.network("used", None)];
    let volume = it.volume("data", "a");
    let a = it.container("a").on("used", None).volume("data").make();
    let b = it.container("b").on("net", None).anonymous().make();
    let c = it.container("c").on("net", None).make();
    let [start_a, start_b, stop_b] = [it.start("a"), it.start("b"), it.stop("b")];
    let start_without = it.start("c");
    it.act(net, "ok", "")
        .act(used, "ok", "")
        .act(volume, "ok", "")
        .act(a, "ok", "a created")
        .act(b, "ok", "a created; b created")
        .act(c, "ok", "a created; b created; c created")
        .act(start_a, "ok", "a running; b created; c created")
        .act(start_b, "ok", "a running; b running; c created")
        .act(stop_b, "ok", "a running; b exited 0; c created")
        .hand(
            ExternalAction::PruneVolumes,
            "a running; b exited 0; c created",
        )
        .hand(
            ExternalAction::PruneNetworks,
            "a running; b exited 0; c created",
        )
        .act(
            start_without,
            "refused 404",
            "a running; b exited 0; c created",
        )
        .hand(ExternalAction::PruneContainers, "a running")
        .hand(ExternalAction::PruneVolumes, "a running")
        .hand(ExternalAction::PruneImages, "a running")
        .alone()
}

/// Returns a scenario with one container for each state that it can have when an engine ends.
fn when_an_engine_ends(name: &str, end: ExternalAction, then: &'static str) -> Scenario {
    const RUNNING: &str = "always running; failed running; made created; never running; \
                           stopped exited 0; unless running";
    let it = Scenario::new(name);
    let services = ["always", "failed", "made", "never", "stopped", "unless"];
    let make = services.map(|service| it.container(service).make());
    let start = services.map(|service| it.start(service));
    let policies = [
        it.policy("always", RestartPolicy::Always),
        it.policy("failed", RestartPolicy::OnFailure { max: 0 }),
        it.policy("made", RestartPolicy::Always),
        it.policy("stopped", RestartPolicy::UnlessStopped),
        it.policy("unless", RestartPolicy::UnlessStopped),
    ];
    let stop = it.stop("stopped");
    let lines = [
        "always created",
        "always created; failed created",
        "always created; failed created; made created",
        "always created; failed created; made created; never created",
        "always created; failed created; made created; never created; stopped created",
        "always created; failed created; made created; never created; stopped created; unless created",
        "always running; failed created; made created; never created; stopped created; unless created",
        "always running; failed running; made created; never created; stopped created; unless created",
        "always running; failed running; made created; never running; stopped created; unless created",
        "always running; failed running; made created; never running; stopped running; unless created",
        "always running; failed running; made created; never running; stopped running; unless running",
    ];
    let started = start
        .into_iter()
        .enumerate()
        .filter(|(at, _)| *at != 2)
        .map(|(_, it)| it);
    let calls = make.into_iter().chain(started);
    let played = calls
        .zip(lines)
        .fold(it, |it, (call, line)| it.act(call, "ok", line));
    let last = lines[lines.len() - 1];
    policies
        .into_iter()
        .fold(played, |it, policy| it.act(policy, "ok", last))
        .act(stop, "ok", RUNNING)
        .hand(end, then)
        .alone()
}

pub fn an_engine_that_ended_well_brings_back_what_ran() -> Scenario {
    when_an_engine_ends(
        "restart",
        ExternalAction::RestartEngine,
        "always running; failed exited 0; made created; never exited 0; stopped exited 0; \
         unless running",
    )
}

pub fn an_engine_that_was_killed_stops_what_ran() -> Scenario {
    when_an_engine_ends(
        "kill",
        ExternalAction::KillEngine,
        "always running; failed exited 0; made created; never exited 0; stopped exited 0; \
         unless exited 0",
    )
}

pub fn a_power_cut_brings_back_all_that_may() -> Scenario {
    when_an_engine_ends(
        "power-cut",
        ExternalAction::CutPower,
        "always running; failed running; made created; never exited 255; stopped exited 0; \
         unless running",
    )
}

pub fn an_image_in_use_stays() -> Scenario {
    let it = Scenario::new("image");
    let web = it.container("web").make();
    let remove = Action::RemoveImage(ImageRef::new(IMAGE).unwrap());
    it.act(web, "ok", "web created")
        .act(remove, "refused 409", "web created")
        .alone()
}

pub fn a_fixed_address_has_one_holder() -> Scenario {
    let it = Scenario::new("address");
    let network = it.network("net", Some("10.213.76.0/24"));
    let [a, b] = ["a", "b"].map(|name| it.container(name).on("net", Some("10.213.76.9")).make());
    let [start_a, start_b, stop_a, again] =
        [it.start("a"), it.start("b"), it.stop("a"), it.start("b")];
    it.act(network, "ok", "")
        .act(a, "ok", "a created")
        .act(b, "ok", "a created; b created")
        .act(start_a, "ok", "a running; b created")
        .act(start_b, "refused 403", "a running; b created")
        .act(stop_a, "ok", "a exited 0; b created")
        .act(again, "ok", "a exited 0; b running")
        .alone()
}

pub fn cutover_moves_names_and_ports() -> Scenario {
    let it = Scenario::new("cutover");
    let port = free_port();
    let web = |name: &str, number| {
        let container = it.container("web").called(name);
        container
            .port("127.0.0.1", Some(port))
            .reserved(&["app"], number)
            .make()
    };
    let (old, new) = (web("web", 0), web("web.g2", 1));
    let both = |container: &str, alias, number| {
        it.attached(container, &[("app", alias, number), ("out", alias, 5)])
    };
    let inner = |container: &str, number| it.attached(container, &[("app", "", number)]);
    let first = Scenario::cutover(both("web", "web", 0), None);
    let again = Scenario::cutover(both("web", "web", 0), None);
    let switch = || Scenario::cutover(both("web.g2", "web", 1), Some(inner("web", 0)));
    let back = Scenario::cutover(both("web", "web", 0), Some(inner("web.g2", 1)));
    let kept = Scenario::cutover(both("web.g2", "web", 1), Some(inner("gone", 3)));
    let gone = Scenario::cutover(inner("gone", 2), None);
    let [app, out] = [it.network("app", None), it.network("out", None)];
    let [start, start_new, stop] = [it.start("web"), it.start("web.g2"), it.stop("web")];
    let paused = ExternalAction::Pause(it.name("web"));
    let running = "web running; web.g2 running";
    let [switched, switched_again, switched_on] = [switch(), switch(), switch()];
    it.act(app, "ok", "")
        .act(out, "ok", "")
        .act(old, "ok", "web created")
        .act(new, "ok", "web created; web.g2 created")
        // Before the container's start, the address is only recorded.
        .act(first, "ok", "web created; web.g2 created")
        .act(start, "ok", "web running; web.g2 created")
        .act(again, "ok", "web running; web.g2 created")
        // `web.g2` is on an internal network only, so its port is not published, and both run.
        .act(start_new, "ok", running)
        .act(switched, "ok", running)
        .act(switched_again, "ok", running)
        .act(back, "ok", running)
        // The state after an interrupted cutover.
        .hand(paused, "web paused; web.g2 running")
        .act(switched_on, "ok", running)
        .act(gone, "gone", running)
        .act(stop, "ok", "web exited 0; web.g2 running")
        .act(kept, "ok", "web exited 0; web.g2 running")
}
