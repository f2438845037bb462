//! command (see ARCHITECTURE.md).
