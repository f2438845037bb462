//! A world of pure memory with the semantics of a real engine.
