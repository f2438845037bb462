//! cli (see ARCHITECTURE.md).
