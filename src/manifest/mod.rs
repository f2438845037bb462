//! manifest (see ARCHITECTURE.md).

pub mod environment;
