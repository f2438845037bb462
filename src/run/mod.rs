//! run (see ARCHITECTURE.md).
