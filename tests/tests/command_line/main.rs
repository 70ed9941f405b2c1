//! Tests of commands that need neither a server nor a container engine.

mod confinement;
mod policy;
