//! All integration tests, in one binary.
mod build;
mod dial;
mod docker_engine;
mod manifests;
mod reporters;
mod rollback;
mod runs;
mod worlds;
