//! `cimandat` deploys containers from a KDL manifest: health-gated, and rolled back when a gate
//! fails. This page lists the modules in reading order; `ARCHITECTURE.md` contains the rules.
//!
//! ```text
//!  text ──▶ Manifest ──▶ Project ──▶ Graph ─┐
//!                                           ├─▶ images ──▶ deploy ──▶ Plan ──▶ Run ──▶ events ──▶ report
//!  engine ──observe──▶ State ───────────────┘                                  │
//!  engine ◀──perform, probe──────────────────────────────────────── drive ◀────┘
//! ```
//!
//! Basic types: [`name`], [`mod@unit`], [`span`] (locations in source texts), [`secret`] (values
//! that cannot be printed).
//!
//! Input: [`manifest`] reads the manifest, and [`diagnostic`] reports every error at its location.
//! [`project`] is the resolved manifest. [`graph`] contains the dependencies.
//!
//! Observation: [`state`] is the state of the engine, as observed through an [`engine`].
//!
//! Planning: [`plan`] computes the steps and their reasons.
//!
//! Execution: [`run`] contains a state machine that decides and a loop that performs. [`journal`]
//! records what a run is about to do. [`event`] describes what happened, and [`report`] prints it.
//!
//! Commands: [`command`] has one file for each verb. [`cli`] parses the command line, [`exit`]
//! derives the exit code.

pub mod cli;
pub mod command;
pub mod diagnostic;
pub mod engine;
pub mod event;
pub mod exit;
pub mod graph;
pub mod journal;
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
