//! What tests need that drive the real program on a real engine.
//!
//! A [`World`] is a project of its own with a folder for its manifest; [`Running`] is the program
//! at work, [`Ended`] what it left behind; [`Api`] asks the engine itself, so that no test has to
//! believe the program about what it did. An [`Inner`] engine may be killed.

mod api;
mod client;
mod endpoints;
mod inner;
mod program;
mod world;

pub use self::{
    api::Api,
    client::Client,
    endpoints::endpoints,
    inner::Inner,
    program::{Ended, Running},
    world::{IMAGE, World, free_port, free_ports},
};
