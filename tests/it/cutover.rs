//! Updates of a service under load: real clients ask it all the time, and count what they get.
//!
//! A server and clients of Node.js (`programs/`) run in containers on one network, or, for what is
//! published, on this machine. Each client counts requests that failed, hung or were slow, and
//! prints that. Failed and hanging ones are asserted; times are not, as the machine may be busy.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod counting;
mod stand;

use cimandat::event::Verdict;

use self::{
    client::{Kind, Report},
    stand::Stand,
};

/// Demands a switch without a gap.
const START_FIRST: &str = r#"update order="start-first""#;

/// So many places of an update are tried to kill it at.
const KILLS: u64 = 3;

/// Updates `web` under clients, and gives what they counted.
fn update(story: &str, kinds: &'static [Kind], more: &str) -> Option<Vec<Report>> {
    let stand = Stand::new(&format!("cutover-{story}"), kinds)?;
    stand.manifest("one", more);
    stand.world.up().with(0, Verdict::Converged);
    stand.manifest("two", more);
    stand.world.up().with(0, Verdict::Converged);
    Some(stand.reports())
}

/// Insists that no request of this kind of client is lost in an update.
#[track_caller]
fn loses_nothing(kind: &'static [Kind]) {
    for report in update(kind[0].name, kind, START_FIRST).unwrap_or_default() {
        report.all_answered().by_both();
    }
}

/// Kills an update at a few places and recovers; gives what clients count afterwards.
fn killed(story: &str, kinds: &'static [Kind]) -> Vec<Report> {
    let Some(stand) = Stand::new(&format!("cutover-{story}"), kinds) else {
        return Vec::new();
    };
    stand.manifest("one", START_FIRST);
    stand.world.up().with(0, Verdict::Converged);
    stand.manifest("two", START_FIRST);
    let requests = stand.up_with("count").err;
    let requests = requests.trim().strip_prefix("changing requests: ");
    let requests: u64 = requests.unwrap().parse().unwrap();
    let mut reports = Vec::new();
    for kill in 0..KILLS {
        stand.manifest(&format!("kill{kill}"), START_FIRST);
        let at = requests * (2 * kill + 1) / (2 * KILLS);
        assert_eq!(stand.up_with(&format!("after:{at}")).code, None);
        stand.world.run(&["recover"]);
        // What came in meanwhile may have met a container that was attached nowhere.
        stand.reports();
        reports.extend(stand.reports());
    }
    reports
}

#[test]
fn start_first_update_loses_no_request_on_new_connections() {
    loses_nothing(&[Kind::NEW]);
}

#[test]
fn start_first_update_loses_no_request_that_needs_an_upstream() {
    loses_nothing(&[Kind::UPSTREAM]);
}

#[test]
fn failing_update_loses_no_request() {
    let Some(stand) = Stand::new("cutover-failing", &[Kind::NEW, Kind::KEPT]) else {
        return;
    };
    stand.manifest("one", START_FIRST);
    stand.world.up().with(0, Verdict::Converged);
    let visitor = stand.visitor(Kind::CHAIN);
    let never = r#"ready within="1s" { http 8080 contains="never said"; }"#;
    stand.manifest("two", &format!("{START_FIRST}\n{never}"));
    stand.world.up().with(5, Verdict::RolledBack);
    for report in [stand.reports(), stand.reports_of(&mut [visitor])].concat() {
        let report = report.all_answered();
        assert!(!report.versions.contains_key("two"), "{report}");
    }
}

#[test]
fn killed_update_is_recovered_for_all_clients() {
    for report in killed("killed", &[Kind::NEW, Kind::KEPT, Kind::POOL]) {
        report.all_answered();
    }
}

#[test]
fn stop_first_update_keeps_the_address() {
    let more = r#"update order="stop-first""#;
    for report in update("stop-first", &[Kind::RESOLVED_ONCE], more).unwrap_or_default() {
        assert_eq!(report.hanging, 0, "{report}");
        report.by_both();
    }
}
