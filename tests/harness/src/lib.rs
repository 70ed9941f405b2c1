//! Runs the program on a container engine, for tests and the demo: it needs no crate of the host.
//!
//! | module | purpose |
//! |---|---|
//! | [`compiled`] | shares machine code of policies between tests |
//! | [`site`] | runs the program and sends requests to it |
//! | [`response`] | the program's answers, with varying values replaced |
//! | [`wait`] | polls a value with a time limit |
//! | [`engine`] | inspects the container engine independently of Windlass |
//! | [`images`] | builds small images without a registry |
//! | [`swarm`] | a Docker Swarm of three engines on this machine |

pub mod compiled;
pub mod engine;
pub mod images;
mod log;
mod program;
pub mod response;
pub mod site;
pub mod swarm;
pub mod wait;
