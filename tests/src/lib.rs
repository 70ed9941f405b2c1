//! What the black-box tests, the demo and the engine bench stand on.
//!
//! [`wait`] polls on a value with a bound; [`images`] makes small images without a registry; [`engine`]
//! looks at the engine behind Windlass's back, [`private_engine`] is an engine a test may stop;
//! [`harness`] runs the binary, [`response`] shows what it answers; [`callback`] is a server that notes
//! what is posted to it; [`policies`] has the built-in policies loaded, [`hostile`] makes those that no
//! author means well with, [`memory`] measures that of a process.

pub mod callback;
pub mod engine;
pub mod harness;
pub mod hostile;
pub mod images;
pub mod memory;
pub mod mutation;
pub mod policies;
pub mod private_engine;
pub mod registry;
pub mod response;
pub mod wait;
