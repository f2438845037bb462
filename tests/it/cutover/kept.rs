//! Updates under clients whose connections outlive a request: kept and pooled connections, long
//! requests, streamed answers, upgraded connections, and proxies.

use cimandat::event::Outcome;

use super::{loses_nothing, stand::Stand};

#[test]
fn start_first_update_loses_no_request_on_a_kept_connection() {
    loses_nothing("kept");
}

#[test]
fn start_first_update_loses_no_request_of_a_pool() {
    loses_nothing("pool");
}

#[test]
fn start_first_update_loses_no_long_request() {
    loses_nothing("long");
}

#[test]
fn start_first_update_loses_no_long_kept_request() {
    loses_nothing("long-kept");
}

#[test]
fn start_first_update_loses_no_streamed_answer() {
    loses_nothing("stream");
}

#[test]
fn start_first_update_loses_no_message_on_an_upgraded_connection() {
    loses_nothing("upgraded");
}

#[test]
fn start_first_update_loses_no_request_through_proxy() {
    loses_nothing("chain");
}

#[test]
fn start_first_update_loses_no_kept_request_through_proxy() {
    loses_nothing("chain-kept");
}

#[test]
fn start_first_update_keeps_address_when_configured() {
    let more = r#"update order="start-first" address="keep""#;
    let Some(stand) = Stand::new("address", &["resolved-once"]) else {
        return;
    };
    stand.begin(more);
    stand.up("two", more).with(0, Outcome::Converged);
    for report in stand.reports() {
        // The request in progress at the move is lost: one request, as there is one worker.
        assert!(report.failed + report.hanging <= 1, "{report}");
    }
    for report in stand.reports() {
        let report = report.all_answered();
        assert!(report.versions.keys().eq(["two"]), "{report}");
    }
}
