//! manifest (see ARCHITECTURE.md).
