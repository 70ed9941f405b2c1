//! Tests of commands that need neither a server nor a container engine.

mod config;
mod confinement;
mod policy;
