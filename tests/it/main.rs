//! All integration tests, in one binary.
mod build;
mod ci_mandat;
mod conformance;
mod deploys;
mod dial;
mod docker_engine;
mod drift;
mod manifests;
mod mistakes;
mod plans;
mod reporters;
mod resolve;
mod rollback;
mod runs;
mod support;
mod tidy;
mod worlds;
