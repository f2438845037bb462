//! Whole deploys from the user's point of view: the real program on a real engine.
//!
//! Without an engine, or without the image on it, each test prints the reason and passes. With
//! `CIMANDAT_TEST_ENGINE=require` it fails instead. All objects belong to projects named
//! `it-deploys-…` and are removed again, also after a failure.

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
