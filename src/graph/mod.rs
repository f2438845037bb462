//! graph (see ARCHITECTURE.md).
