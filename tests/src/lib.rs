//! Helpers of the tests and of the benchmarks.
//!
//! [`windlass_harness`] has the helpers that need no crate of the host; they are exported here again.
//!
//! | module | purpose |
//! |---|---|
//! | [`engine_proxy`] | a proxy in front of the container engine that counts requests, refuses them, or leaves them without an answer |
//! | [`program_image`] | builds the image of Windlass from the program under test |
//! | [`private_engine`] | a container engine that a test may stop |
//! | [`registry`] | an OCI registry |
//! | [`compose`] | Docker Compose as it is installed, in version 1 or 2 |
//! | [`benchmark`] | the frame of the benchmarks of whole programs |
//! | [`browser`] | a headless Chromium |
//! | [`callback`] | a server that records the requests it receives |
//! | [`balancers`] | the templates for load balancers, and workloads with hostile names |
//! | [`page_site`] | the page on a simulated engine |
//! | [`no_network`] | a network in which nobody answers |
//! | [`policies`] | the built-in policies, loaded once |
//! | [`hostile`] | hostile components |
//! | [`mutation`] | damaged components |
//! | [`memory`] | the memory of a process |
//! | [`workloads`] | workloads, their replicas and their target count |
//! | [`alone`] | runs a test in a process of its own |
//! | [`commands`] | runs commands of the program as a person does |
//! | [`lone_server`] | a server without a container engine |
//! | [`terminal`] | a pseudo-terminal with a command in it |

pub mod alone;
pub mod balancers;
pub mod benchmark;
pub mod browser;
pub mod callback;
pub mod commands;
pub mod compose;
pub mod engine_proxy;
pub mod hostile;
pub mod lone_server;
pub mod memory;
pub mod mutation;
pub mod no_network;
pub mod page_site;
pub mod policies;
pub mod private_engine;
pub mod program_image;
pub mod registry;
pub mod terminal;
pub mod workloads;

pub use windlass_harness::{compiled, engine, images, response, site, swarm, wait};
