//! diagnostic (see ARCHITECTURE.md).
