//! Updates of a service under load: real clients send requests all the time, and count the results.
//!
//! A server and clients in Node.js (`programs/`) run in containers on one network; the clients of a
//! published port run on this machine. Each client counts requests that failed, hung or were slow,
//! and prints the counts. The tests assert on failed and hanging requests, but not on times, as the
//! machine may be busy.

mod client;
mod counting;
mod kept;
mod stand;

use cimandat::event::Outcome;

use self::{client::Report, stand::Stand};

/// Requires an update without a gap.
const START_FIRST: &str = r#"update order="start-first""#;

/// The number of places in an update at which a test kills it.
const KILLS: u64 = 3;

/// Updates `web` under clients of these kinds, and returns their reports.
fn update(story: &str, clients: &[&str], more: &str) -> Vec<Report> {
    let Some(stand) = Stand::new(story, clients) else {
        return Vec::new();
    };
    stand.begin(more);
    stand.up("two", more).with(0, Outcome::Converged);
    stand.reports()
}

/// Checks that clients of this kind lose no request in an update.
#[track_caller]
fn loses_nothing(client: &str) {
    for report in update(client, &[client], START_FIRST) {
        report.all_answered().by_both();
    }
}

#[test]
fn start_first_update_loses_no_request_on_new_connections() {
    loses_nothing("new");
}

#[test]
fn start_first_update_loses_no_request_with_upstream() {
    loses_nothing("upstream");
}

#[test]
fn failing_update_loses_no_request() {
    let Some(stand) = Stand::new("failing", &["new", "kept", "chain"]) else {
        return;
    };
    stand.begin(START_FIRST);
    let never = r#"ready timeout="1s" { http 8080 contains="never said"; }"#;
    let more = format!("{START_FIRST}\n{never}");
    stand.up("two", &more).with(5, Outcome::RolledBack);
    for report in stand.reports() {
        let report = report.all_answered();
        assert!(!report.versions.contains_key("two"), "{report}");
    }
}

#[test]
fn killed_update_is_recovered_for_all_clients() {
    let Some(stand) = Stand::new("killed", &["new", "kept", "pool"]) else {
        return;
    };
    stand.begin(START_FIRST);
    let counted = stand.killed_up("two", START_FIRST, "count").err;
    let requests = counted.trim().strip_prefix("changing requests: ");
    let requests: u64 = requests.unwrap().parse().unwrap();
    for kill in 0..KILLS {
        let at = requests * (2 * kill + 1) / (2 * KILLS);
        let (text, at) = (format!("kill{kill}"), format!("after:{at}"));
        assert_eq!(stand.killed_up(&text, START_FIRST, &at).code, None);
        stand.world.run(&["recover"]);
        // The first reports may contain requests to a container that was on no network.
        stand.reports();
        for report in stand.reports() {
            report.all_answered();
        }
    }
}

#[test]
fn stop_first_update_keeps_the_address() {
    for report in update(
        "stop-first",
        &["resolved-once"],
        r#"update order="stop-first""#,
    ) {
        assert_eq!(report.hanging, 0, "{report}");
        report.by_both();
    }
}
