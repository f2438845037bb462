//! Support for tests that run the real program on a real engine.
//!
//! A [`World`] is a separate project with a folder for its manifest. [`Running`] is the running
//! program, [`Ended`] its result. [`Api`] queries the engine directly, so that a test does not
//! depend on the program's own reports. An [`Inner`] engine may be killed.

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
