//! `cimandat` deploys containers from a KDL manifest: health-gated and rolled back on failure.

pub mod cli;
pub mod command;
pub mod diagnostic;
pub mod engine;
pub mod event;
pub mod exit;
pub mod graph;
pub mod manifest;
pub mod name;
pub mod plan;
pub mod project;
pub mod report;
pub mod run;
pub mod secret;
pub mod span;
pub mod state;
pub mod unit;
