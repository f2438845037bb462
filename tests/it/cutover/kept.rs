//! Updates under clients whose connections outlive a request: kept and pooled ones, requests that
//! take long, streamed answers, upgraded connections, and proxies.

use super::{loses_nothing, update};

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
fn start_first_update_loses_no_long_request_on_a_kept_connection() {
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
fn start_first_update_loses_no_request_through_a_published_proxy() {
    loses_nothing("chain");
}

#[test]
fn start_first_update_loses_no_request_on_kept_connections_through_a_published_proxy() {
    loses_nothing("chain-kept");
}

#[test]
fn start_first_update_keeps_the_address_on_demand() {
    let more = r#"update order="start-first" address="keep""#;
    for report in update("address", &["resolved-once"], more) {
        assert_eq!(report.hanging, 0, "{report}");
        report.by_both();
    }
}
