//! Whole deploys, as a person sees them: the real program on a real engine.
//!
//! Where no engine answers, or it has no image to start, each test says so and passes; with
//! `CIMANDAT_TEST_ENGINE=require` it fails instead. Everything made here is of projects
//! `it-deploys-…` and is removed again, also after a failure.

mod attach;
mod data;
mod down;
mod drift;
mod failure;
mod field;
mod gate;
mod interrupt;
mod job;
mod listing;
mod logs;
mod name;
mod network;
mod network_change;
mod partial_commit;
mod ports;
mod probes;
mod proof;
mod rollback;
mod rotate;
mod secret;
mod transaction;
mod update;
mod update_order;
