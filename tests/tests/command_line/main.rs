//! Tests of commands that need no container engine.

mod config;
mod confinement;
mod health;
mod policy;
