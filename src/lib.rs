//! `cimandat` deploys containers from a KDL manifest: health-gated, and rolled back when a gate
//! fails. This page is a tour in reading order; `ARCHITECTURE.md` has the rules.
//!
//! ```text
//!  text ──▶ Manifest ──▶ Project ──▶ Graph ─┐
//!                                           ├─▶ images ──▶ deploy ──▶ Plan ──▶ Run ──▶ events ──▶ report
//!  engine ──observe──▶ State ───────────────┘                                  │
//!  engine ◀──perform, probe──────────────────────────────────────── drive ◀────┘
//! ```
//!
//! What things are called and made of: [`name`], [`mod@unit`], [`span`] (places in texts),
//! [`secret`] (values that cannot be shown).
//!
//! What a person wrote: [`manifest`] reads it and [`diagnostic`] tells every mistake in it at its
//! place. What that means: [`project`], with nothing left open. Who waits for whom: [`graph`].
//!
//! What is there: [`state`], as an [`engine`] observed it. What has to be done, and why:
//! [`plan`]. How it is done: [`run`], a machine that decides and a loop that does. What happened:
//! [`event`], told by [`report`].
//!
//! What can be asked for: [`command`], one file a verb; [`cli`] reads what was typed, [`exit`]
//! says how it ended.

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
