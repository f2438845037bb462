//! All integration tests, in one binary.
mod build;
mod dial;
mod reporters;
mod rollback;
mod runs;
mod worlds;
